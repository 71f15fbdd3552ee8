package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/dist/disttest"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/weights"
)

// syncJob trains on seven cases with synchronized batch norms, in updates of four and three.
func syncJob(t *testing.T, dir string, step func()) *Job {
	j := batchJob(t, dir, step)
	j.Batch, j.SyncBatchNorm = 4, true
	return j
}

// TestSyncBatchNormIsBitIdentical compares all files of runs of several processes, some of which
// have no sample of the last update, with those of a single one, also of an interrupted run that
// other numbers of processes resume.
func TestSyncBatchNormIsBitIdentical(t *testing.T) {
	whole := t.TempDir()
	_, err := syncJob(t, whole, nil).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)

	alone := t.TempDir()
	j := syncJob(t, alone, nil)
	j.SyncBatchNorm = false
	_, err = j.Run(context.Background())
	require.NoError(t, err)
	assert.NotEqual(t, want["epochs.csv"], filesOf(t, alone)["epochs.csv"], "the statistics of each sample alone are others")

	run := func(dir string, n int, stopped bool) []error {
		jobs := make([]*Job, n)
		for i := range jobs {
			jobs[i] = syncJob(t, dir, nil)
		}
		ctxs := background(n)
		if stopped {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			jobs[n-1] = syncJob(t, dir, cancel)
			ctxs[n-1] = ctx
		}
		return runProcesses(t, ctxs, jobs)
	}
	for _, n := range []int{2, 4} {
		dir := t.TempDir()
		for _, err := range run(dir, n, true) {
			require.ErrorIs(t, err, ErrInterrupted)
		}
		disttest.RequireNoErrors(t, run(dir, 6-n, false))
		assertSameFiles(t, want, filesOf(t, dir), "interrupted")
	}
	// Three processes train to the same up to rounding.
	dir := t.TempDir()
	disttest.RequireNoErrors(t, run(dir, 3, false))
	load := func(dir string) []float32 {
		state, _, err := weights.Load(filepath.Join(dir, "unet", "dice-ce", "last.safetensors"))
		require.NoError(t, err)
		return state["model.0.conv.unit0.adn.N.running_var"].Data().([]float32)
	}
	assert.InEpsilonSlice(t, load(whole), load(dir), 1e-3)
}

// brokenBackend fails in a batch norm after a number of them.
type brokenBackend struct {
	nn.Backend
	left *int
}

func (b brokenBackend) BatchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	if *b.left--; *b.left < 0 {
		return nil, nil, errors.New("out of memory")
	}
	return b.Backend.BatchNorm(x, weight, bias, runningMean, runningVar, spec)
}

// TestErrorBetweenBatchNorms lets one of four processes fail in each of its batch norms in turn, in
// the forward and the backward pass, or before the first one. All must end with an error that they
// have agreed on, also the process that has none of the three samples of the update.
func TestErrorBetweenBatchNorms(t *testing.T) {
	small := func(dir string, left int) *Job {
		j := parallelJob(t, dir, nil) // three cases
		j.Batch, j.Accumulate, j.SyncBatchNorm, j.Epochs = 4, 0, true, 1
		j.Backend = brokenBackend{j.Backend, &left}
		return j
	}
	for before := 0; ; before++ {
		require.Less(t, before, 100)
		jobs := make([]*Job, 4)
		for i := range jobs {
			jobs[i] = small(t.TempDir(), 1<<30)
		}
		left := before
		jobs[1].Backend = brokenBackend{jobs[1].Backend.(brokenBackend).Backend, &left}
		if before == 0 {
			for _, j := range jobs {
				j.Networks[0].Source = failing{Source: j.Networks[0].Source, train: j.Splits[0].Train[0].ID}
			}
		}
		errs := runProcesses(t, background(4), jobs)
		if left >= 0 && before > 0 {
			disttest.RequireNoErrors(t, errs)
			assert.Greater(t, before, 3*6, "each norm has three calls in a step")
			break
		}
		for rank, err := range errs {
			require.Error(t, err, before)
			assert.True(t, dist.Agreed(err), err.Error())
			assert.Regexp(t, "out of memory|cannot be read", err.Error())
			if before > 0 {
				assert.Equal(t, rank != 1, strings.HasPrefix(err.Error(), "process 1: "), "%d: %v", rank, err)
			}
		}
	}
}

// TestSyncBatchNormDiverges compares the record of a divergence with that of a single process.
func TestSyncBatchNormDiverges(t *testing.T) {
	var want map[string][]byte
	for _, n := range []int{1, 2, 4} {
		dir := t.TempDir()
		jobs := make([]*Job, n)
		for i := range jobs {
			jobs[i] = syncJob(t, dir, nil)
			jobs[i].LearningRate = 1e30
		}
		if n == 1 {
			run, err := jobs[0].Run(context.Background())
			require.NoError(t, err)
			require.NotNil(t, run.Results[0].Diverged)
			want = filesOf(t, dir)
			continue
		}
		disttest.RequireNoErrors(t, runProcesses(t, background(n), jobs))
		assertSameFiles(t, want, filesOf(t, dir), fmt.Sprint(n))
	}
}

func TestSyncBatchNormTakesNoSteps(t *testing.T) {
	j := syncJob(t, t.TempDir(), nil)
	j.Accumulate = 2
	_, err := j.Run(context.Background())
	assert.EqualError(t, err, "train: Job.Accumulate is 2, want at most 1 with Job.SyncBatchNorm")
}
