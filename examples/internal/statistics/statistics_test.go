package statistics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/bootstrap"
)

// TestGolden compares with SciPy's values; see testdata/compare.py.
func TestGolden(t *testing.T) {
	raw, err := os.ReadFile("testdata/compare.json")
	require.NoError(t, err)
	var golden struct {
		Cases []struct {
			X, Y         []float64
			Mean, Median float64
			P            float64
			RankBiserial float64 `json:"rank_biserial"`
			Tertiles     [2]float64
		}
		Holm []float64
	}
	require.NoError(t, json.Unmarshal(raw, &golden))
	require.NotEmpty(t, golden.Cases)
	var p []float64
	for i, want := range golden.Cases {
		got, err := Compare(want.X, want.Y, 1)
		require.NoError(t, err)
		assert.Equal(t, len(want.X), got.N)
		assert.InDelta(t, want.Mean, got.Mean, 1e-14, i)
		assert.InDelta(t, want.Median, got.Median, 1e-14, i)
		assert.InEpsilon(t, want.P, got.P, 1e-12, i)
		assert.InDelta(t, want.RankBiserial, got.RankBiserial, 1e-14, i)
		p = append(p, got.P)

		differences := make([]float64, len(want.X))
		for j := range differences {
			differences[j] = want.X[j] - want.Y[j]
		}
		cuts, _ := Tertiles(differences)
		assert.InDeltaSlice(t, want.Tertiles[:], cuts[:], 1e-14, i)
	}
	assert.InDeltaSlice(t, golden.Holm, Holm(p), 1e-12)
}

func TestCompareCountsAndMirrors(t *testing.T) {
	x, y := []float64{1, 2, 3, 4, 6}, []float64{1, 1, 1, 1, 8}
	c, err := Compare(x, y, 3)
	require.NoError(t, err)
	assert.Equal(t, [3]int{3, 1, 1}, [3]int{c.Larger, c.Equal, c.Smaller})
	mirrored, err := Compare(y, x, 3)
	require.NoError(t, err)
	assert.Equal(t, c.P, mirrored.P)
	assert.Equal(t, -c.RankBiserial, mirrored.RankBiserial)
	assert.Equal(t, -c.Median, mirrored.Median)
	assert.Equal(t, [3]int{1, 1, 3}, [3]int{mirrored.Larger, mirrored.Equal, mirrored.Smaller})

	same, err := Compare(x, x, 3)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(same.Lower) && math.IsNaN(same.Upper), "5 cases are too few for an interval")
	same.Lower, same.Upper = 0, 0
	assert.Equal(t, Comparison{N: 5, Equal: 5, P: 1}, same)

	one, err := Compare([]float64{2}, []float64{1}, 3)
	require.NoError(t, err)
	assert.Equal(t, []float64{1, 1, 1, 1}, []float64{one.Mean, one.Median, one.P, one.RankBiserial})
	assert.True(t, math.IsNaN(one.Lower) && math.IsNaN(one.Upper))
}

// TestMedianInterval compares with the bootstrap of medians that are computed the long way.
func TestMedianInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 4))
	for _, n := range []int{6, 7, 8, 15} {
		x, zero := make([]float64, n), make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		c, err := Compare(x, zero, 5)
		require.NoError(t, err)
		sorted := slices.Sorted(slices.Values(x))
		lower, upper, _ := bootstrap.Interval(n, resamples, Confidence, 5, func(times []int) (float64, error) {
			var values []float64
			for i, n := range times {
				values = append(values, slices.Repeat(sorted[i:i+1], n)...)
			}
			return bootstrap.Quantile(values, 0.5), nil
		})
		assert.InDelta(t, lower, c.Lower, 1e-15)
		assert.InDelta(t, upper, c.Upper, 1e-15)
		assert.True(t, c.Lower <= c.Median && c.Median <= c.Upper)

		again, err := Compare(x, zero, 5)
		require.NoError(t, err)
		assert.Equal(t, c, again, "equal seeds")
	}
}

// TestSmallestP compares with the p-value of differences that have one sign.
func TestSmallestP(t *testing.T) {
	for n := 1; n <= 12; n++ {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(1 + i/2) // with ties
		}
		c, err := Compare(x, make([]float64, n), 1)
		require.NoError(t, err)
		assert.Equal(t, c.P, SmallestP(n), n)
		assert.Equal(t, 1.0, c.RankBiserial)
	}
}

// TestManyCases compares the exact p-value of as many cases as have one with that of one more.
func TestManyCases(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	x := make([]float64, maxExact+1)
	for i := range x {
		x[i] = rng.NormFloat64() + 0.1
	}
	x[maxExact] = 1e-9 // of rank 1
	exact, err := Compare(x[:maxExact], make([]float64, maxExact), 1)
	require.NoError(t, err)
	normal, err := Compare(x, make([]float64, maxExact+1), 1)
	require.NoError(t, err)
	assert.NotEqual(t, exact.P, normal.P)
	assert.InEpsilon(t, exact.P, normal.P, 0.03)
	assert.InDelta(t, exact.RankBiserial, normal.RankBiserial, 0.01)
}

func TestCompareRefusesBadInput(t *testing.T) {
	for _, pair := range [][2][]float64{
		{nil, nil}, {{1}, {1, 2}}, {{1, math.NaN()}, {1, 2}}, {{math.Inf(1)}, {math.Inf(1)}}, {{math.MaxFloat64}, {-math.MaxFloat64}},
	} {
		_, err := Compare(pair[0], pair[1], 1)
		assert.ErrorContains(t, err, "statistics: Compare has", pair)
	}
}

func TestHolm(t *testing.T) {
	assert.Equal(t, []float64{0.04, 0.06, 0.06, 0.02}, roundAll(Holm([]float64{0.0133333333333, 0.03, 0.04, 0.005})))
	assert.Equal(t, []float64{1, 1}, Holm([]float64{0.6, 0.9}))
	assert.Equal(t, []float64{0.03}, Holm([]float64{0.03}))
	assert.Empty(t, Holm(nil))
}

func roundAll(x []float64) []float64 {
	for i, v := range x {
		x[i] = math.Round(v*1e6) / 1e6
	}
	return x
}

func TestTertiles(t *testing.T) {
	cuts, ok := Tertiles([]float64{9, 1, 4})
	assert.True(t, ok)
	assert.Equal(t, []int{0, 1, 2}, []int{Third(cuts, 1), Third(cuts, 4), Third(cuts, 9)})
	values := []float64{5, 1, 2, 4, 3, 6, 8, 7, 9}
	cuts, ok = Tertiles(values)
	assert.True(t, ok)
	var count [3]int
	for _, v := range values {
		count[Third(cuts, v)]++
	}
	assert.Equal(t, [3]int{3, 3, 3}, count)
	assert.Equal(t, 0, Third([2]float64{3, 5}, 3), "a third includes its upper bound")
	for _, few := range [][]float64{nil, {1}, {1, 2}, {1, 1, 1, 1}, {1, 1, 1, 2}} {
		_, ok := Tertiles(few)
		assert.False(t, ok, few)
	}
}
