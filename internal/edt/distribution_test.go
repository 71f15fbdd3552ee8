package edt

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDistribution compares with a table of weights by distance, of voxels and of corners.
func TestDistribution(t *testing.T) {
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
		for _, n := range []int{0, 1, 2, fewCorners, fewCorners + 1, fewVoxels, fewVoxels + 1, 5000, cachedSamples, cachedSamples + 1, 3 * cachedSamples} {
			for _, areas := range []*Areas{nil, NewAreas(NewMask([3]int{2, 2, 2}), [3]float64{3, 0.5, 0.7})} {
				s, scratch := newSamples(n, areas != nil), newSamples(n, areas != nil)
				want := map[float64]float64{}
				for i := range s.squared {
					s.squared[i] = next()
					weight := 1.0
					if areas != nil {
						s.codes[i] = uint8(1 + rng.IntN(254))
						weight = areas.ByCode[s.codes[i]]
					}
					want[s.squared[i]] += weight
				}
				var more Distribution
				for i := range rng.IntN(20) {
					n := float64(1 + rng.IntN(9))
					more.add(float64(i), n)
					want[float64(i)] += n
				}
				got := s.distribution(scratch, areas, more)
				distances := slices.AppendSeq([]float64{}, maps.Keys(want))
				slices.Sort(distances)
				require.Equal(t, distances, got.Squared, "%s, %d samples", name, n)
				for i, squared := range got.Squared {
					require.InEpsilon(t, want[squared], got.Weight[i], 1e-12, "%s, %d samples: %v", name, n, squared)
				}
			}
		}
	}
}

// TestSortIsStable: the order of samples at one distance, in which their areas are summed,
// does not depend on the method.
func TestSortIsStable(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for _, n := range []int{2, fewCorners, 200, 5000, cachedSamples + 100} {
		s, scratch := newSamples(n, true), newSamples(n, true)
		next := map[float64]uint8{}
		for i := range s.squared {
			// Few different numbers, most of which differ in their low bits only.
			v := float64(rng.IntN(3)) + 1e-9*float64(rng.IntN(1+n/200))
			s.squared[i], s.codes[i] = v, next[v]
			next[v]++
		}
		s.sort(scratch)
		for i := 1; i < n; i++ {
			if s.squared[i] == s.squared[i-1] {
				require.Equal(t, s.codes[i-1]+1, s.codes[i], "%d of %d", i, n)
			} else {
				require.Greater(t, s.squared[i], s.squared[i-1])
				require.Zero(t, s.codes[i])
			}
		}
	}
}
