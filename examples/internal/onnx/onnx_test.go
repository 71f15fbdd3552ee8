package onnx_test

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
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

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/onnx"
	"github.com/x/afl/examples/internal/onnx/onnxtest"
)

// networks are the eight of the paper and variants with every other norm, activation and way
// of resampling, all of small width.
var networks = []models.Architecture{
	models.UNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {2, 1, 2}}, ResUnits: 2, Norm: models.BatchNorm},
	models.AttUNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {1, 2, 2}}},
	models.RegUNet{Width: 3, Depth: 2, Levels: []int{2, 0}},
	models.R2UNet{Channels: []int{3, 4}, Steps: 2},
	models.ResNetUNet{Width: 2, Strides: [][3]int{{2, 1, 2}, {1, 2, 2}, {1, 1, 1}, {2, 1, 1}, {1, 3, 1}}, Decoder: []int{6, 5, 4, 3, 2}},
	models.SegResNet{Width: 4, BlocksDown: []int{1, 2}, BlocksUp: []int{1}, Groups: 2},
	models.VNet{Width: 3},
	models.MRRN{Width: 3},

	models.UNet{Channels: []int{4, 6}, Strides: [][3]int{{2, 2, 2}}, Kernel: [3]int{1, 3, 5}, UpKernel: [3]int{5, 3, 3}, Norm: models.InstanceNorm, Activation: "elu:0.3", Order: "AN", NoBias: true},
	models.UNet{Channels: []int{4, 6}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.InstanceNormAffine, Activation: "leaky_relu:0.2"},
	models.RegUNet{Width: 3, Depth: 1, Levels: []int{1, 0}, Kernels: []int{5, 1}, HeadActivation: models.PReLU},
	models.PlainUNet{Width: 2},
	models.SegResNet{Width: 4, BlocksDown: []int{1, 2}, BlocksUp: []int{1}, Norm: models.BatchNorm, Activation: "elu:2", Deconv: true},
	models.VNet{Width: 3, MONAI: true, Activation: models.PReLUPerChannel, Bias: true},
}

// channels is the number of input channels; a VNet repeats them to a width that they do not
// divide.
const channels = 3

// build returns a network with the given state.
func build(a models.Architecture, b nn.Backend, state map[string]*tensor.Dense) (nn.Network, error) {
	net, err := models.NewUninitialized(models.Config{Architecture: a, InChannels: channels}, b, 0)
	if err != nil {
		return nil, err
	}
	return net, nn.LoadStateDict(b, net, state)
}

// stateOf returns a state in which no parameter or statistic has its initial value.
func stateOf(t *testing.T, a models.Architecture, b nn.Backend) map[string]*tensor.Dense {
	t.Helper()
	net, err := models.New(models.Config{Architecture: a, InChannels: channels}, b, 7)
	require.NoError(t, err)
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	for name, value := range state {
		rng := rand.New(rand.NewPCG(1, uint64(len(name))))
		if values, ok := value.Data().([]float32); ok {
			for i := range values {
				values[i] = values[i]*(0.75+rng.Float32()/2) + 0.2*(rng.Float32()-0.5)
			}
		}
	}
	return state
}

// noise returns a tensor of random values.
func noise(seed uint64, shape ...int) *tensor.Dense {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	values := x.Data().([]float32)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return x
}

// forward returns the logits of a network.
func forward(t *testing.T, b nn.Backend, net nn.Network, image *tensor.Dense) *tensor.Dense {
	t.Helper()
	x, err := b.FromHost(image, nn.Step)
	require.NoError(t, err)
	tape := nn.NewTape(b, nn.Inference, 0)
	y, err := net.Forward(tape, tape.Input(x))
	require.NoError(t, err)
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...))
	require.NoError(t, b.ToHost(y.Array(), out))
	b.EndStep()
	return out
}

// tolerance is the difference of logits, relative to the largest, that rounding can explain.
const tolerance = 3e-5

