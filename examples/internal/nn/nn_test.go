package nn_test

import (
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
)

func open(t *testing.T, dtype nn.DType) nn.Backend {
	t.Helper()
	b, err := portable.New(dtype)
	require.NoError(t, err)
	return b
}

func put(t *testing.T, b nn.Backend, values []float64, shape ...int) nn.Array {
	t.Helper()
	a, err := b.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)), nn.Step)
	require.NoError(t, err)
	return a
}

func get(t *testing.T, b nn.Backend, a nn.Array) []float64 {
	t.Helper()
	require.NotNil(t, a)
	d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
	require.NoError(t, b.ToHost(a, d))
	return d.Data().([]float64)
}

// TestTapeSumsGradients uses a value and a parameter several times.
func TestTapeSumsGradients(t *testing.T) {
	b := open(t, nn.Float64)
	build := nn.NewBuilder(b, 1)
	act := build.PReLU("a", 1)
	unused := build.PReLU("unused", 1)
	require.NoError(t, build.Initialize())

	tape := nn.NewTape(b, nn.Training, 0)
	x := tape.InputWithGrad(put(t, b, []float64{-2, 3}, 1, 1, 1, 1, 2))
	once, err := act.Forward(tape, x) // −0.5, 3
	require.NoError(t, err)
	twice, err := act.Forward(tape, once) // −0.125, 3
	require.NoError(t, err)
	sum, err := nn.Add(tape, twice, x)
	require.NoError(t, err)
	_, err = unused.Forward(tape, x)
	require.NoError(t, err)
	assert.Equal(t, []float64{-2.125, 6}, get(t, b, sum.Array()))

	_, err = tape.Grad(x)
	assert.ErrorContains(t, err, "before Backward")
	require.NoError(t, tape.Backward(sum, put(t, b, []float64{1, 10}, 1, 1, 1, 1, 2)))
	g, err := tape.Grad(x)
	require.NoError(t, err)
	// d/dx (a²x + x) = a² + 1 below zero, 2 above.
	assert.Equal(t, []float64{1.0625, 20}, get(t, b, g))
	// d/da (a²x) = 2ax.
	assert.Equal(t, []float64{2 * 0.25 * -2}, get(t, b, act.Slope.Grad))
	assert.Nil(t, unused.Slope.Grad, "the result does not depend on this parameter")

	sgd := nn.SGD{LearningRate: 1}
	require.NoError(t, sgd.Step(b, build.Parameters()))
	assert.Equal(t, []float64{1.25}, get(t, b, act.Slope.Value))
	assert.Equal(t, []float64{0.25}, get(t, b, unused.Slope.Value))
	assert.ErrorContains(t, sgd.Step(b, build.Parameters()), "no parameter has a gradient")
}

// counting is a backend that records the released arrays.
type counting struct {
	nn.Backend
	released map[nn.Array]bool
}

func (c counting) Release(a nn.Array) {
	c.released[a] = true
	c.Backend.Release(a)
}

// TestBackwardReleases checks that every value is released once it is no longer needed and
// not earlier, with values used twice, gradients shared by several inputs, and arrays that
// belong to the caller.
func TestBackwardReleases(t *testing.T) {
	b := counting{open(t, nn.Float64), map[nn.Array]bool{}}
	shape := []int{1, 1, 1, 1, 2}
	tape := nn.NewTape(b, nn.Training, 0)
	x := tape.InputWithGrad(put(t, b, []float64{-2, 3}, shape...))
	unwanted := tape.Input(put(t, b, []float64{5, 5}, shape...))
	var made []nn.Var
	record := func(v nn.Var, err error) nn.Var {
		require.NoError(t, err)
		made = append(made, v)
		return v
	}
	double := record(nn.Add(tape, x, x))
	mean := record(nn.Mean(tape, double, double, unwanted)) // (4x + 5)/3
	sum := record(nn.Add(tape, mean, double))               // (10x + 5)/3
	relu := record(nn.ReLU.Forward(tape, sum))
	last := record(nn.Add(tape, relu, mean))
	assert.Empty(t, b.released)
	gy := put(t, b, []float64{1, 10}, shape...)
	require.NoError(t, tape.Backward(last, gy))
	g, err := tape.Grad(x)
	require.NoError(t, err)
	assert.InDeltaSlice(t, []float64{4.0 / 3, 10 * 14.0 / 3}, get(t, b, g), 1e-12)
	for i, v := range made {
		assert.True(t, b.released[v.Array()], "value %d", i)
	}
	for _, a := range []nn.Array{gy, x.Array(), unwanted.Array(), g} {
		assert.False(t, b.released[a])
	}
	assert.Equal(t, []float64{1, 10}, get(t, b, gy))
}

