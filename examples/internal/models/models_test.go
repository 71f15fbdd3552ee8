package models_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// TestConfigJSON encodes and decodes the settings of every network.
func TestConfigJSON(t *testing.T) {
	for _, name := range models.Names() {
		a, err := models.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, name, a.Name())
		want := models.Config{Architecture: a, InChannels: 3, OutChannels: 4}
		raw, err := json.Marshal(want)
		require.NoError(t, err)
		var got models.Config
		require.NoError(t, json.Unmarshal(raw, &got))
		assert.Equal(t, want, got)

		var plain models.Config
		require.NoError(t, json.Unmarshal([]byte(`{"network":"`+name+`","in_channels":2}`), &plain))
		assert.Equal(t, models.Config{Architecture: a, InChannels: 2}, plain)
	}
	changed := small([]int{3, 5}, [3]int{2, 2, 1})
	raw, err := json.Marshal(changed)
	require.NoError(t, err)
	var got models.Config
	require.NoError(t, json.Unmarshal(raw, &got))
	assert.Equal(t, changed, got)

	for text, want := range map[string]string{
		`{"network":"net"}`:                                  "want one of unet",
		`{"network":"unet","layers":3}`:                      `"layers"`,
		`{"network":"unet","options":{"width":3}}`:           `options of unet: json: unknown field "width"`,
		`{"network":"unet","options":{"strides":[[2,2.5]]}}`: "2.5",
	} {
		assert.ErrorContains(t, json.Unmarshal([]byte(text), &got), want)
	}
	_, err = json.Marshal(models.Config{})
	assert.ErrorContains(t, err, "Architecture is nil")
}

func TestNewRejectsInvalidSettings(t *testing.T) {
	b := newBackend(t, nn.Float32)
	one := func(a models.Architecture) models.Config { return models.Config{Architecture: a, InChannels: 1} }
	five := models.NewResNetUNet().Strides
	for want, c := range map[string]models.Config{
		"Architecture is nil":   {InChannels: 1},
		"InChannels is 0":       {Architecture: models.NewUNet()},
		"OutChannels is -1":     {Architecture: models.NewUNet(), InChannels: 1, OutChannels: -1},
		"Channels has 1":        small([]int{4}),
		"Strides has 0":         small([]int{4, 8}),
		"Channels has 0":        small(nil, [3]int{2, 2, 2}),
		"Channels[1] is 0":      small([]int{4, 0}, [3]int{2, 2, 2}),
		"Strides[0] is [2 0 2]": small([]int{4, 8}, [3]int{2, 0, 2}),
		`Norm is "layer"`:       {Architecture: models.UNet{Channels: []int{4, 8}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 2, Norm: "layer"}, InChannels: 1},

		"attunet: setting Channels[0] is 1": one(models.AttUNet{Channels: []int{1, 2}, Strides: [][3]int{{2, 2, 2}}}),
		"attunet: setting Strides has 0":    one(models.AttUNet{Channels: []int{4, 8}}),
		"regunet: setting Width is 0":       one(models.RegUNet{Depth: 1, Levels: []int{0}}),
		"regunet: setting Depth is 0":       one(models.RegUNet{Width: 1, Levels: []int{0}}),
		"setting Levels is empty":           one(models.RegUNet{Width: 1, Depth: 2}),
		"setting Levels is [0 3]":           one(models.RegUNet{Width: 1, Depth: 2, Levels: []int{0, 3}}),
		"setting Levels is [1 1]":           one(models.RegUNet{Width: 1, Depth: 2, Levels: []int{1, 1}}),
		"unet3d_plain: setting Width is -1": one(models.PlainUNet{Width: -1}),
		"r2unet: setting Channels has 1":    one(models.R2UNet{Channels: []int{4}}),
		"setting Steps is 0":                one(models.R2UNet{Channels: []int{4, 8}}),
		"unet_resnet50: setting Width is 0": one(models.ResNetUNet{}),
		"setting Strides has 1 entries":     one(models.ResNetUNet{Width: 4, Strides: [][3]int{{2, 2, 2}}}),
		"setting Decoder has 2":             one(models.ResNetUNet{Width: 4, Strides: five, Decoder: []int{1, 2}}),
		"setting Decoder[4] is 0":           one(models.ResNetUNet{Width: 4, Strides: five, Decoder: []int{1, 2, 3, 4, 0}}),
		"segresnet: setting Width is 0":     one(models.SegResNet{}),
		"setting BlocksDown has 0":          one(models.SegResNet{Width: 8, Groups: 8}),
		"setting BlocksUp has 0":            one(models.SegResNet{Width: 8, Groups: 8, BlocksDown: []int{1, 1}}),
		"setting BlocksUp[0] is 0":          one(models.SegResNet{Width: 8, Groups: 8, BlocksDown: []int{1, 1}, BlocksUp: []int{0}}),
		"setting Groups is 3":               one(models.SegResNet{Width: 8, Groups: 3, BlocksDown: []int{1}}),
		"setting Dropout is 1":              one(models.SegResNet{Width: 8, Groups: 8, BlocksDown: []int{1}, Dropout: 1}),
		"vnet_authors: setting Width is 0":  one(models.VNet{}),
		"at least the 3 input channels":     {Architecture: models.VNet{Width: 2}, InChannels: 3},
		"vnet_monai: setting Dropout is -1": one(models.VNet{Width: 4, MONAI: true, Dropout: -1}),
		"mrrn: setting Width is 0":          one(models.MRRN{}),
		"mrrn: setting Dropout is 2":        one(models.MRRN{Width: 4, Dropout: 2}),
	} {
		_, err := models.New(c, b, 1)
		assert.ErrorContains(t, err, want)
	}
	_, err := models.New(models.Config{Architecture: models.NewUNet(), InChannels: 1}, nil, 1)
	assert.ErrorContains(t, err, "backend is nil")
	_, err = models.ByName("net")
	assert.ErrorContains(t, err, "want one of unet")
}

