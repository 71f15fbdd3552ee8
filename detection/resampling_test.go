package detection

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/bootstrap"
)

func TestBootstrap(t *testing.T) {
	s, _, _ := randomSet(rand.New(rand.NewPCG(9, 9)))
	a, err := s.Bootstrap((*Set).AveragePrecision, 500, 0.95, 1)
	require.NoError(t, err)
	again, err := s.Bootstrap((*Set).AveragePrecision, 500, 0.95, 1)
	require.NoError(t, err)
	assert.Equal(t, a, again, "equal seeds")
	other, err := s.Bootstrap((*Set).AveragePrecision, 500, 0.95, 2)
	require.NoError(t, err)
	assert.NotEqual(t, a, other)
	ap, err := s.AveragePrecision()
	require.NoError(t, err)
	assert.True(t, a.Lower < ap && ap < a.Upper)
	wide, err := s.Bootstrap((*Set).AveragePrecision, 500, 0.99, 1)
	require.NoError(t, err)
	assert.LessOrEqual(t, wide.Lower, a.Lower)
	assert.GreaterOrEqual(t, wide.Upper, a.Upper)

	// Of two cases, a resample has one kind only in half of all draws.
	two, err := NewSet([]Case{{Entries: []Entry{{Lesion: true, Confidence: 1}}, Confidence: 1}, {}}, nil, nil)
	require.NoError(t, err)
	i, err := two.Bootstrap(func(s *Set) (float64, error) { return s.AUROC(), nil }, 1000, 0.9, 3)
	require.NoError(t, err)
	assert.InDelta(t, 500, i.Undefined, 80)
	assert.Equal(t, []float64{1, 1}, []float64{i.Lower, i.Upper})

	for _, call := range []func() (Interval, error){
		func() (Interval, error) { return s.Bootstrap((*Set).Score, 0, 0.95, 1) },
		func() (Interval, error) { return s.Bootstrap((*Set).Score, 10, 1, 1) },
		func() (Interval, error) { return s.Bootstrap((*Set).Score, 10, math.NaN(), 1) },
		func() (Interval, error) {
			return s.Bootstrap(func(*Set) (float64, error) { return math.NaN(), nil }, 10, 0.9, 1)
		},
	} {
		_, err := call()
		assert.Error(t, err)
	}
}

// TestBootstrapAgainstDefinition draws the cases of one and of two sets and scores them as
// sets of their own.
func TestBootstrapAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 8))
	for seed := range uint64(20) {
		one, cases, weights := randomSet(rng)
		// The same cases after another training.
		again := slices.Clone(cases)
		for i := range again {
			again[i].Entries = slices.Clone(again[i].Entries)
			for j := range again[i].Entries {
				again[i].Entries[j].Confidence = float64(rng.IntN(5)) / 4
			}
			again[i].Confidence = float64(rng.IntN(5)) / 4
		}
		two, err := NewSet(again, weights, nil)
		require.NoError(t, err)
		for name, statistic := range map[string]func(*Set) (float64, error){
			"score":       (*Set).Score,
			"sensitivity": func(s *Set) (float64, error) { return s.SensitivityAt(0.5), nil },
			"picai_eval":  func(s *Set) (float64, error) { return s.FROCOfPICAIEval()[0].Sensitivity, nil },
			"lesions":     func(s *Set) (float64, error) { return float64(s.Lesions()) / float64(s.Cases()), nil },
		} {
			draw := rand.New(rand.NewPCG(seed, 0))
			var want []float64
			for range 30 {
				var a, b []Case
				var w []float64
				for range cases {
					i := draw.IntN(len(cases))
					a, b, w = append(a, cases[i]), append(b, again[i]), append(w, weights[i])
				}
				mean := 0.0
				for _, drawn := range [][]Case{a, b} {
					s, err := NewSet(drawn, w, nil)
					require.NoError(t, err)
					v, err := statistic(s)
					if err != nil {
						v = math.NaN()
					}
					mean += v / 2
				}
				if !math.IsNaN(mean) {
					want = append(want, mean)
				}
			}
			got, err := BootstrapMean([]*Set{one, two}, statistic, 30, 0.8, seed)
			if len(want) == 0 {
				assert.Error(t, err)
				continue
			}
			require.NoError(t, err, name)
			slices.Sort(want)
			assert.Equal(t, 30-len(want), got.Undefined, name)
			near(t, bootstrap.Quantile(want, 0.1), got.Lower, 1e-12, name)
			near(t, bootstrap.Quantile(want, 0.9), got.Upper, 1e-12, name)
		}
	}
	one, _, _ := randomSet(rng)
	other, err := NewSet(make([]Case, one.Cases()+1), nil, nil)
	require.NoError(t, err)
	for _, sets := range [][]*Set{nil, {one, nil}, {one, other}} {
		_, err := BootstrapMean(sets, (*Set).Score, 10, 0.9, 0)
		assert.Error(t, err)
	}
	nested := func(s *Set) (float64, error) {
		_, err := s.Bootstrap((*Set).Score, 10, 0.9, 0)
		require.ErrorContains(t, err, "a resample of a bootstrap")
		return 1, nil
	}
	_, err = one.Bootstrap(nested, 1, 0.9, 0)
	require.NoError(t, err)
}

