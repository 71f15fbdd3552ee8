package matching

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byDefinition tries every choice of an edge, or none, for each left vertex.
func byDefinition(edges [][]int, taken map[int]bool) int {
	if len(edges) == 0 {
		return 0
	}
	best := byDefinition(edges[1:], taken)
	for _, j := range edges[0] {
		if !taken[j] {
			taken[j] = true
			best = max(best, 1+byDefinition(edges[1:], taken))
			taken[j] = false
		}
	}
	return best
}

func TestMaximumAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for range 2000 {
		left, right := rng.IntN(8), rng.IntN(8)
		density := rng.Float64()
		edges := make([][]int, left)
		for i := range edges {
			for j := range right {
				if rng.Float64() < density {
					edges[i] = append(edges[i], j)
				}
			}
			rng.Shuffle(len(edges[i]), func(a, b int) { edges[i][a], edges[i][b] = edges[i][b], edges[i][a] })
		}
		require.Equal(t, byDefinition(edges, map[int]bool{}), Maximum(edges, right), "%v", edges)
	}
}

// Taking edges in order pairs only half of a chain whose every first choice blocks
// the next vertex's only one.
func TestMaximumRevisesChoices(t *testing.T) {
	assert.Equal(t, 2, Maximum([][]int{{0, 1}, {0}}, 2))
	const n = 5000
	chain := make([][]int, n)
	for i := range chain {
		chain[i] = []int{i, (i + 1) % n}
	}
	chain[n-1] = []int{0}
	assert.Equal(t, n, Maximum(chain, n))
}

func TestMaximumOfNothing(t *testing.T) {
	assert.Zero(t, Maximum(nil, 0))
	assert.Zero(t, Maximum(nil, 3))
	assert.Zero(t, Maximum(make([][]int, 3), 0))
}
