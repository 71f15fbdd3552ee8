package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/weights"
)

// stopAfter runs a job up to its n-th step or case and checks that it was interrupted.
func stopAfter(t *testing.T, n int, job func(step func()) *Job) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := job(func() {
		if n--; n == 0 {
			cancel()
		}
	}).Run(ctx)
	require.ErrorIs(t, err, ErrInterrupted)
}

// TestGrownRunIsBitIdentical lets a finished run grow by epochs, by losses and by both,
// with interruptions in between, and compares its files with those of a run that had them
// from the start.
func TestGrownRunIsBitIdentical(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	sized := func(dir string, epochs int, losses ...string) func(step func()) *Job {
		return func(step func()) *Job {
			job := tinyJob(t, dir, step)
			job.Epochs, job.Losses, job.Detection = epochs, losses, &detection.Extraction{}
			return job
		}
	}
	whole := t.TempDir()
	_, err := sized(whole, 3, "afl", "dice-ce", "dice")(nil).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)

	for _, c := range []struct {
		name   string
		stop   int // each stage after this step; 0: never
		stages []func(dir string) func(step func()) *Job
	}{
		{"epochs", 4, []func(dir string) func(func()) *Job{
			func(dir string) func(func()) *Job { return sized(dir, 1, "afl", "dice-ce", "dice") },
			func(dir string) func(func()) *Job { return sized(dir, 2, "afl", "dice-ce", "dice") },
		}},
		{"losses", 0, []func(dir string) func(func()) *Job{
			func(dir string) func(func()) *Job { return sized(dir, 3, "dice") },
			func(dir string) func(func()) *Job { return sized(dir, 3, "dice", "afl") },
		}},
		{"both", 4, []func(dir string) func(func()) *Job{
			func(dir string) func(func()) *Job { return sized(dir, 1, "dice-ce") },
			func(dir string) func(func()) *Job { return sized(dir, 2, "dice-ce", "dice") },
		}},
	} {
		dir := t.TempDir()
		for _, stage := range c.stages {
			if c.stop > 0 {
				stopAfter(t, c.stop, stage(dir))
			}
			_, err := stage(dir)(nil).Run(context.Background())
			require.NoError(t, err)
		}
		last := sized(dir, 3, "afl", "dice-ce", "dice")
		if c.stop > 0 {
			stopAfter(t, c.stop, last)
		}
		_, err := last(nil).Run(context.Background())
		require.NoError(t, err)
		assertSameFiles(t, want, filesOf(t, dir), fmt.Sprintf("%s, each stage stopped after step %d", c.name, c.stop))
	}
}

// TestTablesOfAGrowingRun checks that a training keeps its row, with a note, until it is
// finished again.
func TestTablesOfAGrowingRun(t *testing.T) {
	dir := t.TempDir()
	first := tinyJob(t, dir, nil)
	first.Epochs = 1
	_, err := first.Run(context.Background())
	require.NoError(t, err)
	// Both losses of the larger run have three steps and two cases of the second epoch, and
	// two cases of the evaluation left. The second one stops after its second step.
	stopAfter(t, 3+2+2+2, func(step func()) *Job { return tinyJob(t, dir, step) })
	md := string(filesOf(t, dir)["results.md"])
	assert.Contains(t, md, "| Dice CE |")
	assert.Contains(t, md, "Dice CE is not finished: the results are those after 1 epochs, and it is at the start of epoch 2 of 2.")
	assert.NotContains(t, md, "A-FL is not finished")

	plan := func(epochs int) *Plan {
		p := first.plan()
		p.Epochs, p.Losses = epochs, []string{"afl", "dice-ce", "ce"}
		return p
	}
	results, err := Read(dir, first.ID, plan(2))
	require.NoError(t, err)
	require.Len(t, results, 3)
	assert.Equal(t, "", results[0].Ongoing)
	assert.Equal(t, 2, results[0].Evaluated)
	assert.Equal(t, "UNet", results[0].NetworkTitle)
	assert.Contains(t, results[0].Rule, "sigmoid of channel 1")
	assert.Equal(t, "in epoch 2 of 2 after step 2 of 3", results[1].Ongoing)
	assert.Equal(t, 1, results[1].Evaluated)
	assert.Len(t, results[1].Cases, 2)
	assert.Equal(t, "at the start of epoch 1 of 2", results[2].Ongoing)
	assert.Empty(t, results[2].Epochs)

	_, err = Read(dir, "another", plan(2))
	assert.ErrorContains(t, err, "it belongs to the run 0123456789abcdef, not to another")
	_, err = Read(dir, first.ID, plan(1))
	assert.ErrorContains(t, err, "it is in epoch 3 of 1")
}

