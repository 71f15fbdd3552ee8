package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/onnx/onnxtest"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

func runExport(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Export(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// saveNetwork writes random weights of a small U-Net that takes two channels.
func saveNetwork(t *testing.T, path string, scheme segment.Scheme, rule afl.PredictionRule, change func(state map[string]*tensor.Dense)) settings.Settings {
	t.Helper()
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	s := settings.Settings{
		Config: models.Config{
			Architecture: models.UNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {1, 2, 2}}, ResUnits: 1, Norm: models.InstanceNorm},
			InChannels:   2, OutChannels: scheme.Channels(),
		},
		Protocol: dataset.Protocol{Scheme: scheme, Spacing: [3]float64{1, 1, 1}, Crop: [3]int{14, 13, 16}},
		Channels: []string{"t2w", "adc"},
	}
	net, err := models.New(s.Config, b, 5)
	require.NoError(t, err)
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	if change != nil {
		change(state)
	}
	metadata := map[string]string{settings.RuleKey: rule.String(), "loss": "dice", "epochs": "3", "run": "0123", "seed": "2", "fold": "1", "selected_by": "last", "other": "x"}
	require.NoError(t, s.Store(metadata))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, weights.Save(path, state, metadata))
	return s
}

// readModel reads an exported model.
func readModel(t *testing.T, path string) *onnxtest.Model {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	m, err := onnxtest.Read(raw)
	require.NoError(t, err)
	return m
}

// TestExport writes a model of a fixed size from a run's folder, and reads its metadata.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	run, out := filepath.Join(dir, "run"), filepath.Join(dir, "unet.onnx")
	scheme, err := segment.ParseClasses("1,4", nil)
	require.NoError(t, err)
	best := filepath.Join(run, "unet", "dice", "best.safetensors")
	s := saveNetwork(t, best, scheme, afl.Argmax, nil)
	code, text, errs := runExport("-weights", run, "-out", out, "-fixed")
	require.Equal(t, exitOK, code, errs)
	m := readModel(t, out)
	info, err := os.Stat(out)
	require.NoError(t, err)
	assert.Less(t, info.Size(), int64(1<<20))
	assert.Equal(t, fmt.Sprintf(`Network: unet, %d parameters; weights: %s.
Input: image, float32 N×2×14×16×16; channels: t2w, adc.
Output: logits, float32 N×3×14×16×16.
Spatial size X×Y×Z: fixed; sizes that the network accepts are multiples of 2×4×4. N, the number of samples: any.
Segmented: classes 1 (label 1), 4 (label 4).
Mask: the class with the largest softmax probability.
Written to %s: ONNX, operator set 17, %d nodes, 1 MiB.
`, parameterCount(t, s), best, out, len(m.Graph.Nodes)), text)

	assert.NotEmpty(t, m.Version)
	hash := m.Metadata["weights_sha256"]
	assert.Len(t, hash, 64)
	assert.Equal(t, map[string]string{
		"channels": `["t2w","adc"]`, "spacing": "[1,1,1]", "orientation": "RAS", "normalization": "nonzero_zscore",
		"size_multiple": "[2,4,4]", "window": "[14,16,16]", "overlap": "0.25",
		"prediction_rule": "Argmax", "labels": "[0,1,4]", "classes": `[{"name":"1","labels":[1]},{"name":"4","labels":[4]}]`,
		"loss": "dice", "epochs": "3", "run": "0123", "seed": "2", "fold": "1", "selected_by": "last", "weights_sha256": hash, "network": m.Metadata["network"],
	}, m.Metadata)
	var config models.Config
	require.NoError(t, config.UnmarshalJSON([]byte(m.Metadata["network"])))
	assert.Equal(t, s.Config, config)

	// Weights without settings, as in a PyTorch file, need the flags.
	state, _, err := weights.Load(best)
	require.NoError(t, err)
	bare := filepath.Join(dir, "bare")
	require.NoError(t, weights.Save(bare, state, nil))
	options := []string{"-weights", bare, "-out", out, "-force", "-protocol", "brats", "-classes", "1,4", "-window", "3,30,4", "-fixed",
		"-options", `{"Channels":[4,6,8],"Strides":[[2,2,2],[1,2,2]],"res_units":1,"norm":"instance"}`}
	code, _, errs = runExport(options...)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-channels is missing")
	code, _, errs = runExport(append(options, "-channels", "a, b")...)
	require.Equal(t, exitOK, code, errs)
	again := readModel(t, out)
	assert.Equal(t, []string{"N", "2", "4", "32", "4"}, again.Graph.Inputs[0].Dims)
	assert.Equal(t, m.Graph.Nodes, again.Graph.Nodes)
	assert.Equal(t, m.Graph.Initializers, again.Graph.Initializers)
	assert.Equal(t, `["a","b"]`, again.Metadata["channels"])
	assert.Equal(t, "[4,32,4]", again.Metadata["window"])
	assert.NotContains(t, again.Metadata, "loss")
}

