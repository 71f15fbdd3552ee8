//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// pinnedTensor returns a tensor in a host buffer.
func pinnedTensor(t *testing.T, e *Engine, value uint8, elements int) *tensor.Dense {
	t.Helper()
	b, err := e.NewHostBuffer(int64(elements))
	require.NoError(t, err)
	host, err := b.Tensor(tensor.Uint8, elements)
	require.NoError(t, err)
	for i := range host.Raw {
		host.Raw[i] = value
	}
	return host
}

// TestCopyStreamIsOrderedByEventsAlone copies two values to the same place, which the engine reads
// in between. The emulator executes each stream's work as late as it may, or copies as early as
// they may. Where one of both waits is left out, one of these orders gives the wrong value.
func TestCopyStreamIsOrderedByEventsAlone(t *testing.T) {
	const elements = 1000
	for _, c := range []struct {
		name                  string
		eager                 int64
		engineWaits, copyWait bool
		want                  [2]uint8
	}{
		{"copies late", 0, true, true, [2]uint8{1, 2}},
		{"copies early", 1, true, true, [2]uint8{1, 2}},
		{"the engine does not wait, copies late", 0, false, true, [2]uint8{9, 9}},
		{"the copy does not wait, copies early", 1, true, false, [2]uint8{2, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, l := openEmulated(t)
			l.Set(t, "eager_copies", c.eager)
			copies, err := e.NewCopyStream()
			require.NoError(t, err)
			place, err := e.NewTensor(tensor.Uint8, elements)
			require.NoError(t, err)
			require.NoError(t, e.Memset(place, uint8(9)))
			require.NoError(t, e.Synchronize())
			copied, err := e.NewEvent()
			require.NoError(t, err)
			used, err := e.NewEvent()
			require.NoError(t, err)
			var read [2]*tensor.Dense
			var from [2]*tensor.Dense
			for i := range read {
				read[i], err = e.NewTensor(tensor.Uint8, elements)
				require.NoError(t, err)
				from[i] = pinnedTensor(t, e, uint8(i+1), elements)
			}
			synchronized := l.Count("synchronized")
			for i := range read {
				if i > 0 && c.copyWait {
					require.NoError(t, copies.Wait(used))
				}
				require.NoError(t, copies.CopyToDevice(place, from[i]))
				require.NoError(t, copies.Record(copied))
				if c.engineWaits {
					require.NoError(t, e.Wait(copied))
				}
				require.NoError(t, e.Memcpy(read[i], place))
				require.NoError(t, used.Record())
			}
			assert.Equal(t, synchronized, l.Count("synchronized"), "nothing waits on the host")
			var got [2]uint8
			for i := range read {
				back, err := e.Download(read[i])
				require.NoError(t, err)
				got[i] = back.Data().([]uint8)[elements-1]
			}
			assert.Equal(t, c.want, got)
			require.NoError(t, copied.Synchronize())
			back, err := e.Download(place)
			require.NoError(t, err)
			assert.Equal(t, uint8(2), back.Data().([]uint8)[0], "the event is that of the last copy")
		})
	}
}

