package matching

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// best returns the largest total weight over all assignments, by trying each.
func best(weights [][]float64, row int, taken []bool) float64 {
	if row == len(weights) {
		return 0
	}
	total := best(weights, row+1, taken) // the row stays without a column
	for j := range taken {
		if !taken[j] {
			taken[j] = true
			total = max(total, weights[row][j]+best(weights, row+1, taken))
			taken[j] = false
		}
	}
	return total
}

func TestAssignHasTheLargestTotal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		rows, columns := rng.IntN(6), rng.IntN(6)
		weights := make([][]float64, rows)
		var pairs []Pair
		for i := range weights {
			weights[i] = make([]float64, columns)
			for j := range weights[i] {
				if rng.IntN(5) > 2 {
					weights[i][j] = 1 + float64(rng.IntN(8))/8 // exact sums, many ties
					pairs = append(pairs, Pair{i, j, weights[i][j]})
				}
			}
		}
		rng.Shuffle(len(pairs), func(a, b int) { pairs[a], pairs[b] = pairs[b], pairs[a] })
		got := Assign(rows, columns, pairs)
		assert.Len(t, got, rows)
		total, taken := 0.0, make([]bool, columns)
		for i, k := range got {
			if k == unmatched {
				continue
			}
			assert.Equal(t, i, pairs[k].Row)
			assert.False(t, taken[pairs[k].Column], "a column has two rows")
			taken[pairs[k].Column] = true
			total += pairs[k].Weight
		}
		if !assert.Equal(t, best(weights, 0, make([]bool, columns)), total, "%v", weights) {
			return
		}
	}
}

func TestAssignOfSpecialSizes(t *testing.T) {
	assert.Empty(t, Assign(0, 0, nil))
	assert.Equal(t, []int{unmatched, unmatched}, Assign(2, 0, nil))
	assert.Equal(t, []int{0}, Assign(1, 4, []Pair{{0, 1, 2}, {0, 2, 2}, {0, 3, 1}}), "the first of equal pairs")
	assert.Equal(t, []int{1, 2}, Assign(2, 2, []Pair{{0, 0, 3}, {0, 1, 3}, {1, 0, 3}, {1, 1, 2}}))
}

// A matrix of all rows and columns would take a terabyte.
func TestAssignOfManySmallParts(t *testing.T) {
	const n = 400_000
	pairs := make([]Pair, n)
	for i := range pairs {
		pairs[i] = Pair{i, n - 1 - i, 1}
	}
	for i, k := range Assign(n, n, pairs) {
		if k != i {
			require.Equal(t, i, k)
		}
	}
}
