package cli

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/weights"
)

func TestWeightsCarryTheirSettings(t *testing.T) {
	dir := t.TempDir()
	code, _, errs := runProgram(tinyPICAI(), "-model_dir", dir, "-epochs", "1", "-steps", "1", "-loss", "dice-ce", "-size", "32,32,24", "-max_cases", "1")
	require.Equal(t, exitOK, code, errs)
	_, metadata, err := weights.Load(filepath.Join(dir, "unet", "dice-ce", "best.safetensors"))
	require.NoError(t, err)
	got, found, err := settings.Read(metadata)
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, 3, got.Config.InChannels)
	net, ok := got.Config.Architecture.(models.UNet)
	require.True(t, ok)
	assert.Equal(t, [][3]int{{2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 1}}, net.Strides)
	want := tinyPICAI().Protocol
	want.Size = [3]int{32, 32, 24}
	assert.Equal(t, want, got.Protocol)
	rule, found, err := settings.ReadRule(metadata)
	require.NoError(t, err)
	assert.True(t, found)
	assert.Equal(t, afl.Argmax, rule)
	assert.Equal(t, "synthetic phantom", metadata["data"])
	assert.Equal(t, "picai", metadata["program"])
}

// TestTrainingStartsFromGivenWeights starts from the weights of another run, once with
// steps too small to change them.
func TestTrainingStartsFromGivenWeights(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a minute under the race detector, and other tests cover the same concurrency")
	}
	p := tinyPICAI()
	size := []string{"-size", "32,32,16", "-max_cases", "1"}
	first := filepath.Join(t.TempDir(), "first")
	code, _, errs := runProgram(p, append(size, "-model_dir", first, "-epochs", "1", "-loss", "dice")...)
	require.Equal(t, exitOK, code, errs)
	file := filepath.Join(first, "unet", "dice", "last.safetensors")

	dir := filepath.Join(t.TempDir(), "second")
	code, out, errs := runProgram(p, append(size, "-model_dir", dir, "-epochs", "1", "-loss", "dice,afl", "-weights", file, "-lr", "1e-40", "-weight_decay", "0", "-seed", "8")...)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Initial weights: "+file+".\n")
	want, _, err := weights.Load(file)
	require.NoError(t, err)
	for _, loss := range []string{"dice", "afl"} {
		got, _, err := weights.Load(filepath.Join(dir, "unet", loss, "last.safetensors"))
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for name := range want {
			if !strings.Contains(name, "running") && !strings.Contains(name, "tracked") {
				assert.Equal(t, want[name].Data(), got[name].Data(), name)
			}
		}
	}

	// A network with other strides accepts the weights, with a notice.
	code, out, errs = runProgram(p, "-model_dir", filepath.Join(t.TempDir(), "flat"), "-size", "32,32,24", "-max_cases", "1", "-epochs", "1", "-steps", "1", "-loss", "dice", "-weights", file)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "They were trained with different options: {Channels:[16 32 64 128 256] Strides:[[2 2 2] [2 2 2] [2 2 2] [2 2 2]] ")
}

// TestResumeDoesNotNeedTheWeightsFile interrupts a run between its losses, deletes the
// file of initial weights, and resumes to the same result.
func TestResumeDoesNotNeedTheWeightsFile(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a minute under the race detector, and other tests cover the same concurrency")
	}
	p := tinyPICAI()
	settings := []string{"-size", "32,32,16", "-max_cases", "1", "-epochs", "1"}
	first := filepath.Join(t.TempDir(), "first")
	code, _, errs := runProgram(p, append(settings, "-model_dir", first, "-loss", "dice")...)
	require.Equal(t, exitOK, code, errs)
	file := filepath.Join(first, "unet", "dice", "last.safetensors")
	settings = append(settings, "-loss", "afl,dice", "-weights", file)
	whole := filepath.Join(t.TempDir(), "whole")
	code, _, errs = runProgram(p, append(settings, "-model_dir", whole)...)
	require.Equal(t, exitOK, code, errs)

	dir := filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	code = Run(ctx, p, append(settings, "-model_dir", dir), &cancelAt{text: "Loss 2 of 2", cancel: cancel}, &bytes.Buffer{})
	require.Equal(t, exitInterrupted, code)
	require.NoError(t, os.Remove(file))
	code, _, errs = runProgram(p, "-model_dir", dir, "-resume")
	require.Equal(t, exitOK, code, errs)
	want, got := filesOf(t, whole), filesOf(t, dir)
	for name := range want {
		assert.True(t, want[name] == got[name], "%s differs from the uninterrupted run", name)
	}
	assert.Len(t, got, len(want))
}

