//go:build cgo && linux && (amd64 || arm64)

package emulated

import (
	"path/filepath"
	"runtime"
	"testing"

	gpu "github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/internal/cuda/emulator"
	"github.com/x/afl/internal/cuda/library"
)

// Open returns a backend on an emulated GPU with 8 GiB of memory, and its engine, which is
// closed when the test ends. The test is skipped if there is no C++ compiler.
func Open(t testing.TB) (nn.Backend, *gpu.Engine) {
	t.Helper()
	l := Load(t)
	l.Set(t, "memory", 8<<30)
	restore := library.Replace(l.Path)
	e, err := gpu.Open(0)
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
	b, err := cuda.On(e, nn.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return b, e
}

// Load loads the emulator with the kernels of package nn/cuda.
func Load(t testing.TB) *emulator.Library {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	return emulator.Load(t, filepath.Join(filepath.Dir(file), "..", "kernels", "emulated.cpp"))
}
