//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
)

// volume returns a host tensor whose elements are all different.
func volume(first float32, shape ...int) *tensor.Dense {
	values := make([]float32, nn.Elements(shape))
	for i := range values {
		values[i] = first + float32(i)/1024
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

func pin(t *testing.T, b nn.Backend, x *tensor.Dense) *tensor.Dense {
	t.Helper()
	pinned, err := b.(nn.Prefetcher).Pin(x)
	require.NoError(t, err)
	return pinned
}

func host(t *testing.T, b nn.Backend, a nn.Array) []float32 {
	t.Helper()
	x := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(a.Shape()...))
	require.NoError(t, b.ToHost(a, x))
	return x.Data().([]float32)
}

// TestPrefetch passes inputs through two pinned buffers, one input ahead of the steps, which the
// emulated device executes only when the results are read. It executes copies as late or as
// early as their order of events allows, so that an input that is read before its copy, overwritten
// before it is read, or copied from a buffer that holds the next one already, has other values.
func TestPrefetch(t *testing.T) {
	for _, c := range []struct {
		name  string
		eager int64
		run   func(b nn.Backend, step func() error) error
	}{
		{"copies late", 0, func(_ nn.Backend, step func() error) error { return step() }},
		{"copies early", 1, func(_ nn.Backend, step func() error) error { return step() }},
		{"copies late in steps", 0, nn.RunStep},
		{"copies early in steps", 1, nn.RunStep},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := emulated.Open(t)
			l := emulated.Load(t)
			l.Set(t, "eager_copies", c.eager)
			p := b.(nn.Prefetcher)
			const steps = 7
			shape := []int{1, 3, 5, 4, 3}
			inputs := make([]*tensor.Dense, steps)
			for i := range inputs {
				inputs[i] = volume(float32(i), shape...)
			}
			buffers := l.Count("host")
			coming := []*tensor.Dense{pin(t, b, inputs[0]), pin(t, b, inputs[1])}
			var results []nn.Array
			var place uintptr
			step := func(i int) {
				pageable, synchronized, ordered := l.Count("pageable_copies"), l.Count("synchronized"), l.Count("ordered")
				x, err := b.FromHost(coming[0], nn.Step)
				require.NoError(t, err)
				p.Unpin(coming[0])
				coming = coming[1:]
				if len(coming) > 0 {
					require.NoError(t, p.Prefetch(coming[0]))
					require.NoError(t, p.Prefetch(coming[0]), "again")
				}
				assert.Equal(t, pageable, l.Count("pageable_copies"), "from pinned memory")
				assert.Equal(t, synchronized, l.Count("synchronized"), "without waiting on the host")
				assert.Greater(t, l.Count("ordered"), ordered, "the step's stream waits for the copy's event")
				if i == 0 {
					place = cuda.AddressOf(x)
				}
				assert.Equal(t, place, cuda.AddressOf(x), "at a fixed place")
				if i+2 < steps {
					coming = append(coming, pin(t, b, inputs[i+2])) // in the buffer of this step's input
				}
				y, err := b.Scale(x, 2)
				require.NoError(t, err)
				results = append(results, y)
				b.EndStep(results...)
				assert.Zero(t, cuda.AddressOf(x), "the step has ended")
			}
			for i := range steps {
				require.NoError(t, c.run(b, func() error { step(i); return nil }))
			}
			assert.EqualValues(t, 2, l.Count("host")-buffers, "two buffers")
			for i, y := range results {
				want := make([]float32, len(inputs[i].Data().([]float32)))
				for k, v := range inputs[i].Data().([]float32) {
					want[k] = 2 * v
				}
				assert.Equal(t, want, host(t, b, y), "step %d", i)
			}
			b.EndStep()
		})
	}
}

// TestPrefetchWithoutOrder uses inputs in another order than they were prefetched in, several in
// one step, some without Prefetch, in both orders of memory, and more shapes than have a place.
func TestPrefetchWithoutOrder(t *testing.T) {
	b, engine := emulated.Open(t)
	p := b.(nn.Prefetcher)
	use := func(x *tensor.Dense) nn.Array {
		t.Helper()
		a, err := b.FromHost(x, nn.Step)
		require.NoError(t, err)
		return a
	}
	shape := []int{1, 2, 3, 4, 5}
	inUse := int64(0)
	for round := range 3 {
		first, second, third := volume(1, shape...), volume(2, shape...), volume(3, shape...)
		x, y, z := pin(t, b, first), pin(t, b, second), pin(t, b, third)
		require.NoError(t, p.Prefetch(x))
		require.NoError(t, p.Prefetch(y), "the place is occupied")
		ay, ax := use(y), use(x)
		az := use(z)
		assert.Equal(t, second.Data(), host(t, b, ay))
		assert.Equal(t, first.Data(), host(t, b, ax))
		assert.Equal(t, third.Data(), host(t, b, az))
		// An optimizer converts its gradient, here the array in the input's place, to its own order.
		w, err := b.Zeros(shape)
		require.NoError(t, err)
		require.NoError(t, b.SGDStep(w, ay, nil, true, nn.SGDSpec{LearningRate: 1}))
		for i, v := range host(t, b, w) {
			require.Equal(t, -second.Data().([]float32)[i], v)
		}
		again := use(y)
		assert.NotEqual(t, cuda.AddressOf(ax), cuda.AddressOf(again))
		assert.Equal(t, second.Data(), host(t, b, again), "the place is free again")
		assert.Equal(t, first.Data(), host(t, b, ax))

		require.NoError(t, p.Prefetch(z))
		for _, pinned := range []*tensor.Dense{x, y, z} {
			p.Unpin(pinned)
			p.Unpin(pinned)
		}
		// What was prefetched and not used leaves nothing behind.
		other := volume(9, shape...)
		x = pin(t, b, other)
		require.NoError(t, p.Prefetch(x))
		assert.Equal(t, other.Data(), host(t, b, use(x)))
		p.Unpin(x)
		b.EndStep()
		if round == 1 {
			inUse = engine.Memory().InUse
		}
	}
	assert.LessOrEqual(t, engine.Memory().InUse, inUse+2*512, "no memory is left over, but for weights that are not collected yet")

	for n := range cuda.MaxSlots + 3 {
		small := volume(float32(n), 1, 1, 2, 2, n+1)
		x := pin(t, b, small)
		require.NoError(t, p.Prefetch(x))
		ax := use(x)
		p.Unpin(x)
		y := pin(t, b, volume(-1, 1, 1, 2, 2, n+1)) // in the same buffer
		assert.Equal(t, small.Data(), host(t, b, ax), n)
		p.Unpin(y)
		b.EndStep()
	}
	vector := volume(3, 7)
	x := pin(t, b, vector)
	assert.Equal(t, vector.Data(), host(t, b, use(x)))
	p.Unpin(x)
	b.EndStep()
}

