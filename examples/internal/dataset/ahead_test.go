package dataset

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAheadPeeks: a value that is ready can be seen before it is taken, which changes neither the
// order nor how far the workers run ahead.
func TestAheadPeeks(t *testing.T) {
	done := settle(t)
	var started atomic.Int64
	open := make(chan struct{})
	a := startAhead(t.Context(), 9, 3, 2, func(i int) (int, error) {
		started.Add(1)
		<-open
		return 10 * i, nil
	}, nil)
	defer a.Close()
	assert.False(t, a.Ready())
	_, ok := a.Peek()
	assert.False(t, ok)
	assert.True(t, eventually(func() bool { return started.Load() == 3 }))
	close(open)
	for i := range 9 {
		assert.True(t, eventually(a.Ready))
		for range 2 {
			value, ok := a.Peek()
			assert.True(t, ok)
			assert.Equal(t, 10*i, value)
		}
		runtime.Gosched()
		assert.LessOrEqual(t, started.Load(), int64(max(3, i+2)), "the reader works on value %d", i-1)
		value, err, ok := a.Next()
		require.NoError(t, err)
		assert.True(t, ok)
		assert.Equal(t, 10*i, value)
		assert.LessOrEqual(t, started.Load(), int64(i+3))
	}
	_, ok = a.Peek()
	assert.False(t, ok)
	assert.True(t, a.Ready(), "with the end")
	_, err, ok := a.Next()
	assert.NoError(t, err)
	assert.False(t, ok)
	a.Close()
	done()
}

// TestAheadAccountsForEveryValue: each value that was computed is either returned or discarded,
// once, wherever the reader stops and whether it has looked at the next value or not.
func TestAheadAccountsForEveryValue(t *testing.T) {
	broken := errors.New("broken")
	for _, fails := range []int{-1, 4} {
		for taken := range 8 {
			for _, peek := range []bool{false, true} {
				for _, cancels := range []bool{false, true} {
					done := settle(t)
					ctx, cancel := context.WithCancel(t.Context())
					var mu sync.Mutex
					var made, discarded, returned []int
					a := startAhead(ctx, 7, 2, 3, func(i int) (int, error) {
						if i == fails {
							return 0, broken
						}
						mu.Lock()
						defer mu.Unlock()
						made = append(made, i)
						return i, nil
					}, func(i int) { discarded = append(discarded, i) })
					for range taken {
						i, err, ok := a.Next()
						if !ok {
							assert.Len(t, returned, map[bool]int{true: 7, false: fails}[fails < 0])
							break
						}
						if err != nil {
							assert.Equal(t, broken, err)
							assert.Len(t, returned, fails)
							continue
						}
						returned = append(returned, i)
					}
					if peek {
						a.Ready()
					}
					if cancels {
						cancel()
						_, err, ok := a.Next()
						assert.True(t, !ok || errors.Is(err, context.Canceled))
						assert.True(t, a.Ready())
					}
					a.Close()
					a.Close()
					done()
					cancel()
					_, err, ok := a.Next()
					assert.NoError(t, err)
					assert.False(t, ok, "closed")
					assert.True(t, slices.IsSorted(returned))
					all := append(returned, discarded...)
					slices.Sort(all)
					slices.Sort(made)
					assert.Equal(t, made, all)
				}
			}
		}
	}
}
