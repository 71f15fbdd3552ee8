package models_test

import (
	"math"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/weights"
)

func newBackend(t *testing.T, dtype nn.DType) nn.Backend {
	t.Helper()
	b, err := portable.New(dtype)
	require.NoError(t, err)
	return b
}

// TestUNetDefaults checks the published parameter counts for the default widths.
func TestUNetDefaults(t *testing.T) {
	for in, want := range map[int]int{3: 4_810_645, 4: 4_811_509} {
		b := newBackend(t, nn.Float32)
		net, err := models.New(models.Config{Architecture: models.NewUNet(), InChannels: in}, b, 1)
		require.NoError(t, err)
		count := 0
		for _, p := range net.Parameters() {
			n := 1
			for _, d := range p.Value.Shape() {
				n *= d
			}
			count += n
		}
		assert.Equal(t, want, count)
		state, err := nn.StateDict(b, net)
		require.NoError(t, err)
		assert.Len(t, state, 148)
	}
}

func TestUNetCheckSize(t *testing.T) {
	b := newBackend(t, nn.Float32)
	net, err := models.New(models.Config{Architecture: models.NewUNet(), InChannels: 1}, b, 1)
	require.NoError(t, err)
	assert.NoError(t, net.CheckSize([3]int{16, 32, 48}))
	for _, size := range [][3]int{{16, 16, 24}, {0, 16, 16}, {8, 16, 16}, {16, -16, 16}} {
		var sizeErr *nn.SizeError
		require.ErrorAs(t, net.CheckSize(size), &sizeErr)
		assert.Equal(t, [3]int{16, 16, 16}, sizeErr.Multiple)
		assert.Equal(t, size, sizeErr.Size)
		assert.ErrorContains(t, sizeErr, "multiple of 16×16×16")
	}
	x, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 1, 16, 16, 24)), nn.Step)
	require.NoError(t, err)
	tape := nn.NewTape(b, nn.Inference, 0)
	_, err = net.Forward(tape, tape.Input(x))
	var sizeErr *nn.SizeError
	assert.ErrorAs(t, err, &sizeErr)

	uneven, err := models.New(small([]int{4, 8, 16, 16}, [3]int{2, 2, 2}, [3]int{2, 2, 1}, [3]int{3, 1, 1}), b, 1)
	require.NoError(t, err)
	assert.NoError(t, uneven.CheckSize([3]int{12, 4, 2}))
	_, err = uneven.Forward(tape, nn.Var{})
	assert.ErrorContains(t, err, "x is nil")
	assert.Error(t, uneven.CheckSize([3]int{8, 4, 2}))
}

// small returns a UNet for one input channel.
func small(channels []int, strides ...[3]int) models.Config {
	u := models.UNet{Channels: channels, Strides: strides, ResUnits: 2, Norm: models.BatchNorm}
	return models.Config{Architecture: u, InChannels: 1}
}

func TestStateIsCheckedCompletely(t *testing.T) {
	b := newBackend(t, nn.Float32)
	cfg := small([]int{2, 3}, [3]int{2, 2, 2})
	net, err := models.New(cfg, b, 1)
	require.NoError(t, err)
	before, err := nn.StateDict(b, net)
	require.NoError(t, err)
	for want, spoil := range map[string]func(s map[string]*tensor.Dense){
		"1 missing: model.0.residual.bias": func(s map[string]*tensor.Dense) { delete(s, "model.0.residual.bias") },
		"1 not in the network: extra":      func(s map[string]*tensor.Dense) { s["extra"] = s["model.0.residual.bias"] },
		"want floating point of shape [2]": func(s map[string]*tensor.Dense) { s["model.0.residual.bias"] = s["model.0.residual.weight"] },
		"is nil":                           func(s map[string]*tensor.Dense) { s["model.2.0.conv.bias"] = nil },
		"want a single int64": func(s map[string]*tensor.Dense) {
			s["model.2.0.adn.N.num_batches_tracked"] = s["model.0.residual.bias"]
		},
	} {
		state := nntest.HashState(net, 3)
		spoil(state)
		assert.ErrorContains(t, nn.LoadStateDict(b, net, state), want)
		after, err := nn.StateDict(b, net)
		require.NoError(t, err)
		assert.Equal(t, before, after, "a failed load changes nothing")
	}

	// The error reports all differences at once, and shortens long lists.
	state := nntest.HashState(net, 3)
	wider := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(3))
	delete(state, "model.2.0.conv.weight")
	state["model.2.0.conv.bias"], state["model.0.residual.bias"] = wider, wider
	for _, name := range []string{"g", "a", "b", "c", "d", "e", "f"} {
		state[name] = wider
	}
	err = nn.LoadStateDict(b, net, state)
	var differs *nn.StateError
	require.ErrorAs(t, err, &differs)
	assert.Equal(t, []string{"model.2.0.conv.weight"}, differs.Missing)
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "f", "g"}, differs.Extra)
	assert.Len(t, differs.Misfit, 2)
	assert.EqualError(t, err, "nn: the state does not fit the network: 1 missing: model.2.0.conv.weight; "+
		"7 not in the network: a, b, c, d, e, f and 1 more; "+
		"2 of the wrong shape or type: model.0.residual.bias is float32 of shape [3], want floating point of shape [2], "+
		"model.2.0.conv.bias is float32 of shape [3], want floating point of shape [2]")
}

