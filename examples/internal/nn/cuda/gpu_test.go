//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/cuda/kernels"
	"github.com/x/afl/examples/internal/nn/portable"
)

// TestLoadKernels: the driver takes every module, each once.
func TestLoadKernels(t *testing.T) {
	b, _ := emulated.Open(t)
	var loaded []string
	progress := func(module string, took time.Duration) {
		assert.Positive(t, took, module)
		loaded = append(loaded, module)
	}
	require.NoError(t, cuda.LoadKernels(b, progress))
	var want []string
	for _, m := range kernels.Modules().Modules() {
		want = append(want, m.Name)
	}
	assert.Equal(t, want, loaded)
	require.NoError(t, cuda.LoadKernels(b, progress))
	assert.Len(t, loaded, len(want))

	other, err := portable.New(nn.Float32)
	require.NoError(t, err)
	assert.ErrorContains(t, cuda.LoadKernels(other, nil), "want one that On or New returned")
}

// TestConvolutionsByInstalledCuDNN compares the convolutions of the installed cuDNN with the
// definition. The library refuses some of these shapes, which the own kernels compute then.
func TestConvolutionsByInstalledCuDNN(t *testing.T) {
	if !emulated.OnGPU() {
		t.Skip("cuDNN computes on a GPU only, see -gpu; TestConvolutionsByCuDNN has an imitation")
	}
	b, _ := emulated.Open(t)
	if err := cuda.SetConvolutions(b, cuda.CuDNN); err != nil {
		t.Skip(err)
	}
	require.NoError(t, cuda.SetConvolutions(b, cuda.Auto))
	for _, transposed := range []bool{false, true} {
		for i, c := range convolutions {
			x, w, bias, g := c.operands(t, transposed, uint64(i))
			want := c.define(t, transposed, x, w, bias, g)
			for _, p := range []cuda.Precision{cuda.Float32, cuda.TF32} {
				if cuda.SetPrecision(b, p) != nil {
					continue // no tensor cores
				}
				got := c.run(t, b, transposed, x, w, bias, g)
				got.assertNear(t, want, max(2e-3, tolerances[p]), fmt.Sprintf("transposed=%v, %v, %v", transposed, c, p))
				assert.Equal(t, got, c.run(t, b, transposed, x, w, bias, g), "same bits")
			}
		}
	}
	for _, line := range cuda.DescribeConvolutions(b) {
		t.Log(line)
	}
}
