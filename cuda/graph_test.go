//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/cuda/kernels"
)

func TestGraphReplays(t *testing.T) {
	e, l := openEmulated(t)
	input, err := e.NewHostBuffer(3000)
	require.NoError(t, err)
	output, err := e.NewHostBuffer(3000)
	require.NoError(t, err)
	in, err := input.Tensor(tensor.Int8, 3, 1000)
	require.NoError(t, err)
	out, err := output.Tensor(tensor.Uint8, 3, 1000)
	require.NoError(t, err)
	c := newClassesCall(t, e, in, 100)
	require.NoError(t, e.Synchronize())
	launched, replayed := l.Count("launches"), l.Count("graph_launches")

	var made *tensor.Dense
	g, err := e.Capture(func() error {
		scratch, err := e.NewTensor(tensor.Uint8, 3000)
		if err != nil {
			return err
		}
		if made, err = e.NewTensor(tensor.Uint8, 3000); err != nil {
			return err
		}
		return errors.Join(
			e.CopyToDevice(c.label, in),
			c.launch(e),
			e.Memcpy(scratch, c.classes),
			e.Memcpy(made, scratch),
			e.Release(scratch),
			e.CopyToHost(out, made),
		)
	})
	require.NoError(t, err)
	assert.Equal(t, launched+1, l.Count("launches"))
	require.NoError(t, e.Synchronize())
	assert.Equal(t, byte(0xA5), output.Bytes()[0], "captured, not executed")

	// Other users of the pool do not get the graph's memory.
	other, err := e.NewTensor(tensor.Uint8, 3000)
	require.NoError(t, err)
	require.NoError(t, e.Memset(other, uint8(77)))
	for round := range 3 {
		for i := range in.Raw {
			in.Raw[i] = byte((i + round) % 100)
		}
		require.NoError(t, g.Launch())
		require.NoError(t, e.Synchronize())
		assert.Equal(t, in.Raw, out.Raw, "round %d", round)
	}
	assert.EqualValues(t, replayed+3, l.Count("graph_launches"))
	back, err := e.Download(other)
	require.NoError(t, err)
	assert.Equal(t, uint8(77), back.Data().([]uint8)[2999])

	// A bad label is reported as in an ordinary launch.
	in.Raw[1001] = 0x80
	require.NoError(t, g.Launch())
	assertRefused(t, e.Synchronize(), "cuda: target at sample 1, voxel 1 is -128, want a class index from 0 to 99")

	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	assert.EqualError(t, g.Launch(), "cuda: the graph is closed")
	before := e.Memory().InUse
	back, err = e.Download(made)
	require.NoError(t, err, "tensors made by the work remain")
	assert.Equal(t, byte(99), back.Data().([]uint8)[97])
	require.NoError(t, e.Release(made))
	assert.Equal(t, before-roundedSize(3000), e.Memory().InUse)
}

// Calls that cannot be captured fail without invalidating the capture.
func TestCaptureRefusesWaiting(t *testing.T) {
	e, _ := openEmulated(t)
	host := hostTensor(tensor.Float32, 10)
	device, err := e.Upload(host)
	require.NoError(t, err)
	buffer, err := e.NewHostBuffer(10)
	require.NoError(t, err)
	ev, err := e.NewEvent()
	require.NoError(t, err)
	require.NoError(t, ev.Record())
	first, err := e.Capture(func() error { return nil })
	require.NoError(t, err)
	g, err := e.Capture(func() error {
		for _, err := range []error{
			e.CopyToDevice(device, host), e.CopyToHost(host, device), e.Synchronize(), ev.Synchronize(), buffer.Close(), ev.Close(), first.Close(),
		} {
			assert.ErrorIs(t, err, errCapturing)
		}
		_, err := e.Download(device)
		assert.ErrorIs(t, err, errCapturing)
		_, err = e.Upload(host)
		assert.ErrorIs(t, err, errCapturing)
		assert.ErrorIs(t, e.readFloat64s(e.counter, make([]float64, 1), "target"), errCapturing)
		assert.ErrorIs(t, ev.Record(), errRecordCapture)
		assert.EqualError(t, first.Launch(), "cuda: a graph cannot be launched during a capture")
		_, err = e.Capture(func() error { return nil })
		assert.EqualError(t, err, "cuda: a capture is in progress already")
		return e.Memset(device, float32(1))
	})
	require.NoError(t, err)
	require.NoError(t, g.Launch())
	back, err := e.Download(device)
	require.NoError(t, err)
	assert.Equal(t, float32(1), back.Data().([]float32)[9])
}

