package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/weights"
)

// parallelJob trains with one loss; its epoch of three samples is one incomplete update.
func parallelJob(t *testing.T, dir string, step func()) *Job {
	j := tinyJob(t, dir, step)
	j.Losses, j.Accumulate = []string{"dice-ce"}, 4
	return j
}

// runProcesses runs the jobs, one for each process, in the folder of the first. The others must
// not write anything.
func runProcesses(t *testing.T, ctxs []context.Context, jobs []*Job) []error {
	t.Helper()
	elsewhere := t.TempDir()
	for _, j := range jobs[1:] {
		j.Dir = filepath.Join(elsewhere, "nothing")
		j.Guard = func() error { return errors.New("another process than the first wants to write") }
	}
	errs := disttest.Run(t, len(jobs), func(g *dist.Group) error {
		j := jobs[g.Rank()]
		j.Group = g
		_, err := j.Run(ctxs[g.Rank()])
		return err
	})
	assert.NoDirExists(t, filepath.Join(elsewhere, "nothing"))
	return errs
}

func background(n int) []context.Context {
	ctxs := make([]context.Context, n)
	for i := range ctxs {
		ctxs[i] = context.Background()
	}
	return ctxs
}

func parallelJobs(t *testing.T, n int, dir string) []*Job {
	jobs := make([]*Job, n)
	for i := range jobs {
		jobs[i] = parallelJob(t, dir, nil)
	}
	return jobs
}

// TestProcessesAreBitIdentical compares all files of runs of several processes, interrupted and
// resumed by other numbers of processes, with those of a single one.
func TestProcessesAreBitIdentical(t *testing.T) {
	whole := t.TempDir()
	_, err := parallelJob(t, whole, nil).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)

	for _, n := range []int{2, 4} {
		dir := t.TempDir()
		disttest.RequireNoErrors(t, runProcesses(t, background(n), parallelJobs(t, n, dir)))
		assertSameFiles(t, want, filesOf(t, dir), "uninterrupted")
	}

	// Three processes have bits of their own, always the same.
	var three map[string][]byte
	for range 2 {
		dir := t.TempDir()
		disttest.RequireNoErrors(t, runProcesses(t, background(3), parallelJobs(t, 3, dir)))
		if three != nil {
			assertSameFiles(t, three, filesOf(t, dir), "three processes")
		}
		three = filesOf(t, dir)
	}

	// The last process alone is asked to stop, after each of its updates and cases in turn.
	dir := t.TempDir()
	for k := 1; ; k++ {
		n := []int{2, 4, 1}[k%3]
		jobs := parallelJobs(t, n, dir)
		ctxs := background(n)
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		jobs[n-1] = parallelJob(t, dir, func() {
			if steps++; steps == 1 {
				cancel()
			}
		})
		ctxs[n-1] = ctx
		errs := runProcesses(t, ctxs, jobs)
		cancel()
		if errors.Join(errs...) == nil {
			break
		}
		for _, err := range errs {
			require.ErrorIs(t, err, ErrInterrupted)
		}
		require.Less(t, k, 20)
	}
	// The case of validation of a process that is asked to stop is repeated in the next
	// attempt, so some attempts make no progress; finish what is left.
	disttest.RequireNoErrors(t, runProcesses(t, background(2), parallelJobs(t, 2, dir)))
	assertSameFiles(t, want, filesOf(t, dir), "resumed")
}

// failing is a Source that fails for one case.
type failing struct {
	dataset.Source
	train, valid string
}

func (f failing) Train(c dataset.Case, seed uint64) (*dataset.Sample, error) {
	if c.ID == f.train {
		return nil, errors.New("cannot be read")
	}
	return f.Source.Train(c, seed)
}

func (f failing) Valid(c dataset.Case) (*dataset.Sample, error) {
	if c.ID == f.valid {
		return nil, errors.New("cannot be read")
	}
	return f.Source.Valid(c)
}