// requireSame compares logits, and the masks that both prediction rules of two channels make
// of them except where the logits decide by less than they may differ.
func requireSame(t *testing.T, want *tensor.Dense, got []float32) {
	t.Helper()
	w := want.Data().([]float32)
	require.Len(t, got, len(w))
	largest, difference := 0.0, 0.0
	for i := range w {
		largest = max(largest, math.Abs(float64(w[i])))
		difference = max(difference, math.Abs(float64(w[i]-got[i])))
	}
	require.Greater(t, largest, 0.0)
	require.LessOrEqual(t, difference/largest, tolerance)
	voxels := nn.Elements(want.Shape()[2:])
	foreground, changed, undecided := 0, 0, 0
	for i := range w {
		if i/voxels%2 == 0 {
			continue
		}
		for _, decide := range []func(values []float32) float32{
			func(v []float32) float32 { return v[i] },
			func(v []float32) float32 { return v[i] - v[i-voxels] },
		} {
			a, b := decide(w), decide(got)
			if a > 0 {
				foreground++
			}
			if math.Abs(float64(a)) < 2*tolerance*largest {
				undecided++
			} else if (a > 0) != (b > 0) {
				changed++
			}
		}
	}
	assert.Zero(t, changed)
	assert.Less(t, undecided, len(w)/100+8)
	assert.Greater(t, foreground, 0)
}

// written is a model and what it must compute.
type written struct {
	name    string
	options onnx.Options
	raw     []byte
	image   *tensor.Dense
	logits  *tensor.Dense
}

// writeAll records every network, of a fixed and of an open size, and evaluates it on two
// samples.
func writeAll(t *testing.T) []written {
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	var all []written
	for i, a := range networks {
		state := stateOf(t, a, b)
		net, err := build(a, b, state)
		require.NoError(t, err)
		size := nn.SizeMultiple(net)
		for axis := range size {
			factors := []int{1, 3, 5}
			if size[axis] > 8 {
				factors = []int{1, 2, 1}
			}
			size[axis] *= factors[(i+axis)%3]
		}
		image := noise(uint64(i), 2, channels, size[0], size[1], size[2])
		logits := forward(t, b, net, image)
		for _, dynamic := range []bool{false, true} {
			o := onnx.Options{Channels: channels, Size: size, Dynamic: dynamic, Version: "v1", Metadata: map[string]string{"network": a.Name(), "µ": "\"×\""}}
			if dynamic {
				o.Size = nn.SizeMultiple(net)
				for axis := range o.Size {
					o.Size[axis] *= 2
				}
			}
			model, err := onnx.Record(func(b nn.Backend) (nn.Network, error) { return build(a, b, state) }, o)
			require.NoError(t, err)
			var raw bytes.Buffer
			require.NoError(t, model.Encode(&raw))
			assert.EqualValues(t, raw.Len(), model.Bytes())
			all = append(all, written{fmt.Sprintf("%d %s, dynamic %v", i, a.Name(), dynamic), o, raw.Bytes(), image, logits})
		}
	}
	return all
}

// TestNetworks reads and evaluates the model of every network, and runs it in onnxruntime.
func TestNetworks(t *testing.T) {
	all := writeAll(t)
	var fixed *onnxtest.Model // of the network, before that of an open size
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			m, err := onnxtest.Read(w.raw)
			require.NoError(t, err)
			w.checkDescription(t, m)
			checkGraph(t, m)
			if w.options.Dynamic {
				assert.Equal(t, fixed.Graph.Nodes, m.Graph.Nodes)
				assert.Equal(t, fixed.Graph.Initializers, m.Graph.Initializers)
				return
			}
			fixed = m
			got, err := m.Evaluate(w.image)
			require.NoError(t, err)
			requireSame(t, w.logits, got.Data().([]float32))
		})
	}
	t.Run("onnxruntime", func(t *testing.T) { runAll(t, onnxtest.Python(t), all) })
}

// dims returns the shape that a model states.
func (w *written) dims(channels string) []string {
	dims := []string{"N", channels, "X", "Y", "Z"}
	if !w.options.Dynamic {
		for axis, n := range w.options.Size {
			dims[2+axis] = fmt.Sprint(n)
		}
	}
	return dims
}

