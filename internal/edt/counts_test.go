package edt

import (
	"maps"
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
			var more Counts
			for i := range rng.IntN(20) {
				n := 1 + rng.IntN(9)
				more.add(float64(i), n)
				want[float64(i)] += n
			}
			got := countValues(values, make([]float64, n), more)
			distances := slices.AppendSeq([]float64{}, maps.Keys(want))
			slices.Sort(distances)
			require.Equal(t, distances, got.Squared, "%s, %d values", name, n)
			for i, squared := range got.Squared {
				require.Equal(t, want[squared], got.Voxels[i], "%s, %d values: %v", name, n, squared)
			}
		}
	}
}
