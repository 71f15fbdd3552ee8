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
	"github.com/x/afl/examples/internal/segment"
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
	assert.Contains(t, out, "They were trained with different options: {Channels:[4 8 16 32 64] Strides:[[2 2 2] [2 2 2] [2 2 2] [2 2 2]] ")
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
	assertSameRun(t, filesOf(t, whole), filesOf(t, dir), "without the file")
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
		text:                         {exitError, "-weights: weights: " + text + ": is neither a safetensors file nor one written by PyTorch"},
		file("scalar", nil):          {exitError, "its tensors do not fit the network: 131 of 148 missing: model.0.conv.unit0.conv.weight, "},
		file("other", other):         {exitUsage, "holds weights of vnet_authors, but -model is unet"},
		file("damaged", damaged):     {exitError, "damaged: settings: unexpected EOF"},
	} {
		run := filepath.Join(t.TempDir(), "run")
		code, _, errs := runProgram(p, "-model_dir", run, "-size", "32,32,16", "-weights", path)
		assert.Equal(t, c.code, code, path)
		assert.Contains(t, errs, c.want)
		assert.NoDirExists(t, run, "no run was started")
	}
	listing, err := os.ReadFile(filepath.Join(dir, "scalar.misfit.txt"))
	require.NoError(t, err)
	assert.Equal(t, 134, strings.Count(string(listing), "\n"), "two titles, what is missing, and what is extra")
	assert.Contains(t, string(listing), "1 in the file but not in the network:\n  x\n")
}

// TestWeightsOfOtherPrograms starts from a file with wrapped names, an average, a
// criterion and no counters, and resumes.
func TestWeightsOfOtherPrograms(t *testing.T) {
	p := tinyPICAI()
	flags := []string{"-size", "32,32,16", "-max_cases", "1", "-epochs", "1", "-steps", "1", "-loss", "dice"}
	dir := trained(t, p, flags...)
	state, _, err := weights.Load(filepath.Join(dir, "unet", "dice", "last.safetensors"))
	require.NoError(t, err)
	wrapped := map[string]*tensor.Dense{"model.criterion.weight": tensor.New(tensor.FromScalar(float32(1)))}
	for name, v := range state {
		if !strings.HasSuffix(name, "num_batches_tracked") {
			wrapped["model._orig_mod.module."+name] = v
			average := v.Clone().(*tensor.Dense)
			require.NoError(t, average.Memset(float32(0.5)))
			wrapped["average.module."+name] = average
		}
	}
	file := filepath.Join(t.TempDir(), "other.safetensors")
	require.NoError(t, weights.Save(file, wrapped, nil))

	run := filepath.Join(t.TempDir(), "run")
	code, out, errs := runProgram(p, append(flags, "-model_dir", run, "-weights", file)...)
	require.Equal(t, exitOK, code, errs)
	want := "Initial weights: " + file + `. They are those under "model". Those under "average" fit as well (-weights_prefix).` +
		` 17 counters of batches, which the file lacks, start at 0. Not part of the network: "model.criterion.weight".`
	assert.Contains(t, out, want)
	copied, _, err := weights.Load(filepath.Join(run, initialName))
	require.NoError(t, err)
	require.Len(t, copied, len(state))
	for name, v := range state {
		if !strings.HasSuffix(name, "num_batches_tracked") {
			assert.Equal(t, v.Data(), copied[name].Data(), name)
		}
	}
	code, out, errs = runProgram(p, "-model_dir", run, "-resume")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, want)

	image := filepath.Join(dir, "phantom", "ValidImage", "phantom_004")
	mask := filepath.Join(t.TempDir(), "m.nii")
	code, out, errs = runPredict("-weights", file, "-weights_prefix", "average", "-case", image, "-protocol", "picai", "-options", narrowOptions, "-size", "32,32,16", "-out", mask)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, `They are those under "average".`)

	// Without the plain name, the choice is the user's.
	for name, v := range wrapped {
		if rest, ok := strings.CutPrefix(name, "model."); ok {
			delete(wrapped, name)
			wrapped["online."+rest] = v
		}
	}
	require.NoError(t, weights.Save(file, wrapped, nil))
	code, _, errs = runProgram(p, append(flags, "-model_dir", filepath.Join(t.TempDir(), "run"), "-weights", file)...)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, `several state_dicts fit the network equally well, those under "average", "online"; choose one with -weights_prefix`)
}

// TestInitialWeightsOfOtherData compares the channels and classes of the weights with those
// of the data.
func TestInitialWeightsOfOtherData(t *testing.T) {
	scheme, err := segment.ParseClasses("1", nil)
	require.NoError(t, err)
	in := &initial{trained: settings.Settings{Config: models.Config{Architecture: models.NewUNet()}, Channels: []string{"T2W", "ADC"}}}
	require.NoError(t, in.compare("w", segment.Scheme{}, []string{"t2w", "adc"}))
	require.NoError(t, in.compare("w", segment.Scheme{}, nil))
	assert.Empty(t, in.fact)
	assert.ErrorContains(t, in.compare("w", segment.Scheme{}, []string{"adc", "t2w"}), "-weights: the network of w takes the channels T2W, ADC, but the data have them in the order adc, t2w")
	require.NoError(t, in.compare("w", scheme, []string{"t1", "adc"}))
	assert.Equal(t, " Their channels were T2W, ADC; those of the data are t1, adc. They segment foreground (every nonzero label); this network segments classes 1 (label 1).", in.fact)
	require.NoError(t, (*initial)(nil).compare("w", scheme, nil))
	require.NoError(t, (&initial{}).compare("w", scheme, []string{"a"}))
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
	plain, err := models.New(config, b, 1)
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
	// begin reads the weights from a file for a new network.
	begin := func(tensors map[string]*tensor.Dense) (nn.Network, bool, error) {
		path := filepath.Join(t.TempDir(), "w")
		require.NoError(t, weights.Save(path, tensors, nil))
		f, err := weights.Open(path)
		require.NoError(t, err)
		defer f.Close()
		net, err := models.NewUninitialized(config, b, 1)
		require.NoError(t, err)
		in, err := newInitial(f, net, "")
		if err != nil {
			return nil, false, err
		}
		require.NoError(t, in.load(b, net))
		return net, in.images, nn.Initialize(b, net)
	}
	images["fc.bias"] = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1000))
	_, ofImages, err := begin(state)
	require.NoError(t, err)
	assert.False(t, ofImages)
	net, ofImages, err := begin(images)
	require.NoError(t, err)
	assert.True(t, ofImages)
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
	_, _, err = begin(images)
	assert.ErrorContains(t, err, "1 of 318 missing: layer1.0.conv1.weight")
}
