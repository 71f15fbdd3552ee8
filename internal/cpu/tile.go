package cpu

import (
	"math"

	"github.com/x/afl/internal/plan"
)

// tile holds up to tileVoxels voxels of one sample in float64. The rows of the
// channels are tileVoxels apart.
type tile struct {
	class []int32   // class index of each voxel
	m     []float64 // voxel weight, 0 for a voxel that takes no part

	x, t     []float64 // logits, target
	p, q     []float64 // probability and 1 − probability of the overlap term
	g        []float64 // gradient with respect to the logits
	up       []float64 // upstream gradient of the elements
	elements []float64 // un-reduced pointwise values

	e, rest, a []float64 // one number per channel, for the softmax of one voxel

	c, n int // channels and voxels in use
}

// reserve allocates memory for c channels.
func (t *tile) reserve(c int) {
	t.c = c
	t.class = grow(t.class, tileVoxels)
	t.m = grow(t.m, tileVoxels)
	for _, row := range []*[]float64{&t.x, &t.t, &t.p, &t.q, &t.g, &t.up, &t.elements} {
		*row = grow(*row, c*tileVoxels)
	}
	for _, row := range []*[]float64{&t.e, &t.rest, &t.a} {
		*row = grow(*row, c)
	}
}

// row returns channel c of one of the tile's arrays.
func (t *tile) row(s []float64, c int) []float64 {
	return s[c*tileVoxels:][:t.n]
}

