//go:build cgo && linux && (amd64 || arm64)

package cudatest

import (
	"testing"

	"github.com/x/afl/cuda"
	"github.com/x/afl/internal/cuda/emulator"
	"github.com/x/afl/internal/cuda/library"
)

// OpenEmulated returns an engine on an emulated GPU and closes it when the test ends. The
// test is skipped if there is no C++ compiler, and fails if objects made in the engine's context still
// exist when the context is destroyed.
func OpenEmulated(t testing.TB) *cuda.Engine {
	t.Helper()
	l := emulator.Load(t)
	restore := library.Replace(l.Path)
	e, err := cuda.Open(0)
	restore()
	if err != nil {
		t.Fatal(err)
	}
	leaked := l.Count("leaked")
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if n := l.Count("leaked") - leaked; n != 0 {
			t.Errorf("%d objects of the driver were not freed", n)
		}
	})
	return e
}
