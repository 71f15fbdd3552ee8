//go:build cgo && linux && (amd64 || arm64)

package cudnn_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/cudnn"
	"github.com/x/afl/internal/cuda/emulator"
	"github.com/x/afl/internal/cuda/kernel"
	"github.com/x/afl/internal/cuda/library"
)

// open returns an engine on the emulator, in whose library cuDNN is too. The test fails if it
// leaves anything behind.
func open(t *testing.T) (*cuda.Engine, *emulator.Library) {
	t.Helper()
	l := emulator.Load(t)
	t.Cleanup(library.Replace(l.Path))
	t.Setenv(cudnn.Variable, l.Path)
	l.Set(t, "memory", 2<<30)
	e, err := cuda.Open(0)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, e.Close())
		for _, name := range emulator.Live() {
			assert.Zero(t, l.Count(name), name)
		}
	})
	return e, l
}

var shape = cudnn.Convolution{
	Samples: 2, Rows: 4, Columns: 3, X: [3]int{7, 6, 5}, Y: [3]int{3, 6, 2}, Kernel: [3]int{3, 3, 2},
	Stride: [3]int{2, 1, 3}, Padding: [3]int{1, 1, 0}, Dilation: [3]int{2, 1, 1},
}

var operations = []cudnn.Operation{cudnn.Forward, cudnn.BackwardData, cudnn.BackwardFilter}

// buffer is device memory.
type buffer struct {
	t      *testing.T
	runner kernel.Runner
	at     uintptr
	n      int
}

func newBuffer(t *testing.T, r kernel.Runner, values []float32) buffer {
	t.Helper()
	at, err := r.Alloc(4 * int64(len(values)))
	require.NoError(t, err)
	bytes, err := binary.Append(nil, binary.NativeEndian, values)
	require.NoError(t, err)
	require.NoError(t, r.Write(at, bytes))
	return buffer{t, r, at, len(values)}
}

func (b buffer) read() []float32 {
	b.t.Helper()
	bytes, values := make([]byte, 4*b.n), make([]float32, b.n)
	require.NoError(b.t, b.runner.Read(bytes, b.at))
	_, err := binary.Decode(bytes, binary.NativeEndian, values)
	require.NoError(b.t, err)
	return values
}

