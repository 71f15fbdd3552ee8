//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/cudnn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
)

// Convolutions and their gradients by cuDNN agree with the definition. Each operation on sizes
// of its own has one plan, which is compared with the own kernel once.
func TestConvolutionsByCuDNN(t *testing.T) {
	l := emulated.Load(t)
	t.Setenv(cudnn.Variable, l.Path)
	b, _ := emulated.Open(t)
	require.NoError(t, cuda.SetConvolutions(b, cuda.CuDNN))
	plans := 0
	for _, transposed := range []bool{false, true} {
		for i, c := range convolutions {
			x, w, bias, g := c.operands(t, transposed, uint64(i))
			want := c.define(t, transposed, x, w, bias, g)
			for _, p := range cuda.Precisions() {
				if p == cuda.TF32 && i%4 != 0 {
					continue
				}
				require.NoError(t, cuda.SetPrecision(b, p))
				executed := l.Count("cudnn_executed")
				got := c.run(t, b, transposed, x, w, bias, g)
				got.assertNear(t, want, max(2e-3, tolerances[p]), fmt.Sprintf("transposed=%v, %v, %v", transposed, c, p))
				if p == cuda.BFloat16 {
					assert.Equal(t, executed, l.Count("cudnn_executed"), "bfloat16 is the own kernels' part")
					continue
				}
				assert.Equal(t, executed+3, l.Count("cudnn_executed"))
				assert.Equal(t, got, c.run(t, b, transposed, x, w, bias, g), "same bits")
				plans += 3
			}
		}
	}
	lines := cuda.DescribeConvolutions(b)
	assert.Equal(t, "convolutions: cuDNN 9.21.0, "+l.Path, lines[0])
	assert.LessOrEqual(t, len(lines), 1+plans, "plans are kept by sizes")
	report := strings.Join(lines, "\n")
	assert.Regexp(t, `backward data of 1×8→128, \[4 6 3\]→\[2 3 1\], kernel \[2 2 2\], stride \[2 2 2\], padding \[0 0 0\], dilation \[1 1 1\]: engine 0, workspace 1000 bytes, [0-9.e-]+ from the own kernel`, report)
	assert.Contains(t, report, "engine 36 (tensor cores), workspace 65536 bytes")
}

// The library's results are not trusted before they have been compared.
func TestCuDNNIsCompared(t *testing.T) {
	l := emulated.Load(t)
	t.Setenv(cudnn.Variable, l.Path)
	b, e := emulated.Open(t)
	require.NoError(t, cuda.SetConvolutions(b, cuda.Auto))
	prepare := func(fill float64) func() error {
		x, w := make([]float64, 2*27), make([]float64, 3*2*8)
		for i := range x {
			x[i] = fill
		}
		for i := range w {
			w[i] = 1
		}
		a, weight := upload(t, b, x, 1, 2, 3, 3, 3), upload(t, b, w, 3, 2, 2, 2, 2)
		return func() error {
			_, _, err := b.Conv3D(a, weight, nil, nn.ConvSpec{})
			return err
		}
	}
	conv := func(fill float64) error { return prepare(fill)() }
	l.Set(t, "cudnn_wrong", 1)
	assert.EqualError(t, conv(1), "Conv3D: cuDNN 9.21.0 computes forward of 1×2→3 channels by engine 0 with an error of 0.5 of the largest value, want at most 0.0001 of it; choose own convolutions")
	assert.NoError(t, conv(nans64), "nothing to compare")
	l.Set(t, "cudnn_wrong", 0)
	_, err := e.Capture(prepare(1))
	assert.ErrorContains(t, err, "Conv3D: comparing a convolution on new sizes with the own kernel: cuda: this call synchronizes with the device")
	assert.NoError(t, conv(1))
	l.Set(t, "cudnn_wrong", 1)
	assert.NoError(t, conv(1), "compared once")
	_, err = e.Capture(prepare(1))
	assert.NoError(t, err, "a step can be captured then")
	b.EndStep()
}

var nans64 = float64(nans[0])

// Without an acceptable engine, or without the library, Auto computes by the own kernels, and
// says so.
func TestConvolutionsWithoutCuDNN(t *testing.T) {
	l := emulated.Load(t)
	l.Set(t, "cudnn_engines", 2) // nondeterministic
	t.Setenv(cudnn.Variable, l.Path)
	b, _ := emulated.Open(t)
	c := convolutions[3]
	xs, ws, _ := c.shapes(t, false)
	x, w, bias, g := c.operands(t, false, 1)
	assert.Equal(t, []string{"convolutions: own kernels"}, cuda.DescribeConvolutions(b))
	modules, _ := cuda.LoadedKernels(b)
	own := c.run(t, b, false, x, w, bias, g)
	more, took := cuda.LoadedKernels(b)
	assert.Greater(t, more, modules, "those of convolutions are loaded when used")
	assert.Positive(t, took)
	require.NoError(t, cuda.SetConvolutions(b, cuda.Auto))
	executed := l.Count("cudnn_executed")
	assert.Equal(t, own, c.run(t, b, false, x, w, bias, g))
	assert.Equal(t, executed, l.Count("cudnn_executed"))
	assert.Contains(t, strings.Join(cuda.DescribeConvolutions(b), "\n"), "own kernel, as cudnn: no engine is acceptable for forward of")
	require.NoError(t, cuda.SetConvolutions(b, cuda.CuDNN))
	_, _, err := b.Conv3D(upload(t, b, x, xs...), upload(t, b, w, ws...), nil, c.spec)
	assert.ErrorContains(t, err, "Conv3D: cudnn: no engine is acceptable for forward of")
	require.NoError(t, cuda.SetConvolutions(b, cuda.Own))
	assert.Equal(t, own, c.run(t, b, false, x, w, bias, g))
	b.EndStep()

	t.Setenv(cudnn.Variable, "/nowhere")
	other, _ := emulated.Open(t)
	assert.ErrorContains(t, cuda.SetConvolutions(other, cuda.CuDNN), "nn/cuda: cudnn: libcudnn.so.9 9.16.0 or later is not found; tried /nowhere")
	require.NoError(t, cuda.SetConvolutions(other, cuda.Auto))
	assert.Equal(t, own, c.run(t, other, false, x, w, bias, g))
	lines := cuda.DescribeConvolutions(other)
	assert.Equal(t, "convolutions: own kernels", lines[0])
	assert.Contains(t, lines[1], "cuDNN is not used: cudnn: libcudnn.so.9")
}

func TestParseConvolutions(t *testing.T) {
	for _, c := range []cuda.Convolutions{cuda.Own, cuda.CuDNN, cuda.Auto} {
		parsed, err := cuda.ParseConvolutions(c.String())
		require.NoError(t, err)
		assert.Equal(t, c, parsed)
	}
	_, err := cuda.ParseConvolutions("miopen")
	assert.EqualError(t, err, `convolutions are "miopen", want own, cudnn or auto`)
	assert.EqualError(t, cuda.SetConvolutions(nil, cuda.Auto), "nn/cuda: backend is <nil>, want one that On or New returned")
	assert.EqualError(t, cuda.SetConvolutions(nil, 9), "nn/cuda: convolutions are Convolutions(9), want own, cudnn or auto")
	assert.Empty(t, cuda.DescribeConvolutions(nil))
	modules, took := cuda.LoadedKernels(nil)
	assert.Zero(t, modules)
	assert.Zero(t, took)
	assert.Equal(t, "Convolutions(9)", fmt.Sprint(cuda.Convolutions(9)))
}
