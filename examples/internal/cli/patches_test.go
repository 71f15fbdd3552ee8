package cli

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/train"
	"github.com/x/afl/examples/internal/weights"
)

// patchFlagsOfTest are all flags of patches and prediction, with other values than the defaults.
var patchFlagsOfTest = [][]string{
	{"-patch", "32,16,16"}, {"-foreground", "0.5"}, {"-patches", "2"}, {"-statistics", "volume"}, {"-deep_supervision"},
	{"-window", "16,16,16"}, {"-overlap", "0.5"}, {"-blend", "gaussian"}, {"-mirror", "xz"},
}

func TestPatchesOfAJob(t *testing.T) {
	o := parsed(t)
	var job train.Job
	o.patches.setIn(&job)
	o.windows.setIn(&job)
	assert.Equal(t, train.Job{Patches: 1, Window: infer.Window{Overlap: 0.25, Blend: infer.Constant}}, job, "the paper's")
	protocol := o.protocol(tinyPICAI(), tinyPICAI().Protocol.Scheme)
	assert.Equal(t, [3]int{}, protocol.Crop)
	assert.Empty(t, o.patches.facts(protocol))

	var args []string
	for _, flags := range patchFlagsOfTest {
		args = append(args, flags...)
	}
	o = parsed(t, args...)
	o.patches.setIn(&job)
	o.windows.setIn(&job)
	assert.Equal(t, train.Job{Patches: 2, VolumeStatistics: true, Window: infer.Window{Size: [3]int{16, 16, 16}, Overlap: 0.5, Blend: infer.Gaussian}, Mirror: []int{0, 2}}, job)
	protocol = o.protocol(tinyPICAI(), tinyPICAI().Protocol.Scheme)
	assert.Equal(t, [3]int{32, 16, 16}, protocol.Crop)
	assert.Equal(t, 0.5, protocol.Foreground)
	assert.True(t, o.patches.deepSupervision)
	assert.Equal(t, "Prediction of validation and reported cases: with a sliding window of 16×16×16 voxels, overlap 0.5, gaussian weights, as the mean of 4 predictions, mirrored along xz.", o.windows.fact())
}

// TestPatchesArePartOfTheID: a run with another value of any of the flags is another run.
func TestPatchesArePartOfTheID(t *testing.T) {
	for i, one := range patchFlagsOfTest {
		flags, _ := newFlags(tinyPICAI())
		before := flagValues(flags)
		require.NoError(t, flags.Parse(one))
		after := flagValues(flags)
		assert.NotEqual(t, before, after, "%d", i)
		for _, name := range append(append([]string{}, growingFlags...), describingFlags...) {
			assert.NotEqual(t, "-"+name, one[0])
		}
	}
}

// TestPatchRun trains on patches of the phantom with every flag, continues for another epoch,
// and predicts a case with the weights.
func TestPatchRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"-model_dir", dir, "-size", "32,32,24", "-epochs", "1", "-batch", "2", "-early_stop", "5", "-select", "soft_iou"}
	for _, flags := range patchFlagsOfTest {
		args = append(args, flags...)
	}
	code, out, errs := runProgram(tinyPICAI(), args...)
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{
		"Deep supervision: 3 heads at lower resolutions",
		"Training patches: 32×16×16 voxels, centered with the probability 0.5 on a foreground voxel and otherwise drawn anywhere;",
		"Training steps per case and epoch: 2.",
		"A-FL takes its gamma and class weights from the label of the whole case.",
		"Prediction of validation and reported cases: with a sliding window of 16×16×16 voxels",
		"A training step on 2 volumes of 32×16×16 voxels", "a prediction of 16×16×16 voxels",
	} {
		assert.Contains(t, out, want)
	}
	best := filepath.Join(dir, "unet", "afl", "best.safetensors")
	tensors, metadata, err := weights.Load(best)
	require.NoError(t, err)
	assert.Contains(t, metadata["deep_supervision"], "trained with heads")
	for name := range tensors {
		assert.NotContains(t, name, "deep_supervision")
	}
	stored, _, err := settings.Read(metadata)
	require.NoError(t, err)
	assert.Equal(t, [3]int{32, 16, 16}, stored.Window())

	code, out, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-resume", "-epochs", "2")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "epoch 2/2")
	code, _, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-resume", "-foreground", "0.25")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-foreground is 0.25, but the run in "+dir+" was started with 0.5")

	// A network that is initialized with the weights has heads of its own.
	other := filepath.Join(t.TempDir(), "other")
	code, _, errs = runProgram(tinyPICAI(), "-model_dir", other, "-size", "32,32,24", "-epochs", "1", "-steps", "1", "-weights", best, "-deep_supervision")
	require.Equal(t, exitOK, code, errs)
}
