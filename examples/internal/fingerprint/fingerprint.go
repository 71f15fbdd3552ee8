// Package fingerprint identifies the files of a data set by their content, so that a run
// notices when its data change and recognizes them when they move.
package fingerprint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/volume"
)

// File is the content of a file.
type File struct {
	// Size is the number of bytes, SHA256 their SHA-256 in hexadecimal.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Version identifies the state of the file on its disk: device, number, size and times.
	// A file with an equal Version is not read again. It is empty if the operating system
	// does not tell, or if the file was so new that a later change might not show.
	Version string `json:"version,omitempty"`
}

// Case is the content of the files of a case.
type Case struct {
	ID     string `json:"id"`
	Images []File `json:"images"` // in the order of the channels
	Label  File   `json:"label"`
	// Voxels are the second files of the label and the images, in this order, whose header
	// and voxels are two files (.hdr and .img, .mhd and .raw).
	Voxels []File `json:"voxels,omitempty"`
}

// Data is the content of the cases of a run. The cases of a cross-validation are all in Train.
type Data struct {
	Train []Case `json:"train"`
	Valid []Case `json:"valid"`
	Test  []Case `json:"test,omitempty"`
}

// ID returns the SHA-256 of the content in hexadecimal. It depends on the names of the
// cases, but not on those of their files or folders.
func (d *Data) ID() (string, error) {
	strip := func(cases []Case) []Case {
		bare := make([]Case, len(cases))
		for i, c := range cases {
			bare[i] = Case{ID: c.ID, Images: make([]File, len(c.Images)), Label: c.Label.content()}
			for k, f := range c.Images {
				bare[i].Images[k] = f.content()
			}
			for _, f := range c.Voxels {
				bare[i].Voxels = append(bare[i].Voxels, f.content())
			}
		}
		return bare
	}
	raw, err := json.Marshal(Data{strip(d.Train), strip(d.Valid), strip(d.Test)})
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

func (f File) content() File { return File{Size: f.Size, SHA256: f.SHA256} }

// workers is the number of files that are read at the same time. Two hide the latency of a
// network disk from the processor without making a hard disk seek much.
const workers = 2

// Of reads the files of the cases. Known, which may be nil, is the result of an earlier
// call: files whose Version has not changed are taken from there. Progress, which may be
// nil, is called with the bytes read so far and in total; it is not called concurrently. If
// ctx is done, Of returns its error.
func Of(ctx context.Context, cases dataset.Split, known *Data, progress func(done, total int64)) (*Data, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &reader{ctx: ctx, known: known.versions(), progress: progress}
	d := &Data{Train: make([]Case, len(cases.Train)), Valid: make([]Case, len(cases.Valid)), Test: make([]Case, len(cases.Test))}
	for _, part := range []struct {
		cases []dataset.Case
		out   []Case
	}{{cases.Train, d.Train}, {cases.Valid, d.Valid}, {cases.Test, d.Test}} {
		if err := r.plan(part.cases, part.out); err != nil {
			return nil, err
		}
	}
	jobs := make(chan job)
	errs := make(chan error, workers)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for j := range jobs {
				if err := r.read(j); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
	for _, j := range r.jobs {
		select {
		case jobs <- j:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(jobs)
	group.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return d, ctx.Err()
	}
}

// OfFile reads one file.
func OfFile(path string) (File, error) {
	r := &reader{ctx: context.Background()}
	var f File
	err := r.read(job{path, &f})
	return f, err
}

// versions maps the Version of each file to the file.
func (d *Data) versions() map[string]File {
	files := map[string]File{}
	if d == nil {
		return files
	}
	for _, cases := range [][]Case{d.Train, d.Valid, d.Test} {
		for _, c := range cases {
			for _, f := range slices.Concat(c.Images, c.Voxels, []File{c.Label}) {
				if f.Version != "" {
					files[f.Version] = f
				}
			}
		}
	}
	return files
}

// job is a file to read.
type job struct {
	path string
	out  *File
}

type reader struct {
	ctx   context.Context
	known map[string]File
	jobs  []job

	mu          sync.Mutex
	done, total int64
	progress    func(done, total int64)
}

// plan fills in the known files of the cases and appends the others to the jobs.
func (r *reader) plan(cases []dataset.Case, out []Case) error {
	for i, c := range cases {
		out[i] = Case{ID: c.ID, Images: make([]File, len(c.Images))}
		jobs := []job{{c.Label, &out[i].Label}}
		for k, path := range c.Images {
			jobs = append(jobs, job{path, &out[i].Images[k]})
		}
		var voxels []string
		for _, j := range jobs {
			if !volume.Separable(j.path) {
				continue
			}
			files, err := volume.Files(j.path)
			if err != nil {
				return fmt.Errorf("fingerprint: case %s: %w", c.ID, err)
			}
			voxels = append(voxels, slices.DeleteFunc(files, func(path string) bool { return path == j.path })...)
		}
		if len(voxels) > 0 {
			out[i].Voxels = make([]File, len(voxels))
			for k, path := range voxels {
				jobs = append(jobs, job{path, &out[i].Voxels[k]})
			}
		}
		for _, j := range jobs {
			info, err := os.Stat(j.path)
			if err != nil {
				return fmt.Errorf("fingerprint: case %s: %w", c.ID, err)
			}
			if f, ok := r.known[version(info)]; ok {
				*j.out = f
				continue
			}
			r.total += info.Size()
			r.jobs = append(r.jobs, j)
		}
	}
	return nil
}

// settled is how old a file must be before its Version is trusted: two changes within the
// resolution of a file system's clock, at worst two seconds, leave equal times.
const settled = 3 * time.Second

func (r *reader) read(j job) error {
	fail := func(err error) error { return fmt.Errorf("fingerprint: %w", err) }
	f, err := os.Open(j.path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	opened := time.Now()
	hash := sha256.New()
	if j.out.Size, err = io.Copy(hash, &counted{r, f}); err != nil {
		return fail(err)
	}
	j.out.SHA256 = hex.EncodeToString(hash.Sum(nil))
	after, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if version(before) != version(after) || before.Size() != j.out.Size {
		return fail(fmt.Errorf("%s changed while it was read", j.path))
	}
	if changed(before).Add(settled).Before(opened) {
		j.out.Version = version(before)
	}
	return nil
}

// counted reads a file, reports the progress and stops when the context is done.
type counted struct {
	r *reader
	f *os.File
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.f.Read(p)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.done += int64(n)
	if c.r.progress != nil {
		c.r.progress(c.r.done, c.r.total)
	}
	return n, err
}
