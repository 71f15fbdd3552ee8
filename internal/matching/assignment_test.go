package matching

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
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
func TestAssignOfALongChain(t *testing.T) {
	const n = 400_000
	var pairs []Pair
	for i := range n {
		pairs = append(pairs, Pair{i, i, 1.25}) // each row and column is connected with all others
		if i+1 < n {
			pairs = append(pairs, Pair{i, i + 1, 1.5})
		}
	}
	// Without column 0 and the last row it is 1.5·(n−1), more than the 1.25·n of all.
	total := 0.0
	for _, k := range Assign(n, n, pairs) {
		if k >= 0 {
			total += pairs[k].Weight
		}
	}
	assert.Equal(t, 1.5*(n-1), total)
}
