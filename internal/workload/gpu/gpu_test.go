package gpu

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/cuda"
	"github.com/x/afl/cuda/cudatest"
	"github.com/x/afl/internal/workload"
)

// emulated is an emulated GPU with a small cache.
func emulated(t *testing.T) *GPU {
	g, err := New(cudatest.OpenEmulated(t))
	require.NoError(t, err)
	g.L2 = 200 << 10
	return g
}

// TestSetsFor: at least twice the cache is accessed between two uses of a set.
func TestSetsFor(t *testing.T) {
	const l2 = 50 << 20
	for _, bytes := range []int64{4_423_680, 50 << 20, 100 << 20, 1 << 30} {
		n := int64(SetsFor(bytes, l2))
		assert.GreaterOrEqual(t, (n-1)*bytes, int64(2*l2))
		assert.Less(t, (n-2)*bytes, int64(2*l2), "and no more sets than that takes")
	}
	assert.Equal(t, 64, SetsFor(1, l2))
	assert.Equal(t, 1, SetsFor(100, 0))
}

func TestMore(t *testing.T) {
	assert.Equal(t, 100, more(1, 0, 1), "a time too short to be measured")
	assert.Equal(t, 20, more(10, 0.9, 1))
	assert.Equal(t, 61, more(10, 0.2, 1))
	assert.Equal(t, 1000, more(10, 1e-6, 1))
}

func TestTurn(t *testing.T) {
	g := emulated(t)
	c, err := g.NewCopies(8<<20, 8<<20)
	require.NoError(t, err)
	calls := 0
	s := Stopwatch{Per: 2, Call: func(i int) error { calls++; return c.Enqueue(i, 8<<20) }}
	const least = 20 * time.Millisecond
	start := time.Now()
	seconds, err := s.Turn(g, least)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, seconds*2*float64(s.calls), least.Seconds(), "one Call makes two")
	assert.LessOrEqual(t, seconds*2*float64(s.calls), time.Since(start).Seconds())
	before := calls
	_, err = s.Turn(g, least/10)
	require.NoError(t, err)
	assert.Equal(t, s.calls+lead(s.calls), calls-before, "the number of calls is known now")

	idle := Stopwatch{Per: 1, Call: func(int) error { return nil }}
	_, err = idle.Turn(g, time.Hour)
	assert.ErrorContains(t, err, "they do nothing")

	broken := Stopwatch{Per: 1, Call: func(int) error { return assert.AnError }}
	_, err = broken.Turn(g, time.Millisecond)
	assert.ErrorIs(t, err, assert.AnError)
}

// TestBatch: every set gives the CPU's value and gradient, and all memory is released.
func TestBatch(t *testing.T) {
	g := emulated(t)
	host := workload.NewBatch(workload.Quick)
	before := g.Memory()
	b, err := g.NewBatch(host.Logits, host.Labels, host.VoxelWeight)
	require.NoError(t, err)
	assert.Greater(t, b.Sets(), 2)
	for _, name := range []string{"afl", "dice-ce"} {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		want, grad, err := afl.Grad(l, host.Logits, host.Labels)
		require.NoError(t, err)
		for _, gradient := range []bool{false, true} {
			value, got, err := b.Evaluate(l, gradient)
			require.NoError(t, err)
			assert.InEpsilon(t, want, value, 1e-6)
			if gradient {
				assert.InDeltaSlice(t, grad.Data(), got.Data(), 1e-9)
			} else {
				assert.Nil(t, got)
			}
		}
		require.NoError(t, b.Run(l, 2*b.Sets(), true))
		for _, s := range b.sets {
			got, err := g.Download(s.grad)
			require.NoError(t, err)
			assert.InDeltaSlice(t, grad.Data(), got.Data(), 1e-9)
		}
	}
	require.NoError(t, b.Release())

	call := workload.Call{Target: workload.Soft, VoxelWeight: true}
	host = call.NewBatch(workload.Quick)
	b, err = g.NewBatch(host.Logits, host.Labels, host.VoxelWeight)
	require.NoError(t, err)
	want, err := afl.Value(afl.NewDiceCE(), host.Logits, host.Labels, afl.WithVoxelWeight(host.VoxelWeight))
	require.NoError(t, err)
	value, _, err := b.Evaluate(afl.NewDiceCE(), false)
	require.NoError(t, err)
	assert.InEpsilon(t, want, value, 1e-6)
	require.NoError(t, b.Release())
	assert.Equal(t, before.InUse, g.Memory().InUse)
}

func TestCopies(t *testing.T) {
	g := emulated(t)
	before := g.Memory()
	c, err := g.NewCopies(1<<17, 1<<18+1)
	require.NoError(t, err)
	assert.Equal(t, SetsFor(1<<17, g.L2), c.Pairs())
	g.Memclr(c.pairs[1][0])
	require.NoError(t, c.Enqueue(c.Pairs()+1, 1<<17))
	to, err := g.Download(c.pairs[1][0])
	require.NoError(t, err)
	from, err := g.Download(c.pairs[1][1])
	require.NoError(t, err)
	got, want := to.Data().([]byte), from.Data().([]byte)
	assert.Equal(t, want[:1<<16], got[:1<<16])
	assert.Equal(t, make([]byte, len(got)-1<<16), got[1<<16:], "half of the bytes are written")
	zeros := 0
	for _, x := range want {
		if x == 0 {
			zeros++
		}
	}
	assert.Less(t, zeros, len(want)/100, "noise")
	require.NoError(t, c.Release())
	assert.Equal(t, before.InUse, g.Memory().InUse)
}

func TestNotANumber(t *testing.T) {
	for _, dt := range []tensor.Dtype{tensor.Float32, cuda.Float16, cuda.BFloat16} {
		v, err := notANumber(dt)
		require.NoError(t, err)
		switch x := v.(type) {
		case float32:
			assert.True(t, math.IsNaN(float64(x)))
		case interface{ Float32() float32 }:
			assert.True(t, math.IsNaN(float64(x.Float32())))
		default:
			assert.Fail(t, "no number")
		}
	}
	_, err := notANumber(tensor.Int)
	assert.Error(t, err)
}

// TestOpenWithout: a machine without a GPU says what is missing.
func TestOpenWithout(t *testing.T) {
	g, err := Open(1 << 20)
	if err == nil {
		err = errors.Join(errors.New("device 1048576 was opened"), g.Close())
	}
	assert.ErrorContains(t, err, "cuda:")
}
