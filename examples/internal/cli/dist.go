package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/mpi"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/train"
)

// distFlags holds the values of the flags for training in several processes.
type distFlags struct {
	by      string
	timeout time.Duration
}

// byMPI is the value of -dist, and its prefix before the name of a library.
const byMPI = "mpi"

// addTo defines the flags in f.
func (d *distFlags) addTo(f *flag.FlagSet) {
	f.StringVar(&d.by, "dist", "", "`how` the processes of a run that mpirun or srun has started train together: mpi, by the MPI library of\nthe launcher, or mpi:LIBRARY, by the library of that name or path; empty: one process. -batch times\n-accumulate is the number of cases of an update of all processes together")
	f.DurationVar(&d.timeout, "dist_timeout", 10*time.Minute, "longest `time` that a process waits for the others in training before it ends the run of all; 0: any")
}

func (d *distFlags) check() error {
	switch name, library, given := strings.Cut(d.by, ":"); {
	case d.by == "":
		return nil
	case name != byMPI || given && library == "":
		return usageErrorf("-dist is %q; it must be %s or %s:LIBRARY", d.by, byMPI, byMPI)
	case d.timeout < 0:
		return usageErrorf("-dist_timeout is %v; it must be at least 0", d.timeout)
	}
	return nil
}

// processes are those that train together. A nil *processes is a single one.
type processes struct {
	world *mpi.World
	group *dist.Group
	here  int // those on the machine of this process; see describe
}

// open joins the processes that the launcher has started; nil without -dist.
func (d *distFlags) open() (*processes, error) {
	if d.by == "" {
		return nil, nil
	}
	_, library, _ := strings.Cut(d.by, ":")
	world, err := mpi.Open(mpi.Options{Library: library})
	if err != nil {
		return nil, fmt.Errorf("-dist: %w", err)
	}
	return &processes{world: world, group: dist.NewGroup(world)}, nil
}

// root reports whether this process reads and writes the files of the run.
func (p *processes) root() bool { return p == nil || p.group.Root() }

func (p *processes) groupOf() *dist.Group {
	if p == nil {
		return nil
	}
	return p.group
}

// leave ends the process with the exit code, together with the others if all know how the run
// has ended, and otherwise by ending them too: they would wait for this one. It returns for a
// single process.
func (p *processes) leave(code int, err error) {
	switch {
	case p == nil:
	case err == nil, errors.Is(err, train.ErrInterrupted), dist.Agreed(err):
		p.world.Exit(code)
	default:
		p.world.Abort(code)
	}
}

// output returns where a process writes: only the first one writes.
func (p *processes) output(w io.Writer) io.Writer {
	if p.root() {
		return w
	}
	return io.Discard
}

// describe says on which cores the processes run, and makes this one use no more than its share.
func (p *processes) describe(progress *report.Progress) error {
	if p == nil {
		return nil
	}
	progress.Println(fmt.Sprintf("Processes: %d, by %s (%s).", p.group.Size(), p.world.Library(), p.world.Path()))
	text, here, err := shareCores(p.group)
	if err != nil {
		return err
	}
	p.here = here
	progress.Println(text)
	return nil
}

// onHost returns the number of processes on the machine of this one.
func (p *processes) onHost() int {
	if p == nil {
		return 1
	}
	return p.here
}

// recordOf returns the record of the run in all processes: the first one makes it by lead, and
// the others wait for that, however long the first one reads the data.
func (p *processes) recordOf(lead func() (*record, error)) (*record, error) {
	if p == nil {
		return lead()
	}
	var rec *record
	raw, err := p.group.Send("record of the run", func() (raw []byte, err error) {
		if rec, err = lead(); err != nil {
			return nil, err
		}
		return json.Marshal(rec)
	})
	if err != nil || p.root() {
		return rec, err
	}
	rec = &record{}
	if err := json.Unmarshal(raw, rec); err != nil {
		return nil, fmt.Errorf("record of the run: %w", err)
	}
	return rec, nil
}

// agree returns an error in all processes if there is one in any.
func (p *processes) agree(label string, err error) error { return p.groupOf().Agree(label, err) }

// sameData returns an error unless all processes see the same cases in files of the same sizes.
func (p *processes) sameData(splits []dataset.Split) error {
	if p == nil {
		return nil
	}
	h := sha256.New()
	var err error
	var cases []dataset.Case
	for _, s := range splits {
		cases = slices.Concat(cases, s.Train, s.Valid, s.Test)
	}
	for _, c := range cases {
		fmt.Fprintf(h, "%q", c.ID)
		for _, path := range append(slices.Clone(c.Images), c.Label) {
			info, failed := os.Stat(path)
			if failed != nil {
				err = errors.Join(err, failed)
				continue
			}
			fmt.Fprintf(h, " %d", info.Size())
		}
	}
	if err := p.group.Agree("data", err); err != nil {
		return fmt.Errorf("-dist: all processes must see the data under the same path: %w", err)
	}
	if err := p.group.Same("data", hex.EncodeToString(h.Sum(nil))); err != nil {
		return fmt.Errorf("-dist: all processes must see the same data: %w", err)
	}
	return nil
}

// train runs the job in all processes.
func (p *processes) train(ctx context.Context, o *options, job *train.Job) (*report.Run, error) {
	if p == nil {
		return job.Run(ctx)
	}
	if n := job.UpdateSamples(); n < p.group.Size() {
		return nil, dist.Common(usageErrorf("-batch %d and -accumulate %d make updates of %d cases, fewer than the %d processes; give at least -batch %d", max(job.Batch, 1), max(job.Accumulate, 1), n, p.group.Size(), p.group.Size()))
	}
	p.world.SetTimeout(o.dist.timeout)
	job.Group = p.group
	if !p.root() {
		job.Guard = func() error { return errors.New("only the first process writes files") }
	}
	ctx, stop := alsoBySignal(ctx)
	defer stop()
	return job.Run(ctx)
}
