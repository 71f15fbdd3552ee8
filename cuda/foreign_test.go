//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// In these tests another engine is the other CUDA library.

// Two libraries on one stream need no synchronization between their steps, whichever of them
// made the stream, and also on the legacy default stream.
func TestOpenStream(t *testing.T) {
	owner, l := openEmulated(t)
	shared, err := owner.Stream()
	require.NoError(t, err)
	logits := losstest.RandomLogits(tensor.Float32, []int{1, 2, 7, 9}, 1)
	labels := losstest.RandomLabels([]int{1, 2, 7, 9}, 2, 1)
	want, wantGrad, err := afl.Grad(afl.NewDiceCE(), logits, labels)
	require.NoError(t, err)
	streams := l.Count("streams")
	for name, s := range map[string]Stream{
		"of a context":         shared,
		"of the primary":       {Handle: shared.Handle},
		"legacy default":       {},
		"legacy of a context":  {Context: shared.Context},
		"of the same, again":   shared,
		"of the primary again": {Handle: shared.Handle},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := OpenStream(0, s)
			require.NoError(t, err)
			assert.Equal(t, streams, l.Count("streams"), "no stream of its own")
			is, err := e.Stream()
			require.NoError(t, err)
			assert.Equal(t, Stream{Context: shared.Context, Handle: s.Handle}, is)

			x, err := e.Upload(logits)
			require.NoError(t, err)
			if s.Handle == shared.Handle {
				// The owner's work, not synchronized, comes first.
				its, err := owner.Upload(logits)
				require.NoError(t, err)
				require.NoError(t, e.Memset(x, float32(7)))
				view, err := owner.Wrap(x.Uintptr(), tensor.Float32, 1, 2, 7, 9)
				require.NoError(t, err)
				require.NoError(t, owner.Memcpy(view, its))
				require.NoError(t, errors.Join(owner.Release(view), owner.Release(its)))
			}
			y, err := e.Upload(labels)
			require.NoError(t, err)
			value, grad, err := afl.Grad(afl.NewDiceCE(), x, y)
			require.NoError(t, err)
			assert.InDelta(t, want, value, 1e-6)
			back, err := e.Download(grad)
			require.NoError(t, err)
			losstest.Near(t, "gradient", losstest.Numbers(t, wantGrad), losstest.Numbers(t, back), losstest.Tolerance{Largest: 1e-6})

			_, err = e.Capture(func() error { return e.Memset(grad, float32(0)) })
			if s.Handle == 0 {
				assert.ErrorContains(t, err, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
			} else {
				assert.NoError(t, err)
			}
			require.NoError(t, e.Close())
			_, err = e.Stream()
			assert.ErrorIs(t, err, ErrClosed)
			assert.Equal(t, streams, l.Count("streams"), "the stream is its owner's to destroy")
		})
	}
	require.NoError(t, owner.Synchronize())
}

func TestOpenStreamRefuses(t *testing.T) {
	l := emulate(t)
	l.Set(t, "devices", 2)
	one, err := Open(0)
	require.NoError(t, err)
	other, err := Open(1)
	require.NoError(t, err)
	first, err := one.Stream()
	require.NoError(t, err)
	second, err := other.Stream()
	require.NoError(t, err)
	for _, s := range []Stream{
		second,                  // of another device
		{Handle: second.Handle}, // whose stream is of another
		{Context: first.Context, Handle: second.Handle}, // do not belong together
		{Context: second.Context, Handle: first.Handle}, //
	} {
		_, err := OpenStream(0, s)
		assert.ErrorContains(t, err, fmt.Sprintf("cuda: s is {Context: %#x, Handle: %#x}, want a context of device 0 and a stream of that context", s.Context, s.Handle))
	}
	_, err = OpenStream(2, first)
	assertRefused(t, err, "cuda: ordinal is 2, want a device from 0 to 1")
	require.NoError(t, errors.Join(one.Close(), other.Close()))
}