func random(n int, seed uint64) []float32 {
	r, values := rand.New(rand.NewPCG(seed, 1)), make([]float32, n)
	for i := range values {
		values[i] = float32(2*r.Float64() - 1)
	}
	return values
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// The three operations are adjoint to each other, on the engine's stream, and choose the first
// acceptable engine.
func TestOperations(t *testing.T) {
	e, l := open(t)
	r := e.Runner()
	h, err := cudnn.New(r)
	require.NoError(t, err)
	assert.Equal(t, "9.21.0", h.Version().String())
	assert.Equal(t, l.Path, h.Path())
	for strict, want := range map[bool]string{true: "engine 0", false: "engine 36 (tensor cores)"} {
		x, w, g := random(2*3*210, 1), random(4*3*18, 2), random(2*4*36, 3)
		bx, bw, bg := newBuffer(t, r, x), newBuffer(t, r, w), newBuffer(t, r, g)
		y, dx, dw := newBuffer(t, r, make([]float32, len(g))), newBuffer(t, r, make([]float32, len(x))), newBuffer(t, r, make([]float32, len(w)))
		for i, operation := range operations {
			p, err := h.Plan(operation, shape, strict)
			require.NoError(t, err, operation)
			assert.Equal(t, want, p.String())
			workspace, err := r.Alloc(p.Workspace())
			require.NoError(t, err)
			fine, weight, coarse := bx.at, bw.at, bg.at
			switch i {
			case 0:
				coarse = y.at
			case 1:
				fine = dx.at
			case 2:
				weight = dw.at
			}
			require.NoError(t, p.Execute(fine, weight, coarse, workspace))
			require.NoError(t, r.Free(workspace))
		}
		yg := dot(y.read(), g)
		assert.InDelta(t, yg, dot(x, dx.read()), 1e-4)
		assert.InDelta(t, yg, dot(w, dw.read()), 1e-4)
		assert.Greater(t, math.Abs(yg), 0.1)
	}
	assert.EqualValues(t, 6, l.Count("cudnn_executed"))
	assert.EqualValues(t, 1, l.Count("cudnn_handles"))

	p, err := h.Plan(cudnn.Forward, shape, true)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	assert.Zero(t, l.Count("cudnn_handles")+l.Count("cudnn_descriptors"), "closed with the engine")
	assert.ErrorIs(t, p.Execute(16, 16, 16, 0), cuda.ErrClosed)
	_, err = h.Plan(cudnn.Forward, shape, true)
	assert.ErrorIs(t, err, cuda.ErrClosed)
}

// Every engine but the acceptable ones is left out, and the error says why.
func TestNoEngine(t *testing.T) {
	e, l := open(t)
	h, err := cudnn.New(e.Runner())
	require.NoError(t, err)
	for index, want := range map[int64]string{
		57: "engine 57 (tensor cores, nondeterministic): its arithmetic", 38: "engine 38 (tensor cores, rounded inputs): its arithmetic",
		4:  "engine 4 (FFT): a workspace of 1073741825 bytes",
		11: "engine 11 (reduced precision of sums): its arithmetic", 21: "engine 21: cudnn: cudnnBackendFinalize of cuDNN 9.21.0 failed: CUDNN_STATUS_NOT_SUPPORTED (3000): the engine does not support the operation",
		1: "engine 1 (nondeterministic): its arithmetic",
	} {
		l.Set(t, "cudnn_engines", index+1)
		_, err := h.Plan(cudnn.BackwardData, shape, false)
		var none *cudnn.NoEngineError
		require.ErrorAs(t, err, &none)
		assert.Equal(t, []string{want}, none.Refused)
		assert.ErrorContains(t, err, "cudnn: no engine is acceptable for backward data of 2×3→4, [7 6 5]→[3 6 2], kernel [3 3 2]")
	}
	l.Set(t, "cudnn_engines", 37)
	_, err = h.Plan(cudnn.Forward, shape, true)
	assert.ErrorContains(t, err, "engine 36 (tensor cores): its arithmetic")
	_, err = h.Plan(cudnn.Forward, shape, false)
	assert.NoError(t, err)
	l.Set(t, "cudnn_engines", 7)
	p, err := h.Plan(cudnn.Forward, shape, true)
	require.NoError(t, err)
	assert.Equal(t, "engine 6", p.String(), "of the fallback")
	assert.Zero(t, p.Workspace())
}

// A failure of any call is returned and leaves nothing behind.
func TestFailures(t *testing.T) {
	e, l := open(t)
	for _, function := range []string{"cudnnCreate", "cudnnSetStream"} {
		l.Fail(function, 1, 4000)
		_, err := cudnn.New(e.Runner())
		assert.EqualError(t, err, "cudnn: "+function+" of cuDNN 9.21.0 failed: CUDNN_STATUS_INTERNAL_ERROR (4000): injected")
		assert.Zero(t, l.Count("cudnn_handles"))
	}
	h, err := cudnn.New(e.Runner())
	require.NoError(t, err)
	for function, calls := range map[string]int{
		"cudnnBackendCreateDescriptor": 9, "cudnnBackendSetAttribute": 34, "cudnnBackendFinalize": 8, "cudnnBackendGetAttribute": 8,
	} {
		for call := 1; call <= calls; call++ {
			l.Fail(function, call, 5000)
			_, err := h.Plan(cudnn.BackwardFilter, shape, true)
			var failed *cudnn.StatusError
			require.ErrorAs(t, err, &failed, "%s %d", function, call)
			assert.Equal(t, cudnn.StatusError{Function: function, Status: 5000, Name: "CUDNN_STATUS_EXECUTION_FAILED", Message: "injected", Version: 92100}, *failed)
			assert.Zero(t, l.Count("cudnn_descriptors"), "%s %d", function, call)
		}
	}
	wrong := shape
	wrong.Y[0]++
	_, err = h.Plan(cudnn.Forward, wrong, true)
	assert.EqualError(t, err, "cudnn: cudnnBackendFinalize of cuDNN 9.21.0 failed: CUDNN_STATUS_BAD_PARAM (2008): operation: sizes")

	p, err := h.Plan(cudnn.Forward, shape, true)
	require.NoError(t, err)
	kept := l.Count("cudnn_descriptors")
	r := e.Runner()
	x, w, y := newBuffer(t, r, random(1260, 1)), newBuffer(t, r, random(216, 1)), newBuffer(t, r, random(288, 1))
	space := newBuffer(t, r, random(250, 1))
	for want, addresses := range map[string][4]uintptr{
		"pointer of a tensor":                                {x.at + 4, w.at, y.at, space.at},
		"a tensor outside device memory or over another one": {x.at, w.at, x.at, space.at},
		"no pointer for a tensor":                            {x.at, 0, y.at, space.at},
		"workspace outside device memory or over a tensor":   {x.at, w.at, y.at, y.at},
	} {
		assert.ErrorContains(t, p.Execute(addresses[0], addresses[1], addresses[2], addresses[3]), want)
	}
	l.Fail("cudnnBackendExecute", 1, 5000)
	assert.ErrorContains(t, p.Execute(x.at, w.at, y.at, space.at), "cudnnBackendExecute of cuDNN 9.21.0 failed: CUDNN_STATUS_EXECUTION_FAILED (5000): injected")
	assert.Equal(t, kept, l.Count("cudnn_descriptors"), "a variant pack does not outlive its execution")
	require.NoError(t, p.Execute(x.at, w.at, y.at, space.at))
}

func TestOpenRefuses(t *testing.T) {
	e, _ := open(t)
	refused := func(path, want string) {
		t.Helper()
		t.Setenv(cudnn.Variable, path)
		_, err := cudnn.New(e.Runner())
		assert.ErrorContains(t, err, want)
	}
	compile := func(name, source string) string {
		t.Helper()
		from, to := filepath.Join(t.TempDir(), "lib.c"), filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(from, []byte(source), 0o644))
		out, err := exec.Command("cc", "-shared", "-fPIC", "-o", to, from).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return to
	}
	refused("/nowhere", "cudnn: libcudnn.so.9 9.16.0 or later is not found; tried /nowhere: cannot open shared object file: No such file or directory; install it (pip install nvidia-cudnn-cu13 nvidia-cublas, or NVIDIA's package cudnn9), or name its file in AFL_CUDNN")
	old := compile("libcudnn.so.9", "unsigned long cudnnGetVersion(void) { return 91500; }")
	refused(old, "cudnn: "+old+" is cuDNN 9.15.0, and 9.16.0 or later is needed")
	refused(filepath.Dir(old), "is cuDNN 9.15.0, and 9.16.0 or later is needed")
	other := compile("libcudnn.so.9", "int nothing;")
	refused(other, "cudnn: "+other+" has no function cudnnGetVersion: it is not cuDNN 9.16.0 or later")
	partial := compile("libcudnn.so.9", "unsigned long cudnnGetVersion(void) { return 91600; }")
	refused(partial, "cudnn: "+partial+" has no function cudnnGetErrorString: it is not cuDNN 9.16.0 or later")
	alone := compile("libcudnn.so.9", `unsigned long cudnnGetVersion(void) { return 91600; }
		#define F(name) int name(void) { return 0; }
		F(cudnnGetErrorString) F(cudnnGetLastErrorString) F(cudnnCreate) F(cudnnDestroy) F(cudnnSetStream) F(cudnnBackendCreateDescriptor)
		F(cudnnBackendDestroyDescriptor) F(cudnnBackendSetAttribute) F(cudnnBackendGetAttribute) F(cudnnBackendFinalize) F(cudnnBackendExecute)`)
	if _, err := os.Stat("/usr/local/cuda"); err != nil { // elsewhere cuBLASLt may be there
		refused(alone, "cudnn: "+alone+" needs cuBLASLt, and neither libcublasLt.so.13 nor libcublasLt.so.12 is found; install it (pip install nvidia-cublas)")
	}
}