// narrow lists all networks with small widths for tests.
var narrow = []models.Architecture{
	models.UNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {2, 1, 2}}, ResUnits: 2, Norm: models.BatchNorm},
	models.UNet{Channels: []int{4, 6}, Strides: [][3]int{{2, 2, 2}}, Kernel: [3]int{1, 3, 5}, UpKernel: [3]int{5, 3, 1}, Norm: "group:2", Activation: "elu:0.3", Order: "AN", NoBias: true},
	models.UNet{Channels: []int{4, 6}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.InstanceNormAffine, Activation: "leaky_relu:0.2"},
	models.AttUNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {1, 2, 2}}, Kernel: [3]int{1, 3, 3}, UpKernel: [3]int{3, 3, 5}},
	models.AttUNet{Channels: []int{4, 6, 8}, Strides: [][3]int{{2, 2, 2}, {1, 2, 2}}},
	models.RegUNet{Width: 3, Depth: 2, Levels: []int{2, 0}},
	models.RegUNet{Width: 3, Depth: 2, Levels: []int{1}, ConcatSkip: true, StridedDown: true},
	models.RegUNet{Width: 3, Depth: 1, Levels: []int{1, 0}, Kernels: []int{5, 1}, HeadActivation: models.PReLU},
	models.PlainUNet{Width: 2},
	models.R2UNet{Channels: []int{3, 4}, Steps: 1},
	models.R2UNet{Channels: []int{3, 4}, Steps: 2, Untied: true},
	models.ResNetUNet{Width: 2, Strides: [][3]int{{2, 1, 2}, {1, 2, 2}, {1, 1, 1}, {2, 1, 1}, {1, 3, 1}}, Decoder: []int{6, 5, 4, 3, 2}},
	models.SegResNet{Width: 4, BlocksDown: []int{1, 2}, BlocksUp: []int{1}, Groups: 2},
	models.SegResNet{Width: 4, BlocksDown: []int{1, 2}, BlocksUp: []int{1}, Norm: models.BatchNorm, Activation: "elu:2", Deconv: true},
	models.VNet{Width: 3}, models.VNet{Width: 3, MONAI: true},
	models.VNet{Width: 2, MONAI: true, Activation: models.PReLUPerChannel, Bias: true},
	models.MRRN{Width: 3},
}

// TestEveryNetwork checks properties common to all networks: the size of the logits, that
// the samples of a batch are independent in inference, that invalid sizes are rejected with
// a SizeError, and that every parameter has a gradient.
func TestEveryNetwork(t *testing.T) {
	for _, a := range narrow {
		name := a.Name()
		b := newBackend(t, nn.Float64)
		net, err := models.New(models.Config{Architecture: a, InChannels: 2, OutChannels: 3}, b, 1)
		require.NoError(t, err, name)
		size := a.Multiple()
		for axis := range size {
			size[axis] *= 1 + axis%2
		}
		voxels := size[0] * size[1] * size[2]
		image := nntest.HashValues("x", 2*2*voxels, 1)
		put := func(values []float64, n, c int, size [3]int) nn.Array {
			x, err := b.FromHost(tensor.New(tensor.WithShape(n, c, size[0], size[1], size[2]), tensor.WithBacking(values)), nn.Step)
			require.NoError(t, err)
			return x
		}
		infer := func(values []float64, n int) []float64 {
			tape := nn.NewTape(b, nn.Inference, 0)
			y, err := net.Forward(tape, tape.Input(put(values, n, 2, size)))
			require.NoError(t, err, name)
			assert.Equal(t, []int{n, 3, size[0], size[1], size[2]}, y.Shape(), name)
			d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(y.Shape()...))
			require.NoError(t, b.ToHost(y.Array(), d))
			return d.Data().([]float64)
		}
		both := infer(image, 2)
		assert.InDeltaSlice(t, both, append(infer(image[:2*voxels], 1), infer(image[2*voxels:], 1)...), 1e-12, name)

		tape := nn.NewTape(b, nn.Training, 0)
		y, err := net.Forward(tape, tape.Input(put(image, 2, 2, size)))
		require.NoError(t, err, name)
		require.NoError(t, tape.Backward(y, put(nntest.HashValues("g", 2*3*voxels, 1), 2, 3, size)), name)
		for _, p := range net.Parameters() {
			assert.NotNil(t, p.Grad, "%s: %s", name, p.Name)
		}

		for axis, m := range a.Multiple() {
			if m == 1 {
				continue
			}
			wrong := size
			wrong[axis]++
			var sizeErr *nn.SizeError
			require.ErrorAs(t, net.CheckSize(wrong), &sizeErr, name)
			assert.Equal(t, name, sizeErr.Network)
			assert.Equal(t, a.Multiple(), sizeErr.Multiple, name)
			tape := nn.NewTape(b, nn.Inference, 0)
			_, err := net.Forward(tape, tape.Input(put(make([]float64, 2*wrong[0]*wrong[1]*wrong[2]), 1, 2, wrong)))
			assert.ErrorAs(t, err, &sizeErr, name)
		}
		_, err = net.Forward(tape, nn.Var{})
		assert.Error(t, err, name)
		tape = nn.NewTape(b, nn.Inference, 0)
		_, err = net.Forward(tape, tape.Input(put(make([]float64, 3*voxels), 1, 3, size)))
		assert.Error(t, err, "%s: wrong number of channels", name)
	}
}

