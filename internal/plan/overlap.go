package plan

import "math"

// OverlapKind selects the ratio of an overlap term.
type OverlapKind uint8

// The ratios.
const (
	Dice OverlapKind = iota
	GeneralizedDice
	Tversky
)

// ClassWeighting is how generalized Dice weighs a class by its volume G.
type ClassWeighting uint8

// The weightings of generalized Dice.
const (
	WeightSquare  ClassWeighting = iota // 1/G²
	WeightSimple                        // 1/G
	WeightUniform                       // 1
)

// Overlap is the term that is a ratio of sums over voxels, one value f for each
// group. A group is a (sample, channel) pair, or a channel of the whole batch;
// for generalized Dice a sample, or the whole batch.
//
//	Dice             f = 1 − (2I+nr) / (D+dr), D = G+P, or 2(G+P−I) with Jaccard
//	GeneralizedDice  f = 1 − (2Σ w·I + nr) / (Σ w·(G+P) + dr)
//	Tversky          f = 1 − (I+nr) / (I + Alpha·(P−I) + Beta·(G−I) + dr)
//
// followed by f^Exponent or log cosh f, and the group's weight.
type Overlap struct {
	Kind       OverlapKind
	Activation Activation
	First      int  // first channel that takes part: 1 without the background
	Squared    bool // P and G are sums of squares
	Jaccard    bool
	Batch      bool
	Weighting  ClassWeighting
	Alpha      float64
	Beta       float64
	Exponent   []float64 // C': of focal Tversky; nil where every one is 1
	LogCosh    bool
	Nr, Dr     float64   // smoothing of numerator and denominator
	Weight     []float64 // C'; for generalized Dice it multiplies w
	Scale      float64
	Mean       bool // Scale/groups instead of Scale for each group
}

// Groups are the values of an overlap term.
type Groups struct {
	Value             []float64 // by group, weighted, without scale
	Samples, Channels int       // see Grid

	dI, dP []float64 // ∂Value/∂I and ∂Value/∂P, Samples×C'
	active int       // C', the channels that take part
}

// Grid returns how many groups of samples and of channels there are in a batch
// of n samples and c channels: one where the batch is one group, else n; one for
// generalized Dice, else as many as take part.
func (o *Overlap) Grid(n, c int) (samples, channels int) {
	samples, channels = n, c-o.First
	if o.Batch {
		samples = 1
	}
	if o.Kind == GeneralizedDice {
		channels = 1
	}
	return samples, channels
}

// Groups computes the term's values from the sums of a batch of n samples and c
// channels.
func (o *Overlap) Groups(s *Sums, n, c int) *Groups {
	first := o.First
	active := c - first
	samples, channels := o.Grid(n, c)
	g := &Groups{Samples: samples, Channels: channels, active: active,
		Value: make([]float64, samples*channels),
		dI:    make([]float64, samples*active), dP: make([]float64, samples*active)}
	I, P, G := make([]float64, active), make([]float64, active), make([]float64, active)
	for m := range samples {
		lo, hi := m, m+1
		if o.Batch {
			lo, hi = 0, n
		}
		for k := range active {
			I[k], P[k], G[k] = 0, 0, 0
			for b := lo; b < hi; b++ {
				I[k] += s.I[b*c+first+k]
				P[k] += s.P[b*c+first+k]
				G[k] += s.G[b*c+first+k]
			}
		}
		dI, dP := g.dI[m*active:(m+1)*active], g.dP[m*active:(m+1)*active]
		if o.Kind == GeneralizedDice {
			g.Value[m] = o.generalized(I, P, G, dI, dP)
			continue
		}
		for k := range active {
			g.Value[m*active+k], dI[k], dP[k] = o.Group(k, I[k], P[k], G[k])
		}
	}
	return g
}

// Group returns the weighted value of the group of the k-th channel that takes part, and its
// derivatives with respect to I and P, from its sums. It is for all kinds but GeneralizedDice.
func (o *Overlap) Group(k int, i, p, g float64) (value, dI, dP float64) {
	f, di, dp := o.ratio(i, p, g)
	if o.Exponent != nil && o.Exponent[k] != 1 {
		f, di, dp = power(o.Exponent[k], f, di, dp)
	}
	if o.LogCosh {
		f, di, dp = LogCosh(f, di, dp)
	}
	w := o.Weight[k]
	return w * f, w * di, w * dp
}