func TestARunDoesNotShrink(t *testing.T) {
	dir := t.TempDir()
	_, err := tinyJob(t, dir, nil).Run(context.Background())
	require.NoError(t, err)
	before := filesOf(t, dir)
	job := tinyJob(t, dir, nil)
	job.Epochs = 1
	_, err = job.Run(context.Background())
	assert.ErrorContains(t, err, "it is in epoch 3 of 1")
	assertSameFiles(t, before, filesOf(t, dir), "nothing changes")
}

// TestResultsWhileALossTrains looks at the folder at every step.
func TestResultsWhileALossTrains(t *testing.T) {
	dir, steps := t.TempDir(), 0
	rows := func() int {
		raw, err := os.ReadFile(filepath.Join(dir, "epochs.csv"))
		if err != nil {
			return 0
		}
		return strings.Count(string(raw), "\n") - 1
	}
	_, err := tinyJob(t, dir, func() {
		steps++
		switch steps {
		case 3 + 2: // the last case of the first epoch
			assert.Zero(t, rows())
		case 3 + 2 + 1:
			assert.Equal(t, 1, rows())
			assert.FileExists(t, filepath.Join(dir, "unet", "loss.png"))
			assert.FileExists(t, filepath.Join(dir, "unet", "dice.png"))
			assert.NoFileExists(t, filepath.Join(dir, "results.md"), "no training has been evaluated")
		case 2*(3+2) + 1:
			assert.Equal(t, 2, rows())
		case 2*(3+2) + 2 + 1:
			assert.FileExists(t, filepath.Join(dir, "results.md"))
		case 2*(3+2) + 2 + 3 + 2 + 1:
			assert.Equal(t, 3, rows(), "the second loss joins the first")
		}
	}).Run(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 2*(2*(3+2)+2+1), steps)
	assert.Equal(t, 4, rows())
}

// TestErrorInMidEpochKeepsTheSteps checks that the steps before a file that cannot be read
// are not lost.
func TestErrorInMidEpochKeepsTheSteps(t *testing.T) {
	for samples, want := range map[int64]string{0: "at the start of epoch 1 of 2", 2: "in epoch 1 of 2 after step 2 of 3", 4: "in epoch 2 of 2 after step 1 of 3"} {
		dir := t.TempDir()
		job := tinyJob(t, dir, nil)
		left := &atomic.Int64{}
		left.Store(samples)
		job.Networks[0].Source = failingSource{job.Networks[0].Source, left}
		_, err := job.Run(context.Background())
		require.ErrorIs(t, err, errSource)
		trainings, err := job.trainings()
		require.NoError(t, err)
		// Samples are prepared ahead and in parallel, so that fewer than asked for may have
		// been trained on.
		got := trainings[0].position()
		assert.True(t, got == want || samples > 0 && strings.Contains(got, "of 2"), "%d samples: %s, want %s", samples, got, want)
		assert.NotEmpty(t, trainings[0].saved)
	}
}