// trainSteps runs the given training steps on data that depends only on the step.
func trainSteps(t *testing.T, b nn.Backend, net nn.Network, opt nn.Optimizer, from, to int) {
	t.Helper()
	for step := from; step < to; step++ {
		host := func(name string, shape ...int) nn.Array {
			n := 1
			for _, d := range shape {
				n *= d
			}
			a, err := b.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(nntest.HashValues(name, n, uint64(step)))), nn.Step)
			require.NoError(t, err)
			return a
		}
		tape := nn.NewTape(b, nn.Training, uint64(step))
		y, err := net.Forward(tape, tape.Input(host("x", 2, 1, 8, 6, 10)))
		require.NoError(t, err)
		require.NoError(t, tape.Backward(y, host("g", 2, 2, 8, 6, 10)))
		require.NoError(t, opt.Step(b, net.Parameters()))
		b.EndStep()
	}
}

// TestResume stops a run after three steps, saves its state to files, loads them into a new
// network on a new backend, and requires results bit-identical to the uninterrupted run.
func TestResume(t *testing.T) {
	t.Run("SGD", func(t *testing.T) {
		resume(t, 1, func() nn.Optimizer {
			return &nn.SGD{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 1e-4, Nesterov: true}
		})
	})
	t.Run("AdamW", func(t *testing.T) { resume(t, 3, func() nn.Optimizer { return nn.NewAdamW(0.01) }) })
}

// resume tests an optimizer with the given number of tensors per parameter in its state.
func resume(t *testing.T, each int, optimizer func() nn.Optimizer) {
	cfg := small([]int{3, 5}, [3]int{2, 2, 2})
	start := func(seed uint64) (nn.Backend, nn.Network) {
		b := newBackend(t, nn.Float32)
		net, err := models.New(cfg, b, seed)
		require.NoError(t, err)
		return b, net
	}
	b, net := start(1)
	opt := optimizer()
	trainSteps(t, b, net, opt, 0, 3)
	dir := t.TempDir()
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	require.NoError(t, weights.Save(filepath.Join(dir, "net"), state, nil))
	moments, err := opt.StateDict(b)
	require.NoError(t, err)
	require.Len(t, moments, each*len(net.Parameters()))
	require.NoError(t, weights.Save(filepath.Join(dir, "optimizer"), moments, nil))
	trainSteps(t, b, net, opt, 3, 6)
	want, err := nn.StateDict(b, net)
	require.NoError(t, err)

	b2, net2 := start(2)
	opt2 := optimizer()
	state, _, err = weights.Load(filepath.Join(dir, "net"))
	require.NoError(t, err)
	require.NoError(t, nn.LoadStateDict(b2, net2, state))
	moments, _, err = weights.Load(filepath.Join(dir, "optimizer"))
	require.NoError(t, err)
	require.NoError(t, opt2.LoadStateDict(b2, net2.Parameters(), moments))
	trainSteps(t, b2, net2, opt2, 3, 6)
	got, err := nn.StateDict(b2, net2)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for name := range want {
		require.Equal(t, bits(want[name]), bits(got[name]), name)
	}
}

func bits(t *tensor.Dense) any {
	if values, ok := t.Data().([]float32); ok {
		words := make([]uint32, len(values))
		for i, v := range values {
			words[i] = math.Float32bits(v)
		}
		return words
	}
	return t.Data()
}

// TestStepsReuseMemory checks that later steps allocate only a small fraction of what the
// first step did.
func TestStepsReuseMemory(t *testing.T) {
	b := newBackend(t, nn.Float32)
	net, err := models.New(small([]int{8, 8}, [3]int{2, 2, 2}), b, 1)
	require.NoError(t, err)
	x := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 1, 32, 32, 32))
	g := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 32, 32, 32))
	sgd := nn.SGD{LearningRate: 0.1, Momentum: 0.9}
	step := func() uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		in, err := b.FromHost(x, nn.Step)
		require.NoError(t, err)
		tape := nn.NewTape(b, nn.Training, 1)
		y, err := net.Forward(tape, tape.Input(in))
		require.NoError(t, err)
		gy, err := b.FromHost(g, nn.Step)
		require.NoError(t, err)
		require.NoError(t, tape.Backward(y, gy))
		require.NoError(t, sgd.Step(b, net.Parameters()))
		b.EndStep()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	first := step()
	for range 3 {
		assert.Less(t, step(), first/20)
	}
	t.Logf("first step %d bytes, a later one %d", first, step())
}
