//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// hostTensor returns a tensor of a type with random bytes.
func hostTensor(dt tensor.Dtype, shape ...int) *tensor.Dense {
	n := tensor.Shape(shape).TotalSize()
	backing := reflect.MakeSlice(reflect.SliceOf(dt.Type), n, n)
	t := tensor.NewDense(dt, shape, tensor.WithBacking(backing.Interface()))
	for i := range t.Raw {
		t.Raw[i] = byte(rand.Uint32())
		if dt == tensor.Bool {
			t.Raw[i] &= 1
		}
	}
	return t
}

// assertRefused checks that an error of this package is an ArgumentError, and the
// beginning of its text.
func assertRefused(t *testing.T, err error, want string) {
	t.Helper()
	var refused *afl.ArgumentError
	if assert.ErrorAs(t, err, &refused) {
		assert.True(t, strings.HasPrefix(err.Error(), want), "%v\nwant %s", err, want)
		assert.True(t, strings.HasPrefix(want, "cuda: "))
		assert.NotEmpty(t, refused.Argument)
		assert.Contains(t, err.Error(), refused.Want)
	}
}

// assertRefusal checks that an error is a refusal for package afl to convert, and that its
// text contains the given one.
func assertRefusal(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *plan.Refusal
	if assert.ErrorAs(t, err, &refusal) {
		assert.ErrorContains(t, err, want)
	}
}

func TestUploadAndDownload(t *testing.T) {
	e, _ := openEmulated(t)
	for _, dt := range []tensor.Dtype{
		tensor.Bool, tensor.Int, tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint, tensor.Uint8, tensor.Uint16,
		tensor.Uint32, tensor.Uint64, tensor.Float32, tensor.Float64, tensor.Complex64, tensor.Complex128, Float16, BFloat16,
	} {
		for _, shape := range [][]int{{1}, {7}, {2, 3, 5, 7}, {1, 1, 3, 1, 33}} {
			host := hostTensor(dt, shape...)
			device, err := e.Upload(host)
			require.NoError(t, err)
			assert.Equal(t, dt, device.Dtype())
			assert.Equal(t, tensor.Shape(shape), device.Shape())
			assert.Same(t, e, device.Engine())
			assert.False(t, device.IsNativelyAccessible())
			back, err := e.Download(device)
			require.NoError(t, err)
			assert.Equal(t, tensor.Shape(shape), back.Shape())
			assert.Equal(t, dt, back.Dtype())
			assert.True(t, bytes.Equal(host.Raw, back.Raw), "%v %v", dt, shape)
			assert.True(t, back.IsNativelyAccessible())
			require.NoError(t, e.Release(device))
		}
	}
	moved, err := tensor.Transpose(hostTensor(tensor.Int16, 3, 4, 5), 2, 0, 1)
	require.NoError(t, err)
	device, err := e.Upload(moved.(*tensor.Dense))
	require.NoError(t, err)
	back, err := e.Download(device)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{5, 3, 4}, back.Shape())
	assert.Equal(t, moved.Data(), back.Data())
	scalar, err := e.Upload(tensor.New(tensor.FromScalar(2.5)))
	require.NoError(t, err)
	assert.True(t, scalar.IsScalar())
	back, err = e.Download(scalar)
	require.NoError(t, err)
	assert.Equal(t, 2.5, back.ScalarValue())
}

func TestNewTensorRefuses(t *testing.T) {
	e, _ := openEmulated(t)
	_, err := e.NewTensor(tensor.Float32, 2, 0, 3)
	assertRefused(t, err, "cuda: shape is [2 0 3], want no axis shorter than 1")
	_, err = e.NewTensor(tensor.Float32, 2, -1)
	assertRefused(t, err, "cuda: shape is [2 -1]")
	_, err = e.NewTensor(tensor.Float32, 1<<40, 1<<40)
	assertRefused(t, err, "cuda: shape is [1099511627776 1099511627776], want at most 2⁴⁶ bytes")
	_, err = e.NewTensor(tensor.String, 2)
	assertRefused(t, err, "cuda: type of tensor is string, want a number or bool")
	_, err = e.NewTensor(tensor.Dtype{}, 2)
	assertRefused(t, err, "cuda: type of tensor is not set")
	assert.EqualValues(t, 3*leastBytes, e.Memory().InUse, "the engine's own memory")
}

