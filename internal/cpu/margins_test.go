package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPackMarginsKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(9, 6))
		value := func() float32 {
			if r.IntN(4) == 0 {
				return hostile[r.IntN(len(hostile))]
			}
			return float32(r.IntN(7) - 3)
		}
		for words := range 4 {
			for offset := range 3 {
				x0, x1 := make([]float32, 64*words+offset)[offset:], make([]float32, 64*words+offset)[offset:]
				for i := range x0 {
					x0[i], x1[i] = value(), value()
				}
				for _, limit := range []float32{0, 1, -1, 2.5, float32(math.Inf(1)), float32(math.Inf(-1)), 1e-45} {
					wantAbove, wantBelow := make([]uint64, words), make([]uint64, words)
					for i := range x0 {
						if x1[i]-x0[i] > limit {
							wantAbove[i/64] |= 1 << (i % 64)
						}
						if x0[i]-x1[i] > limit {
							wantBelow[i/64] |= 1 << (i % 64)
						}
					}
					above, below := make([]uint64, words+1), make([]uint64, words+1)
					above[words], below[words] = 12345, 54321
					impl.packMargins(above[:words], below[:words], x0, x1, limit)
					what := fmt.Sprintf("%d words, limit %v", words, limit)
					require.Equal(t, append(wantAbove, 12345), above, what)
					require.Equal(t, append(wantBelow, 54321), below, what)
				}
			}
		}
	})
}