// ratio returns f and its derivatives with respect to I and P. Here and below a product
// is converted before it is added, which keeps the compiler from fusing the two on some
// architectures only.
func (o *Overlap) ratio(i, p, g float64) (f, di, dp float64) {
	var num, den, numI, denI, denP float64
	switch o.Kind {
	case Tversky:
		num, numI = i+o.Nr, 1
		den = i + float64(o.Alpha*(p-i)) + float64(o.Beta*(g-i)) + o.Dr
		denI, denP = 1-o.Alpha-o.Beta, o.Alpha
	default:
		num, numI = 2*i+o.Nr, 2
		den, denI, denP = g+p+o.Dr, 0, 1
		if o.Jaccard {
			den, denI, denP = 2*(g+p-i)+o.Dr, -2, 2
		}
	}
	return quotient(num, den, numI, denI, denP)
}

// power returns f^e and its derivatives from those of f.
//
// Where f is 0, a perfect prediction, the derivative is taken as 0: it is for
// e > 1, and for e < 1, where f^e has a vertical tangent, that is the limit of the
// gradient with respect to the logits, along which f shrinks like p·(1−p). A
// negative f, which rounding or a larger Nr than Dr leave, counts as 0.
func power(e, f, di, dp float64) (fe, dfi, dfp float64) {
	if f <= 0 {
		return 0, 0, 0
	}
	slope := e * math.Pow(f, e-1)
	return math.Pow(f, e), slope * di, slope * dp
}

// LogCosh returns log cosh f and its derivatives from those of f.
func LogCosh(f, di, dp float64) (v, dvi, dvp float64) {
	half, slope := math.Sinh(f/2), math.Tanh(f)
	return math.Log1p(2 * half * half), slope * di, slope * dp
}

// quotient returns 1 − num/den and its derivatives. 0/0, which is left when the
// smoothing is 0 and both masks are empty, is taken as perfect agreement. Below
// smallestDen, where both masks are all but empty, a derivative could overflow
// and is 0.
func quotient(num, den, numI, denI, denP float64) (f, di, dp float64) {
	if den == 0 {
		return 0, 0, 0
	}
	r := num / den
	if math.Abs(den) < smallestDen { // negative where logits are no probabilities
		return 1 - r, 0, 0
	}
	return 1 - r, (float64(r*denI) - numI) / den, r * denP / den
}

const smallestDen = 1e-290

// generalized returns f of one group and fills the derivatives for its classes.
func (o *Overlap) generalized(I, P, G, dI, dP []float64) float64 {
	w := dP // the weights live in dP until the derivatives replace them
	largest := 0.0
	for k := range G {
		switch o.Weighting {
		case WeightSquare:
			w[k] = 1 / (G[k] * G[k])
		case WeightSimple:
			w[k] = 1 / G[k]
		default:
			w[k] = 1
		}
		if !math.IsInf(w[k], 0) {
			largest = max(largest, w[k])
		}
	}
	num, den := o.Nr, o.Dr
	for k := range w {
		if math.IsInf(w[k], 0) {
			w[k] = largest
		}
		w[k] = float64(w[k] * o.Weight[k]) // twice it is a sum
		num += float64(2 * w[k] * I[k])
		den += float64(w[k] * (G[k] + P[k]))
	}
	for k, wk := range w {
		_, dI[k], dP[k] = quotient(num, den, 2*wk, 0, wk)
	}
	f, _, _ := quotient(num, den, 0, 0, 0)
	return f
}

// Total is the reduced value of the term.
func (o *Overlap) Total(g *Groups) float64 {
	sum := 0.0
	for _, v := range g.Value {
		sum += v
	}
	return sum * o.factor(g)
}

func (o *Overlap) factor(g *Groups) float64 {
	if o.Mean {
		return o.Scale / float64(len(g.Value))
	}
	return o.Scale
}

// Coefficients turns the gradient of the caller's objective with respect to the
// groups (nil: all ones) into CoefT and CoefP of an [Output].
func (o *Overlap) Coefficients(g *Groups, upstream []float64, n, c int) (coefT, coefP []float64) {
	coefT, coefP = make([]float64, n*c), make([]float64, n*c)
	scale, first := o.factor(g), o.First
	for b := range n {
		m := b
		if o.Batch {
			m = 0
		}
		for k := range g.active {
			u := scale
			if upstream != nil {
				group := m*g.Channels + k
				if g.Channels == 1 {
					group = m
				}
				u *= upstream[group]
			}
			coefT[b*c+first+k] = u * g.dI[m*g.active+k]
			coefP[b*c+first+k] = u * g.dP[m*g.active+k]
		}
	}
	return coefT, coefP
}