func TestUnsuitableWeights(t *testing.T) {
	p := tinyPICAI()
	code, _, errs := runProgram(p, "-weights", "w", "-model", "unet,segresnet")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-weights: a file belongs to one network, but -model names 2")
	dir := t.TempDir()
	scalar := map[string]*tensor.Dense{"x": tensor.New(tensor.FromScalar(float32(1)))}
	file := func(name string, metadata map[string]string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, weights.Save(path, scalar, metadata))
		return path
	}
	other := map[string]string{}
	require.NoError(t, settings.Settings{Config: models.Config{Architecture: models.NewVNet()}}.Store(other))
	damaged := maps.Clone(other)
	damaged[settings.Key] = "{"
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("no weights"), 0o644))
	for path, c := range map[string]struct {
		code int
		want string
	}{
		filepath.Join(dir, "absent"): {exitError, "no such file"},
		text:                         {exitError, "-weights: weights: " + text + ": is neither a safetensors file nor one written by torch.save (PyTorch 1.6 or later)"},
		file("scalar", nil):          {exitError, "the state does not fit the network: 148 missing: model.0.conv.unit0.conv.weight, "},
		file("other", other):         {exitUsage, "holds weights of vnet_authors, but -model is unet"},
		file("damaged", damaged):     {exitError, "damaged: settings: unexpected EOF"},
	} {
		run := filepath.Join(t.TempDir(), "run")
		code, _, errs := runProgram(p, "-model_dir", run, "-size", "32,32,16", "-weights", path)
		assert.Equal(t, c.code, code, path)
		assert.Contains(t, errs, c.want)
		assert.NoDirExists(t, run, "no run was started")
	}
}

// TestCheckpointIsRejectedAsWeights gives -weights the checkpoint of a run.
func TestCheckpointIsRejectedAsWeights(t *testing.T) {
	p := tinyPICAI()
	dir := trained(t, p, "-epochs", "1", "-steps", "1", "-loss", "dice", "-size", "32,32,16")
	checkpoint := filepath.Join(dir, "unet", "dice", "checkpoint.safetensors")
	want := "-weights: " + checkpoint + " is a checkpoint of a run; use best.safetensors or last.safetensors in the same folder"

	next := filepath.Join(t.TempDir(), "next")
	code, _, errs := runProgram(p, "-model_dir", next, "-size", "32,32,16", "-weights", checkpoint)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, want+", or -resume (")
	assert.NoDirExists(t, next)

	work := t.TempDir()
	code, _, errs = runPredict("-weights", checkpoint, "-case", filepath.Join(dir, "phantom", "ValidImage", "phantom_004"), "-out", filepath.Join(work, "m.nii"))
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, want+" (")
	assert.Empty(t, names(t, work))
}

// TestEncoderStartsFromImageWeights loads the state of a 2-D ResNet-50, all twos, into a
// network with such an encoder.
func TestEncoderStartsFromImageWeights(t *testing.T) {
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	published := models.NewResNetUNet()
	config := models.Config{Architecture: models.ResNetUNet{Width: 4, Strides: published.Strides, Decoder: []int{6, 5, 4, 3, 2}}, InChannels: 3}
	plain, err := (*initial)(nil).network(b, config, 1)
	require.NoError(t, err)
	state, err := nn.StateDict(b, plain)
	require.NoError(t, err)
	images := map[string]*tensor.Dense{}
	for name, d := range state {
		name, ok := strings.CutPrefix(name, "encoder.")
		if !ok || strings.HasSuffix(name, "num_batches_tracked") {
			continue
		}
		shape := d.Shape().Clone()
		if len(shape) == 5 {
			shape = shape[:4]
		}
		twos := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		require.NoError(t, twos.Memset(float32(2)))
		images[name] = twos
	}
	in := &initial{state: images}
	assert.True(t, in.images())
	assert.False(t, (&initial{state: state}).images())
	net, err := in.network(b, config, 1)
	require.NoError(t, err)
	got, err := nn.StateDict(b, net)
	require.NoError(t, err)
	assert.Equal(t, float32(2), got["encoder.bn1.weight"].Data().([]float32)[0])
	stem := got["encoder.conv1.weight"]
	assert.InDelta(t, 2/float64(stem.Shape()[4]), stem.Data().([]float32)[0], 1e-6, "spread over the third axis")
	for name, d := range state {
		if !strings.HasPrefix(name, "encoder.") {
			assert.Equal(t, d.Data(), got[name].Data(), "%s is drawn from the seed", name)
		}
	}

	delete(images, "layer1.0.conv1.weight")
	_, err = in.network(b, config, 1)
	assert.ErrorContains(t, err, "layer1.0.conv1.weight")
}
