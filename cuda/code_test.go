//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/cuda/kernels"
)

// A module is loaded once, with the first of its kernels that is used.
func TestModulesAreLoadedWhenUsed(t *testing.T) {
	e, l := openEmulated(t)
	for i, first := range []string{"afl_stats_classes", "afl_combine", "afl_gradient_sigmoid_f32", "afl_gradient_softmax4_f16", "afl_reduce_softmax_bf16",
		"afl_reduce_general_f32", "afl_gradient_general_f64", "afl_reduce_general_f16", "afl_gradient_general_bf16"} {
		found := make([]handle, 8)
		var group sync.WaitGroup
		for g := range found {
			group.Go(func() {
				var err error
				found[g], err = e.code.function(kernels.Modules(), first)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		assert.EqualValues(t, i+1, l.Count("modules"), first)
		for _, f := range found {
			assert.Equal(t, found[0], f)
		}
	}
	for _, m := range kernels.Modules().Modules() {
		for _, kernel := range m.Kernels {
			_, err := e.code.function(kernels.Modules(), kernel)
			assert.NoError(t, err)
		}
	}
	assert.EqualValues(t, 9, l.Count("modules"))
}

// If the driver rejects a module, the first use returns its messages, and the next use
// tries again.
func TestModuleIsRefused(t *testing.T) {
	e, l := openEmulated(t)
	l.Set(t, "refuse_ptx", 1)
	_, err := e.code.function(kernels.Modules(), "afl_reduce_general_f32")
	assert.EqualError(t, err, "cuda: the driver (for CUDA 12.4) rejects the kernel module general_float32 for Emulated GPU 0 (CUDA device 0, compute capability 9.0, 256.0 MiB): "+
		"cuda: cuModuleLoadDataEx failed: CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed\nptxas fatal : Unresolved extern function 'nothing'")
	l.Set(t, "refuse_ptx", 0)
	l.Fail("cuModuleGetFunction", 1, 500)
	_, err = e.code.function(kernels.Modules(), "afl_reduce_general_f32")
	assert.ErrorContains(t, err, "cuda: kernel afl_reduce_general_f32: cuda: cuModuleGetFunction failed: CUDA_ERROR_NOT_FOUND (500)")
	_, err = e.code.function(kernels.Modules(), "afl_reduce_general_f32")
	require.NoError(t, err)
	assert.EqualValues(t, 2, l.Count("modules"))
	_, err = e.code.function(kernels.Modules(), "afl_nothing")
	assert.EqualError(t, err, `cuda: there is no kernel "afl_nothing"`)
}

// LoadKernels loads the modules that no kernel has been launched of, and says which.
func TestLoadKernels(t *testing.T) {
	e, l := openEmulated(t)
	_, err := e.code.function(kernels.Modules(), "afl_reduce_sigmoid_f32")
	require.NoError(t, err)
	already := l.Count("modules")
	loaded, before := e.LoadedKernels()
	assert.EqualValues(t, already, loaded, "those that are loaded when used count as well")
	assert.Positive(t, before)

	l.Fail("cuModuleLoadDataEx", 3, 218)
	var names []string
	var sum time.Duration
	progress := func(module string, took time.Duration) {
		names = append(names, module)
		sum += took
		assert.Positive(t, took)
	}
	_, err = e.LoadKernels(progress)
	require.ErrorContains(t, err, "CUDA_ERROR_INVALID_PTX")
	assert.Len(t, names, 2, "those before the failure are loaded")
	took, err := e.LoadKernels(progress)
	require.NoError(t, err)
	loaded, all := e.LoadedKernels()
	assert.EqualValues(t, l.Count("modules"), loaded)
	assert.Equal(t, before+sum, all, "every load counts once, also those before the failure")
	assert.Positive(t, took)
	assert.Len(t, names, len(kernels.Modules().Modules())-int(already))
	assert.NotContains(t, names, "float32")
	assert.Contains(t, names, "general_float64")
	assert.EqualValues(t, len(kernels.Modules().Modules()), l.Count("modules"))

	_, err = e.LoadKernels(func(string, time.Duration) { t.Error("nothing is left to load") })
	require.NoError(t, err)
	require.NoError(t, e.Close())
	_, err = e.LoadKernels(nil)
	assert.ErrorIs(t, err, ErrClosed)
}
