package models_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// slices2D returns a 2-D state, for images with three channels, that fits the encoder of a
// network.
func slices2D(t *testing.T, b nn.Backend, net nn.Network) map[string]*tensor.Dense {
	t.Helper()
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	images := map[string]*tensor.Dense{
		"fc.weight": tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(10, 64)),
		"fc.bias":   tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(10)),
	}
	for name, d := range state {
		name, ok := strings.CutPrefix(name, "encoder.")
		if !ok {
			continue
		}
		if strings.HasSuffix(name, "num_batches_tracked") {
			images[name] = tensor.New(tensor.FromScalar(int64(7)))
			continue
		}
		shape := append([]int(nil), d.Shape()...)
		if len(shape) == 5 {
			shape = shape[:4]
			if name == "conv1.weight" {
				shape[1] = 3
			}
		}
		n := 1
		for _, s := range shape {
			n *= s
		}
		images[name] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(nntest.HashWeights(name, shape, 5)))
	}
	return images
}

// TestLoadImageNet compares every encoder kernel with its definition, and checks that
// everything else is either unchanged or copied.
func TestLoadImageNet(t *testing.T) {
	for _, in := range []int{1, 3, 4, 5} {
		b := newBackend(t, nn.Float64)
		cfg := models.Config{Architecture: models.ResNetUNet{Width: 4, Strides: models.NewResNetUNet().Strides, Decoder: []int{6, 5, 4, 3, 2}}, InChannels: in}
		net, err := models.New(cfg, b, 1)
		require.NoError(t, err)
		before, err := nn.StateDict(b, net)
		require.NoError(t, err)
		images := slices2D(t, b, net)
		require.NoError(t, models.LoadImageNet(b, net, images))
		after, err := nn.StateDict(b, net)
		require.NoError(t, err)

		drawn, err := models.NewUninitialized(cfg, b, 1)
		require.NoError(t, err)
		require.NoError(t, models.LoadImageNet(b, drawn, images))
		_, err = nn.StateDict(b, drawn)
		assert.ErrorContains(t, err, "decoder.blocks.0.conv1.0.weight", "the decoder has no values yet")
		require.NoError(t, nn.Initialize(b, drawn))
		same, err := nn.StateDict(b, drawn)
		require.NoError(t, err)
		assert.Equal(t, after, same)
		kernels := 0
		for name, got := range after {
			from, encoder := strings.CutPrefix(name, "encoder.")
			switch shape := got.Shape(); {
			case !encoder:
				assert.Equal(t, before[name].Data(), got.Data(), name)
			case len(shape) != 5:
				assert.Equal(t, images[from].Data(), got.Data(), name)
			default:
				kernels++
				image := images[from]
				scale := float64(image.Shape()[1]) / float64(shape[1]) / float64(shape[4])
				for _, at := range [][]int{{0, 0, 0, 0, 0}, {shape[0] - 1, shape[1] - 1, shape[2] - 1, 0, shape[4] - 1}, {1, shape[1] / 2, 0, shape[3] - 1, shape[4] / 2}} {
					want, err := image.At(at[0], at[1]%image.Shape()[1], at[2], at[3])
					require.NoError(t, err)
					v, err := got.At(at...)
					require.NoError(t, err)
					assert.InDelta(t, want.(float64)*scale, v, 1e-15, "%s %v", name, at)
				}
			}
		}
		assert.Equal(t, 53, kernels, "ResNet-50 including its four projections")
	}
}

func TestLoadImageNetErrors(t *testing.T) {
	b := newBackend(t, nn.Float32)
	narrow := models.ResNetUNet{Width: 4, Strides: models.NewResNetUNet().Strides, Decoder: []int{6, 5, 4, 3, 2}}
	net, err := models.New(models.Config{Architecture: narrow, InChannels: 4}, b, 1)
	require.NoError(t, err)
	before, err := nn.StateDict(b, net)
	require.NoError(t, err)
	good := slices2D(t, b, net)
	for want, spoil := range map[string]func(map[string]*tensor.Dense){
		`no "layer1.0.conv1.weight"`:          func(m map[string]*tensor.Dense) { delete(m, "layer1.0.conv1.weight") },
		`contains "layer9.weight"`:            func(m map[string]*tensor.Dense) { m["layer9.weight"] = m["bn1.bias"] },
		"conv1.weight: have nil":              func(m map[string]*tensor.Dense) { m["conv1.weight"] = nil },
		"conv1.weight: have shape [4]":        func(m map[string]*tensor.Dense) { m["conv1.weight"] = m["bn1.bias"] },
		"layer2.0.conv2.weight: have shape [": func(m map[string]*tensor.Dense) { m["layer2.0.conv2.weight"] = m["conv1.weight"] },
		"bn1.running_var: have shape [8]":     func(m map[string]*tensor.Dense) { m["bn1.running_var"] = m["layer2.0.bn1.bias"] },
		"bn1.weight: have nil":                func(m map[string]*tensor.Dense) { m["bn1.weight"] = nil },
		"layer1.0.conv1.weight: have shape [4 3 1 1], want shape [4 4 1 1]": func(m map[string]*tensor.Dense) {
			m["layer1.0.conv1.weight"] = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4, 3, 1, 1))
		},
		"num_batches_tracked": func(m map[string]*tensor.Dense) { m["bn1.num_batches_tracked"] = nil },
		"element type int": func(m map[string]*tensor.Dense) {
			m["conv1.weight"] = tensor.New(tensor.Of(tensor.Int), tensor.WithShape(m["conv1.weight"].Shape()...))
		},
	} {
		images := maps.Clone(good)
		spoil(images)
		assert.ErrorContains(t, models.LoadImageNet(b, net, images), want)
		after, err := nn.StateDict(b, net)
		require.NoError(t, err)
		assert.Equal(t, before, after, "a failed load changes nothing")
	}
	delete(good, "bn1.num_batches_tracked")
	assert.NoError(t, models.LoadImageNet(b, net, good))

	other, err := models.New(models.Config{Architecture: models.MRRN{Width: 2}, InChannels: 3}, b, 1)
	require.NoError(t, err)
	assert.ErrorContains(t, models.LoadImageNet(b, other, good), "no encoder")
}