// TestBackwardNeedsLittleMemory runs a long chain of layers, whose backward pass may use only
// a few more arrays than its forward pass.
func TestBackwardNeedsLittleMemory(t *testing.T) {
	const layers, size = 30, 1 << 15
	b := open(t, nn.Float64)
	tape := nn.NewTape(b, nn.Training, 0)
	values := make([]float64, size)
	x := tape.InputWithGrad(put(t, b, values, 1, 1, 1, 1, size))
	g := put(t, b, values, 1, 1, 1, 1, size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	y := x
	var err error
	for range layers {
		y, err = nn.ReLU.Forward(tape, y)
		require.NoError(t, err)
	}
	require.NoError(t, tape.Backward(y, g))
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*size*(layers+4)))
}

func TestTapeRejectsMisuse(t *testing.T) {
	b := open(t, nn.Float64)
	ones := func() nn.Array { return put(t, b, []float64{1, 1}, 1, 1, 1, 1, 2) }
	tape, other := nn.NewTape(b, nn.Training, 0), nn.NewTape(b, nn.Training, 0)
	x := tape.Input(ones())
	y, err := nn.ReLU.Forward(tape, x)
	require.NoError(t, err)
	foreign := other.Input(ones())
	_, err = nn.Add(tape, x, foreign)
	assert.ErrorContains(t, err, "another tape")
	assert.ErrorContains(t, tape.Backward(foreign, ones()), "another tape")
	assert.ErrorContains(t, tape.Backward(y, nil), "gy is nil")
	assert.ErrorContains(t, tape.Backward(y, put(t, b, []float64{1}, 1)), "shape")
	require.NoError(t, tape.Backward(y, ones()))
	assert.ErrorContains(t, tape.Backward(y, ones()), "already called")
	_, err = tape.Grad(x)
	assert.ErrorContains(t, err, "InputWithGrad")
	_, err = tape.Grad(foreign)
	assert.ErrorContains(t, err, "another tape")

	for name, f := range map[string]func() error{
		"zero Var": func() error { _, err := nn.ReLU.Forward(tape, nn.Var{}); return err },
		"add":      func() error { _, err := nn.Add(tape, x, nn.Var{}); return err },
		"concat":   func() error { _, err := nn.Concat(tape, x, nn.Var{}); return err },
		"nothing":  func() error { _, err := nn.Concat(tape); return err },
	} {
		assert.Error(t, f(), name)
	}

	inference := nn.NewTape(b, nn.Inference, 0)
	z, err := nn.ReLU.Forward(inference, inference.Input(ones()))
	require.NoError(t, err)
	assert.ErrorContains(t, inference.Backward(z, ones()), "inference")
}

// TestDropoutLayer checks that masks depend on the tape's seed and on the layer, and that
// there is no dropout in inference.
func TestDropoutLayer(t *testing.T) {
	b := open(t, nn.Float64)
	ones := make([]float64, 64)
	for i := range ones {
		ones[i] = 1
	}
	run := func(mode nn.Mode, seed uint64) (first, second []float64) {
		tape := nn.NewTape(b, mode, seed)
		x := tape.Input(put(t, b, ones, 1, 64, 1, 1, 1))
		layer := nn.Dropout3D{Probability: 0.5}
		y, err := layer.Forward(tape, x)
		require.NoError(t, err)
		z, err := layer.Forward(tape, x)
		require.NoError(t, err)
		return get(t, b, y.Array()), get(t, b, z.Array())
	}
	a0, a1 := run(nn.Training, 1)
	b0, b1 := run(nn.Training, 1)
	c0, _ := run(nn.Training, 2)
	assert.Equal(t, a0, b0)
	assert.Equal(t, a1, b1)
	assert.NotEqual(t, a0, a1)
	assert.NotEqual(t, a0, c0)
	plain, _ := run(nn.Inference, 1)
	assert.Equal(t, ones, plain)
}

