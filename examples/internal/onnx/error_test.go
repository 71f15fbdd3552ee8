package onnx_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
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

// chain is a network that is a function of its input, after a convolution.
type chain struct {
	*nn.Builder
	conv nn.Layer
	then func(t *nn.Tape, x nn.Var) (nn.Var, error)
}

func (c chain) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, err := c.conv.Forward(t, x)
	if err != nil {
		return y, err
	}
	return c.then(t, y)
}

func (chain) CheckSize([3]int) error { return nil }

// recordChain records a chain, named by the name of its convolution.
func recordChain(name string, dynamic bool, then func(t *nn.Tape, x nn.Var) (nn.Var, error)) (*onnx.Model, error) {
	return onnx.Record(func(b nn.Backend) (nn.Network, error) {
		build := nn.NewBuilder(b, 1)
		conv := build.Conv3D(name, 1, 4, [3]int{1, 1, 1}, nn.ConvSpec{}, true)
		return chain{build, conv, then}, build.Initialize()
	}, onnx.Options{Channels: 1, Size: [3]int{2, 3, 4}, Dynamic: dynamic})
}

// operation applies an operation of the backend that takes one array.
func operation(f func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error)) func(t *nn.Tape, x nn.Var) (nn.Var, error) {
	return func(t *nn.Tape, x nn.Var) (nn.Var, error) {
		y, pullback, err := f(t.Backend(), x.Array())
		if err != nil {
			return nn.Var{}, err
		}
		return t.Record(y, pullback, x)
	}
}

// TestRejectedOperations records operations that have no operator or that belong to training.
func TestRejectedOperations(t *testing.T) {
	other, err := portable.New(nn.Float32)
	require.NoError(t, err)
	foreign, err := other.Zeros([]int{1, 4, 2, 3, 4})
	require.NoError(t, err)
	for want, op := range map[string]func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error){
		"Activate: there is no operator for Activation(9)": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.Activate(x, 9) },
		"Resize: there is no operator for ResizeMode(9)": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.Resize(x, [3]int{4, 6, 8}, 9)
		},
		"Resize: from [2 3 4] to [3 3 4] voxels; only whole factors": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.Resize(x, [3]int{3, 3, 4}, nn.Linear)
		},
		"Dropout3D belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.Dropout3D(x, 0.5, 1) },
		"BatchNorm with statistics of the batch belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.BatchNorm(x, nil, nil, nil, nil, nn.BatchNormSpec{Training: true})
		},
		"SumOfSquares belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			_, err := b.SumOfSquares(x)
			return nil, nil, err
		},
		"Scale belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			y, err := b.Scale(x, 2)
			return y, nil, err
		},
		"SGDStep belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return nil, nil, b.SGDStep(x, x, x, true, nn.SGDSpec{})
		},
		"AdamWStep belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return nil, nil, b.AdamWStep(x, x, x, x, nn.AdamWSpec{})
		},
		"a gradient belongs to training": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			y, pullback, err := b.Add(x, x)
			if err == nil {
				_, err = pullback(y, []bool{true, true})
			}
			return y, nil, err
		},
		"ToHost: only parameters and buffers have values": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return nil, nil, b.ToHost(x, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(x.Shape()...)))
		},
		"Add: b belongs to another backend": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.Add(x, foreign) },
		"Add: b is nil":                     func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.Add(x, nil) },
		"Conv3D: weight is computed by the network": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			y, _, err := b.Resize(x, [3]int{2, 3, 4}, nn.Nearest)
			if err != nil {
				return nil, nil, err
			}
			return b.Conv3D(x, y, nil, nn.ConvSpec{})
		},
		"GroupNorm: 4 channels cannot be divided into 3 groups": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.GroupNorm(x, nil, nil, 3, 1e-5)
		},
		"MaxPool3D: kernel [5 5 5] does not fit": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.MaxPool3D(x, nn.PoolSpec{Kernel: [3]int{5, 5, 5}})
		},
		"Concat: there are no arrays":      func(b nn.Backend, _ nn.Array) (nn.Array, nn.Pullback, error) { return b.Concat() },
		"Mean: there are no arrays":        func(b nn.Backend, _ nn.Array) (nn.Array, nn.Pullback, error) { return b.Mean() },
		"RepeatChannels: channels is 3":    func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.RepeatChannels(x, 3) },
		"Gate: gate has shape [1 4 2 3 4]": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.Gate(x, x) },
		"PReLU: slope is computed by the":  func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) { return b.PReLU(x, x) },
		"maps shape [1 1 2 3 4] to [1 4 4 ": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.Resize(x, [3]int{4, 6, 8}, nn.Linear)
		},
		"result does not depend on its inp": func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			y, err := b.Zeros(x.Shape())
			return y, nil, err
		},
	} {
		_, err := recordChain("conv", false, operation(op))
		assert.ErrorContains(t, err, want)
		if err != nil {
			assert.ErrorContains(t, err, "onnx: ")
		}
	}
}