func TestCopy(t *testing.T) {
	e, _ := openEmulated(t)
	device, err := e.NewTensor(tensor.Int16, 4, 5)
	require.NoError(t, err)
	host := hostTensor(tensor.Int16, 20) // another shape of the same size
	require.NoError(t, e.CopyToDevice(device, host))
	back := hostTensor(tensor.Int16, 2, 10)
	require.NoError(t, e.CopyToHost(back, device))
	assert.Equal(t, host.Raw, back.Raw)

	other := openAnother(t)
	foreign, err := other.NewTensor(tensor.Int16, 4, 5)
	require.NoError(t, err)
	released, err := e.NewTensor(tensor.Int16, 20)
	require.NoError(t, err)
	shared := released.ShallowClone()
	require.NoError(t, e.Release(released))
	masked := tensor.New(tensor.WithBacking(make([]int16, 20), make([]bool, 20)))
	transposed := hostTensor(tensor.Int16, 4, 5)
	require.NoError(t, transposed.T())
	column, err := hostTensor(tensor.Int16, 5, 4).Slice(nil, tensor.S(1))
	require.NoError(t, err)
	for _, test := range []struct {
		dst, src *tensor.Dense
		want     string
	}{
		{nil, host, "cuda: dst is nil, want a tensor"},
		{device, nil, "cuda: src is nil, want a tensor"},
		{host, host, "cuda: engine of dst is tensor.StdEng, want this engine, Emulated GPU 0"},
		{foreign, host, "cuda: engine of dst is another engine, Emulated GPU 0"},
		{released, host, "cuda: dst is a tensor without memory (released already?)"},
		{shared, host, "cuda: memory of dst is released already"},
		{device, device, "cuda: engine of src is this engine, Emulated GPU 0"},
		{device, hostTensor(tensor.Uint16, 20), "cuda: type of src is uint16, want that of dst, int16"},
		{device, hostTensor(tensor.Int16, 21), "cuda: shape of src is (21), want as many elements as dst has with (4, 5)"},
		{device, masked, "cuda: src is a masked tensor"},
		{device, transposed, "cuda: layout of src is"},
		{device, column.(*tensor.Dense), "cuda: layout of src is"},
	} {
		assertRefused(t, e.CopyToDevice(test.dst, test.src), test.want)
	}
	assertRefused(t, e.CopyToHost(nil, device), "cuda: dst is nil")
	assertRefused(t, e.CopyToHost(host, host), "cuda: engine of src is")
	assertRefused(t, e.CopyToHost(transposed, device), "cuda: layout of dst is")
	assertRefused(t, e.CopyToHost(hostTensor(tensor.Int16, 3), device), "cuda: shape of dst is (3)")
	_, err = e.Upload(nil)
	assertRefused(t, err, "cuda: t is nil")
	_, err = e.Upload(transposed)
	assertRefused(t, err, "cuda: layout of t")
	_, err = e.Upload(tensor.New(tensor.WithBacking([]string{"a"})))
	assertRefused(t, err, "cuda: type of t is string")
	_, err = e.Download(foreign)
	assertRefused(t, err, "cuda: engine of t is another engine")
}

// A view of whole planes is contiguous and can be copied.
func TestViewsOfPlanes(t *testing.T) {
	e, _ := openEmulated(t)
	host := hostTensor(tensor.Float32, 3, 4, 5)
	device, err := e.Upload(host)
	require.NoError(t, err)
	view, err := device.Slice(tensor.S(1, 3))
	require.NoError(t, err)
	back, err := e.Download(view.(*tensor.Dense))
	require.NoError(t, err)
	assert.Equal(t, host.Raw[80:], back.Raw)
	rows, err := device.Slice(nil, tensor.S(1, 3))
	require.NoError(t, err)
	_, err = e.Download(rows.(*tensor.Dense))
	assertRefused(t, err, "cuda: layout of t is")
	assertRefused(t, e.Release(view.(*tensor.Dense)), "cuda: t is a view, want the tensor that it views")
	require.NoError(t, e.Release(device))
	_, err = e.Download(view.(*tensor.Dense))
	assertRefused(t, err, "cuda: memory of t is released already")
}