func TestCaptureFails(t *testing.T) {
	e, l := openEmulated(t)
	device, err := e.Upload(tensor.New(tensor.WithBacking([]float32{1, 2, 3})))
	require.NoError(t, err)
	inUse := e.Memory().InUse
	work := func() error {
		scratch, err := e.NewTensor(tensor.Float32, 1000)
		return errors.Join(err, e.Memset(device, float32(9)), e.Release(scratch))
	}
	check := func() {
		t.Helper()
		assert.Equal(t, inUse, e.Memory().InUse)
		back, err := e.Download(device)
		require.NoError(t, err, "the engine is still usable")
		assert.Equal(t, []float32{1, 2, 3}, back.Data(), "nothing was executed")
		assert.Zero(t, l.Count("graphs")+l.Count("graph_executables"))
	}
	_, err = e.Capture(nil)
	assertRefused(t, err, "cuda: work is nil")
	mistake := errors.New("mistake")
	_, err = e.Capture(func() error { return errors.Join(work(), mistake) })
	assert.ErrorIs(t, err, mistake)
	check()
	assert.PanicsWithValue(t, "oh", func() {
		_, _ = e.Capture(func() error { _ = work(); panic("oh") })
	})
	check()
	for _, function := range []string{"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuStreamSynchronize"} {
		l.Fail(function, 1, 1)
		_, err = e.Capture(work)
		assert.ErrorContains(t, err, "CUDA_ERROR_INVALID_VALUE", function)
		check()
	}
	g, err := e.Capture(work)
	require.NoError(t, err)
	assert.Greater(t, e.Memory().InUse, inUse)
	require.NoError(t, g.Close())
	check()
}

// During a capture the pool may have to return memory to the driver, without
// synchronizing.
func TestCaptureTrims(t *testing.T) {
	e, l := openEmulated(t)
	l.Set(t, "memory", 1<<20)
	a, err := e.NewTensor(tensor.Uint8, 700_000)
	require.NoError(t, err)
	require.NoError(t, e.Release(a))
	var b *tensor.Dense
	g, err := e.Capture(func() (err error) {
		if b, err = e.NewTensor(tensor.Uint8, 500_000); err != nil {
			return err
		}
		return e.Memset(b, uint8(3))
	})
	require.NoError(t, err)
	require.NoError(t, g.Launch())
	back, err := e.Download(b)
	require.NoError(t, err)
	assert.Equal(t, uint8(3), back.Data().([]uint8)[499_999])
}

func TestCloseDuringCapture(t *testing.T) {
	e, _ := openEmulated(t)
	g, err := e.Capture(func() error {
		require.NoError(t, e.Close())
		return nil
	})
	assert.ErrorIs(t, err, ErrClosed)
	assert.Nil(t, g)
}

func TestEvents(t *testing.T) {
	e, _ := openEmulated(t)
	start, err := e.NewEvent()
	require.NoError(t, err)
	end, err := e.NewEvent()
	require.NoError(t, err)
	assert.Equal(t, errNotRecorded, start.Synchronize())
	_, err = Elapsed(start, end)
	assert.ErrorIs(t, err, errNotRecorded)

	require.NoError(t, start.Record())
	device, err := e.NewTensor(tensor.Uint8, 10_000_000)
	require.NoError(t, err)
	require.NoError(t, e.Memset(device, uint8(1)))
	require.NoError(t, end.Record())
	d, err := Elapsed(start, end)
	require.NoError(t, err)
	assert.Positive(t, d)
	assert.Less(t, d, time.Minute)
	same, err := Elapsed(start, start)
	require.NoError(t, err)
	assert.Zero(t, same)
	back, err := Elapsed(end, start)
	require.NoError(t, err)
	assert.Equal(t, -d, back)

	_, err = Elapsed(nil, end)
	assertRefused(t, err, "cuda: start is nil, want an event")
	_, err = Elapsed(start, nil)
	assertRefused(t, err, "cuda: end is nil, want an event")
	foreign, err := openAnother(t).NewEvent()
	require.NoError(t, err)
	_, err = Elapsed(start, foreign)
	assertRefused(t, err, "cuda: end is an event of another engine")

	require.NoError(t, end.Close())
	require.NoError(t, end.Close())
	assert.EqualError(t, end.Record(), "cuda: the event is closed")
	assert.EqualError(t, end.Synchronize(), "cuda: the event is closed")
	_, err = Elapsed(start, end)
	assert.ErrorContains(t, err, "cuda: the event is closed")
}