func parameterCount(t *testing.T, s settings.Settings) int {
	t.Helper()
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	net, err := models.NewUninitialized(s.Config, b, 0)
	require.NoError(t, err)
	return nn.CountParameters(net)
}

func TestExportErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	out := path("m.onnx")
	first, second := path("run/fold0/unet/dice/best.safetensors"), path("run/fold1/unet/dice/best.safetensors")
	saveNetwork(t, first, segment.Scheme{}, afl.Argmax, nil)
	saveNetwork(t, second, segment.Scheme{}, afl.Argmax, nil)
	damaged := path("nan.safetensors")
	saveNetwork(t, damaged, segment.Scheme{}, afl.Argmax, func(state map[string]*tensor.Dense) {
		state["model.0.conv.unit0.conv.weight"].Data().([]float32)[3] = float32(math.NaN())
	})
	lacking := path("lacking.safetensors")
	saveNetwork(t, lacking, segment.Scheme{}, afl.Argmax, func(state map[string]*tensor.Dense) {
		delete(state, "model.0.conv.unit0.conv.weight")
	})
	whole := path("whole.safetensors")
	s := saveNetwork(t, whole, segment.Scheme{}, afl.Argmax, nil)
	s.Protocol.Crop = [3]int{}
	state, metadata, err := weights.Load(whole)
	require.NoError(t, err)
	require.NoError(t, s.Store(metadata))
	require.NoError(t, weights.Save(whole, state, metadata))
	code, text, errs := runExport("-weights", whole, "-out", path("whole.onnx"))
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, text, "Input: image, float32 N×2×X×Y×Z;")
	require.NoError(t, os.WriteFile(path("taken.onnx"), []byte("mine"), 0o644))
	require.NoError(t, os.Mkdir(path("folder.onnx"), 0o755))
	require.NoError(t, os.Link(first, path("same.onnx")))
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "-weights is missing", []string{"-out", out}},
		{exitUsage, "-out is missing", []string{"-weights", first}},
		{exitUsage, `it must end in .onnx`, []string{"-weights", first, "-out", path("m.pb")}},
		{exitUsage, `unexpected argument "more"`, []string{"-weights", first, "-out", out, "more"}},
		{exitUsage, "use only one of them", []string{"-weights", first, "-out", out, "-classes", "1", "-regions", "a=1"}},
		{exitUsage, "folder " + path("gone") + " does not exist", []string{"-weights", first, "-out", path("gone/m.onnx")}},
		{exitUsage, "taken.onnx exists; use -force", []string{"-weights", first, "-out", path("taken.onnx")}},
		{exitUsage, "folder.onnx is a folder", []string{"-weights", first, "-out", path("folder.onnx"), "-force"}},
		{exitUsage, "same.onnx is the file of -weights", []string{"-weights", first, "-out", path("same.onnx"), "-force"}},
		{exitUsage, "contains several best.safetensors; name one of them: " + first + ", " + second, []string{"-weights", path("run"), "-out", out}},
		{exitUsage, "contains no best.safetensors of vnet_authors", []string{"-weights", path("run"), "-out", out, "-model", "vnet_authors"}},
		{exitUsage, "-channels names 3 channels, but the network of " + first + " takes 2", []string{"-weights", first, "-out", out, "-channels", "a,b,c"}},
		{exitUsage, `-channels is "a,a"; want distinct names`, []string{"-weights", first, "-out", out, "-channels", "a,a"}},
		{exitUsage, "-window is missing: the network of " + whole + " was trained on whole scans; give the size of the model's input, or leave -fixed out", []string{"-weights", whole, "-out", out, "-fixed"}},
		{exitError, "no such file", []string{"-weights", path("absent"), "-out", out}},
		{exitError, "model.0.conv.unit0.conv.weight has the value NaN at index 3", []string{"-weights", damaged, "-out", out}},
		{exitError, "model.0.conv.unit0.conv.weight", []string{"-weights", lacking, "-out", out}},
	} {
		code, _, errs := runExport(c.args...)
		assert.Equal(t, c.code, code, c.want)
		assert.Contains(t, errs, c.want)
	}
	assert.NoFileExists(t, out)
	raw, err := os.ReadFile(path("taken.onnx"))
	require.NoError(t, err)
	assert.Equal(t, "mine", string(raw))

	code, text, _ = runExport("-h")
	assert.Equal(t, exitOK, code)
	assert.Contains(t, text, "Usage: export [flags]")
}