func TestRelease(t *testing.T) {
	e, _ := openEmulated(t)
	a, err := e.NewTensor(tensor.Float32, 1000)
	require.NoError(t, err)
	clone := a.ShallowClone()
	interior := tensor.NewDense(tensor.Float32, []int{10}, tensor.WithEngine(e), tensor.FromMemory(a.Uintptr()+400, 40))
	shorter := tensor.NewDense(tensor.Float32, []int{10}, tensor.WithEngine(e), tensor.FromMemory(a.Uintptr(), 40))
	assertRefused(t, e.Release(interior), "cuda: memory of t is a part of a larger allocation")
	assertRefused(t, e.Release(shorter), "cuda: memory of t is a part of a larger allocation")
	require.NoError(t, e.Release(a))
	assertRefused(t, e.Release(a), "cuda: t is a tensor without memory (released already?)")
	assertRefused(t, e.Release(clone), "cuda: memory of t is released already")
	assertRefused(t, e.Release(nil), "cuda: t is nil")
	assertRefused(t, e.Release(hostTensor(tensor.Float32, 3)), "cuda: engine of t is tensor.StdEng")
	elsewhere := tensor.NewDense(tensor.Float32, []int{10}, tensor.WithEngine(e), tensor.FromMemory(4096, 40))
	assertRefused(t, e.Release(elsewhere), "cuda: memory of t is not this engine's, want this engine's, in use")
	other := openAnother(t)
	foreign, err := other.NewTensor(tensor.Float32, 10)
	require.NoError(t, err)
	assertRefused(t, e.Release(foreign), "cuda: engine of t is another engine")
	assert.EqualValues(t, 3*leastBytes, e.Memory().InUse)
	assert.Positive(t, e.Memory().PeakInUse-3*leastBytes)
}

func TestOutOfMemory(t *testing.T) {
	e, l := openEmulated(t)
	l.Set(t, "memory", 1<<20)
	a, err := e.NewTensor(tensor.Uint8, 600_000)
	require.NoError(t, err)
	_, err = e.NewTensor(tensor.Uint8, 500_000)
	var oom *OutOfMemoryError
	require.ErrorAs(t, err, &oom)
	assert.EqualValues(t, 500_000, oom.Wanted)
	assert.EqualValues(t, 1<<20, oom.Total)
	assert.Equal(t, oom.Total-oom.Reserved, oom.Free)
	assert.Equal(t, e.Memory().InUse, oom.InUse)
	require.NoError(t, e.Release(a))
	b, err := e.NewTensor(tensor.Uint8, 500_000)
	require.NoError(t, err, "the pool returns its unused memory")
	require.NoError(t, e.Release(b))

	// If the driver is out of memory, the pool returns unused memory and tries again.
	l.Fail("cuMemAlloc_v2", 1, 2)
	c, err := e.NewTensor(tensor.Uint8, 200_000)
	require.NoError(t, err)
	assert.Equal(t, e.Memory().InUse, e.Memory().Reserved, "the pool returned its unused memory")
	require.NoError(t, e.Release(c))

	// Errors on the way are returned.
	for _, function := range []string{"cuStreamSynchronize", "cuMemFree_v2"} {
		l.Fail("cuMemAlloc_v2", 1, 2)
		l.Fail(function, 1, 1)
		_, err = e.NewTensor(tensor.Uint8, 300_000)
		assert.ErrorContains(t, err, "CUDA_ERROR_INVALID_VALUE")
	}
	l.Fail("cuMemAlloc_v2", 1, 1)
	_, err = e.NewTensor(tensor.Uint8, 300_000)
	assert.ErrorContains(t, err, "cuMemAlloc failed: CUDA_ERROR_INVALID_VALUE")
	assert.NoError(t, e.Synchronize())
	_, err = e.NewTensor(tensor.Uint8, 200_000)
	require.NoError(t, err)
}