// A wrapped tensor is used like any other, and its memory is never freed or reused.
func TestWrap(t *testing.T) {
	owner, l := openEmulated(t)
	e := openAnother(t)
	its, err := owner.NewTensor(tensor.Float32, 4, 6)
	require.NoError(t, err)
	require.NoError(t, owner.Memset(its, float32(1)))
	require.NoError(t, owner.Synchronize())
	before, bytes := e.Memory(), l.Count("bytes")

	d, err := e.Wrap(its.Uintptr(), tensor.Float32, 2, 12)
	require.NoError(t, err)
	assert.Equal(t, its.Uintptr(), d.Uintptr())
	assert.Equal(t, before, e.Memory(), "not the engine's memory")
	back, err := e.Download(d)
	require.NoError(t, err)
	assert.Equal(t, float32(1), back.Data().([]float32)[23])
	require.NoError(t, e.Memset(d, float32(3)))
	require.NoError(t, e.Synchronize())
	theirs, err := owner.Download(its)
	require.NoError(t, err)
	assert.Equal(t, float32(3), theirs.Data().([]float32)[0])

	_, err = e.Wrap(its.Uintptr()+16, tensor.Float32, 2)
	assertRefused(t, err, fmt.Sprintf("cuda: address is %#x, wrapped already, want memory that no other tensor of this engine uses", its.Uintptr()+16))
	require.NoError(t, e.Release(d))
	assert.Nil(t, d.Raw)
	assert.Equal(t, bytes, l.Count("bytes"), "the memory is its owner's to free")
	next, err := e.NewTensor(tensor.Float32, 2, 12)
	require.NoError(t, err)
	assert.NotEqual(t, its.Uintptr(), next.Uintptr(), "and not the pool's to give out")

	// A part, of another type, also beside another part.
	left, err := e.Wrap(its.Uintptr(), tensor.Uint8, 5)
	require.NoError(t, err)
	right, err := e.Wrap(its.Uintptr()+6, BFloat16, 45)
	require.NoError(t, err)
	assertRefused(t, func() error { _, err := e.Wrap(its.Uintptr()+4, tensor.Uint8, 2); return err }(),
		fmt.Sprintf("cuda: address is %#x, wrapped already, want memory that no other tensor of this engine uses", its.Uintptr()+4))

	// A graph keeps it in use.
	g, err := e.Capture(func() error { return e.Memset(left, uint8(9)) })
	require.NoError(t, err)
	assert.ErrorContains(t, e.Release(left), "used by graph 1 of this engine")
	require.NoError(t, g.Close())
	require.NoError(t, errors.Join(e.Release(left), e.Release(right)))
	_, err = e.Capture(func() error { return errors.Join(e.Memset(next, float32(0)), e.Release(next)) })
	require.NoError(t, err)
}

func TestWrapRefuses(t *testing.T) {
	l := emulate(t)
	l.Set(t, "devices", 2)
	owner, err := Open(1)
	require.NoError(t, err)
	e, err := Open(0)
	require.NoError(t, err)
	theirs, err := owner.NewTensor(tensor.Float32, 3)
	require.NoError(t, err)
	own, err := e.NewTensor(tensor.Float32, 3)
	require.NoError(t, err)
	beside, err := Open(0)
	require.NoError(t, err)
	short, err := beside.NewTensor(tensor.Float32, 128)
	require.NoError(t, err)
	host, err := e.NewHostBuffer(64)
	require.NoError(t, err)
	refused := func(address uintptr, want string, shape ...int) {
		t.Helper()
		_, err := e.Wrap(address, tensor.Float32, shape...)
		assert.ErrorContains(t, err, want)
		var argument *afl.ArgumentError
		assert.ErrorAs(t, err, &argument)
	}
	refused(0, "cuda: address is 0x0, want one that is a multiple of 4, the alignment of float32", 3)
	refused(short.Uintptr()+2, "the alignment of float32", 3)
	refused(1<<40, "cuda: address is 0x10000000000, want memory of Emulated GPU 0", 3)
	refused(addressOf(host.Bytes()), "which is not device memory, want memory of Emulated GPU 0", 3)
	refused(theirs.Uintptr(), "memory of device 1, want memory of Emulated GPU 0", 3)
	refused(own.Uintptr(), "this engine's own, want memory that no other tensor of this engine uses", 3)
	refused(short.Uintptr(), "cuda: shape is [129], want at most the 512 bytes from the address to the end of its allocation", 129)
	refused(short.Uintptr(), "cuda: shape is [0], want no axis shorter than 1", 0)
	require.NoError(t, errors.Join(owner.Close(), beside.Close()))
	l.Fail("cuPointerGetAttribute", 3, 719)
	_, err = e.Wrap(own.Uintptr(), tensor.Float32, 3)
	var lost *LostError
	assert.ErrorAs(t, err, &lost)
	require.NoError(t, e.Close())
}

// Foreign memory is not the pool's. Where the driver gives out an address again, memory there
// that was wrapped is gone.
func TestPoolOfForeignMemory(t *testing.T) {
	l := newLedger(t, 1<<30)
	p := newPool(l)
	a, err := p.alloc(1000)
	require.NoError(t, err)
	near, far := l.next, l.next+1<<30 // of which the driver returns one next
	require.NoError(t, p.adopt(near+50, 100))
	require.NoError(t, p.adopt(far+50, 100))
	assert.ErrorIs(t, p.adopt(near+149, 100), errWrapped)
	assert.ErrorIs(t, p.adopt(a+1000, 30), errOwn, "to the rounded end")
	assert.ErrorIs(t, p.release(near+50, 99), errInterior)
	assert.EqualValues(t, 1024, p.statistics().InUse)

	b, err := p.alloc(5000)
	require.NoError(t, err)
	gone, left := near+50, far+50
	if b == far {
		gone, left = left, gone
	}
	assert.ErrorIs(t, p.release(gone, 100), errInterior)
	require.NoError(t, p.check(left, 100))
	require.NoError(t, p.release(left, 100))
	assert.ErrorIs(t, p.release(left, 100), errNotHere)
	require.NoError(t, p.adopt(left, 100))
	require.NoError(t, p.close())
	assert.Empty(t, l.live)
}