// All methods of a closed engine, of objects that belonged to it, and of an engine that
// was never opened return an error that says so.
func TestUseAfterClose(t *testing.T) {
	e, _ := openEmulated(t)
	host := hostTensor(tensor.Float32, 10)
	device, err := e.Upload(host)
	require.NoError(t, err)
	buffer, err := e.NewHostBuffer(40)
	require.NoError(t, err)
	ev, err := e.NewEvent()
	require.NoError(t, err)
	require.NoError(t, ev.Record())
	g, err := e.Capture(func() error { return nil })
	require.NoError(t, err)
	require.NoError(t, e.Close())

	errs := func(e *Engine) map[string]error {
		_, newTensor := e.NewTensor(tensor.Float32, 3)
		_, upload := e.Upload(host)
		_, newBuffer := e.NewHostBuffer(3)
		_, newEvent := e.NewEvent()
		_, capture := e.Capture(func() error { return nil })
		_, alloc := e.Alloc(3)
		return map[string]error{
			"NewTensor": newTensor, "Upload": upload, "NewHostBuffer": newBuffer, "NewEvent": newEvent, "Capture": capture,
			"Alloc": alloc, "readFloat64s": e.readFloat64s(0, make([]float64, 1), "target"), "Synchronize": e.Synchronize(), "Free": e.Free(device, 40),
			"Memset": e.Memset(device, float32(1)), "Memcpy": e.Memcpy(device, host), "launch": e.run(kernels.Modules(), "afl_classes", 1, nil),
		}
	}
	all := errs(e)
	_, download := e.Download(device)
	_, elapsed := Elapsed(ev, ev)
	_, hostTensor := buffer.Tensor(tensor.Float32, 1)
	for name, err := range map[string]error{
		"Download": download, "CopyToDevice": e.CopyToDevice(device, host), "CopyToHost": e.CopyToHost(host, device),
		"Release": e.Release(device), "Record": ev.Record(), "Event.Synchronize": ev.Synchronize(), "Elapsed": elapsed,
		"Launch": g.Launch(), "HostBuffer.Tensor": hostTensor,
	} {
		all[name] = err
	}
	for name, err := range all {
		assert.ErrorIs(t, err, ErrClosed, name)
	}
	assert.Nil(t, buffer.Bytes())
	e.Memclr(device)
	assert.Zero(t, e.Memory().InUse+e.Memory().Reserved)
	for _, err := range []error{buffer.Close(), ev.Close(), g.Close(), e.Close()} {
		assert.NoError(t, err, "everything is closed already")
	}

	for name, never := range map[string]*Engine{"zero": {}, "nil": nil} {
		for method, err := range errs(never) {
			assert.ErrorIs(t, err, errNotOpen, "%s %s", name, method)
		}
		never.Memclr(device)
		assert.NoError(t, never.Close())
		assert.Zero(t, never.Memory())
		assert.Zero(t, never.Device())
	}
}

// Close does not wait for a launch that waits for an evaluation: the evaluation's next
// kernel would wait for Close.
func TestCloseWhileLaunchWaits(t *testing.T) {
	e, _ := openEmulated(t)
	g, err := e.Capture(func() error { return nil })
	require.NoError(t, err)
	e.evaluating.Lock()
	launched, closed := make(chan error, 1), make(chan error, 1)
	go func() { launched <- g.Launch() }()
	time.Sleep(20 * time.Millisecond) // until it waits
	go func() { closed <- e.Close() }()
	select {
	case err := <-closed:
		assert.NoError(t, err)
	case <-time.After(5 * time.Minute):
		assert.Fail(t, "Close waits for the launch")
	}
	e.evaluating.Unlock()
	assert.ErrorIs(t, <-launched, ErrClosed)
	assert.ErrorIs(t, new(Graph).Launch(), errNotOpen)
}

