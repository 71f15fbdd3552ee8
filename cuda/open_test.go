//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cuda/emulator"
	"github.com/x/afl/internal/cuda/library"
	"github.com/x/afl/internal/plan"
)

// emulate replaces the driver by the emulator for a test, which fails if it leaves
// anything behind in the driver.
func emulate(t testing.TB) *emulator.Library {
	t.Helper()
	l := emulator.Load(t)
	t.Cleanup(library.Replace(l.Path))
	leaked := l.Count("leaked")
	t.Cleanup(func() {
		for _, name := range emulator.Live() {
			assert.Zero(t, l.Count(name), name)
		}
		assert.Equal(t, leaked, l.Count("leaked"), "freed with the context and not before")
	})
	return l
}

// openEmulated opens an engine on the emulator and closes it when the test ends.
func openEmulated(t testing.TB) (*Engine, *emulator.Library) {
	t.Helper()
	l := emulate(t)
	return openAnother(t), l
}

// openAnother opens another engine on the emulator.
func openAnother(t testing.TB) *Engine {
	t.Helper()
	e, err := Open(0)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	return e
}

// forgetLibraries makes the next Open load its library again.
func forgetLibraries() {
	opened.Lock()
	defer opened.Unlock()
	clear(opened.libraries)
}

func TestDevices(t *testing.T) {
	l := emulate(t)
	l.Set(t, "devices", 2)
	devices, err := Devices()
	require.NoError(t, err)
	require.Len(t, devices, 2)
	assert.Equal(t, Device{Ordinal: 1, Name: "Emulated GPU 1", ComputeMajor: 9, ComputeMinor: 0, Memory: 256 << 20,
		Multiprocessors: 132, L2: 50 << 20, DriverVersion: 12040}, devices[1])
	assert.Equal(t, "Emulated GPU 1 (CUDA device 1, compute capability 9.0, 256.0 MiB)", devices[1].String())

	for _, function := range []string{"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute"} {
		l.Fail(function, 1, 999)
		_, err := Devices()
		assert.ErrorContains(t, err, "(999)", function)
	}
}

func TestOpenChoosesDevice(t *testing.T) {
	l := emulate(t)
	l.Set(t, "devices", 2)
	e, err := Open(1)
	require.NoError(t, err)
	assert.Equal(t, 1, e.Device().Ordinal)
	assert.Equal(t, e.Device().String(), e.String())
	require.NoError(t, e.Close())
	for _, ordinal := range []int{-1, 2} {
		_, err := Open(ordinal)
		assertRefused(t, err, fmt.Sprintf("cuda: ordinal is %d, want a device from 0 to 1", ordinal))
	}
}

func TestOpenWithoutDriver(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "libcuda.so.1")
	defer library.Replace(missing)()
	_, err := Open(0)
	require.ErrorContains(t, err, "cuda: no driver library found; tried "+missing)
	assert.ErrorContains(t, err, "install NVIDIA's driver 470 or later")
	_, err = Devices()
	assert.ErrorContains(t, err, "no driver library found")

	notALibrary := filepath.Join(t.TempDir(), "libcuda.so.1")
	require.NoError(t, os.WriteFile(notALibrary, []byte("no ELF file"), 0o644))
	defer library.Replace(notALibrary)()
	_, err = Open(0)
	require.ErrorContains(t, err, "no driver library found; tried "+notALibrary)
}

func TestLibraryNames(t *testing.T) {
	assert.Equal(t, "libcuda.so.1", library.Names()[0])
	restore := library.Replace("other")
	assert.Equal(t, []string{"other"}, library.Names())
	restore()
	assert.Equal(t, "libcuda.so.1", library.Names()[0])
}

