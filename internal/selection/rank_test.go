package selection

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRank(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for n := 1; n < 70; n++ {
		for _, distinct := range []int{1, 3, 1000} {
			numbers := make([]float64, n)
			for i := range numbers {
				numbers[i] = float64(r.IntN(distinct) - distinct/2)
			}
			sorted := slices.Sorted(slices.Values(numbers))
			for i, want := range sorted {
				got := slices.Clone(numbers)
				require.Equal(t, want, Rank(got, i), "%d of %v", i, numbers)
				slices.Sort(got)
				require.Equal(t, sorted, got, "no number is lost")
				require.Equal(t, want, Rank(slices.Clone(sorted), i))
			}
		}
	}
}