// TestInitialValues checks the names and the distributions, and that a value depends only on
// seed and name.
func TestInitialValues(t *testing.T) {
	b := open(t, nn.Float64)
	build := nn.NewBuilder(b, 7)
	conv := build.Conv3D("c", 5, 40, [3]int{3, 3, 3}, nn.ConvSpec{}, true)
	up := build.ConvTranspose3D("u", 40, 5, [3]int{3, 3, 3}, nn.ConvSpec{}, false)
	norm := build.BatchNorm("n", 3)
	build.PReLU("p", 2)
	require.NoError(t, build.Initialize())
	assert.Nil(t, up.Bias)

	for _, p := range []*nn.Param{conv.Weight, conv.Bias, up.Weight} {
		// Both kernels have 5·27 values per first index.
		bound := 1 / math.Sqrt(5*27)
		values := get(t, b, p.Value)
		var sum, square, top float64
		for _, v := range values {
			sum += v
			square += v * v
			top = max(top, math.Abs(v))
		}
		n := float64(len(values))
		assert.LessOrEqual(t, top, bound, p.Name)
		assert.Greater(t, top, 0.9*bound, p.Name)
		assert.InDelta(t, 0, sum/n, 4*bound/math.Sqrt(3*n), p.Name)
		assert.InEpsilon(t, bound*bound/3, square/n, 4/math.Sqrt(n), p.Name)
	}
	assert.Equal(t, []float64{1, 1, 1}, get(t, b, norm.Weight.Value))
	assert.Equal(t, []float64{0, 0, 0}, get(t, b, norm.Bias.Value))
	assert.Equal(t, []float64{0, 0, 0}, get(t, b, norm.RunningMean.Value))
	assert.Equal(t, []float64{1, 1, 1}, get(t, b, norm.RunningVar.Value))

	again := nn.NewBuilder(b, 7)
	again.PReLU("p", 1)
	same := again.Conv3D("c", 5, 40, [3]int{3, 3, 3}, nn.ConvSpec{}, true)
	require.NoError(t, again.Initialize())
	seeded := nn.NewBuilder(b, 8)
	other := seeded.Conv3D("c", 5, 40, [3]int{3, 3, 3}, nn.ConvSpec{}, true)
	require.NoError(t, seeded.Initialize())
	assert.Equal(t, get(t, b, conv.Weight.Value), get(t, b, same.Weight.Value))
	assert.NotEqual(t, get(t, b, conv.Weight.Value), get(t, b, other.Weight.Value))

	var names []string
	for _, p := range build.Parameters() {
		names = append(names, p.Name)
	}
	for _, f := range build.Buffers() {
		names = append(names, f.Name)
	}
	assert.Equal(t, []string{"c.weight", "c.bias", "u.weight", "n.weight", "n.bias", "p.weight",
		"n.running_mean", "n.running_var", "n.num_batches_tracked"}, names)
}

// built is a Network with the parameters and buffers of a Builder. Its other methods must not
// be called.
type built struct {
	nn.Network
	builder *nn.Builder
}

func (n built) Parameters() []*nn.Param { return n.builder.Parameters() }
func (n built) Buffers() []*nn.Buffer   { return n.builder.Buffers() }

func TestCountParameters(t *testing.T) {
	build := nn.NewBuilder(open(t, nn.Float32), 1)
	assert.Zero(t, nn.CountParameters(built{builder: build}))
	build.Conv3D("c", 3, 5, [3]int{3, 1, 2}, nn.ConvSpec{}, true)
	build.BatchNorm("n", 5)
	require.NoError(t, build.Err())
	assert.Equal(t, 3*5*3*1*2+5+5+5, nn.CountParameters(built{builder: build}), "running statistics are not parameters")
}

func TestBuilderReturnsTheFirstError(t *testing.T) {
	b := open(t, nn.Float32)
	build := nn.NewBuilder(b, 1)
	build.PReLU("a", 1)
	build.PReLU("a", 1)
	build.BatchNorm("n", 0)
	assert.ErrorContains(t, build.Err(), `"a.weight"`)
	build = nn.NewBuilder(b, 1)
	build.Conv3D("c", 3, 0, [3]int{3, 3, 3}, nn.ConvSpec{}, true)
	assert.ErrorContains(t, build.Err(), "shape [0 3 3 3 3]")
	build = nn.NewBuilder(b, 1)
	want := errors.New("wrong")
	build.Fail(want)
	build.Fail(errors.New("later"))
	assert.Equal(t, want, build.Err())
}

func TestSGDRejectsInvalidSettings(t *testing.T) {
	b := open(t, nn.Float32)
	for want, s := range map[string]nn.SGD{
		"learning rate": {LearningRate: math.NaN()},
		"momentum":      {LearningRate: 1, Momentum: 1},
		"weight decay":  {LearningRate: 1, WeightDecay: -1},
		"Nesterov":      {LearningRate: 1, Nesterov: true},
	} {
		assert.ErrorContains(t, s.Step(b, nil), want)
	}
}
