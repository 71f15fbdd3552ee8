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

// TestTrainingOnAGPU trains two epochs on the emulated GPU and on the CPU: the files have the same
// weights within rounding. Both runs go on for an epoch on the CPU, in which the difference grows.
func TestTrainingOnAGPU(t *testing.T) {
	emulated.Install(t)
	train := func(dir string, args ...string) (string, map[string][]float64) {
		code, out, errs := runProgram(tinyPICAI(), append([]string{"-model_dir", dir}, args...)...)
		require.Equal(t, exitOK, code, errs)
		state, _, err := weights.Load(filepath.Join(dir, "unet", "afl", "last.safetensors"))
		require.NoError(t, err)
		values := map[string][]float64{}
		for name, w := range state {
			if x, ok := w.Data().([]float32); ok {
				for _, v := range x {
					values[name] = append(values[name], float64(v))
				}
			}
		}
		return out, values
	}
	assertNear := func(want, got map[string][]float64, tolerance float64) {
		require.Len(t, got, len(want))
		for name := range want {
			assert.LessOrEqual(t, nntest.RelativeError(want[name], got[name]), tolerance, name)
		}
	}
	onCPU, onGPU := filepath.Join(t.TempDir(), "cpu"), filepath.Join(t.TempDir(), "gpu")
	args := []string{"-epochs", "2", "-steps", "1", "-max_cases", "1", "-loss", "afl", "-size", "32,32,16", "-backend"}
	_, want := train(onCPU, append(args, "portable")...)
	out, got := train(onGPU, append(args, "cuda:0")...)
	assert.Contains(t, out, " of the GPU's memory and ")
	assert.Contains(t, out, ", backend cuda.")
	assertNear(want, got, 1e-4)

	out, want = train(onCPU, "-resume", "-epochs", "3")
	assert.NotContains(t, out, "had the backends")
	out, got = train(onGPU, "-resume", "-epochs", "3", "-backend", "portable")
	assert.Contains(t, out, "The last session of this run had -backend cuda:0, now it is portable: ")
	assert.Contains(t, out, "Sessions of this run had the backends cuda:0, portable.")
	assertNear(want, got, 2e-2)
	assert.Equal(t, "portable", parseRecord(t, filesOf(t, onGPU)[recordName]).Flags["backend"])
}
