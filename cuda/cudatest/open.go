//go:build cgo && linux && (amd64 || arm64)

package cudatest

import (
	"testing"

	"github.com/x/afl/cuda"
	"github.com/x/afl/internal/cuda/emulator"
)

// OpenEmulated returns an engine on an emulated GPU and closes it when the test ends. The
// test is skipped if there is no C++ compiler, and fails if objects made in the engine's context still
// exist when the context is destroyed.
func OpenEmulated(t testing.TB) *cuda.Engine {
	t.Helper()
	return emulator.Open(t, emulator.Load(t), func() (*cuda.Engine, error) { return cuda.Open(0) })
}
