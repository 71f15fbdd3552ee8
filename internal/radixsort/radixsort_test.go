package radixsort

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDescending compares with a stable sort, for sizes of one part and of several.
func TestDescending(t *testing.T) {
	t.Run("float32", func(t *testing.T) { descending[float32](t) })
	t.Run("float64", func(t *testing.T) { descending[float64](t) })
}

func descending[T float32 | float64](t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draws := map[string]func() T{
		"distinct": func() T { return T(math.Exp(9 * r.NormFloat64())) },
		"few":      func() T { return T(r.IntN(3)) },
		"equal":    func() T { return 0.25 },
		"special":  func() T { return T([]float64{0, 1e-45, 5e-324, math.Inf(1), 1, math.MaxFloat32}[r.IntN(6)]) },
	}
	var s Sorter[T] // its memory is used again
	for name, draw := range draws {
		for _, n := range []int{0, 1, 2, 1000, 1 << 13, 1<<14 + 3, 100000} {
			items := make([]Item[T], n)
			for i := range items {
				items[i] = Item[T]{draw(), uint32(i)}
			}
			want := slices.Clone(items)
			slices.SortStableFunc(want, func(a, b Item[T]) int { return cmp.Compare(b.Value, a.Value) })
			require.Equal(t, want, s.Descending(items), fmt.Sprintf("%s, %d", name, n))
		}
	}
}