func TestHostBuffer(t *testing.T) {
	e, _ := openEmulated(t)
	device, err := e.NewTensor(tensor.Int32, 3, 4)
	require.NoError(t, err)
	in, err := e.NewHostBuffer(100)
	require.NoError(t, err)
	out, err := e.NewHostBuffer(48)
	require.NoError(t, err)
	require.Len(t, in.Bytes(), 100)
	host, err := in.Tensor(tensor.Int32, 3, 4)
	require.NoError(t, err)
	assert.True(t, host.IsNativelyAccessible())
	back, err := out.Tensor(tensor.Int32, 12)
	require.NoError(t, err)
	numbers := host.Data().([]int32)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	before := append([]int32(nil), back.Data().([]int32)...)
	require.NoError(t, e.CopyToDevice(device, host))
	require.NoError(t, e.CopyToHost(back, device))
	assert.Equal(t, before, back.Data(), "the copies are pending")
	require.NoError(t, e.Synchronize())
	assert.Equal(t, numbers, back.Data())
	assert.EqualValues(t, 3, in.Bytes()[12])

	_, err = in.Tensor(tensor.Int32, 26)
	assertRefused(t, err, "cuda: shape is [26], want at most the 100 bytes of the buffer")
	_, err = in.Tensor(tensor.Int32, 0)
	assertRefused(t, err, "cuda: shape is [0]")
	for _, n := range []int64{0, -5, 1 << 60} {
		_, err = e.NewHostBuffer(n)
		assertRefused(t, err, fmt.Sprintf("cuda: number of bytes is %d, want from 1 to 2⁴⁶", n))
	}
	require.NoError(t, in.Close())
	require.NoError(t, in.Close())
	assert.Nil(t, in.Bytes())
	_, err = in.Tensor(tensor.Int32, 1)
	assert.EqualError(t, err, "cuda: the host buffer is closed")
}

// Closing a buffer right after enqueueing a copy waits for the copy.
func TestHostBufferCloseWaits(t *testing.T) {
	e, _ := openEmulated(t)
	in, err := e.NewHostBuffer(8)
	require.NoError(t, err)
	copy(in.Bytes(), "12345678")
	host, err := in.Tensor(tensor.Uint8, 8)
	require.NoError(t, err)
	device, err := e.Upload(host)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	back, err := e.Download(device)
	require.NoError(t, err)
	assert.Equal(t, []byte("12345678"), back.Data())
}

// Goroutines that use their own tensors do not disturb each other.
func TestConcurrentUse(t *testing.T) {
	e, _ := openEmulated(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			buffer, err := e.NewHostBuffer(1 << 12)
			if !assert.NoError(t, err) {
				return
			}
			for range 60 {
				n := 1 + r.IntN(1<<12)
				host, err := buffer.Tensor(tensor.Uint8, n)
				if !assert.NoError(t, err) {
					return
				}
				if r.IntN(2) == 0 {
					host = hostTensor(tensor.Uint8, n)
				}
				for i := range host.Raw {
					host.Raw[i] = byte(r.Uint32())
				}
				a, err := e.Upload(host)
				assert.NoError(t, err)
				b, err := e.NewTensor(tensor.Uint8, n)
				assert.NoError(t, err)
				assert.NoError(t, e.Memset(b, uint8(g)))
				assert.NoError(t, e.Memcpy(b, a))
				assert.NoError(t, e.Release(a))
				ev, err := e.NewEvent()
				assert.NoError(t, err)
				assert.NoError(t, ev.Record())
				back, err := e.Download(b)
				assert.NoError(t, err)
				assert.Equal(t, host.Raw, back.Raw)
				assert.NoError(t, ev.Synchronize())
				assert.NoError(t, ev.Close())
				assert.NoError(t, e.Release(b))
				e.Memory()
			}
			assert.NoError(t, buffer.Close())
		})
	}
	wg.Wait()
	require.NoError(t, e.Synchronize())
	assert.EqualValues(t, 3*leastBytes, e.Memory().InUse)
}

