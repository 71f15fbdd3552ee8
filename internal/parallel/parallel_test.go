package parallel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

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
