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
)

// Open returns a backend on an emulated GPU with 8 GiB of memory, and its engine, which is
// closed when the test ends. The test is skipped if there is no C++ compiler.
func Open(t testing.TB) (nn.Backend, *gpu.Engine) {
	t.Helper()
	l := Load(t)
	l.Set(t, "memory", 8<<30)
	e := emulator.Open(t, l, func() (*gpu.Engine, error) { return gpu.Open(0) })
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
