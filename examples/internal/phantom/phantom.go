// Package phantom generates small synthetic data sets, so that the programs can be
// tried and tested without patient data.
//
// It imitates two kinds of scans: prostate MRI as in PI-CAI and brain MRI as in BraTS.
// Lesions are ellipsoids whose surface is displaced by noise, from smooth to ragged,
// and whose volumes vary by an order of magnitude. The tissue has texture, noise,
// uneven coil sensitivity, partial volume at every boundary, and benign findings that
// look like a lesion in some of the channels. A network that does well on them has
// learned ellipsoids, not medicine: scores on a phantom show that the programs work,
// and say nothing about patients.
package phantom

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/volume"
)

// Kind is the kind of data that a phantom imitates.
type Kind string

const (
	// PICAI imitates PI-CAI, with three files per case. T2W has 1×1×3 mm voxels; ADC
	// and HBV are on a separate 2×2×3 mm grid. The grids are oblique, tilted by 8 to 20
	// degrees. Labels are 2 to 5, the grade of the lesion. Every fourth case (the
	// second, the sixth, …) has no lesion, every third has two or three.
	PICAI Kind = "picai"
	// BraTS imitates BraTS, with one file per case that holds the channels FLAIR, T1,
	// contrast-enhanced T1 and T2 at 1 mm, zero outside the brain. Labels are 1
	// (necrotic core), 2 (edema) and 4 (enhancing tumor). Every third case has two
	// tumors.
	BraTS Kind = "brats"
)

// Options specifies a phantom.
type Options struct {
	// Kind is required.
	Kind Kind `json:"kind"`
	// Train and Valid are the numbers of cases. Default 24 and 8.
	Train int `json:"train"`
	Valid int `json:"valid"`
	// Size is the number of voxels of the label's grid, at least 8 along each axis. The
	// anatomy scales with it. Default 80×64×24 for PICAI and 64×64×48 for BraTS.
	Size [3]int `json:"size"`
	// Seed determines every random choice: the same options give the same bytes (on one
	// architecture and with one version of Go, whose compressor may change).
	Seed uint64 `json:"seed"`
}

// complete returns the options with defaults filled in, after checking them.
func (o Options) complete() (Options, error) {
	if o.Train == 0 {
		o.Train = 24
	}
	if o.Valid == 0 {
		o.Valid = 8
	}
	if o.Train < 0 || o.Valid < 0 {
		return o, fmt.Errorf("phantom: Train is %d and Valid is %d; neither may be negative", o.Train, o.Valid)
	}
	switch o.Kind {
	case PICAI:
		if o.Size == [3]int{} {
			o.Size = [3]int{80, 64, 24}
		}
	case BraTS:
		if o.Size == [3]int{} {
			o.Size = [3]int{64, 64, 48}
		}
	default:
		return o, fmt.Errorf("phantom: Kind is %q, want %q or %q", o.Kind, PICAI, BraTS)
	}
	for _, n := range o.Size {
		if n < 8 || n > 1024 {
			return o, fmt.Errorf("phantom: Size is %v, want 8 to 1024 voxels along each axis", o.Size)
		}
	}
	return o, nil
}

// TemporaryPrefix begins the name of the folder, next to the phantom's, in which a phantom
// is generated. A process that is killed leaves it behind.
const TemporaryPrefix = ".phantom-"

// manifestName is the name of the file that marks a complete phantom.
const manifestName = "phantom.json"

// manifest describes the contents of a phantom.
type manifest struct {
	// Version changes whenever the same options give different images or labels.
	Version int     `json:"version"`
	Options Options `json:"options"`
	// Files maps the slash-separated path of each image and label to its size in bytes.
	Files map[string]int64 `json:"files"`
}

const version = 1

// Generate writes a phantom to the folder dir, in the layout TrainImage, TrainLabel,
// ValidImage, ValidLabel, with a README.txt that describes it and a dataset.json that names
// its channels and labels.
//
// If dir already contains the complete phantom for the same options, Generate does
// nothing. Any other content is an error; nothing is deleted or overwritten. The phantom
// is generated in a temporary folder next to dir and renamed, so dir never contains a
// partial phantom.
func Generate(dir string, opts Options) (err error) {
	opts, err = opts.complete()
	if err != nil {
		return err
	}
	if done, err := present(dir, opts); done || err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	temp, err := os.MkdirTemp(parent, TemporaryPrefix+"*")
	if err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	defer os.RemoveAll(temp) // has no effect after the rename
	if err := write(temp, opts); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("phantom: %w", err)
	}
	if err := replaceEmpty(temp, dir); err != nil {
		// Another process may have generated the same phantom in the meantime.
		if done, _ := present(dir, opts); done {
			return nil
		}
		return fmt.Errorf("phantom: %w", err)
	}
	return nil
}

// replaceEmpty renames temp to dir after removing dir if it is an empty folder; os.Remove
// fails for any other folder.
func replaceEmpty(temp, dir string) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, dir)
}

