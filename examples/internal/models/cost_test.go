package models_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// on returns a function that creates a network on a backend.
func on(cfg models.Config) func(nn.Backend) (nn.Network, error) {
	return func(b nn.Backend) (nn.Network, error) { return models.New(cfg, b, 1) }
}

// TestCounts compares the parameters and multiply-adds of the published settings with the
// published counts, for three channels at the PI-CAI size and four at the BraTS size. It
// compares the memory for activations with what was counted for PyTorch if every result
// is stored.
func TestCounts(t *testing.T) {
	const picai, brats = 160 * 128 * 24, 224 * 224 * 144
	for _, c := range []struct {
		architecture models.Architecture
		three, four  int64   // parameters by input channels
		picai, brats float64 // multiply-adds per voxel
		bytes        float64 // bytes of all results per voxel of BraTS
	}{
		{models.NewUNet(), 4_810_645, 4_811_509, 7036.0, 6110.0, 230},
		{models.NewAttUNet(), 5_909_994, 5_910_426, 48_474.6, 48_042.6, 1553},
		{models.NewRegUNet(), 2_207_696, 2_208_128, 70_699.5, 71_131.5, 2107},
		{models.RegUNet{Width: 16, Depth: 3, Levels: []int{3}}, 1_474_992, 1_475_424, 30_253.5, 30_685.5, 898},
		{models.RegUNet{Width: 16, Depth: 4, Levels: []int{0, 1, 2, 3, 4}}, 8_859_600, 8_860_032, 0, 75_022.9, 2132},
		{models.NewPlainUNet(), 103_539_970, 103_541_698, 0, 1_309_952.0, 6602},
		{models.NewR2UNet(), 114_441_474, 114_441_538, 0, 2_962_176.0, 18860},
		{models.NewR2UNetUntied(), 208_665_858, 208_665_922, 0, 2_962_176.0, 18860},
		{models.NewResNetUNet(), 73_234_658, 73_256_610, 98_077.3, 96_304.0, 1387},
		{models.NewSegResNet(), 1_176_618, 1_176_834, 17_864.0, 18_080.0, 876},
		{segResNet(16), 4_701_778, 4_702_210, 70_128.0, 70_560.0, 1744},
		{segResNet(32), 18_797_730, 18_798_594, 277_856.0, 278_720.0, 3479},
		{models.NewVNet(), 45_602_762, 45_604_762, 0, 354_820.0, 1668},
		{models.NewVNetMONAI(), 45_601_898, 45_603_898, 0, 354_820.0, 1846},
		{models.NewFewSlicesUNet(), 122_912, 123_128, 1890, 1944, 159},
		{models.NewMRRN(), 309_634, 310_498, 113_504.0, 114_368.0, 2520},
	} {
		name := c.architecture.Name()
		three := models.Fit(models.Config{Architecture: c.architecture, InChannels: 3}, [3]int{160, 128, 24})
		size := three.Size
		counter, err := cost.New(on(three.Config))
		require.NoError(t, err, name)
		got, err := counter.Inference([]int{1, 3, size[0], size[1], size[2]})
		require.NoError(t, err, name)
		assert.Equal(t, c.three, got.Parameters, name)
		if c.picai != 0 {
			assert.Equal(t, 24, size[2], name)
			assert.InDelta(t, c.picai, float64(got.MultiplyAdds)/picai, 0.05, name)
		} else {
			assert.Equal(t, 32, size[2], name)
		}

		shape := []int{1, 4, 224, 224, 144}
		counter, err = cost.New(on(models.Config{Architecture: c.architecture, InChannels: 4}))
		require.NoError(t, err, name)
		got, err = counter.Inference(shape)
		require.NoError(t, err, name)
		assert.Equal(t, c.four, got.Parameters, name)
		assert.InDelta(t, c.brats, float64(got.MultiplyAdds)/brats, 0.05, name)
		step, err := counter.Step(shape, &nn.SGD{Momentum: 0.9})
		require.NoError(t, err, name)
		assert.Equal(t, got.MultiplyAdds, step.MultiplyAdds, name)
		assert.Equal(t, got.KeptBytes+4*c.four, step.KeptBytes, "%s: velocities", name)
		// A training step stores every result and a few gradients and copies; a prediction
		// stores only what it still needs.
		perVoxel := float64(step.PassBytes) / brats
		assert.Greater(t, perVoxel, c.bytes, name)
		assert.Less(t, perVoxel, 1.7*c.bytes, name)
		assert.Less(t, got.PassBytes, 7*step.PassBytes/10, name)
		t.Logf("%-14s %5.0f bytes per voxel for a prediction, %5.0f for a training step, of which %5.0f are results",
			name, float64(got.PassBytes)/brats, perVoxel, c.bytes)
	}
}

// TestMemoryMatchesTheCount compares the counted memory with what the portable backend
// allocates in its first pass.
func TestMemoryMatchesTheCount(t *testing.T) {
	shape := []int{1, 3, 48, 48, 32}
	for _, a := range []models.Architecture{models.NewUNet(), models.NewAttUNet(), models.NewSegResNet(), models.NewMRRN()} {
		cfg := models.Config{Architecture: a, InChannels: 3}
		counter, err := cost.New(on(cfg))
		require.NoError(t, err)
		for _, mode := range []nn.Mode{nn.Inference, nn.Training} {
			want, err := counter.Inference(shape)
			if mode == nn.Training {
				want, err = counter.Step(shape, &nn.SGD{})
			}
			require.NoError(t, err)

			b := newBackend(t, nn.Float32)
			net, err := models.New(cfg, b, 1)
			require.NoError(t, err)
			zeros := func(shape ...int) *tensor.Dense {
				return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
			}
			image, gradient := zeros(shape...), zeros(1, 2, 48, 48, 32)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			x, err := b.FromHost(image, nn.Step)
			require.NoError(t, err)
			tape := nn.NewTape(b, mode, 0)
			y, err := net.Forward(tape, tape.Input(x))
			require.NoError(t, err)
			if mode == nn.Training {
				g, err := b.FromHost(gradient, nn.Step)
				require.NoError(t, err)
				require.NoError(t, tape.Backward(y, g))
			}
			runtime.ReadMemStats(&after)
			got := after.TotalAlloc - before.TotalAlloc
			t.Logf("%s, mode %d: counted %d MiB, allocated %d MiB", a.Name(), mode, want.PassBytes>>20, got>>20)
			assert.InEpsilon(t, got, want.PassBytes, 0.22, "%s, mode %d", a.Name(), mode)
		}
	}
}

func segResNet(width int) models.SegResNet {
	s := models.NewSegResNet()
	s.Width = width
	return s
}