// Close waits for running calls of other goroutines; later calls fail.
func TestCloseDuringUse(t *testing.T) {
	e, _ := openEmulated(t)
	host := hostTensor(tensor.Uint8, 999)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				device, err := e.Upload(host)
				if err != nil {
					assert.ErrorIs(t, err, ErrClosed)
					return
				}
				back, err := e.Download(device)
				if err != nil {
					assert.ErrorIs(t, err, ErrClosed)
					return
				}
				assert.Equal(t, host.Raw, back.Raw)
				if err := e.Release(device); err != nil {
					assert.ErrorIs(t, err, ErrClosed)
					return
				}
			}
		})
	}
	for i := 0; i < 20; i++ {
		require.NoError(t, e.Synchronize())
	}
	require.NoError(t, e.Close())
	wg.Wait()
}

func TestGorgonia(t *testing.T) {
	e, _ := openEmulated(t)
	d := tensor.New(tensor.WithEngine(e), tensor.WithShape(3, 5), tensor.Of(tensor.Float64))
	assert.True(t, d.IsManuallyManaged())
	assert.False(t, d.IsNativelyAccessible())
	back, err := e.Download(d)
	require.NoError(t, err)
	assert.Equal(t, make([]float64, 15), back.Data(), "tensor.New promises zeros")

	host := hostTensor(tensor.Float64, 3, 5)
	require.NoError(t, e.CopyToDevice(d, host))
	clone := d.Clone().(*tensor.Dense)
	require.NoError(t, e.Memset(d, 2.5))
	back, err = e.Download(clone)
	require.NoError(t, err)
	assert.Equal(t, host.Raw, back.Raw, "a clone has memory of its own")
	require.NoError(t, e.Release(clone))

	into := hostTensor(tensor.Float64, 3, 5)
	require.NoError(t, tensor.Copy(into, d))
	assert.Equal(t, 2.5, into.Data().([]float64)[14])
	slice, err := d.Slice(tensor.S(1, 3))
	require.NoError(t, err)
	materialized := slice.Materialize().(*tensor.Dense)
	back, err = e.Download(materialized)
	require.NoError(t, err)
	assert.Equal(t, []float64{2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5}, back.Data())

	require.NoError(t, e.Release(d))
	scalar := tensor.New(tensor.WithEngine(e), tensor.Of(tensor.Float32), tensor.WithShape())
	require.NoError(t, e.Memset(scalar, float32(7)))
	back, err = e.Download(scalar)
	require.NoError(t, err)
	assert.Equal(t, float32(7), back.ScalarValue())

	assert.False(t, e.AllocAccessible())
	_, err = e.Accessible(scalar)
	assertRefused(t, err, "cuda: mem is device memory, which Go cannot access, want memory of Go (Download copies a tensor there)")
	assert.True(t, e.WorksWith(tensor.DataOrder(0)))
	assert.False(t, e.WorksWith(tensor.ColMajor))
	assert.False(t, e.WorksWith(tensor.NonContiguous))
}

func TestMemset(t *testing.T) {
	e, _ := openEmulated(t)
	for _, value := range []any{
		true, int8(-3), uint8(200), int16(-300), uint16(60000), NewF16(1.5), NewBF16(-2), int32(-70000), uint32(1 << 31), float32(0.1),
		int64(-1 << 60), uint64(1 << 63), int(-5), uint(6), 0.1, complex64(1 + 2i), complex(0.1, -0.2),
	} {
		dt := tensor.Dtype{Type: reflect.TypeOf(value)}
		for _, n := range []int{1, 2, 3, 64, 1000} {
			d, err := e.NewTensor(dt, n)
			require.NoError(t, err)
			require.NoError(t, e.Memset(d, value))
			back, err := e.Download(d)
			require.NoError(t, err)
			got := reflect.ValueOf(hostSlice(back))
			for i := range n {
				require.Equal(t, value, got.Index(i).Interface(), "%T at %d of %d", value, i, n)
			}
			e.Memclr(d)
			back, err = e.Download(d)
			require.NoError(t, err)
			require.Equal(t, make([]byte, n*int(dt.Size())), back.Raw)
			require.NoError(t, e.Release(d))
		}
	}
}