// load reads the logits, target and weights of voxels [lo,hi) of sample n.
func (t *tile) load(b *batch, n, lo, hi int) error {
	t.n = hi - lo
	for c := range t.c {
		if err := widenAny(b.logits, (n*b.C+c)*b.V+lo, t.row(t.x, c)); err != nil {
			return err
		}
	}
	m := t.m[:t.n]
	if b.VoxelWeight != nil {
		if err := voxelWeights(b, n, lo, hi, m); err != nil {
			return err
		}
	} else {
		fill(m, 1)
	}
	if b.Target.Dense {
		for c := range t.c {
			if err := maps(b, n, c, lo, hi, t.row(t.t, c)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := classes(b, n, lo, hi, t.class); err != nil {
		return err
	}
	for c := range t.c {
		// A single channel is the foreground.
		class := int32(c)
		if t.c == 1 {
			class = 1
		}
		row := t.row(t.t, c)
		for i, y := range t.class[:t.n] {
			row[i] = 0
			if y == class {
				row[i] = 1
			}
		}
	}
	for i, y := range t.class[:t.n] {
		if y == ignored {
			m[i] = 0
		}
	}
	return nil
}

// pointwise returns the sum of the pointwise term's elements without Scale. If
// wanted it stores the scaled elements and adds their gradient to g.
func (t *tile) pointwise(w *plan.Pointwise, n int, wantElements, wantGrad bool) float64 {
	if wantElements {
		for c := range t.c {
			clear(t.row(t.elements, c))
		}
	}
	if w.Activation == plan.Sigmoid {
		return t.pointwiseSigmoid(w, n, wantElements, wantGrad)
	}
	return t.pointwiseSoftmax(w, n, wantElements, wantGrad)
}

func (t *tile) pointwiseSigmoid(w *plan.Pointwise, n int, wantElements, wantGrad bool) float64 {
	total := 0.0
	for c := w.First; c < t.c; c++ {
		k := n*t.c + c
		gamma, pos, neg, ce := w.Gamma[k], w.Pos[k], w.Neg[k], w.CE[c]
		x, y, g, up, el := t.row(t.x, c), t.row(t.t, c), t.row(t.g, c), t.row(t.up, c), t.row(t.elements, c)
		if w.PerVoxel {
			el = t.row(t.elements, 0)
			up = t.row(t.up, 0)
		}
		for i, m := range t.m[:t.n] {
			if m == 0 {
				continue
			}
			f, df := focalSigmoid(x[i], y[i], gamma, pos, neg, ce)
			total += m * f
			if wantElements {
				el[i] += w.Scale * m * f
			}
			if wantGrad {
				g[i] += up[i] * w.Scale * m * df
			}
		}
	}
	return total
}

// logistic returns p = σ(x), q = 1−p = σ(−x), softplus(x) = −log q and
// softplus(−x) = −log p, each accurate for every finite x.
func logistic(x float64) (p, q, softplus, softplusNeg float64) {
	e := math.Exp(-math.Abs(x))
	l := math.Log1p(e)
	large, small := 1/(1+e), e/(1+e)
	if x >= 0 {
		return large, small, x + l, l
	}
	return small, large, l, l - x
}

// focalSigmoid returns the element defined at [plan.Pointwise] and its
// derivative with respect to x. With s = 2t−1, b the bracket and σ(−s·x)^γ =
// exp(−γ·softplus(s·x)) the derivative is
// factor · σ(−s·x)^γ · (b' − γ·s·σ(s·x)·b).
func focalSigmoid(x, t, gamma, pos, neg, ce float64) (f, df float64) {
	p, q, sp, spn := logistic(x)
	factor := pos*t + neg*(1-t)
	b := ce*t*spn + (1-t)*sp
	db := (1-t)*p - ce*t*q
	if gamma == 0 {
		return factor * b, factor * db
	}
	s := 2*t - 1
	sigma, soft := p, sp
	switch t {
	case 1:
	case 0:
		sigma, soft = q, spn
	default:
		sigma, _, soft, _ = logistic(s * x)
	}
	factor *= math.Exp(-gamma * soft)
	return factor * b, factor * (db - gamma*s*sigma*b)
}

// softmaxVoxel sets e to the softmax numerators of the given logits, scaled so that
// the largest is 1, and rest to the sum of the other numerators. It returns the
// denominator, the index of the largest logit and that logit.
func softmaxVoxel(x, e, rest []float64) (z float64, top int, largest float64) {
	for c, v := range x {
		if v > x[top] || math.IsNaN(v) {
			top = c
		}
	}
	largest = x[top]
	others := 0.0
	for c, v := range x {
		e[c] = math.Exp(v - largest)
		if c != top {
			others += e[c]
		}
	}
	z = 1 + others
	for c := range x {
		rest[c] = z - e[c] // no cancellation: it includes the largest numerator, 1
	}
	rest[top] = others
	return z, top, largest
}

func (t *tile) pointwiseSoftmax(w *plan.Pointwise, n int, wantElements, wantGrad bool) float64 {
	from := w.SoftmaxFrom
	width := t.c - from
	total := 0.0
	x, e, rest, a := t.a[:width], t.e[:width], t.rest[:width], t.a[:width]
	for i, m := range t.m[:t.n] {
		if m == 0 {
			continue
		}
		for c := range width {
			x[c] = t.x[(from+c)*tileVoxels+i]
		}
		z, top, largest := softmaxVoxel(x, e, rest)
		logZ := math.Log1p(rest[top])
		// From here on a, in the memory of x, is the derivative of each channel's
		// element with respect to its log-probability, without the voxel's weight.
		for c := range width {
			ch := from + c
			k := n*t.c + ch
			u := 0.0
			if ch >= w.First {
				u = w.Pos[k] * ((1-w.Smoothing)*t.t[ch*tileVoxels+i] + w.Smoothing/float64(t.c))
			}
			if u == 0 {
				a[c] = 0
				continue
			}
			logP := t.x[ch*tileVoxels+i] - largest - logZ
			gamma, factor, slope := w.Gamma[k], 1.0, -1.0
			if gamma != 0 {
				miss := rest[c] / z // 1−p
				ratio := -1.0       // p·log p/(1−p), which tends to −1 for p → 1
				if miss > 0 {
					ratio = e[c] / z * logP / miss
				}
				factor = math.Pow(miss, gamma)
				slope = gamma*ratio - 1
			}
			f := -u * factor * logP
			total += m * f
			up := 1.0
			if wantGrad {
				up = t.upstream(w, ch, i)
			}
			if wantElements {
				el := i
				if !w.PerVoxel {
					el += ch * tileVoxels
				}
				t.elements[el] += w.Scale * m * f
			}
			a[c] = up * u * factor * slope
		}
		if wantGrad {
			t.softmaxPullback(from, i, w.Scale*m, e, rest, z, a)
		}
	}
	return total
}

// upstream returns the upstream gradient of the element of a channel and voxel.
func (t *tile) upstream(w *plan.Pointwise, ch, i int) float64 {
	if w.PerVoxel {
		ch = 0
	}
	return t.up[ch*tileVoxels+i]
}

// softmaxPullback adds scale·(a_j·(1−p_j) − p_j·Σ_{k≠j} a_k) to the gradient of every
// channel j ≥ from. The sum over the others is accumulated from both ends, as
// subtracting a_j from the full sum would cancel.
func (t *tile) softmaxPullback(from, i int, scale float64, e, rest []float64, z float64, a []float64) {
	before := 0.0
	for c, ac := range a {
		t.g[(from+c)*tileVoxels+i] += scale * (ac*rest[c] - e[c]*before) / z
		before += ac
	}
	after := 0.0
	for c := len(a) - 1; c >= 0; c-- {
		t.g[(from+c)*tileVoxels+i] -= scale * e[c] * after / z
		after += a[c]
	}
}

// activate sets p and q to the probabilities of the overlap term.
func (t *tile) activate(o *plan.Overlap) {
	switch o.Activation {
	case plan.None:
		for c := range t.c {
			copy(t.row(t.p, c), t.row(t.x, c))
		}
	case plan.Sigmoid:
		for c := range t.c {
			x, p, q := t.row(t.x, c), t.row(t.p, c), t.row(t.q, c)
			for i, v := range x {
				p[i], q[i], _, _ = logistic(v)
			}
		}
	case plan.Softmax:
		x := t.a
		for i := range t.n {
			for c := range t.c {
				x[c] = t.x[c*tileVoxels+i]
			}
			z, _, _ := softmaxVoxel(x, t.e, t.rest)
			for c := range t.c {
				t.p[c*tileVoxels+i] = t.e[c] / z
				t.q[c*tileVoxels+i] = t.rest[c] / z
			}
		}
	}
}

// overlapSums adds Σ p·t, Σ p and Σ t, or the sums of squares, to I, P and G.
func (t *tile) overlapSums(o *plan.Overlap, I, P, G []float64) {
	for c := o.First; c < t.c; c++ {
		pr, y := t.row(t.p, c), t.row(t.t, c)
		var si, sp, sg float64
		for i, m := range t.m[:t.n] {
			if m == 0 {
				continue
			}
			if o.Squared {
				sp += m * pr[i] * pr[i]
				sg += m * y[i] * y[i]
			} else {
				sp += m * pr[i]
				sg += m * y[i]
			}
			si += m * pr[i] * y[i]
		}
		I[c] += si
		P[c] += sp
		G[c] += sg
	}
}

// overlapGradient adds the overlap term's gradient to g.
func (t *tile) overlapGradient(o *plan.Overlap, n int, coefT, coefP []float64) {
	softmax := o.Activation == plan.Softmax
	for c := o.First; c < t.c; c++ {
		ct, cp := coefT[n*t.c+c], coefP[n*t.c+c]
		pr, q, y, g := t.row(t.p, c), t.row(t.q, c), t.row(t.t, c), t.row(t.g, c)
		for i, m := range t.m[:t.n] {
			if m == 0 {
				continue
			}
			d := ct*y[i] + cp
			if o.Squared {
				d = ct*y[i] + 2*cp*pr[i]
			}
			switch o.Activation {
			case plan.None:
				g[i] += m * d
			case plan.Sigmoid:
				g[i] += m * d * pr[i] * q[i]
			case plan.Softmax:
				q[i] = m * d // 1−p is no longer needed: ∂L/∂p takes its place
			}
		}
	}
	if !softmax {
		return
	}
	for i, m := range t.m[:t.n] {
		if m == 0 {
			continue
		}
		// With a = p·∂L/∂p the gradient is a_j·(1−p_j) − p_j·Σ_{k≠j} a_k.
		for c := range t.c {
			k := c*tileVoxels + i
			t.e[c] = t.p[k]
			t.a[c] = 0
			if c >= o.First {
				t.a[c] = t.p[k] * t.q[k]
			}
		}
		sumOthers(t.e, t.rest)
		t.softmaxPullback(0, i, 1, t.e, t.rest, 1, t.a[:t.c])
	}
}

// sumOthers sets rest[j] to the sum of all entries of s but s[j].
func sumOthers(s, rest []float64) {
	before := 0.0
	for c, v := range s {
		rest[c] = before
		before += v
	}
	after := 0.0
	for c := len(s) - 1; c >= 0; c-- {
		rest[c] += after
		after += s[c]
	}
}
