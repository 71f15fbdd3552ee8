package models_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
)

// heNormal lists, by pattern, the kernels that a network draws from He's normal
// distribution, and whether their variance depends on the fan-out. All others are uniform.
var heNormal = []struct {
	network, kernels string
	fanOut           bool
}{
	{"regunet", `^(encode_convs\.\d|bottom_block|decode_convs\.\d)\.0\.conv\.weight$`, false},
	{"regunet", `^encode_pools\.\d\.layer\.conv\.weight$`, false},
	{"regunet", `^output_block\.`, false},
	{"unet_resnet50", `^encoder\.layer.*weight$`, true},
	{"unet_resnet50", `^encoder\.conv1\.weight$`, true}, // only with three channels
}

// TestInitialDistributions checks the variance and the shape of the distribution
// of every initial kernel and bias.
func TestInitialDistributions(t *testing.T) {
	strided := models.NewRegUNet()
	strided.StridedDown, strided.Levels = true, []int{3}
	for _, c := range []struct {
		architecture models.Architecture
		in           int
	}{
		{models.UNet{Channels: []int{8, 16, 24}, Strides: [][3]int{{2, 2, 2}, {2, 2, 2}}, ResUnits: 2, Norm: models.BatchNorm}, 3},
		{models.AttUNet{Channels: []int{8, 16, 24}, Strides: [][3]int{{2, 2, 2}, {2, 2, 2}}}, 3},
		{models.NewRegUNet(), 3}, {strided, 4},
		{models.PlainUNet{Width: 4}, 3},
		{models.R2UNet{Channels: []int{8, 16}, Steps: 2, Untied: true}, 3},
		{models.ResNetUNet{Width: 8, Strides: models.NewResNetUNet().Strides, Decoder: []int{32, 16, 16, 8, 8}}, 3},
		{models.ResNetUNet{Width: 8, Strides: models.NewResNetUNet().Strides, Decoder: []int{32, 16, 16, 8, 8}}, 4},
		{models.NewSegResNet(), 3}, {models.VNet{Width: 4}, 3}, {models.MRRN{Width: 16}, 3},
	} {
		name := c.architecture.Name()
		b := newBackend(t, nn.Float64)
		net, err := models.New(models.Config{Architecture: c.architecture, InChannels: c.in}, b, 3)
		require.NoError(t, err)
		fan := 0.0 // fan-in of the last kernel, which precedes its bias
		for _, p := range net.Parameters() {
			d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(p.Value.Shape()...))
			require.NoError(t, b.ToHost(p.Value, d))
			values, shape := d.Data().([]float64), p.Value.Shape()
			if len(shape) == 5 {
				fan = float64(shape[1] * shape[2] * shape[3] * shape[4])
			}
			switch {
			case len(shape) == 5:
				normal, fanOut := false, false
				for _, h := range heNormal {
					if h.network == name && regexp.MustCompile(h.kernels).MatchString(p.Name) && (p.Name != "encoder.conv1.weight" || c.in == 3) {
						normal, fanOut = true, h.fanOut
					}
				}
				if !normal {
					checkUniform(t, name+": "+p.Name, values, 1/math.Sqrt(fan))
					continue
				}
				n := fan
				if fanOut {
					n = fan / float64(shape[1]) * float64(shape[0])
				}
				checkNormal(t, name+": "+p.Name, values, math.Sqrt(2/n))
			case strings.HasSuffix(p.Name, ".A.weight"):
				assert.Equal(t, []float64{0.25}, values, p.Name)
			case isNorm(net, p.Name):
				want := 0.0
				if strings.HasSuffix(p.Name, "weight") {
					want = 1
				}
				for _, v := range values {
					assert.Equal(t, want, v, p.Name)
				}
			default:
				checkUniform(t, name+": "+p.Name, values, 1/math.Sqrt(fan))
			}
		}
	}
}

// isNorm reports whether a parameter is the scale or the shift of a norm: its layer has a
// weight that is a vector.
func isNorm(net nn.Network, name string) bool {
	layer := name[:strings.LastIndex(name, ".")]
	for _, p := range net.Parameters() {
		if p.Name == layer+".weight" {
			return len(p.Value.Shape()) == 1
		}
	}
	return false
}

func checkUniform(t *testing.T, name string, values []float64, bound float64) {
	t.Helper()
	top, square := 0.0, 0.0
	for _, v := range values {
		top = max(top, math.Abs(v))
		square += v * v
	}
	n := float64(len(values))
	assert.LessOrEqual(t, top, bound, name)
	if n >= 100 {
		assert.Greater(t, top, bound*(1-10/n), name)
		// The standard deviation of u² is about 0.9 of its mean.
		assert.InEpsilon(t, bound*bound/3, square/n, 5*0.9/math.Sqrt(n), name)
	}
}

func checkNormal(t *testing.T, name string, values []float64, deviation float64) {
	t.Helper()
	var sum, square, beyond float64
	for _, v := range values {
		sum += v
		square += v * v
		if math.Abs(v) > math.Sqrt(3)*deviation {
			beyond++ // impossible for a uniform distribution of this variance
		}
	}
	n := float64(len(values))
	assert.InDelta(t, 0, sum/n, 5*deviation/math.Sqrt(n), name)
	assert.InEpsilon(t, deviation*deviation, square/n, 5*math.Sqrt(2/n), name)
	assert.InDelta(t, 0.0833, beyond/n, 5*0.276/math.Sqrt(n), name)
}

// TestDropout checks that networks drop channels in training, with masks that depend on the
// seed, but not in inference or with probability 0.
func TestDropout(t *testing.T) {
	segresnet := models.NewSegResNet()
	segresnet.Dropout = 0.5
	for _, c := range []struct {
		with, without models.Architecture
	}{
		{models.VNet{Width: 4, Dropout: 0.5}, models.VNet{Width: 4}},
		{models.VNet{Width: 4, Dropout: 0.5, MONAI: true}, models.VNet{Width: 4, MONAI: true}},
		{models.MRRN{Width: 4, Dropout: 0.5}, models.MRRN{Width: 4}},
		{segresnet, models.NewSegResNet()},
	} {
		name := c.with.Name()
		run := func(a models.Architecture, mode nn.Mode, seed uint64) []float64 {
			b := newBackend(t, nn.Float32)
			net, err := models.New(models.Config{Architecture: a, InChannels: 2}, b, 1)
			require.NoError(t, err)
			image := make([]float64, 2*32*16*16)
			for i := range image {
				image[i] = math.Sin(float64(i * i))
			}
			x, err := b.FromHost(tensor.New(tensor.WithShape(1, 2, 32, 16, 16), tensor.WithBacking(image)), nn.Step)
			require.NoError(t, err)
			tape := nn.NewTape(b, mode, seed)
			y, err := net.Forward(tape, tape.Input(x))
			require.NoError(t, err)
			d := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(y.Shape()...))
			require.NoError(t, b.ToHost(y.Array(), d))
			return d.Data().([]float64)
		}
		first := run(c.with, nn.Training, 1)
		assert.Equal(t, first, run(c.with, nn.Training, 1), name)
		assert.NotEqual(t, first, run(c.with, nn.Training, 2), name)
		plain := run(c.without, nn.Training, 1)
		assert.NotEqual(t, first, plain, name)
		assert.Equal(t, plain, run(c.without, nn.Training, 2), name)
		assert.Equal(t, run(c.without, nn.Inference, 1), run(c.with, nn.Inference, 2), name)
	}
}