// present reports whether dir contains the phantom for opts. It returns false if dir is
// absent or empty, and an error for any other content.
func present(dir string, opts Options) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("phantom: %w", err)
	}
	const advice = "use another folder, or delete this one first"
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return false, fmt.Errorf("phantom: %s is not empty and contains no phantom (%w); %s", dir, err, advice)
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return false, fmt.Errorf("phantom: %s: %s: %w; %s", dir, manifestName, err, advice)
	}
	if m.Version != version || m.Options != opts {
		return false, fmt.Errorf("phantom: %s contains another phantom (version %d, %+v, want version %d, %+v); %s",
			dir, m.Version, m.Options, version, opts, advice)
	}
	for name, size := range m.Files {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return false, fmt.Errorf("phantom: %s is incomplete: %w; %s", dir, err, advice)
		}
		if info.Size() != size {
			return false, fmt.Errorf("phantom: %s/%s has %d bytes, want the %d that were written; %s", dir, name, info.Size(), size, advice)
		}
	}
	return true, nil
}

// Generated reports whether dir contains a phantom that Generate wrote, whatever its options.
func Generated(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	var m manifest
	return err == nil && json.Unmarshal(raw, &m) == nil && m.Version > 0 && m.Options.Kind != "" && len(m.Files) > 0
}

// write generates the phantom in an empty folder.
func write(dir string, opts Options) error {
	m := manifest{Version: version, Options: opts, Files: map[string]int64{}}
	for _, folder := range []string{"TrainImage", "TrainLabel", "ValidImage", "ValidLabel"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}

	var (
		mu    sync.Mutex
		errs  []error
		group sync.WaitGroup
	)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for n := range opts.Train + opts.Valid {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			part, index := "Train", n
			if n >= opts.Train {
				part, index = "Valid", n-opts.Train
			}
			// Each case has its own random generator, so the order does not matter.
			rng := rand.New(rand.NewPCG(opts.Seed, uint64(n)))
			id := fmt.Sprintf("phantom_%03d", n+1)
			for name, v := range scan(opts, rng, part, id, index) {
				err := volume.Write(filepath.Join(dir, filepath.FromSlash(name)), v.Volume, volume.WriteOptions{Type: v.stored})
				var info fs.FileInfo
				if err == nil {
					info, err = os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
				}
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
				} else {
					m.Files[name] = info.Size()
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}

	if err := os.WriteFile(filepath.Join(dir, "README.txt"), []byte(readme(opts)), 0o644); err != nil {
		return err
	}
	description, err := descriptionJSON(Description(opts.Kind))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, dataset.DescriptionName), description, 0o644); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(raw, '\n'), 0o644)
}

// image is a volume and the data type of its file.
type image struct {
	*volume.Volume
	stored volume.DataType
}

// scan generates the files of one case.
func scan(opts Options, rng *rand.Rand, part, id string, index int) map[string]image {
	images, labels := part+"Image/"+id, part+"Label/"+id
	if opts.Kind == BraTS {
		lesions := 1
		if index%3 == 2 {
			lesions = 2
		}
		g := grid{dims: opts.Size, spacing: point{1, 1, 1}, world: orientation(0, shiftOf(rng))}
		b := newBrain(rng, g, lesions)
		return map[string]image{
			images + "_image.nii.gz": {g.sample(b.values, brainNoise, rng), volume.Int16},
			labels + "_gt.nii.gz":    {g.label(b.label), volume.Uint8},
		}
	}
	lesions := 1
	switch {
	case index%4 == 1:
		lesions = 0
	case index%3 == 2:
		lesions = 2 + rng.IntN(2)
	}
	tilt := (8 + 12*rng.Float64()) * math.Pi / 180
	fine := grid{dims: opts.Size, spacing: point{1, 1, 3}, world: orientation(tilt, shiftOf(rng))}
	p := newProstate(rng, fine, lesions)
	// Half as many in-plane voxels plus two, with an offset so that their centers do not
	// coincide with those of the fine grid.
	coarse := fine
	coarse.spacing = point{2, 2, 3}
	coarse.dims = [3]int{(fine.dims[0]+1)/2 + 2, (fine.dims[1]+1)/2 + 2, fine.dims[2]}
	coarse.center = point{0.6 * (2*rng.Float64() - 1), 0.6 * (2*rng.Float64() - 1), 0}

	channel := func(g grid, c int) *volume.Volume {
		one := func(at point) []float64 { return p.values(at)[c : c+1] }
		return g.sample(one, prostateNoise[c:c+1], rng)
	}
	return map[string]image{
		images + "_t2w.nii.gz": {channel(fine, 0), volume.Int16},
		images + "_adc.nii.gz": {channel(coarse, 1), volume.Int16},
		images + "_hbv.nii.gz": {channel(coarse, 2), volume.Int16},
		labels + "_gt.nii.gz":  {fine.label(p.label), volume.Uint8},
	}
}
