package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
		inf := float32(math.Inf(1))
		for words := range 4 {
			for offset := range 3 {
				x0, x1, class := make([]float32, 64*words+offset)[offset:], make([]float32, 64*words+offset)[offset:], make([]uint8, 64*words+offset)[offset:]
				for i := range x0 {
					x0[i], x1[i], class[i] = value(), value(), [...]uint8{0, 1, 2, noClass}[r.IntN(4)]
				}
				for _, limits := range [][2]float32{{0, 0}, {1, 2.5}, {-1, -1}, {-2, inf}, {-inf, inf}, {-inf, -inf}, {inf, inf}, {-1e-45, 1e-45}} {
					wantAbove, wantWithin, wantClass := make([]uint64, words), make([]uint64, words), slices.Clone(class)
					for i := range x0 {
						margin := x1[i] - x0[i]
						if class[i] == 1 {
							margin = -margin
						}
						if margin > limits[1] {
							wantAbove[i/64] |= 1 << (i % 64)
						} else {
							wantClass[i] = noClass
						}
						if math.IsNaN(float64(margin)) || margin >= limits[0] {
							wantWithin[i/64] |= 1 << (i % 64)
						}
					}
					above, within, got := make([]uint64, words+1), make([]uint64, words+1), append(make([]uint8, offset), append(class, 77)...)[offset:]
					above[words], within[words] = 12345, 54321
					impl.packMargins(above[:words], within[:words], x0, x1, got[:64*words], &limits)
					what := fmt.Sprintf("%d words, limits %v", words, limits)
					require.Equal(t, append(wantAbove, 12345), above, what)
					require.Equal(t, append(wantWithin, 54321), within, what)
					require.Equal(t, append(wantClass, 77), got, what)
				}
			}
		}
	})
}