// documentedScript returns the Python program of docs/export.md.
func documentedScript(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "export.md"))
	require.NoError(t, err)
	_, script, found := strings.Cut(string(text), "```python\n")
	require.True(t, found)
	script, _, found = strings.Cut(script, "\n```")
	require.True(t, found)
	return script
}

// TestExportedMasks makes masks by the documented Python program of what an exported model
// says of itself, and compares them with those of predict: for every rule, on a scan that
// needs padding and whose channels have a background of zeros.
func TestExportedMasks(t *testing.T) {
	python := onnxtest.Python(t)
	classes, err := segment.ParseClasses("2,300", nil)
	require.NoError(t, err)
	regions, err := segment.ParseRegions("WT=1,2;ET=2", nil)
	require.NoError(t, err)
	dims := [3]int{7, 13, 10}
	scan := &volume.Volume{Dims: dims, Channels: 1, Affine: [4][4]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	var images []string
	var values []float64
	for c := range 2 {
		rng := rand.New(rand.NewPCG(uint64(c), 2))
		scan.Data = make([]float64, dims[0]*dims[1]*dims[2])
		for i := range scan.Data {
			if i%7 > 1 {
				scan.Data[i] = math.Round(100 + 400*rng.Float64())
			}
		}
		values = append(values, scan.Data...)
		images = append(images, path([]string{"p_t2w.nii", "p_adc.nii"}[c]))
		require.NoError(t, volume.Write(images[c], scan, volume.WriteOptions{Type: volume.Float32}))
	}
	writeArray(t, path("image.npy"), append([]int{2}, dims[:]...), values)
	for _, c := range []struct {
		scheme segment.Scheme
		rule   afl.PredictionRule
	}{{segment.Scheme{}, afl.SigmoidChannel1}, {segment.Scheme{}, afl.Argmax}, {classes, afl.Argmax}, {regions, afl.SigmoidPerChannel}} {
		file := path("w.safetensors")
		saveNetwork(t, file, c.scheme, c.rule, nil)
		code, _, errs := runPredict("-weights", file, "-image", strings.Join(images, ","), "-out", path("mask.nii"), "-backend", "portable")
		require.Equal(t, exitOK, code, errs)
		mask, err := volume.Read(path("mask.nii"))
		require.NoError(t, err)
		found := map[float64]int{}
		for _, v := range mask.Data {
			found[v]++
		}
		require.GreaterOrEqual(t, len(found), 2, "%v", found)

		code, text, errs := runExport("-weights", file, "-out", path("unet.onnx"), "-force")
		require.Equal(t, exitOK, code, errs)
		assert.Contains(t, text, "Spatial size X×Y×Z: any multiple of 2×4×4.")
		onnxtest.RunPython(t, python, dir, documentedScript(t))
		assert.Equal(t, mask.Data, readMask(t, path("mask.npy")), "%v, %v", c.scheme, c.rule)
	}
}

// writeArray writes values in NumPy's format.
func writeArray(t *testing.T, path string, shape []int, values []float64) {
	t.Helper()
	header := fmt.Sprintf("{'descr': '<f8', 'fortran_order': False, 'shape': (%s,)}", strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), ","), "[]"))
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	var raw bytes.Buffer
	raw.WriteString("\x93NUMPY\x01\x00")
	require.NoError(t, binary.Write(&raw, binary.LittleEndian, uint16(len(header))))
	raw.WriteString(header)
	require.NoError(t, binary.Write(&raw, binary.LittleEndian, values))
	require.NoError(t, os.WriteFile(path, raw.Bytes(), 0o600))
}

// readMask reads the labels that the documented program writes in NumPy's format.
func readMask(t *testing.T, path string) (labels []float64) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(raw[:128]), "'descr': '<u2', 'fortran_order': False")
	for values := raw[10+binary.LittleEndian.Uint16(raw[8:]):]; len(values) > 0; values = values[2:] {
		labels = append(labels, float64(binary.LittleEndian.Uint16(values)))
	}
	return labels
}