// A library that lacks functions is an old driver.
func TestOpenWithoutFunction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "libcuda-old.so")
	source := filepath.Join(t.TempDir(), "old.c")
	require.NoError(t, os.WriteFile(source, []byte("int cuInit(unsigned f) { return 0; }\nint cuDriverGetVersion(int *v) { *v = 9020; return 0; }\n"), 0o644))
	out, err := exec.Command("cc", "-shared", "-fPIC", "-o", path, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	defer library.Replace(path)()
	_, err = Open(0)
	require.EqualError(t, err, "cuda: the driver is too old: "+path+" has no function cuGetErrorName; it is for CUDA 9.2, and CUDA 11.4 is needed (NVIDIA's driver 470 or later)")
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		setting string
		value   int64
		want    string
	}{
		"old driver":    {"version", 11020, "is for CUDA 11.2, and CUDA 11.4 is needed (NVIDIA's driver 470 or later)"},
		"no device":     {"devices", 0, "cuda: the driver shows no device"},
		"old device":    {"major", 6, "cuda: Emulated GPU 0 (CUDA device 0, compute capability 6.0, 256.0 MiB) is too old: compute capability 7.5 or later is needed"},
		"older Turing":  {"major", 7, "compute capability 7.0, 256.0 MiB) is too old"},
		"kernels' text": {"refuse_ptx", 1, "cuda: the driver (for CUDA 12.4) rejects the kernel module labels for Emulated GPU 0 (CUDA device 0, compute capability 9.0, 256.0 MiB): cuda: cuModuleLoadDataEx failed: CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed\nptxas fatal : Unresolved extern function 'nothing'"},
		"little memory": {"memory", 600, "out of device memory: wanted 512 B; this engine uses 512 B and reserves 512 B; the device has 88 B free of 600 B"},
	} {
		t.Run(name, func(t *testing.T) {
			l := emulate(t)
			forgetLibraries()
			t.Cleanup(forgetLibraries)
			l.Set(t, test.setting, test.value)
			e, err := Open(0)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, e)
			if test.setting == "devices" {
				_, err := Devices()
				require.ErrorContains(t, err, test.want)
			}
		})
	}
	t.Run("capability 7.5", func(t *testing.T) {
		l := emulate(t)
		l.Set(t, "major", 7)
		l.Set(t, "minor", 5)
		e, err := Open(0)
		require.NoError(t, err)
		// The passes that round to bfloat16 by an instruction need capability 8.0.
		for _, test := range []struct {
			dtype tensor.Dtype
			want  string
		}{{tensor.Float32, "sigmoid_f32"}, {Float16, "sigmoid_f16"}, {BFloat16, "general_bf16"}} {
			logits, err := e.NewTensor(test.dtype, 1, 1, 3)
			require.NoError(t, err)
			batch := &plan.Batch{N: 1, C: 1, V: 3, Space: [3]int{3, 1, 1}, Logits: logits}
			loss := &plan.Loss{Focal: &plan.Focal{Activation: plan.Sigmoid}}
			assert.Equal(t, test.want, backend{e}.kernelOf(batch, loss, &plan.Call{}).name)
		}
		require.NoError(t, e.Close())
	})
	t.Run("a driver that does not start", func(t *testing.T) {
		l := emulate(t)
		forgetLibraries()
		l.Fail("cuInit", 1, 803)
		_, err := Open(0)
		assert.ErrorContains(t, err, "(for CUDA 12.4) does not start: cuda: cuInit failed: unknown error (803)")
		devices, err := Devices()
		require.NoError(t, err, "the next attempt succeeds")
		assert.Len(t, devices, 1)
	})
}

// If any step fails, Open returns the error and leaves nothing behind.
func TestOpenCleansUp(t *testing.T) {
	for _, test := range []struct {
		function string
		nth      int
	}{
		{"cuDeviceGetCount", 1}, {"cuDeviceGet", 1}, {"cuDeviceGet", 2}, {"cuDevicePrimaryCtxRetain", 1},
		{"cuCtxPushCurrent_v2", 1}, {"cuStreamCreate", 1}, {"cuModuleLoadDataEx", 1}, {"cuModuleGetFunction", 1}, {"cuMemHostAlloc", 1},
		{"cuMemAlloc_v2", 1}, {"cuMemAlloc_v2", 2}, {"cuMemAlloc_v2", 3}, {"cuMemsetD32Async", 1}, {"cuMemsetD32Async", 3},
	} {
		t.Run(fmt.Sprint(test.function, test.nth), func(t *testing.T) {
			l := emulate(t)
			l.Fail(test.function, test.nth, 1)
			_, err := Open(0)
			var d *DriverError
			require.ErrorAs(t, err, &d)
			assert.Equal(t, DriverError{Function: d.Function, Code: 1, Name: "CUDA_ERROR_INVALID_VALUE", Text: "invalid argument"}, *d)
		})
	}
}

func TestOpenAndCloseThousandTimes(t *testing.T) {
	l := emulate(t)
	for i := range 1000 {
		e, err := Open(0)
		require.NoError(t, err)
		if i%2 == 0 { // leave everything to Close
			fillEngine(t, e)
		}
		require.NoError(t, e.Close())
		require.NoError(t, e.Close(), "closing again")
		for _, name := range emulator.Live() {
			require.Zero(t, l.Count(name), name)
		}
	}
}

// fillEngine creates one of each kind of object that Close has to free.
func fillEngine(t *testing.T, e *Engine) {
	_, err := e.NewTensor(Float16, 3, 5)
	require.NoError(t, err)
	_, err = e.NewHostBuffer(100)
	require.NoError(t, err)
	ev, err := e.NewEvent()
	require.NoError(t, err)
	require.NoError(t, ev.Record())
	_, err = e.Capture(func() error { _, err := e.Alloc(10); return err })
	require.NoError(t, err)
}

// Engines on one device share its context and nothing else.
func TestTwoEngines(t *testing.T) {
	l := emulate(t)
	a, err := Open(0)
	require.NoError(t, err)
	b, err := Open(0)
	require.NoError(t, err)
	assert.EqualValues(t, 1, l.Count("contexts"))
	assert.EqualValues(t, 2, l.Count("streams"))
	require.NoError(t, a.Close())
	assert.EqualValues(t, 1, l.Count("contexts"))
	_, err = b.NewTensor(Float16, 4)
	require.NoError(t, err)
	require.NoError(t, b.Close())
}