// TestUnwritableFolder makes the folder of a training unwritable at each step in turn, as a
// full disk does, and continues after it has been restored.
func TestUnwritableFolder(t *testing.T) {
	whole := t.TempDir()
	_, err := tinyJob(t, whole, nil).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)
	for _, n := range []int{1, 4, 6, 11} {
		dir, steps := t.TempDir(), 0
		folder := filepath.Join(dir, "unet", "afl")
		_, err := tinyJob(t, dir, func() {
			if steps++; steps == n {
				assert.NoError(t, os.Rename(folder, folder+".away"))
				assert.NoError(t, os.WriteFile(folder, nil, 0o644))
			}
		}).Run(context.Background())
		require.Error(t, err, "step %d", n)
		assert.NotErrorIs(t, err, ErrInterrupted)
		require.NoError(t, os.Remove(folder))
		require.NoError(t, os.Rename(folder+".away", folder))
		_, err = tinyJob(t, dir, nil).Run(context.Background())
		require.NoError(t, err)
		assertSameFiles(t, want, filesOf(t, dir), fmt.Sprintf("unwritable at step %d", n))
	}
}

// TestForeignFilesAreNotReported replaces files of a run by those of another run, as a
// second process in the same folder would.
func TestForeignFilesAreNotReported(t *testing.T) {
	other := t.TempDir()
	job := tinyJob(t, other, nil)
	job.ID, job.LearningRate = "fedcba9876543210", 0.01
	_, err := job.Run(context.Background())
	require.NoError(t, err)

	// The steps are those of TestResultsWhileALossTrains.
	for name, c := range map[string]struct {
		step int
		file string
		want string
	}{
		"before the evaluation":  {2*(3+2) - 1, "unet/afl/best.safetensors", ""},
		"during the evaluation":  {2*(3+2) + 1, "unet/afl/best.safetensors", `does not hold the weights of this training after epoch 2: its run is "fedcba9876543210"`},
		"while another trains":   {2*(3+2) + 2 + 1, "unet/afl/best.safetensors", `its run is "fedcba9876543210", want "0123456789abcdef"`},
		"a finished checkpoint":  {2*(3+2) + 2 + 1, "unet/afl/checkpoint.safetensors", "it belongs to the run fedcba9876543210, not to 0123456789abcdef"},
		"an earlier checkpoint":  {2*(3+2) + 2 + 1, "", "another process has replaced it"},
		"deleted by the process": {2*(3+2) + 2 + 1, "-", "another process has replaced it"},
	} {
		dir, steps := t.TempDir(), 0
		_, err := tinyJob(t, dir, func() {
			if steps++; steps != c.step {
				return
			}
			checkpoint := filepath.Join(dir, "unet", "afl", "checkpoint.safetensors")
			switch c.file {
			case "":
				tensors, metadata, err := weights.Load(checkpoint)
				assert.NoError(t, err)
				metadata["state"] = strings.Replace(metadata["state"], `"best_epoch":2`, `"best_epoch":1`, 1)
				metadata["state"] = strings.Replace(metadata["state"], `"loss_sum":0`, `"loss_sum":1`, 1)
				assert.NoError(t, weights.Save(checkpoint, tensors, metadata))
			case "-":
				assert.NoError(t, os.Remove(checkpoint))
			default:
				raw, err := os.ReadFile(filepath.Join(other, filepath.FromSlash(c.file)))
				assert.NoError(t, err)
				assert.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(c.file)), raw, 0o644))
			}
		}).Run(context.Background())
		if c.want == "" {
			require.NoError(t, err, name) // the second epoch writes better weights
			continue
		}
		require.ErrorContains(t, err, c.want, name)
		md := string(filesOf(t, dir)["results.md"])
		assert.NotContains(t, md, "| Dice CE |", "%s: no table is written", name)
	}

	job = tinyJob(t, other, nil)
	_, err = job.Run(context.Background())
	assert.ErrorContains(t, err, "it belongs to the run fedcba9876543210, not to 0123456789abcdef")
}