func (w *written) checkDescription(t *testing.T, m *onnxtest.Model) {
	assert.EqualValues(t, 17, m.Opset)
	assert.EqualValues(t, 8, m.IRVersion)
	assert.Equal(t, []string{"afl", "v1"}, []string{m.Producer, m.Version})
	assert.Equal(t, w.options.Metadata, m.Metadata)
	assert.Equal(t, []onnxtest.Value{{Name: "image", Dims: w.dims("3")}}, m.Graph.Inputs)
	assert.Equal(t, []onnxtest.Value{{Name: "logits", Dims: w.dims("2")}}, m.Graph.Outputs)
}

// checkGraph checks that every name is given once, before its first use, and that every
// constant is used and finite.
func checkGraph(t *testing.T, m *onnxtest.Model) {
	known, used := map[string]bool{"image": true, "": true}, map[string]bool{}
	for name, tensor := range m.Graph.Initializers {
		known[name] = true
		for _, v := range tensor.Floats {
			require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0), name)
		}
	}
	for _, n := range m.Graph.Nodes {
		for _, in := range n.Inputs {
			require.True(t, known[in], "%s: %q", n.Name, in)
			used[in] = true
		}
		require.Len(t, n.Outputs, 1)
		require.False(t, known[n.Outputs[0]], "%s", n.Outputs)
		known[n.Outputs[0]] = true
		assert.NotContains(t, []string{"Dropout", "Identity"}, n.Op)
	}
	for name := range m.Graph.Initializers {
		assert.True(t, used[name], "%s", name)
	}
	assert.True(t, known["logits"])
}

//go:embed testdata/run.py
var script string

// runAll compares the logits of onnxruntime with ours, and what it reads of the models with
// what they should say.
func runAll(t *testing.T, python string, all []written) {
	type job struct {
		Model  string `json:"model"`
		Image  string `json:"image"`
		Shape  []int  `json:"shape"`
		Logits string `json:"logits"`
	}
	dir := t.TempDir()
	var jobs []job
	for i, w := range all {
		path := func(kind string) string { return filepath.Join(dir, fmt.Sprintf("%d.%s", i, kind)) }
		j := job{path("onnx"), path("image"), w.image.Shape(), path("logits")}
		require.NoError(t, os.WriteFile(j.Model, w.raw, 0o600))
		var raw bytes.Buffer
		require.NoError(t, binary.Write(&raw, binary.LittleEndian, w.image.Data()))
		require.NoError(t, os.WriteFile(j.Image, raw.Bytes(), 0o600))
		jobs = append(jobs, j)
	}
	list, err := json.Marshal(jobs)
	require.NoError(t, err)
	var answers []struct {
		Input, Output []any
		Shape         []int
		Producer      string
		Metadata      map[string]string
		Checked       bool
	}
	out := onnxtest.RunPython(t, python, dir, script, string(list))
	require.NoError(t, json.Unmarshal([]byte(out), &answers), "%s", out)
	require.Len(t, answers, len(all))
	for i, w := range all {
		a := answers[i]
		assert.Equal(t, strings.Join(w.dims("3"), " "), strings.Trim(fmt.Sprint(a.Input), "[]"))
		assert.Equal(t, strings.Join(w.dims("2"), " "), strings.Trim(fmt.Sprint(a.Output), "[]"))
		assert.Equal(t, []int(w.logits.Shape()), a.Shape)
		assert.Equal(t, "afl", a.Producer)
		assert.Equal(t, w.options.Metadata, a.Metadata)
		raw, err := os.ReadFile(jobs[i].Logits)
		require.NoError(t, err)
		got := make([]float32, len(raw)/4)
		require.NoError(t, binary.Read(bytes.NewReader(raw), binary.LittleEndian, got))
		t.Run(w.name, func(t *testing.T) { requireSame(t, w.logits, got) })
	}
	t.Logf("%d runs in onnxruntime, checked by package onnx: %v", len(all), answers[0].Checked)
}
