//go:build linux && (amd64 || arm64)

package kernels

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/cuda/emulator"
)

// TestSources compiles and runs the programs in testdata, which test parts of the kernels
// on the CPU.
func TestSources(t *testing.T) {
	compiler, err := emulator.FindCompiler()
	if errors.Is(err, emulator.ErrNoCompiler) {
		t.Skip(err)
	}
	require.NoError(t, err)
	programs, err := filepath.Glob("testdata/*.cpp")
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	for _, source := range programs {
		t.Run(filepath.Base(source), func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "program")
			out, err := exec.Command(compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source).CombinedOutput()
			require.NoError(t, err, "%s", out)
			out, err = exec.Command(program).CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("%v:\n%s", err, out)
			}
			require.NoError(t, err)
		})
	}
}
