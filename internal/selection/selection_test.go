package selection

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLargest compares with a stable sort: distinct elements, many equal ones, and special
// values, around the sizes of a word, a part and what is sorted at once.
func TestLargest(t *testing.T) {
	t.Run("float32", func(t *testing.T) { largest[float32](t) })
	t.Run("float64", func(t *testing.T) { largest[float64](t) })
}

func largest[T float32 | float64](t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draws := map[string]func() T{
		"distinct": func() T { return T(math.Exp(3 * r.NormFloat64())) },
		"near":     func() T { return T(1 + r.Float64()/1e6) },
		"few":      func() T { return T(r.IntN(3)) },
		"equal":    func() T { return 0.25 },
		"special": func() T {
			return T([]float64{0, math.Copysign(0, -1), -1, 1e-45, 5e-324, math.Inf(1), 1, math.MaxFloat32}[r.IntN(8)])
		},
	}
	for name, draw := range draws {
		for _, n := range []int{1, 2, 63, 65, 2049, part, part + 1, 3*part + 17} {
			e := make([]T, n)
			order := make([]int, n)
			for i := range e {
				e[i], order[i] = draw(), i
			}
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(e[b]), key(e[a])) })
			for _, m := range []int{1, (n + 9) / 10, (n + 1) / 2, n} {
				what := fmt.Sprintf("%s, %d of %d", name, m, n)
				taken, sum := Largest(e, m)
				require.Len(t, taken, (n+63)/64, what)
				want := 0.0
				bits := make([]uint64, (n+63)/64)
				for _, i := range order[:m] {
					bits[i/64] |= 1 << (i % 64)
					want += float64(e[i])
				}
				require.Equal(t, bits, taken, what)
				if math.IsInf(want, 1) {
					assert.True(t, math.IsInf(sum, 1), what)
				} else {
					assert.InDelta(t, want, sum, 1e-9*math.Abs(want), what)
				}
			}
		}
	}
	e := []T{1, 3, T(math.NaN()), 2}
	taken, sum := Largest(e, 1)
	assert.Equal(t, []uint64{4}, taken)
	assert.True(t, math.IsNaN(sum))
}
