package edt

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	for name, next := range map[string]func() float64{
		"one value": func() float64 { return 2.25 },
		"zeros":     func() float64 { return 0 },
		"integers":  func() float64 { return float64(rng.IntN(100)) },
		"squares of a grid": func() float64 {
			d := rng.IntN(300)*rng.IntN(300) + rng.IntN(300)
			return 0.61 * 0.61 * float64(d)
		},
		"all different":      rng.Float64,
		"any magnitude":      func() float64 { return math.Exp(400 * rng.NormFloat64()) },
		"equal in high bits": func() float64 { return 1 + float64(rng.IntN(5000))*0x1p-52 },
		"one far away": func() float64 {
			if rng.IntN(1000) == 0 {
				return 1e300
			}
			return 1 + rng.Float64()*1e-9
		},
	} {
		for _, n := range []int{0, 1, 2, fewValues, fewValues + 1, 5000, cachedValues, cachedValues + 1, 3 * cachedValues} {
			values := make([]float64, n)
			want := map[float64]int{}
			for i := range values {
				values[i] = next()
				want[values[i]]++
			}
			var more []Count
			for i := range rng.IntN(20) {
				c := Count{float64(i), 1 + rng.IntN(9)}
				more = append(more, c)
				want[c.Squared] += c.Voxels
			}
			got := countValues(values, make([]float64, n), more)
			require.Len(t, got, len(want), "%s, %d values", name, n)
			require.True(t, slices.IsSortedFunc(got, func(a, b Count) int {
				if a.Squared < b.Squared {
					return -1
				}
				return 1
			}), "%s, %d values", name, n)
			for _, c := range got {
				require.Equal(t, want[c.Squared], c.Voxels, "%s, %d values: %v", name, n, c.Squared)
			}
		}
	}
}
