package afl

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Interval is a confidence interval of a mean.
type Interval struct {
	N         int     // number of values
	Mean      float64 // their arithmetic mean
	SD        float64 // their standard deviation, with N−1 in the denominator
	Quantile  float64 // of Student's t with N−1 degrees of freedom
	HalfWidth float64 // Quantile·SD/√N
	Lower     float64 // Mean − HalfWidth
	Upper     float64 // Mean + HalfWidth
}

// TInterval returns the two-sided confidence interval of the mean of x,
//
//	mean ± t·s/√n,
//
// where t is the (1+confidence)/2 quantile of Student's t distribution with n−1 degrees
// of freedom and s the standard deviation with n−1 in the denominator. It is in the unit
// of x. confidence is from 0.01 to below 1, usually 0.95.
//
// The relative error of t is at most 1e-12 for up to 1,000 values and 1e-10 for up to
// 10,000 where confidence is from 0.1 to 0.999, and at most 1e-8 for up to 10,000 values
// elsewhere.
//
// A single value says nothing about the spread: everything but its mean is NaN. No value,
// a value that is not finite, and any other confidence are errors.
//
// Student, "The Probable Error of a Mean", Biometrika 6 (1908) 1–25.
func TInterval(x []float64, confidence float64) (Interval, error) {
	if !(confidence >= 0.01 && confidence < 1) {
		return Interval{}, refuse("confidence", confidence, "a number from 0.01 to below 1")
	}
	if len(x) == 0 {
		return Interval{}, refuse("x", "empty", "at least one value")
	}
	if err := checkFiniteValues("x", x); err != nil {
		return Interval{}, err
	}
	n := float64(len(x))
	ci := Interval{N: len(x)}
	// Summing deviations from the first value keeps the sum small, and exact where
	// all values are equal.
	for _, v := range x {
		ci.Mean += (v - x[0]) / n
	}
	ci.Mean += x[0]
	if len(x) == 1 {
		nan := math.NaN()
		ci.SD, ci.Quantile, ci.HalfWidth, ci.Lower, ci.Upper = nan, nan, nan, nan, nan
		return ci, nil
	}
	var squares float64
	for _, v := range x {
		squares += float64((v - ci.Mean) * (v - ci.Mean)) // not fused: the same bits everywhere
	}
	ci.SD = math.Sqrt(squares / (n - 1))
	ci.Quantile = studentT(n-1, confidence)
	ci.HalfWidth = ci.Quantile * ci.SD / math.Sqrt(n)
	ci.Lower, ci.Upper = ci.Mean-ci.HalfWidth, ci.Mean+ci.HalfWidth
	if width := ci.Upper - ci.Lower; math.IsNaN(width) || math.IsInf(width, 0) {
		return Interval{}, refuse("x", fmt.Sprintf("of mean %v and standard deviation %v", ci.Mean, ci.SD), "values whose interval is in the range of float64")
	}
	return ci, nil
}

// studentT returns the t that a variable of Student's distribution with ν degrees of
// freedom is within ±t of 0 with the given probability. The probability 1−confidence
// outside is I_x(ν/2, ½) with x = ν/(ν+t²); it is exact for a confidence of at least a half.
func studentT(nu, confidence float64) float64 {
	x := mathext.InvRegIncBeta(nu/2, 0.5, 1-confidence)
	return math.Sqrt(nu * (1 - x) / x)
}

// WilcoxonTest is the result of a two-sided Wilcoxon signed-rank test, made by [Wilcoxon]
// and [WilcoxonPaired].
type WilcoxonTest struct {
	N         int     // number of differences other than zero
	Zeros     int     // number of differences of zero, which are dropped
	Ties      bool    // whether some differences have the same magnitude
	RPlus     float64 // sum of the ranks of positive differences
	RMinus    float64 // sum of the ranks of negative differences
	Statistic float64 // the smaller of the two
	// Z is the distance of the statistic from its mean under the null hypothesis in
	// standard deviations, never positive, with the variance corrected for ties. PNormal
	// is its two-sided p-value by the normal distribution, without continuity correction.
	// It is meant for N of about 20 and more; see [WilcoxonTest.PExact].
	Z, PNormal float64

	ranks []int // twice the midranks, ascending
}

// MaxExactWilcoxon is the largest N for which [WilcoxonTest.PExact] returns a p-value. The
// normal p-value is close by then, and for N above about 1,000 the probability 2⁻ᴺ of a
// pattern of signs is below the range of float64.
const MaxExactWilcoxon = 1000

