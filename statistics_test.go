package afl

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGoldenTInterval(t *testing.T) {
	for _, c := range metricCases(t, "t_interval") {
		t.Run(c.Name, func(t *testing.T) {
			got, err := TInterval(c.tensors["x"].Data, number(t, c.Options["confidence"]))
			require.NoError(t, err)
			assert.Equal(t, number(t, c.Expected["n"]), float64(got.N))
			for name, value := range map[string]float64{
				"mean": got.Mean, "sd": got.SD, "t_quantile": got.Quantile,
				"half_width": got.HalfWidth, "lower": got.Lower, "upper": got.Upper,
			} {
				if want, ok := c.Expected[name]; ok {
					requireNumber(t, number(t, want), value, name)
				}
			}
		})
	}
}

// centralT returns P(|T| ≤ t) for Student's t distribution with ν degrees of freedom by
// the finite trigonometric sums for integer ν (Abramowitz and Stegun 26.7.3–4). All terms
// are positive, so nothing cancels.
func centralT(t float64, nu int) float64 {
	theta := math.Atan(t / math.Sqrt(float64(nu)))
	cos2 := 1 / (1 + t*t/float64(nu))
	sum, term := 0.0, 1.0
	if nu%2 == 0 {
		for k := 1; k <= nu/2; k++ {
			sum += term
			term *= cos2 * float64(2*k-1) / float64(2*k)
		}
		return math.Sin(theta) * sum
	}
	term = math.Cos(theta)
	for k := 1; k <= (nu-1)/2; k++ {
		sum += term
		term *= cos2 * float64(2*k) / float64(2*k+1)
	}
	return 2 / math.Pi * (theta + math.Sin(theta)*sum)
}

// The error of a quantile is the error of its probability divided by the density. For
// large n the quantile loses digits in the logarithms of large gamma functions.
func TestTQuantileInvertsTheDistribution(t *testing.T) {
	for _, n := range []int{2, 3, 4, 5, 6, 7, 8, 10, 13, 21, 30, 64, 101, 500, 1001, 10000} {
		x := make([]float64, n)
		x[0] = 1
		for _, confidence := range []float64{0.01, 0.1, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.999999} {
			ci, err := TInterval(x, confidence)
			require.NoError(t, err)
			q := ci.Quantile
			h := 1e-4 * q
			density := (centralT(q+h, n-1) - centralT(q-h, n-1)) / (2 * h)
			relative := (centralT(q, n-1) - confidence) / density / q
			tolerance := 1e-12
			switch {
			case confidence < 0.1 || confidence > 0.999:
				tolerance = 1e-8
			case n > 1001:
				tolerance = 1e-10
			}
			require.LessOrEqual(t, math.Abs(relative), tolerance, "n %d, confidence %v: quantile %v", n, confidence, q)
		}
	}
}

func TestTIntervalLaws(t *testing.T) {
	x := []float64{0.71, 0.64, 0.83, 0.59, 0.77}
	a, err := TInterval(x, 0.95)
	require.NoError(t, err)
	shifted := make([]float64, len(x))
	for i, v := range x {
		shifted[i] = 3 - 2*v
	}
	b, err := TInterval(shifted, 0.95)
	require.NoError(t, err)
	assert.InDelta(t, 3-2*a.Upper, b.Lower, 1e-14)
	assert.InDelta(t, 3-2*a.Lower, b.Upper, 1e-14)
	wide, err := TInterval(x, 0.99)
	require.NoError(t, err)
	assert.Greater(t, wide.HalfWidth, a.HalfWidth)

	// Adding a large constant keeps the standard deviation.
	for i := range x {
		shifted[i] = x[i] + 1e6
	}
	c, err := TInterval(shifted, 0.95)
	require.NoError(t, err)
	assert.InEpsilon(t, a.SD, c.SD, 1e-8)
}

func TestTIntervalOfOneValue(t *testing.T) {
	ci, err := TInterval([]float64{0.75}, 0.95)
	require.NoError(t, err)
	assert.Equal(t, 1, ci.N)
	assert.Equal(t, 0.75, ci.Mean)
	for _, v := range []float64{ci.SD, ci.Quantile, ci.HalfWidth, ci.Lower, ci.Upper} {
		assert.True(t, math.IsNaN(v))
	}
}

func TestTIntervalRefusesBadInput(t *testing.T) {
	for _, confidence := range []float64{0, 0.009, 1, -0.5, 95, math.NaN()} {
		_, err := TInterval([]float64{1, 2}, confidence)
		requireRefused(t, err, "confidence")
	}
	_, err := TInterval(nil, 0.95)
	requireRefused(t, err, "x")
	_, err = TInterval([]float64{1, math.NaN()}, 0.95)
	requireRefused(t, err, "element 1 of x")
	_, err = TInterval([]float64{1, math.Inf(1)}, 0.95)
	requireRefused(t, err, "element 1 of x")
	_, err = TInterval([]float64{math.MaxFloat64, -math.MaxFloat64}, 0.95)
	requireRefused(t, err, "x")
}