// TestSizeDependence records a network whose operations depend on the size or on the number
// of samples.
func TestSizeDependence(t *testing.T) {
	channelsBy := func(axis int) func(t *nn.Tape, x nn.Var) (nn.Var, error) {
		return operation(func(b nn.Backend, x nn.Array) (nn.Array, nn.Pullback, error) {
			return b.RepeatChannels(x, 4*x.Shape()[axis])
		})
	}
	_, err := recordChain("conv", false, channelsBy(2))
	assert.NoError(t, err)
	_, err = recordChain("conv", true, channelsBy(2))
	assert.ErrorContains(t, err, "onnx: node logits depends on the size, which can therefore not be left open")
	_, err = recordChain("conv", false, channelsBy(0))
	assert.ErrorContains(t, err, "depends on the number of samples")
}

// TestRejectedWeights loads weights that are not finite or do not fit.
func TestRejectedWeights(t *testing.T) {
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	a := networks[0]
	record := func(change func(state map[string]*tensor.Dense)) error {
		state := stateOf(t, a, b)
		change(state)
		_, err := onnx.Record(func(b nn.Backend) (nn.Network, error) { return build(a, b, state) },
			onnx.Options{Channels: channels, Size: [3]int{4, 4, 4}})
		return err
	}
	set := func(name string, value float32) func(state map[string]*tensor.Dense) {
		return func(state map[string]*tensor.Dense) { state[name].Data().([]float32)[1] = value }
	}
	const weight, norm = "model.0.conv.unit0.conv.weight", "model.0.conv.unit0.adn.N."
	require.NoError(t, record(func(map[string]*tensor.Dense) {}))
	assert.ErrorContains(t, record(set(weight, float32(math.NaN()))), "onnx: "+weight+" has the value NaN at index 1")
	assert.ErrorContains(t, record(set(norm+"running_mean", float32(math.Inf(-1)))), norm+"running_mean has the value -Inf")
	assert.ErrorContains(t, record(set(norm+"running_var", -1)), norm+"running_var is -1 in channel 1")
	assert.ErrorContains(t, record(func(state map[string]*tensor.Dense) { delete(state, weight) }), "1 missing: "+weight)
	assert.ErrorContains(t, record(func(state map[string]*tensor.Dense) {
		state[weight] = tensor.New(tensor.WithShape(1), tensor.WithBacking([]float64{1e300}))
	}), "of the wrong shape")

	load := func(b nn.Backend) (nn.Network, error) { return build(a, b, stateOf(t, a, b)) }
	_, err = onnx.Record(load, onnx.Options{Channels: 2, Size: [3]int{4, 4, 4}})
	assert.ErrorContains(t, err, "Conv3D: x has 2 channels, want those of the weight, 3")
	_, err = onnx.Record(load, onnx.Options{Channels: channels, Size: [3]int{4, 5, 4}})
	assert.ErrorContains(t, err, "must be a positive multiple")
	_, err = onnx.Record(load, onnx.Options{Channels: channels, Size: [3]int{4, 4, 4}, Metadata: map[string]string{"a": "\xff"}})
	assert.ErrorContains(t, err, "not valid UTF-8")
	_, err = onnx.Record(func(b nn.Backend) (nn.Network, error) {
		return models.NewUninitialized(models.Config{Architecture: a, InChannels: channels}, b, 0)
	}, onnx.Options{Channels: channels, Size: [3]int{4, 4, 4}})
	assert.ErrorContains(t, err, "has no value yet")
	_, err = recordChain("Conv_0.weight/../image", false, func(_ *nn.Tape, x nn.Var) (nn.Var, error) { return x, nil })
	assert.NoError(t, err)
}

// TestWriteLeavesNothingBehind writes to a folder that does not exist and over a file.
func TestWriteLeavesNothingBehind(t *testing.T) {
	m, err := recordChain("conv", true, func(_ *nn.Tape, x nn.Var) (nn.Var, error) { return x, nil })
	require.NoError(t, err)
	dir := t.TempDir()
	assert.Error(t, m.Write(filepath.Join(dir, "absent", "m.onnx")))
	path := filepath.Join(dir, "m.onnx")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, m.Write(path))
	var want bytes.Buffer
	require.NoError(t, m.Encode(&want))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, want.Bytes(), got, "the same model gives the same bytes")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
	assert.Equal(t, 1, m.Nodes())
	assert.Equal(t, "image, float32 N×1×X×Y×Z", m.Input())
	assert.Equal(t, "logits, float32 N×4×X×Y×Z", m.Output())
	for n := range len(got) {
		_, err := onnxtest.Read(got[:n])
		require.Error(t, err, "%d bytes", n)
	}
}
