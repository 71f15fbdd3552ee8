package models_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// supervisedLevels is the number of heads of the published networks.
var supervisedLevels = map[string]int{
	"unet": 3, "attunet": 3, "r2unet": 3, "unet_resnet50": 4, "segresnet": 2, "vnet_authors": 3,
	"unet3d_plain": 3, "r2unet_untied": 3, "vnet_monai": 3, "unet_few_slices": 2,
}

// TestDeepSupervisionOfEveryNetwork checks the resolutions of the heads, and that a backward
// pass from all outputs delivers every gradient once.
func TestDeepSupervisionOfEveryNetwork(t *testing.T) {
	for _, name := range models.Names() {
		architecture, err := models.ByName(name)
		require.NoError(t, err)
		cfg := models.Config{Architecture: architecture, InChannels: 3, OutChannels: 5}
		var b nn.Backend // has no values, so that a pass takes no time
		var net nn.Network
		_, err = cost.New(func(counting nn.Backend) (nn.Network, error) {
			b = counting
			plain, err := models.New(cfg, counting, 1)
			require.NoError(t, err)
			net, err = models.NewDeepSupervision(cfg, plain, counting, 1)
			return net, err
		})
		if supervisedLevels[name] == 0 {
			assert.ErrorContains(t, err, name+" has no decoder for deep supervision, want one of [unet attunet ", name)
			continue
		}
		require.NoError(t, err, name)
		x, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 3, 32, 64, 32)), nn.Kept)
		require.NoError(t, err)
		tape := nn.NewTape(b, nn.Training, 0)
		reported := map[*nn.Param]int{}
		tape.OnGradient(func(p *nn.Param) error { reported[p]++; return nil })
		ys, err := nn.Outputs(net, tape, tape.Input(x))
		require.NoError(t, err, name)
		require.Len(t, ys, 1+supervisedLevels[name], name)
		var gs []nn.Array
		for i, y := range ys {
			slices := 32 >> i
			if name == "unet_few_slices" {
				slices = 32 // strides 2×2×1 at these levels
			}
			assert.Equal(t, []int{2, 5, 32 >> i, 64 >> i, slices}, y.Shape(), name)
			g, err := b.Zeros(y.Shape())
			require.NoError(t, err)
			gs = append(gs, g)
		}
		require.NoError(t, tape.BackwardAll(ys, gs), name)
		for _, p := range net.Parameters() {
			assert.NotNil(t, p.Grad, "%s: %s", name, p.Name)
			assert.Equal(t, 1, reported[p], "%s: %s", name, p.Name)
		}
	}
}

// tinySupervised are small networks of each kind of decoder.
var tinySupervised = []models.Architecture{
	models.UNet{Channels: []int{2, 3, 4, 5}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}, {2, 1, 2}}, ResUnits: 1, Norm: models.InstanceNorm},
	models.AttUNet{Channels: []int{2, 3, 4}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}}},
	models.SegResNet{Width: 2, BlocksDown: []int{1, 1, 1}, BlocksUp: []int{1, 1}, Groups: 1},
	models.R2UNet{Channels: []int{2, 3, 4}, Steps: 1},
}

