//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// The gradient of a whole network on tensor cores points where that in float32 does. Rounding
// alone turns it little, as networks with a smooth activation show. At the kink of a ReLU or
// PReLU, an activation that rounding moves to the other side changes its gradient by a factor,
// and those that do are as many as the rounding is large.
func TestPrecisionOfNetworks(t *testing.T) {
	type cosines map[cuda.Precision]float64
	unet := models.UNet{Channels: []int{8, 16}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 2, Norm: models.InstanceNorm}
	segresnet := models.SegResNet{Width: 8, BlocksDown: []int{1, 2}, BlocksUp: []int{1}, Groups: 8}
	regunet := models.RegUNet{Width: 8, Depth: 1, Levels: []int{0, 1}}
	smoothUNet, smoothSegResNet := unet, segresnet
	smoothUNet.Activation, smoothSegResNet.Activation = "elu:1", "elu:1"
	for name, c := range map[string]struct {
		models.Architecture
		least cosines
	}{
		"unet, smooth":      {smoothUNet, cosines{cuda.TF32: 0.99999, cuda.BFloat16: 0.9999}},
		"segresnet, smooth": {smoothSegResNet, cosines{cuda.TF32: 0.99999, cuda.BFloat16: 0.9999}},
		"unet":              {unet, cosines{cuda.TF32: 0.999, cuda.BFloat16: 0.99}},
		"segresnet":         {segresnet, cosines{cuda.TF32: 0.999, cuda.BFloat16: 0.99}},
		"regunet":           {regunet, cosines{cuda.TF32: 0.999, cuda.BFloat16: 0.99}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := emulated.Open(t)
			gradient := func(p cuda.Precision) []float64 {
				require.NoError(t, cuda.SetPrecision(b, p))
				return gradientOf(t, b, models.Config{Architecture: c.Architecture, InChannels: 2, OutChannels: 3}, [3]int{8, 8, 8})
			}
			want := gradient(cuda.Float32)
			for p, least := range c.least {
				got := cosine(want, gradient(p))
				assert.Greater(t, got, least, p)
				t.Logf("%v: cosine 1 − %.1e", p, 1-got)
			}
		})
	}
}

// gradientOf returns the gradient of all parameters of a network for one input.
func gradientOf(t *testing.T, b nn.Backend, c models.Config, size [3]int) []float64 {
	t.Helper()
	net, err := models.New(c, b, 1)
	require.NoError(t, err)
	shape := []int{1, c.InChannels, size[0], size[1], size[2]}
	tape := nn.NewTape(b, nn.Training, 1)
	y, err := net.Forward(tape, tape.Input(upload(t, b, nntest.HashValues("x", nn.Elements(shape), 1), shape...)))
	require.NoError(t, err)
	require.NoError(t, tape.Backward(y, upload(t, b, nntest.HashValues("g", nn.Elements(y.Shape()), 1), y.Shape()...)))
	var all []float64
	for _, p := range net.Parameters() {
		require.NotNil(t, p.Grad, p.Name)
		all = append(all, download(t, b, p.Grad)...)
	}
	b.EndStep()
	return all
}

func cosine(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += a[i] * b[i]
		aa += a[i] * a[i]
		bb += b[i] * b[i]
	}
	return ab / math.Sqrt(aa*bb)
}
