package detection

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

func randomSet(rng *rand.Rand) (s *Set, cases []Case, weights []float64) {
	for i := range 2 + rng.IntN(12) {
		c := Case{Name: fmt.Sprint(i)}
		for range rng.IntN(4) {
			e := Entry{Lesion: rng.IntN(2) == 0, Confidence: float64(1+rng.IntN(6)) / 8}
			if e.Lesion && rng.IntN(3) == 0 {
				e.Confidence = 0
			}
			c.Entries = append(c.Entries, e)
			c.Confidence = max(c.Confidence, e.Confidence)
		}
		cases, weights = append(cases, c), append(weights, float64(1+rng.IntN(3)))
	}
	s, err := NewSet(cases, weights, nil)
	if err != nil {
		panic(err)
	}
	return s, cases, weights
}

func TestScoresAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		s, cases, weights := randomSet(rng)
		var won, pairs float64
		for i, a := range cases {
			for j, b := range cases {
				if a.Positive() && !b.Positive() {
					w := weights[i] * weights[j]
					pairs += w
					switch {
					case a.Confidence > b.Confidence:
						won += w
					case a.Confidence == b.Confidence:
						won += w / 2
					}
				}
			}
		}
		near(t, won/pairs, s.AUROC(), 1e-12, "AUROC")

		// counts at a threshold
		count := func(threshold float64) (found, wrong, lesions float64) {
			for i, c := range cases {
				for _, e := range c.Entries {
					switch {
					case e.Lesion && e.Confidence >= threshold && e.Confidence > 0:
						found += weights[i]
					case !e.Lesion && e.Confidence >= threshold:
						wrong += weights[i]
					}
					if e.Lesion {
						lesions += weights[i]
					}
				}
			}
			return found, wrong, lesions
		}
		want, before := 0.0, 0.0
		for k := 8; k > 0; k-- {
			found, wrong, lesions := count(float64(k) / 8)
			if found > before {
				want += (found - before) / lesions * found / (found + wrong)
				before = found
			}
		}
		ap, err := s.AveragePrecision()
		if err != nil {
			require.ErrorIs(t, err, errNoEntries)
			continue
		}
		assert.InDelta(t, want, ap, 1e-12)
	}
}

func TestFROC(t *testing.T) {
	cases := []Case{
		{Entries: []Entry{{Lesion: true, Confidence: 0.9}, {Lesion: true}}, Confidence: 0.9},
		{Entries: []Entry{{Confidence: 0.8}, {Confidence: 0.3}}, Confidence: 0.8},
		{Entries: []Entry{{Lesion: true, Confidence: 0.3}}, Confidence: 0.3},
		{Confidence: 0},
	}
	s, err := NewSet(cases, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, []FROCPoint{{0.9, 1.0 / 3, 0}, {0.8, 1.0 / 3, 0.25}, {0.3, 2.0 / 3, 0.5}}, s.FROC(), "a missed lesion is found at no threshold")
	assert.Equal(t, 1.0/3, s.SensitivityAt(0.1))
	assert.Equal(t, 2.0/3, s.SensitivityAt(0.5))
	assert.Zero(t, s.SensitivityAt(-1))
	assert.True(t, math.IsNaN(s.SensitivityAt(math.NaN())))
	last := s.FROCOfPICAIEval()[3]
	assert.Equal(t, FROCPoint{0, 2.0 / 3, math.Inf(1)}, last)

	s, err = NewSet(cases[1:2], nil, nil)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(s.SensitivityAt(1)), "no lesion")
	assert.True(t, math.IsNaN(s.AUROC()), "no case with lesions")
	ap, err := s.AveragePrecision()
	require.NoError(t, err)
	assert.Zero(t, ap)

	s, err = NewSet(cases[3:], nil, nil)
	require.NoError(t, err)
	_, err = s.Score()
	assert.ErrorIs(t, err, errNoEntries)
	assert.Empty(t, s.FROC())
}

func TestSetRefusals(t *testing.T) {
	c := []Case{{Name: "a", Entries: []Entry{{Lesion: true}}}}
	for want, args := range map[string]struct {
		cases   []Case
		weights []float64
		entries [][]float64
	}{
		"cases is empty":                                             {},
		"weights is a list of 2":                                     {c, []float64{1, 2}, nil},
		"entryWeights is 0 lists":                                    {c, nil, [][]float64{}},
		`entryWeights of case 0 ("a") is a list of 0`:                {c, nil, [][]float64{{}}},
		`a weight of case 0 ("a") is -1`:                             {c, []float64{-1}, nil},
		`a weight of case 0 ("a") is 1e+31, want a number from 0 to`: {c, []float64{1e31}, nil},
		`a weight of case 0 ("a") is NaN`:                            {c, nil, [][]float64{{math.NaN()}}},
		`a confidence of case 0 ("") is NaN`:                         {[]Case{{Confidence: math.NaN()}}, nil, nil},
		`a confidence of case 0 ("") is -1, want a finite number of`: {[]Case{{Entries: []Entry{{Confidence: -1}}}}, nil, nil},
	} {
		_, err := NewSet(args.cases, args.weights, args.entries)
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, want)
		assert.ErrorContains(t, err, want)
	}
}

func TestScoresOfExtremeWeights(t *testing.T) {
	cases := []Case{
		{Entries: []Entry{{Lesion: true, Confidence: 0.9}}, Confidence: 0.9},
		{Entries: []Entry{{Confidence: 0.8}}, Confidence: 0.8},
		{Entries: []Entry{{Lesion: true, Confidence: 0.7}}, Confidence: 0.7},
	}
	for _, w := range []float64{1e-300, 1, maxWeight} {
		s, err := NewSet(cases, []float64{w, w, w}, nil)
		require.NoError(t, err)
		assert.InDelta(t, 0.5, s.AUROC(), 1e-12)
		ap, err := s.AveragePrecision()
		require.NoError(t, err)
		assert.InDelta(t, 0.5+0.5*2/3, ap, 1e-12)
	}
	s, err := NewSet(cases, []float64{0, 1, 0}, nil)
	require.NoError(t, err)
	assert.True(t, math.IsNaN(s.AUROC()), "no case with lesions has a weight")
}
