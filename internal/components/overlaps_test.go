package components

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOverlapsAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range [][3]int{{1, 1, 1}, {1, 1, 19}, {1, 15, 21}, {9, 1, 7}, {5, 7, 9}} {
		for _, density := range []float64{0, 0.05, 0.35, 0.7, 1} {
			var volumes [2]struct {
				runs   []Run
				labels []int
				count  int
			}
			n := shape[0] * shape[1] * shape[2]
			for i := range volumes {
				mask := make([]uint8, n)
				for k := range mask {
					if rng.Float64() < density {
						mask[k] = 1
					}
				}
				v := &volumes[i]
				v.runs, v.count = Find(mask, shape, Face)
				v.labels = labelsOf(v.runs, n)
			}
			a, b := volumes[0], volumes[1]
			shared, sizes := map[[2]int]int{}, make([]int, a.count)
			for i, l := range a.labels {
				if l > 0 {
					sizes[l-1]++
					if b.labels[i] > 0 {
						shared[[2]int{l, b.labels[i]}]++
					}
				}
			}
			var want []Overlap
			for l := range a.count {
				for k := range b.count {
					if v := shared[[2]int{l + 1, k + 1}]; v > 0 {
						want = append(want, Overlap{l + 1, k + 1, v})
					}
				}
			}
			got := Overlaps(a.runs, b.runs)
			require.Len(t, got, len(want))
			for i := range want {
				require.Equal(t, want[i], got[i])
			}
			require.Equal(t, sizes, Sizes(a.runs, a.count))
		}
	}
}

// Runs that begin or end together, and one that spans several.
func TestOverlapsOfRuns(t *testing.T) {
	a := []Run{{0, 4, 1}, {6, 8, 2}, {10, 30, 3}}
	b := []Run{{0, 2, 1}, {3, 7, 2}, {8, 10, 3}, {11, 13, 1}, {20, 30, 2}, {31, 32, 4}}
	assert.Equal(t, []Overlap{{1, 1, 2}, {1, 2, 1}, {2, 2, 1}, {3, 1, 2}, {3, 2, 10}}, Overlaps(a, b))
	assert.Empty(t, Overlaps(a, nil))
	assert.Empty(t, Overlaps(nil, b))
}