// TestPrefetchedLabel runs losses with labels that were prefetched, pinned, or neither. They have
// the same values, and read pinned labels at one address.
func TestPrefetchedLabel(t *testing.T) {
	b, _ := emulated.Open(t)
	l := emulated.Load(t)
	p := b.(nn.Prefetcher)
	loss := afl.NewAdaptiveFocal()
	shape := []int{1, 2, 4, 3, 5}
	logits := volume(-0.05, shape...)
	places := map[uintptr]bool{}
	for i := range 4 {
		values := make([]uint8, 60)
		for k := range values {
			values[k] = uint8((k + i) % 3 / 2)
		}
		label := tensor.New(tensor.WithShape(1, 4, 3, 5), tensor.WithBacking(values))
		want, grad, err := afl.Grad(loss, logits, label)
		require.NoError(t, err)
		y, err := b.FromHost(logits, nn.Step)
		require.NoError(t, err)
		given := label
		if i > 0 {
			given = pin(t, b, label)
		}
		if i > 1 {
			require.NoError(t, p.Prefetch(given))
		}
		pageable := l.Count("pageable_copies")
		var value float64
		g, err := nn.RunLoss(b, y, nn.Box{Size: [3]int{4, 3, 5}}, given, func(logits, label, grad *tensor.Dense) (err error) {
			places[label.Uintptr()] = i > 0
			value, err = afl.GradInto(loss, logits, label, grad)
			return err
		})
		require.NoError(t, err)
		assert.Equal(t, i == 0, l.Count("pageable_copies") > pageable)
		assert.InDelta(t, want, value, 1e-6)
		assert.InDeltaSlice(t, grad.Data(), host(t, b, g), 1e-6)
		p.Unpin(given)
		b.EndStep()
	}
	assert.Len(t, places, 2)

	mistake := errors.New("mistake")
	y, err := b.FromHost(logits, nn.Step)
	require.NoError(t, err)
	_, err = nn.RunLoss(b, y, nn.Box{Size: [3]int{4, 3, 5}}, tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(1, 4, 3, 5)), func(_, _, _ *tensor.Dense) error { return mistake })
	assert.Equal(t, mistake, err)
	b.EndStep()
}

func TestPrefetchFails(t *testing.T) {
	b, _ := emulated.Open(t)
	l := emulated.Load(t)
	p := b.(nn.Prefetcher)
	x := volume(1, 1, 2, 3, 3, 3)
	_, err := p.Pin(nil)
	assert.EqualError(t, err, "nn/cuda: Pin: the tensor is nil or empty, want one with elements")
	view, err := x.Slice(nil, tensor.S(0, 1), tensor.S(0, 2))
	require.NoError(t, err)
	_, err = p.Pin(view.(*tensor.Dense))
	assert.EqualError(t, err, "nn/cuda: Pin: the tensor is a view or masked, want a contiguous one")
	assert.EqualError(t, p.Prefetch(x), "nn/cuda: Prefetch: the tensor was not returned by Pin, or is unpinned")
	p.Unpin(x)
	pinned := pin(t, b, x)
	_, err = b.FromHost(pinned, nn.Kept)
	assert.EqualError(t, err, "nn/cuda: FromHost: tensor is pinned for a step, want another one to keep")

	for i, function := range []string{"cuStreamCreate", "cuEventCreate", "cuMemAlloc_v2", "cuEventRecord", "cuStreamWaitEvent", "cuMemcpyHtoDAsync_v2", "cuLaunchKernel"} {
		shape := []int{1, 2, 3, 3 + i, 50 * (i + 1)} // one that has no place yet, nor memory in the pool
		pinned := pin(t, b, volume(1, shape...))
		l.Fail(function, 1, 1)
		var failed error
		for range 2 {
			a, err := b.FromHost(pinned, nn.Step)
			if err != nil {
				assert.NoError(t, failed)
				failed = err
				continue
			}
			assert.Equal(t, volume(1, shape...).Data(), host(t, b, a), "after the failure")
		}
		l.Reset()
		l.Set(t, "memory", 8<<30)
		assert.ErrorContains(t, failed, "nn/cuda: FromHost: ", function)
		p.Unpin(pinned)
		b.EndStep()
	}
	l.Fail("cuMemHostAlloc", 1, 2)
	_, err = p.Pin(volume(1, 1, 2, 40, 40, 40))
	assert.ErrorContains(t, err, "nn/cuda: Pin: ")
}
