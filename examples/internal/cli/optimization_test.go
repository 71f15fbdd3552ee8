package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/train"
)

// parsed returns the options of a new run with the given flags.
func parsed(t *testing.T, args ...string) *options {
	f, o := newFlags(tinyPICAI())
	require.NoError(t, f.Parse(args))
	require.NoError(t, o.check(f))
	return o
}

func TestOptimizationOfAJob(t *testing.T) {
	for _, c := range []struct {
		args []string
		want train.Job
		fact string
	}{
		{nil, train.Job{
			Optimizer: "sgd", LearningRate: 0.1, Momentum: 0.9, WeightDecay: 1e-5, Schedule: nn.Schedule{Decay: nn.Constant}, Batch: 1, Accumulate: 1,
		}, "SGD, learning rate 0.1, momentum 0.9 (Nesterov), weight decay 1e-05, batch 1"},
		{[]string{"-optimizer", "adamw"}, train.Job{
			Optimizer: "adamw", LearningRate: 1e-3, WeightDecay: 0.01, Schedule: nn.Schedule{Decay: nn.Constant}, Batch: 1, Accumulate: 1,
		}, "AdamW (betas 0.9 and 0.999), learning rate 0.001, decoupled weight decay 0.01, batch 1"},
		{[]string{"-optimizer", "adamw", "-lr", "0.1", "-weight_decay", "1e-5", "-warmup", "4"}, train.Job{
			Optimizer: "adamw", LearningRate: 0.1, WeightDecay: 1e-5, Schedule: nn.Schedule{Decay: nn.Constant, WarmUp: 4}, Batch: 1, Accumulate: 1,
		}, "AdamW (betas 0.9 and 0.999), learning rate 0.1 after a linear warm-up of 4 epochs, decoupled weight decay 1e-05, batch 1"},
		{[]string{"-momentum", "0", "-lr_schedule", "poly", "-clip_norm", "12", "-batch", "3", "-accumulate", "4", "-early_stop", "20"}, train.Job{
			Optimizer: "sgd", LearningRate: 0.1, WeightDecay: 1e-5, Schedule: nn.Schedule{Decay: nn.Polynomial}, ClipNorm: 12, Batch: 3, Accumulate: 4, EarlyStop: 20,
		}, "SGD, learning rate 0.1 with polynomial decay (power 0.9) over 200 epochs, no momentum, weight decay 1e-05, gradients clipped to the norm 12, batch 3 (mean of the losses of its cases), gradients averaged over 4 steps for each update, early stopping after 20 epochs without a better soft_dice"},
		{[]string{"-batch", "2", "-batch_norm", "sync"}, train.Job{
			Optimizer: "sgd", LearningRate: 0.1, Momentum: 0.9, WeightDecay: 1e-5, Schedule: nn.Schedule{Decay: nn.Constant}, Batch: 2, Accumulate: 1, SyncBatchNorm: true,
		}, "SGD, learning rate 0.1, momentum 0.9 (Nesterov), weight decay 1e-05, batch 2 (mean of the losses of its cases), batch norms synchronized over the batch"},
		{[]string{"-lr_schedule", "cosine", "-warmup", "10"}, train.Job{
			Optimizer: "sgd", LearningRate: 0.1, Momentum: 0.9, WeightDecay: 1e-5, Schedule: nn.Schedule{Decay: nn.Cosine, WarmUp: 10}, Batch: 1, Accumulate: 1,
		}, "SGD, learning rate 0.1 with cosine decay over 190 epochs after a linear warm-up of 10, momentum 0.9 (Nesterov), weight decay 1e-05, batch 1"},
	} {
		o := parsed(t, c.args...)
		var got train.Job
		o.optimization.setIn(&got)
		assert.Equal(t, c.want, got, "%v", c.args)
		assert.Equal(t, c.fact, o.optimization.fact(o.epochs, o.selection.String()))
	}
}

// TestOptimizationIsPartOfTheID compares the IDs of runs that differ in one flag.
func TestOptimizationIsPartOfTheID(t *testing.T) {
	id := func(args ...string) string {
		f, o := newFlags(tinyPICAI())
		require.NoError(t, f.Parse(args))
		require.NoError(t, o.check(f))
		rec, err := newRecord("picai", f, segment.Scheme{}, &fingerprint.Data{}, nil, nil)
		require.NoError(t, err)
		return rec.ID
	}
	seen := map[string][]string{}
	for _, args := range [][]string{
		nil, {"-optimizer", "adamw"}, {"-optimizer", "adamw", "-weight_decay", "0"}, {"-lr_schedule", "poly"}, {"-lr_schedule", "poly", "-epochs", "9"},
		{"-lr_schedule", "cosine"}, {"-warmup", "2"}, {"-clip_norm", "1"}, {"-batch", "2"}, {"-batch", "2", "-batch_norm", "sync"}, {"-accumulate", "2"}, {"-early_stop", "2"},
	} {
		assert.NotContains(t, seen, id(args...), "%v", args)
		seen[id(args...)] = args
	}
	assert.Equal(t, id(), id("-epochs", "9"), "a run with a constant rate can be given more epochs")
	assert.Equal(t, id("-warmup", "2"), id("-warmup", "2", "-epochs", "9"))
}

// TestResumeWithOptimization trains with all options and resumes with and without them.
func TestResumeWithOptimization(t *testing.T) {
	dir := t.TempDir()
	settings := []string{"-optimizer", "adamw", "-lr", "0.01", "-lr_schedule", "poly", "-warmup", "1", "-clip_norm", "1", "-batch", "3", "-accumulate", "2", "-early_stop", "5"}
	run := func(args ...string) (int, string, string) {
		return runProgram(tinyPICAI(), append([]string{"-model_dir", dir}, args...)...)
	}
	code, out, errs := run(append(settings, "-epochs", "2", "-size", "32,32,16")...)
	require.Equal(t, exitOK, code, errs)
	fact := "Training: AdamW (betas 0.9 and 0.999), learning rate 0.01 with polynomial decay (power 0.9) over 1 epochs after a linear warm-up of 1, decoupled weight decay 0.01, gradients clipped to the norm 1, batch 3 (mean of the losses of its cases), gradients averaged over 2 steps for each update, early stopping after 5 epochs without a better soft_dice, seed 0, backend "
	assert.Contains(t, out, fact)
	assert.Contains(t, filesOf(t, dir)["results.md"], fact)
	rec, err := readRecord(dir)
	require.NoError(t, err)
	assert.Equal(t, "0.01", rec.Flags["lr"])
	assert.Equal(t, "0.01", rec.Flags["weight_decay"], "AdamW's default")

	code, _, errs = run("-resume", "-epochs", "3")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-epochs is 3, but the run in "+dir+" was started with 2, at the end of which its learning rate falls to 0 (-lr_schedule poly)")
	code, _, errs = run("-resume", "-momentum", "0.9")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-momentum is that of SGD")
	for _, args := range [][]string{{"-resume"}, append(settings, "-resume", "-epochs", "2")} {
		code, out, errs = run(args...)
		require.Equal(t, exitOK, code, errs)
		assert.Contains(t, out, "afl: already finished")
	}
	again, err := readRecord(dir)
	require.NoError(t, err)
	assert.Equal(t, rec.Flags, again.Flags)
}