// hostSlice returns the elements of a host tensor, which may be a scalar.
func hostSlice(t *tensor.Dense) any {
	if t.IsScalar() {
		s := reflect.MakeSlice(reflect.SliceOf(t.Dtype().Type), 1, 1)
		s.Index(0).Set(reflect.ValueOf(t.ScalarValue()))
		return s.Interface()
	}
	return t.Data()
}

func TestMemoryCallsRefuse(t *testing.T) {
	e, _ := openEmulated(t)
	d, err := e.NewTensor(tensor.Float32, 6)
	require.NoError(t, err)
	host := hostTensor(tensor.Float32, 6)
	gone, err := e.NewTensor(tensor.Float32, 6)
	require.NoError(t, err)
	require.NoError(t, e.Release(gone))

	assertRefused(t, e.Memset(d, 1.0), "cuda: type of val is float64, want that of the elements, float32")
	assertRefused(t, e.Memset(d, nil), "cuda: val is nil, want a number or bool")
	assertRefused(t, e.Memset(memory{d.Uintptr(), 24}, "x"), "cuda: type of val is string")
	assertRefused(t, e.Memset(memory{d.Uintptr(), 23}, float32(1)), "cuda: size of mem is 23 bytes, want a multiple of the 4 bytes of an element")
	assertRefused(t, e.Memset(host, float32(1)), "cuda: memory of mem is not this engine's, want this engine's, in use")
	assertRefused(t, e.Memset(gone, float32(1)), "cuda: mem is empty (a released tensor?), want at least one byte")
	assertRefused(t, e.Memset(nil, float32(1)), "cuda: mem is nil, want memory")
	e.Memclr(host)
	assertRefused(t, e.Synchronize(), "cuda: memory of mem is not this engine's") // Memclr has no result of its own
	require.NoError(t, e.Synchronize(), "it is reported once")

	assertRefused(t, e.Memcpy(d, hostTensor(tensor.Float32, 5)), "cuda: size of src is 20 bytes, want that of dst, 24 bytes")
	assertRefused(t, e.Memcpy(host, host), "cuda: dst and src are outside this engine's memory, want at least one of them in it")
	assertRefused(t, e.Memcpy(gone, host), "cuda: dst is empty (a released tensor?), want at least one byte")
	assertRefused(t, e.Memcpy(d, nil), "cuda: src is nil, want memory")
	other := openAnother(t)
	foreign, err := other.NewTensor(tensor.Float32, 6)
	require.NoError(t, err)
	assertRefused(t, e.Memcpy(d, foreign), "cuda: memory of src is that of a *tensor.Dense elsewhere, want this engine's or Go's")
	assertRefused(t, e.Memcpy(foreign, d), "cuda: memory of dst is that of a *tensor.Dense elsewhere")
	assertRefused(t, e.Memcpy(memory{4096, 24}, d), "cuda: memory of dst is that of a cuda.memory elsewhere")

	assertRefused(t, e.Free(nil, 0), "cuda: mem is nil, want memory of this engine")
	assertRefused(t, e.Free(memory{4096, 24}, 24), "cuda: memory of mem is not this engine's, want as this engine allocated it")
	m, err := e.Alloc(24)
	require.NoError(t, err)
	require.NoError(t, e.Memcpy(m, host))
	require.NoError(t, e.Memcpy(d, m))
	require.NoError(t, e.Free(m, 24))
	assertRefused(t, e.Free(m, 24), "cuda: memory of mem is released already")
	_, err = e.Alloc(0)
	assertRefused(t, err, "cuda: number of bytes is 0, want at least 1")
	back, err := e.Download(d)
	require.NoError(t, err)
	assert.Equal(t, host.Raw, back.Raw)
}