// TestDeepSupervision compares the outputs of the heads with their definition and the
// gradient from all outputs with the sum of those from each, and with finite differences.
func TestDeepSupervision(t *testing.T) {
	for _, architecture := range tinySupervised {
		t.Run(architecture.Name(), func(t *testing.T) {
			b := newBackend(t, nn.Float64)
			cfg := models.Config{Architecture: architecture, InChannels: 2, OutChannels: 3}
			plain, err := models.New(cfg, b, 7)
			require.NoError(t, err)
			net, err := models.NewDeepSupervision(cfg, plain, b, 7)
			require.NoError(t, err)

			// Apart from the heads, parameters and buffers are those of the network itself.
			n := len(plain.Parameters())
			assert.Equal(t, plain.Parameters(), net.Parameters()[:n])
			assert.Equal(t, plain.Buffers(), net.Buffers())
			assert.Same(t, plain, net.WithoutHeads())
			assert.Equal(t, "deep_supervision.1.weight", net.Parameters()[n].Name)

			size := [3]int{8, 8, 4}
			shape := []int{1, 2, size[0], size[1], size[2]}
			image := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(nntest.HashValues("image", 512, 1)))
			var gradients []*tensor.Dense // of a loss that is linear in the outputs
			// loss returns Σ ⟨output, gradient⟩ over the outputs in from, and the gradient with
			// respect to each parameter.
			loss := func(from ...int) (float64, map[string][]float64) {
				defer b.EndStep()
				x, err := b.FromHost(image, nn.Step)
				require.NoError(t, err)
				tape := nn.NewTape(b, nn.Training, 0)
				ys, err := nn.Outputs(net, tape, tape.Input(x))
				require.NoError(t, err)
				sum := 0.0
				var at []nn.Var
				var gs []nn.Array
				for i, y := range ys {
					if len(gradients) <= i {
						values := nntest.HashValues(fmt.Sprint("gradient ", i), nn.Elements(y.Shape()), 1)
						gradients = append(gradients, tensor.New(tensor.WithShape(y.Shape()...), tensor.WithBacking(values)))
					}
					if !slices.Contains(from, i) {
						continue
					}
					out := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(y.Shape()...))
					require.NoError(t, b.ToHost(y.Array(), out))
					for k, v := range out.Data().([]float64) {
						sum += v * gradients[i].Data().([]float64)[k]
					}
					g, err := b.FromHost(gradients[i], nn.Step)
					require.NoError(t, err)
					at, gs = append(at, y), append(gs, g)
				}
				require.NoError(t, tape.BackwardAll(at, gs))
				grads := map[string][]float64{}
				for _, p := range net.Parameters() {
					if p.Grad == nil {
						continue
					}
					host := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(p.Value.Shape()...))
					require.NoError(t, b.ToHost(p.Grad, host))
					grads[p.Name] = slices.Clone(host.Data().([]float64))
				}
				return sum, grads
			}
			all := []int{0}
			for i := range len(net.Parameters()[n:]) / 2 {
				all = append(all, i+1)
			}
			_, grads := loss(all...)
			require.Len(t, grads, len(net.Parameters()))
			sums := map[string][]float64{}
			for i := range all {
				_, each := loss(i)
				for name, g := range each {
					if sums[name] == nil {
						sums[name] = make([]float64, len(g))
					}
					for k, v := range g {
						sums[name][k] += v
					}
				}
			}
			for name, want := range sums {
				assert.InDeltaSlice(t, want, grads[name], 1e-11, name)
			}

			state, err := nn.StateDict(b, net)
			require.NoError(t, err)
			for _, p := range net.Parameters() {
				values := state[p.Name].Data().([]float64)
				k := len(values) / 2
				const h = 1e-6
				at := func(v float64) float64 {
					old := values[k]
					values[k] = v
					require.NoError(t, nn.LoadStateDict(b, net, state))
					f, _ := loss(all...)
					values[k] = old
					return f
				}
				difference := (at(values[k]+h) - at(values[k]-h)) / (2 * h)
				assert.InDelta(t, difference, grads[p.Name][k], 1e-5*(1+max(difference, -difference)), p.Name)
			}
			require.NoError(t, nn.LoadStateDict(b, net, state))

			// In inference there are no heads.
			x, err := b.FromHost(image, nn.Kept)
			require.NoError(t, err)
			var results [][]float64
			for _, net := range []nn.Network{plain, net} {
				tape := nn.NewTape(b, nn.Inference, 0)
				ys, err := nn.Outputs(net, tape, tape.Input(x))
				require.NoError(t, err)
				require.Len(t, ys, 1)
				out := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(ys[0].Shape()...))
				require.NoError(t, b.ToHost(ys[0].Array(), out))
				results = append(results, out.Data().([]float64))
				b.EndStep()
			}
			assert.Equal(t, results[0], results[1])
		})
	}
}

func TestDeepSupervisionErrors(t *testing.T) {
	b := newBackend(t, nn.Float32)
	shallow := small([]int{2, 3}, [3]int{2, 2, 2})
	net, err := models.New(shallow, b, 1)
	require.NoError(t, err)
	_, err = models.NewDeepSupervision(shallow, net, b, 1)
	assert.ErrorContains(t, err, "unet: the decoder has no level below full resolution")
	other := models.Config{Architecture: models.NewSegResNet(), InChannels: 1}
	_, err = models.NewDeepSupervision(other, net, b, 1)
	assert.ErrorContains(t, err, "the network is unet, want segresnet")
	other.Architecture = models.NewMRRN()
	_, err = models.NewDeepSupervision(other, net, b, 1)
	assert.ErrorContains(t, err, "mrrn has no decoder for deep supervision, want one of [unet attunet r2unet unet_resnet50 segresnet")

	// Values of another tape and gradients of another shape are refused.
	x, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 1, 2, 2, 2)), nn.Kept)
	require.NoError(t, err)
	tape := nn.NewTape(b, nn.Training, 0)
	y := tape.InputWithGrad(x)
	assert.ErrorContains(t, tape.BackwardAll([]nn.Var{y, y}, []nn.Array{x}), "there are 2 values and 1 gradients")
	assert.ErrorContains(t, tape.BackwardAll([]nn.Var{y, nn.NewTape(b, nn.Training, 0).Input(x)}, []nn.Array{x, x}), "another tape")
}