// TestErrorInOneProcess lets a single process fail: all must end with an error that they have
// agreed on.
func TestErrorInOneProcess(t *testing.T) {
	for name, spoil := range map[string]func(jobs []*Job){
		"training case": func(jobs []*Job) {
			for _, j := range jobs { // one of them reads it
				j.Networks[0].Source = failing{Source: j.Networks[0].Source, train: j.Splits[0].Train[0].ID}
			}
		},
		"validation case": func(jobs []*Job) {
			jobs[1].Networks[0].Source = failing{Source: jobs[1].Networks[0].Source, valid: jobs[1].Splits[0].Valid[1].ID}
		},
		"file": func(jobs []*Job) {
			calls := 0
			jobs[0].Guard = func() error {
				if calls++; calls > 2 {
					return errors.New("disk full")
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			jobs := parallelJobs(t, 2, t.TempDir())
			spoil(jobs)
			errs := runProcesses(t, background(2), jobs)
			for _, err := range errs {
				require.Error(t, err)
				assert.True(t, dist.Agreed(err), err.Error())
				assert.Regexp(t, "cannot be read|disk full", err.Error())
			}
			assert.NotEqual(t, errs[0].Error(), errs[1].Error(), "one of them names the process")
		})
	}
}

// TestOtherWeights changes a weight of one process: it must be noticed.
func TestOtherWeights(t *testing.T) {
	jobs := parallelJobs(t, 2, t.TempDir())
	create := jobs[1].Networks[0].New
	jobs[1].Networks[0].New = func(seed uint64) (nn.Network, error) {
		net, err := create(seed)
		if err != nil {
			return nil, err
		}
		p := net.Parameters()[0]
		value := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(p.Value.Shape()...))
		if err := jobs[1].Backend.ToHost(p.Value, value); err != nil {
			return nil, err
		}
		value.Data().([]float32)[0] += 1e-6
		p.Value, err = jobs[1].Backend.FromHost(value, nn.Kept)
		return net, err
	}
	for _, err := range runProcesses(t, background(2), jobs) {
		require.ErrorContains(t, err, "train: after epoch 1, process 1 has other weights (SHA-256 ")
		assert.True(t, dist.Agreed(err))
	}
}

// TestDivergenceOfProcesses compares the record of a divergence with that of a single process.
func TestDivergenceOfProcesses(t *testing.T) {
	run := func(n int) map[string][]byte {
		dir := t.TempDir()
		jobs := parallelJobs(t, n, dir)
		for _, j := range jobs {
			j.LearningRate = 1e30
		}
		if n == 1 {
			_, err := jobs[0].Run(context.Background())
			require.NoError(t, err)
		} else {
			disttest.RequireNoErrors(t, runProcesses(t, background(n), jobs))
		}
		metadata, err := weights.ReadMetadata(filepath.Join(dir, "unet", "dice-ce", CheckpointName))
		require.NoError(t, err)
		assert.Contains(t, metadata[stateKey], `"diverged":{`)
		return filesOf(t, dir)
	}
	assertSameFiles(t, run(1), run(2), "diverged")
}

func TestTooFewSamples(t *testing.T) {
	jobs := parallelJobs(t, 2, t.TempDir())
	for _, j := range jobs {
		j.Accumulate = 1
	}
	for _, err := range runProcesses(t, background(2), jobs) {
		assert.EqualError(t, err, "train: Job.Batch times Job.Accumulate is 1, want at least 1 sample for each of the 2 processes")
	}
	entries, err := os.ReadDir(jobs[0].Dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// TestJoins compares the joins after each sample with those of the tree by its definition.
func TestJoins(t *testing.T) {
	var tree func(n int) []int
	tree = func(n int) []int {
		if n == 1 {
			return []int{0}
		}
		half := (n + 1) / 2
		both := append(tree(half), tree(n-half)...)
		both[n-1]++
		return both
	}
	for n := 1; n < 70; n++ {
		var got []int
		for i := range n {
			got = append(got, joins(i, n))
		}
		assert.Equal(t, tree(n), got)
	}
}
