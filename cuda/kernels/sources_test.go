package kernels

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// compilers are the C++ compilers to try, the user's choice alone if there is one.
func compilers() []string {
	if cxx := os.Getenv("CXX"); cxx != "" {
		return []string{cxx}
	}
	return []string{"c++", "g++", "clang++"}
}

func findCompiler(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || !slices.Contains([]string{"amd64", "arm64"}, runtime.GOARCH) {
		t.Skip("the emulator runs on Linux, amd64 or arm64")
	}
	for _, name := range compilers() {
		path, err := exec.LookPath(name)
		if err == nil {
			return path
		}
		require.ErrorIs(t, err, exec.ErrNotFound)
	}
	t.Skipf("there is none of the C++ compilers %v (CXX names another)", compilers())
	return ""
}

// TestSources compiles and runs the programs of testdata, which test parts of the
// kernels on the CPU.
func TestSources(t *testing.T) {
	compiler := findCompiler(t)
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
