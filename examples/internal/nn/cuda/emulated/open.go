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

// Open returns a backend on an emulated GPU with 8 GiB of memory, or on the machine's first GPU
// with -gpu, and its engine, which is closed when the test ends. Without -gpu the test is skipped
// if there is no C++ compiler.
func Open(t testing.TB) (nn.Backend, *gpu.Engine) {
	t.Helper()
	e := open(t)
	b, err := cuda.On(e, nn.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return b, e
}

func open(t testing.TB) *gpu.Engine {
	t.Helper()
	if !*onGPU {
		l := load(t)
		l.Set(t, "memory", 8<<30)
		return emulator.Open(t, l, func() (*gpu.Engine, error) { return gpu.Open(0) })
	}
	e, err := gpu.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Load loads the emulator with the kernels of package nn/cuda, to change the emulated machine.
// With -gpu the test is skipped.
func Load(t testing.TB) *emulator.Library {
	t.Helper()
	if *onGPU {
		t.Skip("the test sets properties of the emulated GPU, and -gpu asks for a real one")
	}
	return load(t)
}

// Install makes the emulated GPU that of the machine until the test ends, for programs that open
// it by its index. With -gpu it does nothing.
func Install(t testing.TB) {
	t.Helper()
	if !*onGPU {
		t.Cleanup(library.Replace(load(t).Path))
	}
}

func load(t testing.TB) *emulator.Library {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	return emulator.Load(t, filepath.Join(filepath.Dir(file), "..", "kernels", "emulated.cpp"))
}