func TestTitles(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range models.Names() {
		title, err := models.Title(name)
		require.NoError(t, err)
		assert.NotEmpty(t, title)
		assert.False(t, seen[title], "duplicate title %s", title)
		seen[title] = true
	}
	_, err := models.Title("net")
	assert.ErrorContains(t, err, "want one of ")
	assert.Subset(t, models.Names(), models.PaperNames())
}

// TestNewUninitialized checks that a network without values fails with the name of a parameter,
// that a state must set them all, and that it can then do without initial values.
func TestNewUninitialized(t *testing.T) {
	cfg := models.Config{Architecture: models.ResNetUNet{Width: 4, Strides: models.NewResNetUNet().Strides, Decoder: []int{6, 5, 4, 3, 2}}, InChannels: 3}
	b := newBackend(t, nn.Float32)
	full, err := models.New(cfg, b, 1)
	require.NoError(t, err)
	state, err := nn.StateDict(b, full)
	require.NoError(t, err)
	run := func(net nn.Network) (nn.Var, error) {
		defer b.EndStep()
		x, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 16, 16, 16)), nn.Step)
		require.NoError(t, err)
		tape := nn.NewTape(b, nn.Inference, 0)
		return net.Forward(tape, tape.Input(x))
	}

	net, err := models.NewUninitialized(cfg, b, 1)
	require.NoError(t, err)
	assert.Equal(t, nn.CountParameters(full), nn.CountParameters(net))
	const missing = "has no value yet; call Initialize or LoadStateDict"
	_, err = run(net)
	assert.ErrorContains(t, err, "encoder.conv1.weight")
	assert.ErrorContains(t, err, missing)
	_, err = nn.StateDict(b, net)
	assert.ErrorContains(t, err, "encoder.conv1.weight")
	assert.ErrorContains(t, err, missing)

	bias := state["segmentation_head.0.bias"]
	delete(state, "segmentation_head.0.bias")
	var differences *nn.StateError
	require.ErrorAs(t, nn.LoadStateDict(b, net, state), &differences)
	assert.Equal(t, []string{"segmentation_head.0.bias"}, differences.Missing)
	_, err = run(net)
	assert.ErrorContains(t, err, "encoder.conv1.weight", "a failed load sets nothing")
	require.NoError(t, nn.LoadPartialStateDict(b, net, state))
	_, err = run(net)
	assert.ErrorContains(t, err, "segmentation_head.0.weight: Conv3D: bias "+missing)
	state["segmentation_head.0.bias"] = bias
	require.NoError(t, nn.LoadStateDict(b, net, state))
	_, err = run(net)
	require.NoError(t, err)
	require.NoError(t, nn.Initialize(b, net))
	loaded, err := nn.StateDict(b, net)
	require.NoError(t, err)
	assert.Equal(t, state, loaded)

	state["stranger"] = bias
	require.ErrorAs(t, nn.LoadPartialStateDict(b, net, state), &differences)
	assert.Equal(t, []string{"stranger"}, differences.Extra)
	delete(state, "stranger")
	state["segmentation_head.0.weight"] = bias
	require.ErrorAs(t, nn.LoadPartialStateDict(b, net, state), &differences)
	assert.Len(t, differences.Misfit, 1)

	drawn, err := models.NewUninitialized(cfg, b, 2)
	require.NoError(t, err)
	require.NoError(t, nn.Initialize(b, drawn))
	other, err := models.New(cfg, b, 2)
	require.NoError(t, err)
	first, err := nn.StateDict(b, drawn)
	require.NoError(t, err)
	second, err := nn.StateDict(b, other)
	require.NoError(t, err)
	assert.Equal(t, second, first)
	assert.NotEqual(t, loaded, first)
}
