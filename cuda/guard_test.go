//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cuda/emulator"
)

// The emulator aborts the process if a kernel writes outside its memory, so this test runs
// in a process of its own.
func TestEmulatorGuardsMemory(t *testing.T) {
	if _, err := emulator.FindCompiler(); errors.Is(err, emulator.ErrNoCompiler) {
		t.Skip(err)
	}
	const variable = "AFL_TEST_WRITE_OUTSIDE"
	if os.Getenv(variable) == "" {
		command := exec.Command(os.Args[0], "-test.run=^TestEmulatorGuardsMemory$")
		command.Env = append(os.Environ(), variable+"=1")
		out, err := command.CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "emulated CUDA device: a kernel or copy wrote outside its memory")
		return
	}
	e, _ := openEmulated(t)
	c := newClassesCall(t, e, hostTensor(tensor.Bool, 1, 700), 2)
	small, err := e.NewTensor(tensor.Uint8, 512)
	require.NoError(t, err)
	c.classes = small
	require.NoError(t, c.launch(e))
	require.NoError(t, e.Close())
}
