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
		rows, columns := 1+rng.IntN(5), 1+rng.IntN(5)
		weights := make([][]float64, rows)
		for i := range weights {
			weights[i] = make([]float64, columns)
			for j := range weights[i] {
				if rng.IntN(3) > 0 {
					weights[i][j] = 1 + float64(rng.IntN(8))/8 // exact sums, many ties
				}
			}
		}
		got := Assign(weights)
		assert.Len(t, got, rows)
		total, assigned, taken := 0.0, 0, make([]bool, columns)
		for i, j := range got {
			if j == unmatched {
				continue
			}
			assert.False(t, taken[j], "a column has two rows")
			taken[j] = true
			total += weights[i][j]
			assigned++
		}
		assert.Equal(t, min(rows, columns), assigned)
		if !assert.Equal(t, best(weights, 0, make([]bool, columns)), total, "%v", weights) {
			return
		}
	}
}

func TestAssignOfSpecialSizes(t *testing.T) {
	assert.Empty(t, Assign(nil))
	assert.Equal(t, []int{unmatched, unmatched}, Assign([][]float64{{}, {}}))
	assert.Equal(t, []int{1}, Assign([][]float64{{0, 2, 2, 1}}), "the first of equal columns")
	assert.Equal(t, []int{1, 0}, Assign([][]float64{{3, 3}, {3, 2}}))
}