// TestGuardStopsEveryWrite lets the guard fail from each of its calls on.
func TestGuardStopsEveryWrite(t *testing.T) {
	lost := errors.New("the folder is lost")
	calls := 0
	count := tinyJob(t, t.TempDir(), nil)
	count.Guard = func() error { calls++; return nil }
	_, err := count.Run(context.Background())
	require.NoError(t, err)
	require.Greater(t, calls, 15)
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 0; n < calls; n += step + n/4 {
		dir := t.TempDir()
		job := tinyJob(t, dir, nil)
		left := n
		var before map[string][]byte
		job.Guard = func() error {
			if left--; left >= 0 {
				return nil
			}
			if before == nil {
				before = filesOf(t, dir)
			}
			return lost
		}
		_, err := job.Run(context.Background())
		require.ErrorIs(t, err, lost, "call %d", n)
		assertSameFiles(t, before, filesOf(t, dir), fmt.Sprintf("call %d", n))
	}
}

func TestBetter(t *testing.T) {
	epoch := func(m outcome.Measure, v outcome.Number) *outcome.Epoch {
		e := &outcome.Epoch{Valid: outcome.MeanOf(nil)}
		e.Valid[m] = outcome.Mean{Value: v, N: 1}
		return e
	}
	assert.Equal(t, []string{"soft_dice", "soft_iou", "foreground_dice", "foreground_iou", "last"}, Selections())
	for i, m := range []outcome.Measure{outcome.SoftDice, outcome.SoftIoU, outcome.Dice, outcome.IoU} {
		name := Selections()[i]
		for _, c := range []struct {
			value, best outcome.Number
			want        bool
		}{{0.5, 0.4, true}, {0.4, 0.5, false}, {0.5, 0.5, false}, {0, 0, false}} {
			got, err := better(name, epoch(m, c.value), epoch(m, c.best))
			require.NoError(t, err)
			assert.Equal(t, c.want, got, "%s: %v after %v", name, c.value, c.best)
		}
		got, err := better(name, epoch(m, 0), nil)
		require.NoError(t, err)
		assert.True(t, got, "the first epoch")
		_, err = better(name, epoch(m, outcome.Undefined), nil)
		assert.ErrorContains(t, err, "no validation case has a value for it")
	}
	got, err := better(SelectLast, epoch(outcome.SoftDice, 0), epoch(outcome.SoftDice, 1))
	require.NoError(t, err)
	assert.True(t, got)
}

// TestSelect trains with each selection and compares the best epoch with the history.
func TestSelect(t *testing.T) {
	for name, m := range map[string]outcome.Measure{"soft_dice": outcome.SoftDice, "foreground_dice": outcome.Dice, "last": -1} {
		job := tinyJob(t, t.TempDir(), nil)
		job.Losses, job.Epochs, job.Select = []string{"dice-ce"}, 5, name
		run, err := job.Run(context.Background())
		require.NoError(t, err)
		want := 5
		if m >= 0 {
			want = 1
			for _, e := range run.Results[0].Epochs {
				if e.Valid[m].Value > run.Results[0].Epochs[want-1].Valid[m].Value {
					want = e.Epoch
				}
			}
		}
		assert.Equal(t, want, run.Results[0].BestEpoch, name)
		metadata, err := weights.ReadMetadata(filepath.Join(job.Dir, "unet", "dice-ce", "best.safetensors"))
		require.NoError(t, err)
		assert.Equal(t, name, metadata["selected_by"])
	}
}

func TestWorkLeft(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	stopAfter(t, 2*(3+2)+2+3+2+2, func(step func()) *Job { return tinyJob(t, dir, step) }) // dice-ce, epoch 2, step 2
	job.Epochs, job.Losses = 4, []string{"afl", "dice-ce", "dice"}
	trainings, err := job.trainings()
	require.NoError(t, err)
	assert.Equal(t, []amount{
		{0, 2 * 3, 2*2 + 2},   // two more epochs and another evaluation
		{0, 3*3 - 2, 3*2 + 2}, // three epochs but for two steps
		{0, 4 * 3, 4*2 + 2},
	}, job.work(trainings))
}