// TestCopyStreamRefuses checks every argument, and calls after Close and during a capture.
func TestCopyStreamRefuses(t *testing.T) {
	e, l := openEmulated(t)
	other := openAnother(t)
	c, err := e.NewCopyStream()
	require.NoError(t, err)
	dst, err := e.NewTensor(tensor.Uint8, 8)
	require.NoError(t, err)
	pinned := pinnedTensor(t, e, 3, 8)
	ev, err := e.NewEvent()
	require.NoError(t, err)
	foreign, err := other.NewEvent()
	require.NoError(t, err)

	assertRefused(t, c.CopyToDevice(dst, hostTensor(tensor.Uint8, 8)), "cuda: memory of src is pageable, want that of a HostBuffer of this engine")
	assertRefused(t, c.CopyToDevice(dst, pinnedTensor(t, other, 3, 8)), "cuda: memory of src is pageable")
	assertRefused(t, c.CopyToDevice(dst, pinnedTensor(t, e, 3, 7)), "cuda: shape of src is (7)")
	assertRefused(t, c.CopyToDevice(nil, pinned), "cuda: dst is nil")
	for _, call := range []func(*Event) error{c.Record, c.Wait, e.Wait} {
		assertRefused(t, call(nil), "cuda: ev is nil, want an event")
		assertRefused(t, call(foreign), "cuda: ev is an event of another engine, want one of this engine")
	}
	assert.ErrorIs(t, c.Wait(ev), errNotRecorded)
	assert.ErrorIs(t, e.Wait(ev), errNotRecorded)

	require.NoError(t, c.Record(ev))
	g, err := e.Capture(func() error {
		assert.ErrorIs(t, e.Wait(ev), errWaitCapture)
		assert.ErrorIs(t, c.Close(), errCapturing)
		require.NoError(t, c.CopyToDevice(dst, pinned))
		require.NoError(t, c.Record(ev))
		require.NoError(t, ev.Synchronize(), "the event is none of the capture")
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, g.Close())
	back, err := e.Download(dst)
	require.NoError(t, err)
	assert.Equal(t, uint8(3), back.Data().([]uint8)[7], "copied during the capture")

	for _, function := range []string{"cuStreamCreate", "cuMemcpyHtoDAsync_v2", "cuEventRecord", "cuStreamWaitEvent"} {
		l.Fail(function, 1, 1)
		_, create := e.NewCopyStream()
		failed := []error{create, c.CopyToDevice(dst, pinned), c.Record(ev), c.Wait(ev)}
		failures := 0
		for _, err := range failed {
			if err != nil {
				failures++
				assert.ErrorContains(t, err, "CUDA_ERROR_INVALID_VALUE", function)
			}
		}
		assert.Equal(t, 1, failures, function)
	}

	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	assert.EqualError(t, c.CopyToDevice(dst, pinned), "cuda: the copy stream is closed")
	assert.EqualError(t, c.Record(ev), "cuda: the copy stream is closed")
	require.NoError(t, ev.Close())
	assert.EqualError(t, e.Wait(ev), "cuda: the event is closed")
}

// TestCloseWaitsForCopies: a buffer is freed only after the copies from it, by its own Close and by
// that of the engine.
func TestCloseWaitsForCopies(t *testing.T) {
	e, _ := openEmulated(t)
	c, err := e.NewCopyStream()
	require.NoError(t, err)
	dst, err := e.NewTensor(tensor.Uint8, 8)
	require.NoError(t, err)
	b, err := e.NewHostBuffer(8)
	require.NoError(t, err)
	src, err := b.Tensor(tensor.Uint8, 8)
	require.NoError(t, err)
	copy(src.Raw, "pinned!!")
	require.NoError(t, c.CopyToDevice(dst, src))
	require.NoError(t, b.Close())
	back, err := e.Download(dst)
	require.NoError(t, err)
	assert.Equal(t, []byte("pinned!!"), back.Data())
	require.NoError(t, c.CopyToDevice(dst, pinnedTensor(t, e, 4, 8)))
	require.NoError(t, e.Close())
	_, err = e.NewCopyStream()
	assert.ErrorIs(t, err, ErrClosed)
	assert.ErrorIs(t, c.CopyToDevice(dst, src), ErrClosed)
	assert.NoError(t, c.Close())
}

// TestCopyStreamsCloseConcurrently: nothing waits for a stream that another goroutine has freed.
func TestCopyStreamsCloseConcurrently(t *testing.T) {
	e, _ := openEmulated(t)
	for range 50 {
		var all sync.WaitGroup
		for range 8 {
			c, err := e.NewCopyStream()
			require.NoError(t, err)
			all.Go(func() { assert.NoError(t, c.Close()) })
		}
		all.Wait()
	}
}