// Wilcoxon tests whether x is distributed symmetrically about a median.
//
// Differences d = x − median of zero are dropped, as Wilcoxon did, and the ranks of equal
// |d| are replaced by their mean. Differences are computed in float64, where 0.75−0.7 and
// 0.7−0.65 are not equal. A value that is not finite, and differences that are all zero, are
// errors.
//
// F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1 (1945)
// 80–83.
func Wilcoxon(x []float64, median float64) (*WilcoxonTest, error) {
	if err := checkFiniteValues("x", x); err != nil {
		return nil, err
	}
	if math.IsNaN(median) || math.IsInf(median, 0) {
		return nil, refuse("median", median, "a finite number")
	}
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = v - median
	}
	return signedRank(d)
}

// WilcoxonPaired tests whether the differences x[i] − y[i] of paired values are distributed
// symmetrically about zero; see [Wilcoxon].
func WilcoxonPaired(x, y []float64) (*WilcoxonTest, error) {
	if len(x) != len(y) {
		return nil, refuse("length of y", len(y), "%d, that of x", len(x))
	}
	if err := checkFiniteValues("x", x); err != nil {
		return nil, err
	}
	if err := checkFiniteValues("y", y); err != nil {
		return nil, err
	}
	d := make([]float64, len(x))
	for i, v := range x {
		d[i] = v - y[i]
	}
	return signedRank(d)
}

func signedRank(d []float64) (*WilcoxonTest, error) {
	if err := checkFiniteValues("difference", d); err != nil {
		return nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(d), func(v float64) bool { return v == 0 })
	w := &WilcoxonTest{N: len(kept), Zeros: len(d) - len(kept)}
	if w.N == 0 {
		return nil, refuse("x", fmt.Sprintf("%d differences, all zero", len(d)), "at least one difference that is not zero")
	}
	slices.SortFunc(kept, func(a, b float64) int { return cmp.Compare(math.Abs(a), math.Abs(b)) })

	// Twice the midranks are whole numbers, whose sums are exact.
	w.ranks = make([]int, w.N)
	var plus, minus int
	var tied float64 // Σ(c³−c) over the groups of c equal magnitudes
	for first := 0; first < w.N; {
		end := first + 1
		for end < w.N && math.Abs(kept[end]) == math.Abs(kept[first]) {
			end++
		}
		twiceRank := first + 1 + end // twice the mean of the ranks first+1 … end
		for i := first; i < end; i++ {
			w.ranks[i] = twiceRank
			if kept[i] > 0 {
				plus += twiceRank
			} else {
				minus += twiceRank
			}
		}
		c := float64(end - first)
		tied += c*c*c - c
		w.Ties = w.Ties || end-first > 1
		first = end
	}
	w.RPlus, w.RMinus = float64(plus)/2, float64(minus)/2
	w.Statistic = min(w.RPlus, w.RMinus)
	n := float64(w.N)
	sd := math.Sqrt((n*(n+1)*(2*n+1) - tied/2) / 24)
	w.Z = (w.Statistic - n*(n+1)/4) / sd
	w.PNormal = math.Erfc(-w.Z / math.Sqrt2)
	return w, nil
}

// PExact returns the exact two-sided p-value min(1, 2·P(R ≤ Statistic)), where R is the sum
// of the ranks of positive signs when all 2ᴺ patterns of signs are equally likely. Midranks
// are used as they are, so it is exact with ties too. It takes time of order N³. N above
// [MaxExactWilcoxon] is an error; take PNormal there.
func (w *WilcoxonTest) PExact() (float64, error) {
	if w.N > MaxExactWilcoxon {
		return 0, refuse("N", w.N, "at most %d for the exact p-value", MaxExactWilcoxon)
	}
	// p[s] is the probability that twice the sum of the ranks seen so far is s. Only sums up
	// to the statistic are needed, and none depends on larger ones.
	p := make([]float64, int(2*w.Statistic)+1)
	p[0] = 1
	for _, r := range w.ranks {
		for s := len(p) - 1; s >= r; s-- {
			p[s] = (p[s] + p[s-r]) / 2
		}
		for s := range min(r, len(p)) {
			p[s] /= 2
		}
	}
	var total float64
	for _, v := range p {
		total += v
	}
	return min(1, 2*total), nil
}

func checkFiniteValues(name string, x []float64) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return refuse(fmt.Sprintf("element %d of %s", i, name), v, "a finite number")
		}
	}
	return nil
}
