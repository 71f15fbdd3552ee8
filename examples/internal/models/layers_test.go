package models

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/internal/golden"
)

// TestLayersGolden compares the attention gate and the loss with the reference's layer file.
// The backends' own tests compare the single operations in it.
func TestLayersGolden(t *testing.T) {
	dir, _, err := golden.Dir("models")
	require.NoError(t, err)
	file, err := golden.Read(filepath.Join(dir, "layers.safetensors"))
	require.NoError(t, err)
	var cases map[string]layerCase
	require.NoError(t, json.Unmarshal([]byte(file.Metadata["cases"]), &cases))
	done := 0
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		c.name, c.file = name, file
		switch c.Op {
		case "attention_gate":
			t.Run(name, func(t *testing.T) { c.attention(t) })
		case "afl_released":
			t.Run(name, func(t *testing.T) { c.loss(t) })
		default:
			continue
		}
		done++
	}
	require.Equal(t, 3, done)
	t.Logf("%d layer cases compared", done)
}

// layerCase is a case of the file.
type layerCase struct {
	Op      string    `json:"op"`
	Inner   int       `json:"f_int"`
	Gamma   float64   `json:"gamma"`
	Weights []float64 `json:"class_weights"`

	name string
	file *golden.File
}

func (c layerCase) tensor(t *testing.T, name string) golden.Tensor {
	t.Helper()
	g, ok := c.file.Tensors[c.name+"/"+name]
	require.True(t, ok, name)
	return g
}

func dense(g golden.Tensor) *tensor.Dense {
	return tensor.New(tensor.WithShape(g.Shape...), tensor.WithBacking(slices.Clone(g.Data)))
}

func (c layerCase) attention(t *testing.T) {
	b, err := portable.New(nn.Float64)
	require.NoError(t, err)
	array := func(name string) nn.Array {
		a, err := b.FromHost(dense(c.tensor(t, name)), nn.Step)
		require.NoError(t, err)
		return a
	}
	requireClose := func(name string, got nn.Array, tolerance float64) {
		t.Helper()
		require.NotNil(t, got, name)
		d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(got.Shape()...))
		require.NoError(t, b.ToHost(got, d))
		require.LessOrEqual(t, nntest.RelativeError(c.tensor(t, name).Data, d.Data().([]float64)), tolerance, name)
	}
	build := nn.NewBuilder(b, 1)
	gate := newAttentionGate(build, "", c.tensor(t, "x").Shape[1], c.Inner)
	require.NoError(t, build.Err())
	state := map[string]*tensor.Dense{}
	for full, g := range c.file.Tensors {
		if name, ok := strings.CutPrefix(full, c.name+"/state:"); ok {
			state[name] = dense(g)
			if g.DType == "I64" {
				state[name] = tensor.New(tensor.FromScalar(int64(g.Data[0])))
			}
		}
	}
	net := &network{Builder: build}
	require.NoError(t, nn.LoadStateDict(b, net, state))

	tape := nn.NewTape(b, nn.Training, 0)
	g, x := tape.InputWithGrad(array("g")), tape.InputWithGrad(array("x"))
	y, err := gate.forward(tape, g, x)
	require.NoError(t, err)
	requireClose("y", y.Array(), 1e-12)
	require.NoError(t, tape.Backward(y, array("gout")))
	for name, v := range map[string]nn.Var{"gg": g, "gx": x} {
		grad, err := tape.Grad(v)
		require.NoError(t, err)
		requireClose(name, grad, 1e-10)
	}
	for _, p := range net.Parameters() {
		if strings.HasSuffix(p.Name, ".0.conv.bias") {
			// Exactly zero except for rounding, because a batch norm follows.
			d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(p.Grad.Shape()...))
			require.NoError(t, b.ToHost(p.Grad, d))
			for _, v := range d.Data().([]float64) {
				assert.InDelta(t, 0, v, 1e-13, p.Name)
			}
			continue
		}
		requireClose("gstate:"+p.Name, p.Grad, 1e-10)
	}
}

// loss compares the released adaptive focal loss for given γ and class weights, with which
// it is a weighted focal loss.
func (c layerCase) loss(t *testing.T) {
	label := c.tensor(t, "label")
	loss := afl.NewFocal()
	loss.Gamma, loss.Weight = []float64{c.Gamma}, c.Weights
	target := tensor.New(tensor.WithShape(label.Shape...), tensor.WithBacking(label.Uint8()))
	value, grad, err := afl.Grad(loss, dense(c.tensor(t, "x")), target)
	require.NoError(t, err)
	assert.InEpsilon(t, c.tensor(t, "loss").Data[0], value, 1e-12)
	assert.LessOrEqual(t, nntest.RelativeError(c.tensor(t, "gx").Data, grad.Data().([]float64)), 1e-10)
}
