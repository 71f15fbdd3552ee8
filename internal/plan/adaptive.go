package plan

// Adaptive says how A-FL turns the label's statistics into the focusing
// parameters and factors of a pointwise term.
type Adaptive struct {
	Form       Form
	Stats      StatsMode
	Smoothness Smoothness
	// Given are statistics to use in place of the label's, or nil: of N samples,
	// with the masks that Request asks for.
	Given *Stats
}

// Form is a reading of the Adaptive Focal Loss; package afl says what they mean.
type Form uint8

// The forms. Scalar and Balanced are the paper's formula with either alpha.
const (
	Released Form = iota
	Scalar
	Balanced
	Multiclass
)

// StatsMode says over which samples statistics are taken.
type StatsMode uint8

// The modes: counts pooled and the smoothness of sample 0, both pooled, neither.
const (
	StatsReleased StatsMode = iota
	StatsPooled
	StatsPerSample
)

// Smoothness says how the gradient magnitude of a mask is averaged.
type Smoothness uint8

// The averages: over all voxels, and over those where it is not zero.
const (
	WholeImage Smoothness = iota
	Boundary
)

// AdaptiveFactors are what A-FL derives from a sample's label.
type AdaptiveFactors struct {
	GammaVa  float64 // foreground share
	GammaMSa float64 // smoothness
	AlphaVa  float64 // 1 − GammaVa
	// By channel: the focusing parameter and the factors of Pos and Neg.
	Gamma, Positive, Negative []float64
}

// Request returns the statistics that Factors needs.
func (a *Adaptive) Request() StatsRequest {
	return StatsRequest{Smoothness: true, PerClass: a.Form == Multiclass}
}

// Factors returns what sample n of a batch of c channels uses.
func (a *Adaptive) Factors(st *Stats, n, c int) AdaptiveFactors {
	q := AdaptiveFactors{
		Gamma: make([]float64, c), Positive: make([]float64, c), Negative: make([]float64, c),
	}
	q.GammaVa = a.share(st, n, func(n int) float64 { return st.Foreground[n] })
	q.GammaMSa = a.smoothness(st, n, 0)
	q.AlphaVa = 1 - q.GammaVa
	for ch := range c {
		q.Gamma[ch] = q.GammaVa + q.GammaMSa
		foreground := ch > 0 || c == 1
		switch a.Form {
		case Released:
			w := q.AlphaVa
			if foreground {
				w = q.GammaVa
			}
			q.Positive[ch], q.Negative[ch] = w, w
		case Scalar:
			q.Positive[ch], q.Negative[ch] = q.AlphaVa, q.AlphaVa
		default:
			alpha := q.AlphaVa
			if a.Form == Multiclass && c > 1 && foreground {
				r := a.share(st, n, func(n int) float64 { return st.Count[n*c+ch] })
				q.Gamma[ch] = r + a.smoothness(st, n, ch)
				alpha = 1 - r
			}
			if !foreground {
				alpha = q.GammaVa // the background's positives are the others' negatives
			}
			q.Positive[ch], q.Negative[ch] = alpha, 1-alpha
		}
	}
	return q
}

// share returns a class's share of the voxels that are not ignored, as seen by
// sample n; 0 where all are ignored.
func (a *Adaptive) share(st *Stats, n int, count func(n int) float64) float64 {
	lo, hi := n, n+1
	if a.Stats != StatsPerSample {
		lo, hi = 0, len(st.Valid)
	}
	var class, all float64
	for i := lo; i < hi; i++ {
		class += count(i)
		all += st.Valid[i]
	}
	if all == 0 {
		return 0
	}
	return class / all
}

// smoothness returns the mean gradient magnitude of mask k as seen by sample n.
func (a *Adaptive) smoothness(st *Stats, n, k int) float64 {
	one := func(n int) float64 {
		over := st.Valid[n]
		if a.Smoothness == Boundary {
			over = st.Boundary[n*st.K+k]
		}
		if over == 0 {
			return 0
		}
		return st.Magnitude[n*st.K+k] / over
	}
	switch a.Stats {
	case StatsReleased:
		return one(0)
	case StatsPooled:
		total := 0.0
		for i := range st.Valid {
			total += one(i)
		}
		return total / float64(len(st.Valid))
	default:
		return one(n)
	}
}