// TestPermutationTest enumerates all ways to divide the scores.
func TestPermutationTest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	larger := func(alternative, baseline []float64) (sum float64) {
		for _, a := range alternative {
			for _, b := range baseline {
				switch {
				case a > b:
					sum++
				case a == b:
					sum += 0.5
				}
			}
		}
		return sum
	}
	for range 60 {
		n, m := 1+rng.IntN(5), 1+rng.IntN(5)
		all := make([]float64, n+m)
		for i := range all {
			all[i] = float64(rng.IntN(6)) / 4
		}
		observed := larger(all[:n], all[n:])
		reached, ways := 0, 0
		for chosen := range uint(1) << (n + m) {
			if bits.OnesCount(chosen) != n {
				continue
			}
			var a, b []float64
			for i, v := range all {
				if chosen>>i&1 == 1 {
					a = append(a, v)
				} else {
					b = append(b, v)
				}
			}
			ways++
			if larger(a, b) >= observed {
				reached++
			}
		}
		p, err := PermutationTest(all[n:], all[:n], 0)
		require.NoError(t, err)
		assert.InDelta(t, float64(reached)/float64(ways), p, 1e-12)
	}

	// Random permutations agree with all of them.
	a, b := make([]float64, 60), make([]float64, 41)
	for i := range a {
		a[i] = rng.NormFloat64() + 0.25
	}
	for i := range b {
		b[i] = rng.NormFloat64()
	}
	drawn, err := PermutationTest(b, a, 1)
	require.NoError(t, err)
	again, err := PermutationTest(b, a, 1)
	require.NoError(t, err)
	assert.Equal(t, drawn, again)
	ranks := doubledRanks(append(append([]float64{}, a...), b...))
	exact := exactShare(ranks, len(a), sum(ranks[:len(a)]))
	assert.InDelta(t, exact, drawn, 5*math.Sqrt(exact*(1-exact)/permutations))

	for _, bad := range [][2][]float64{{nil, a}, {a, nil}, {{math.NaN()}, a}, {a, {math.Inf(1)}}} {
		_, err := PermutationTest(bad[0], bad[1], 0)
		assert.Error(t, err)
	}
}

// BenchmarkBootstrap draws 1,000 resamples of as many cases as a fold of PI-CAI has.
func BenchmarkBootstrap(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var cases []Case
	for i := range 300 {
		c := Case{Entries: []Entry{{Lesion: i%3 == 0, Confidence: rng.Float64()}, {Confidence: rng.Float64()}}}
		c.Confidence = max(c.Entries[0].Confidence, c.Entries[1].Confidence)
		cases = append(cases, c)
	}
	s, err := NewSet(cases, nil, nil)
	require.NoError(b, err)
	for b.Loop() {
		_, err := s.Bootstrap((*Set).Score, 1000, 0.95, 1)
		require.NoError(b, err)
	}
}
