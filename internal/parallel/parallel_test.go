package parallel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTryRunsEveryUnitOnce(t *testing.T) {
	for _, procs := range []int{1, 2, 7} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		for _, units := range []int{0, 1, 2, 5, 1000} {
			ran := make([]atomic.Int32, units)
			bodies := 0
			require.NoError(t, Try(units, func() func(int) error {
				bodies++
				busy := false
				return func(unit int) error {
					if busy {
						return fmt.Errorf("two goroutines share a body")
					}
					busy = true
					ran[unit].Add(1)
					runtime.Gosched()
					busy = false
					return nil
				}
			}))
			for i := range ran {
				require.EqualValues(t, 1, ran[i].Load(), "unit %d of %d", i, units)
			}
			assert.LessOrEqual(t, bodies, max(1, min(units, procs)))
		}
	}
}

func TestTryReturnsTheLowestError(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(7))
	for range 200 {
		err := Try(100, func() func(int) error {
			return func(unit int) error {
				if unit%10 == 3 {
					return fmt.Errorf("unit %d", unit)
				}
				runtime.Gosched()
				return nil
			}
		})
		require.EqualError(t, err, "unit 3")
	}
}

// TestConcurrentCalls: calls that hand work to each other's goroutines do all of it, and
// these goroutines end.
func TestConcurrentCalls(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for turn := range 300 {
				units := (7*turn + caller) % 11
				var ran atomic.Int64
				Do(units, func() func(int) { return func(unit int) { ran.Add(1 << (4 * unit)) } })
				var want int64
				for unit := range units {
					want |= 1 << (4 * unit)
				}
				assert.Equal(t, want, ran.Load())
			}
		})
	}
	wg.Wait()
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 && waiting.Load() == 0 }, 10*time.Second, time.Millisecond)
	assert.Empty(t, handed)
}

// TestOrder: a goroutine alone takes its units in order.
func TestOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for order, want := range map[Order][]int{Forwards: {0, 1, 2, 3}, Backwards: {3, 2, 1, 0}} {
		var got []int
		require.NoError(t, TryInOrder(4, order, func() func(int) error {
			return func(unit int) error {
				got = append(got, unit)
				return nil
			}
		}))
		assert.Equal(t, want, got)
	}
	// Of several each begins with a range of its own.
	runtime.GOMAXPROCS(2)
	var mu sync.Mutex
	first := map[int]bool{}
	both := make(chan bool)
	do(10, Backwards, func() func(int) {
		begun := false
		return func(unit int) {
			if begun {
				return
			}
			begun = true
			mu.Lock()
			first[unit] = true
			last := len(first) == 2
			mu.Unlock()
			if last {
				close(both)
			}
			<-both
		}
	})
	assert.Equal(t, map[int]bool{4: true, 9: true}, first)
}

// BenchmarkEach measures what it takes to share out two units of 10 µs each, and to wait for both:
// 10 µs is the limit.
func BenchmarkEach(b *testing.B) {
	for b.Loop() {
		Each(2, func(int) {
			for start := time.Now(); time.Since(start) < 10*time.Microsecond; {
			}
		})
	}
}