func TestGoldenWilcoxon(t *testing.T) {
	exact := 0
	for _, c := range metricCases(t, "wilcoxon") {
		t.Run(c.Name, func(t *testing.T) {
			var got *WilcoxonTest
			var err error
			if paired, _ := c.Options["paired"].(bool); paired {
				got, err = WilcoxonPaired(c.tensors["x"].Data, c.tensors["y"].Data)
			} else {
				got, err = Wilcoxon(c.tensors["x"].Data, number(t, c.Options["median"]))
			}
			if _, ok := c.Expected["error"]; ok {
				requireRefused(t, err, "x")
				assert.Nil(t, got)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, number(t, c.Expected["n_nonzero"]), float64(got.N))
			assert.Equal(t, number(t, c.Expected["zeros"]), float64(got.Zeros))
			assert.Equal(t, c.Expected["ties"], got.Ties)
			assert.Equal(t, number(t, c.Expected["r_plus"]), got.RPlus)
			assert.Equal(t, number(t, c.Expected["r_minus"]), got.RMinus)
			assert.Equal(t, number(t, c.Expected["statistic"]), got.Statistic)
			requireNumber(t, number(t, c.Expected["z"]), got.Z, "z")
			requireNumber(t, number(t, c.Expected["p_normal"]), got.PNormal, "p_normal")
			if want, ok := c.Expected["p_exact_midrank"]; ok {
				p, err := got.PExact()
				require.NoError(t, err)
				requireNumber(t, number(t, want), p, "p_exact_midrank")
				exact++
			}
		})
	}
	t.Logf("wilcoxon: %d exact p-values compared", exact)
	require.Positive(t, exact)
}

// exactByEnumeration tries every pattern of signs.
func exactByEnumeration(w *WilcoxonTest) float64 {
	n := len(w.ranks)
	extreme := 0
	for signs := range 1 << n {
		sum := 0
		for i, r := range w.ranks {
			if signs>>i&1 == 1 {
				sum += r
			}
		}
		if sum <= int(2*w.Statistic) {
			extreme++
		}
	}
	return min(1, 2*float64(extreme)/float64(int(1)<<n))
}

func TestWilcoxonExactAgainstEnumeration(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for n := 1; n <= 14; n++ {
		for _, levels := range []int{2, 5, 1000} { // few levels make many ties and zeros
			x := make([]float64, n)
			for i := range x {
				x[i] = float64(rng.IntN(2*levels+1) - levels)
			}
			x[0] = float64(levels) // at least one that is not zero
			w, err := Wilcoxon(x, 0)
			require.NoError(t, err)
			p, err := w.PExact()
			require.NoError(t, err)
			require.Equal(t, exactByEnumeration(w), p, "%v", x)

			// Midranks have the same sum as ranks, and it is split by sign.
			m := float64(w.N)
			require.Equal(t, m*(m+1)/2, w.RPlus+w.RMinus)
			require.Equal(t, n, w.N+w.Zeros)
		}
	}
}

func TestWilcoxonLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 6))
	x, y := make([]float64, 40), make([]float64, 40)
	difference, negated := make([]float64, 40), make([]float64, 40)
	for i := range x {
		x[i], y[i] = rng.Float64(), rng.Float64()
		difference[i] = x[i] - y[i]
		negated[i] = -difference[i]
	}
	paired, err := WilcoxonPaired(x, y)
	require.NoError(t, err)
	single, err := Wilcoxon(difference, 0)
	require.NoError(t, err)
	assert.Equal(t, single, paired)
	mirrored, err := Wilcoxon(negated, 0)
	require.NoError(t, err)
	assert.Equal(t, paired.RPlus, mirrored.RMinus)
	assert.Equal(t, paired.PNormal, mirrored.PNormal)

	slices.Reverse(difference)
	reversed, err := Wilcoxon(difference, 0)
	require.NoError(t, err)
	assert.Equal(t, single, reversed)
}

// At the largest N with an exact p-value the normal one is close to it.
func TestWilcoxonExactAtTheCap(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 6))
	x := make([]float64, MaxExactWilcoxon)
	for i := range x {
		x[i] = rng.NormFloat64() + 0.05
	}
	w, err := Wilcoxon(x, 0)
	require.NoError(t, err)
	p, err := w.PExact()
	require.NoError(t, err)
	assert.InEpsilon(t, w.PNormal, p, 0.01)

	w, err = Wilcoxon(append(x, 1), 0)
	require.NoError(t, err)
	_, err = w.PExact()
	requireRefused(t, err, "N")
}

func TestWilcoxonAllOneSign(t *testing.T) {
	w, err := Wilcoxon([]float64{1, 2, 3, 4, 5}, 0)
	require.NoError(t, err)
	p, err := w.PExact()
	require.NoError(t, err)
	assert.Equal(t, 2.0/32, p)
}

func TestWilcoxonRefusesBadInput(t *testing.T) {
	_, err := Wilcoxon(nil, 0)
	requireRefused(t, err, "x")
	_, err = Wilcoxon([]float64{0.5, 0.5}, 0.5)
	requireRefused(t, err, "x")
	_, err = Wilcoxon([]float64{1, math.NaN()}, 0)
	requireRefused(t, err, "element 1 of x")
	_, err = Wilcoxon([]float64{1}, math.Inf(1))
	requireRefused(t, err, "median")
	_, err = Wilcoxon([]float64{math.MaxFloat64}, -math.MaxFloat64)
	requireRefused(t, err, "difference")
	_, err = WilcoxonPaired([]float64{1, 2}, []float64{1})
	requireRefused(t, err, "length of y")
	_, err = WilcoxonPaired([]float64{math.NaN()}, []float64{1})
	requireRefused(t, err, "x")
	_, err = WilcoxonPaired([]float64{1}, []float64{math.Inf(-1)})
	requireRefused(t, err, "y")
}
