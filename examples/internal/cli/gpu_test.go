//go:build cgo && linux && (amd64 || arm64)

package cli

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/weights"
)

// TestTrainingOnAGPU trains on the emulated GPU and on the CPU: the files have the same
// weights within rounding.
func TestTrainingOnAGPU(t *testing.T) {
	emulated.Install(t)
	train := func(backend string) map[string][]float64 {
		dir := filepath.Join(t.TempDir(), "run")
		args := []string{"-model_dir", dir, "-epochs", "1", "-steps", "1", "-max_cases", "1", "-loss", "afl", "-size", "32,32,16", "-backend", backend}
		code, out, errs := runProgram(tinyPICAI(), args...)
		require.Equal(t, exitOK, code, errs)
		if backend == "cuda:0" {
			assert.Contains(t, out, " of the GPU's memory and ")
			assert.Contains(t, out, ", backend cuda.")
		}
		state, _, err := weights.Load(filepath.Join(dir, "unet", "afl", "best.safetensors"))
		require.NoError(t, err)
		values := map[string][]float64{}
		for name, w := range state {
			if x, ok := w.Data().([]float32); ok {
				for _, v := range x {
					values[name] = append(values[name], float64(v))
				}
			}
		}
		return values
	}
	want := train("portable")
	got := train("cuda:0")
	require.Len(t, got, len(want))
	for name := range want {
		assert.LessOrEqual(t, nntest.RelativeError(want[name], got[name]), 1e-4, name)
	}
}