// After a device is lost during a capture, later calls return that error.
func TestLostDuringCapture(t *testing.T) {
	e, l := openEmulated(t)
	c := newClassesCall(t, e, hostTensor(tensor.Int8, 1, 700), 2)
	ev, err := e.NewEvent()
	require.NoError(t, err)
	_, err = e.Capture(func() error {
		l.Fail("cuLaunchKernel", 1, 719)
		return c.launch(e)
	})
	var lost *LostError
	assert.ErrorAs(t, err, &lost)
	for _, err := range []error{e.Synchronize(), ev.Record(), ev.Synchronize(), e.CopyToHost(hostTensor(tensor.Int8, 1, 700), c.label)} {
		assert.ErrorAs(t, err, &lost)
	}
}

// Memory that an open graph uses cannot be released: the error names tensor and graph. What
// the work itself releases, and what is no longer used, can.
func TestReleaseWhileGraphUses(t *testing.T) {
	e, _ := openEmulated(t)
	buffer, err := e.NewHostBuffer(12)
	require.NoError(t, err)
	host, err := buffer.Tensor(tensor.Float32, 3)
	require.NoError(t, err)
	made := func() *tensor.Dense {
		d, err := e.NewTensor(tensor.Float32, 3)
		require.NoError(t, err)
		require.NoError(t, e.Memset(d, float32(1)))
		return d
	}
	from, to, consumed, unused := made(), made(), made(), made()
	var inside *tensor.Dense
	first, err := e.Capture(func() error {
		var err error
		if inside, err = e.NewTensor(tensor.Float32, 3); err != nil {
			return err
		}
		return errors.Join(e.CopyToDevice(from, host), e.Memcpy(inside, from), e.Memcpy(to, inside), e.Memcpy(to, consumed), e.Release(consumed))
	})
	require.NoError(t, err)
	second, err := e.Capture(func() error { return errors.Join(e.Memcpy(to, inside), e.Release(unused)) })
	require.NoError(t, err)
	assert.Equal(t, "graph 2 of "+e.String(), second.String())

	const want = ", want one that no open graph uses (close the graph first)"
	assertRefused(t, e.Release(from), "cuda: t is a float32 tensor of shape (3), used by graph 1 of this engine, which is not closed"+want)
	assertRefused(t, e.Release(inside), "cuda: t is a float32 tensor of shape (3), used by graph 2 of this engine, which is not closed"+want)
	assertRefused(t, e.Release(to), "cuda: t is a float32 tensor of shape (3), used by graph 1 of this engine, which is not closed"+want)
	assertRefused(t, buffer.Close(), "cuda: host buffer is one of 12 bytes, used by graph 1 of this engine, which is not closed"+want)
	assert.NotNil(t, from.Raw, "a refused release leaves the tensor as it is")
	require.NoError(t, first.Launch())

	// Nor can another capture release it.
	_, err = e.Capture(func() error { return e.Release(from) })
	assert.ErrorContains(t, err, "used by graph 1")

	require.NoError(t, first.Close())
	require.NoError(t, e.Release(from))
	require.NoError(t, buffer.Close())
	assertRefused(t, e.Release(to), "cuda: t is a float32 tensor of shape (3), used by graph 2 of this engine, which is not closed"+want)
	require.NoError(t, second.Launch())
	require.NoError(t, e.Synchronize())
	require.NoError(t, second.Close())
	require.NoError(t, e.Release(to))
	require.NoError(t, e.Release(inside))

	// A capture that failed made no graph.
	failed := made()
	_, err = e.Capture(func() error { return errors.Join(e.Memcpy(failed, failed), errors.New("no")) })
	require.Error(t, err)
	require.NoError(t, e.Release(failed))
}
