package losstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// definition is a batch spread out to evaluate losses by definition: x and t by sample,
// channel and voxel, m the voxel's weight, valid false where it is ignored.
type definition struct {
	n, c, v int
	space   []int
	dense   bool
	x, t    [][][]float64
	class   [][]int
	m       [][]float64
	valid   [][]bool
}

func newDefinition(call Call) *definition {
	shape := call.Logits.Shape()
	x := call.Logits.Data().([]float64)
	r := &definition{n: shape[0], c: shape[1], space: shape[2:], v: len(x) / shape[0] / shape[1]}
	soft, isSoft := call.Target.Data().([]float64)
	r.dense = isSoft
	for n := range r.n {
		xs, ts := make([][]float64, r.c), make([][]float64, r.c)
		class, m, valid := make([]int, r.v), make([]float64, r.v), make([]bool, r.v)
		for i := range r.v {
			m[i], valid[i] = 1, true
			if call.VoxelWeight != nil {
				m[i] = float64(call.VoxelWeight.Data().([]float32)[n*r.v+i])
			}
			if !isSoft {
				class[i] = int(call.Target.Data().([]uint8)[n*r.v+i])
				valid[i] = class[i] != 255
			}
		}
		for c := range r.c {
			xs[c] = x[(n*r.c+c)*r.v:][:r.v]
			ts[c] = make([]float64, r.v)
			for i := range r.v {
				switch {
				case isSoft:
					ts[c][i] = soft[(n*r.c+c)*r.v+i]
				case class[i] == c && r.c > 1, class[i] == 1 && r.c == 1:
					ts[c][i] = 1
				}
			}
		}
		r.x, r.t, r.class, r.m, r.valid = append(r.x, xs), append(r.t, ts), append(r.class, class), append(r.m, m), append(r.valid, valid)
	}
	return r
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softmax of the channels from the first on, of one voxel.
func (r *definition) softmax(n, from, i int) []float64 {
	p, z := make([]float64, r.c), 0.0
	for c := from; c < r.c; c++ {
		p[c] = math.Exp(r.x[n][c][i])
		z += p[c]
	}
	for c := range p {
		p[c] /= z
	}
	return p
}

func weightOf(list []float64, k int) float64 {
	switch len(list) {
	case 0:
		return 1
	case 1:
		return list[0]
	}
	return list[k]
}

// elements calls add with every pointwise element that counts.
func (r *definition) elements(first int, of func(n, c, i int) float64, add func(n, c, i int, e float64)) {
	for n := range r.n {
		for c := first; c < r.c; c++ {
			for i := range r.v {
				if r.valid[n][i] && r.m[n][i] != 0 {
					add(n, c, i, r.m[n][i]*of(n, c, i))
				}
			}
		}
	}
}

func (r *definition) validVoxels() float64 {
	total := 0.0
	for n := range r.n {
		for i := range r.v {
			if r.valid[n][i] {
				total++
			}
		}
	}
	return total
}

// reduce applies a reduction of the focal family to the sum of the elements.
func (r *definition) reduce(sum float64, how afl.Reduction, kept int) float64 {
	switch how {
	case afl.ReduceMean:
		return sum / (r.validVoxels() * float64(kept))
	case afl.ReduceVoxelMean:
		return sum / r.validVoxels()
	case afl.ReduceSpatialMeanSum:
		return sum / float64(r.v)
	}
	return sum
}

func (r *definition) first(o afl.Options) int {
	if o.IncludeBackground || r.c == 1 {
		return 0
	}
	return 1
}

// focalElement is the focal loss's element with a gamma and factors of positives
// and negatives.
func (r *definition) focalElement(a afl.Activation, from int, n, c, i int, gamma, pos, neg float64) float64 {
	t := r.t[n][c][i]
	if a == afl.Softmax {
		p := r.softmax(n, from, i)[c]
		if p == 1 {
			return 0
		}
		return -pos * t * math.Pow(1-p, gamma) * math.Log(p)
	}
	p := sigmoid(r.x[n][c][i])
	ce := -t*math.Log(p) - (1-t)*math.Log(1-p)
	return (pos*t + neg*(1-t)) * ce * math.Pow(sigmoid(-(2*t-1)*r.x[n][c][i]), gamma)
}

func (r *definition) focal(l afl.Focal) float64 {
	first := r.first(l.Options)
	from := 0
	if l.SoftmaxAfterDrop {
		from = first
	}
	sum := 0.0
	r.elements(first, func(n, c, i int) float64 {
		w := weightOf(l.Weight, c-first)
		pos, neg := w, w
		if len(l.Alpha) > 0 {
			alpha := weightOf(l.Alpha, c-first)
			switch {
			case l.Activation == afl.Sigmoid:
				pos, neg = w*alpha, w*(1-alpha)
			case len(l.Alpha) == 1 && first == 1: // ignored
			case len(l.Alpha) == 1 && c == 0 && r.c > 1:
				pos = w * (1 - alpha)
			default:
				pos = w * alpha
			}
		}
		return r.focalElement(l.Activation, from, n, c, i, l.Gamma, pos, neg)
	}, func(_, _, _ int, e float64) { sum += e })
	return r.reduce(sum, l.Reduction, r.c-first)
}

func (r *definition) crossEntropy(l afl.CrossEntropy) float64 {
	first := r.first(l.Options)
	sum := 0.0
	if l.Activation == afl.Sigmoid {
		r.elements(first, func(n, c, i int) float64 {
			t, p := r.t[n][c][i], sigmoid(r.x[n][c][i])
			return weightOf(l.Weight, c-first) * (-weightOf(l.PosWeight, c-first)*t*math.Log(p) - (1-t)*math.Log(1-p))
		}, func(_, _, _ int, e float64) { sum += e })
		if l.Reduction == afl.ReduceSpatialMeanSum {
			return sum
		}
		return r.reduce(sum, l.Reduction, r.c-first)
	}
	r.elements(first, func(n, c, i int) float64 {
		t := (1-l.LabelSmoothing)*r.t[n][c][i] + l.LabelSmoothing/float64(r.c)
		return -weightOf(l.Weight, c-first) * t * math.Log(r.softmax(n, 0, i)[c])
	}, func(_, _, _ int, e float64) { sum += e })
	switch {
	case l.Reduction == afl.ReduceMean && !r.dense:
		weights := 0.0
		for n := range r.n {
			for i, y := range r.class[n] {
				if r.valid[n][i] && (y >= first || r.c == 1) {
					weights += weightOf(l.Weight, max(y-first, 0)*min(1, r.c-1))
				}
			}
		}
		return sum / weights
	case l.Reduction == afl.ReduceMean, l.Reduction == afl.ReduceVoxelMean:
		return sum / r.validVoxels()
	}
	return sum
}

// adaptive evaluates A-FL with statistics of its own making.
func (r *definition) adaptive(l afl.AdaptiveFocal) float64 {
	type mask struct{ count, valid, magnitude, boundary float64 }
	stats := func(n int, f []float64) mask {
		var s mask
		g := GradientMagnitude(f, r.space)
		for i := range r.v {
			if !r.valid[n][i] {
				continue
			}
			s.count += f[i]
			s.valid++
			s.magnitude += g[i]
			if g[i] != 0 {
				s.boundary++
			}
		}
		return s
	}
	gammaOf := func(n int, f func(n int) []float64) (gamma, share float64) {
		all := make([]mask, r.n)
		var count, valid, pooled float64
		smooth := make([]float64, r.n)
		for k := range r.n {
			all[k] = stats(k, f(k))
			count, valid = count+all[k].count, valid+all[k].valid
			smooth[k] = all[k].magnitude / all[k].valid
			if l.Smoothness == afl.SmoothnessBoundary {
				smooth[k] = 0
				if all[k].boundary > 0 {
					smooth[k] = all[k].magnitude / all[k].boundary
				}
			}
			pooled += smooth[k] / float64(r.n)
		}
		switch l.Stats {
		case afl.StatsReleased:
			return count/valid + smooth[0], count / valid
		case afl.StatsPooled:
			return count/valid + pooled, count / valid
		}
		return all[n].count/all[n].valid + smooth[n], all[n].count / all[n].valid
	}
	foreground := func(n int) []float64 {
		f := make([]float64, r.v)
		for i := range f {
			if r.valid[n][i] {
				f[i] = r.t[n][min(1, r.c-1)][i]
				for c := 2; c < r.c; c++ {
					f[i] = math.Max(f[i], r.t[n][c][i])
				}
			}
		}
		return f
	}
	first := r.first(l.Options)
	type factors struct{ gamma, pos, neg float64 }
	all := make([][]factors, r.n)
	for n := range r.n {
		for c := range r.c {
			gamma, va := gammaOf(n, foreground)
			pos, neg := 1-va, va // of a class of the foreground, balanced
			switch {
			case l.Form == afl.FormReleased && c == 0:
				pos, neg = 1-va, 1-va
			case l.Form == afl.FormReleased:
				pos, neg = va, va
			case l.Form == afl.FormPaper && l.AlphaMode == afl.AlphaScalar:
				pos, neg = 1-va, 1-va
			case c == 0 && r.c > 1:
				pos, neg = va, 1-va
			case l.Form == afl.FormMulticlass && r.c > 1:
				gamma, va = gammaOf(n, func(n int) []float64 {
					f := make([]float64, r.v)
					for i := range f {
						if r.valid[n][i] {
							f[i] = r.t[n][c][i]
						}
					}
					return f
				})
				pos, neg = 1-va, va
			}
			all[n] = append(all[n], factors{gamma, pos, neg})
		}
	}
	sum := 0.0
	r.elements(first, func(n, c, i int) float64 {
		w, f := weightOf(l.Weight, c-first), all[n][c]
		return r.focalElement(l.Activation, 0, n, c, i, f.gamma, w*f.pos, w*f.neg)
	}, func(_, _, _ int, e float64) { sum += e })
	return r.reduce(sum, l.Reduction, r.c-first)
}

// overlap sums p·t, p and t (or squares) by group.
func (r *definition) overlap(o afl.Options, a afl.Activation, squared, batch bool) (I, P, G [][]float64) {
	first := r.first(o)
	groups := r.n
	if batch {
		groups = 1
	}
	for _, s := range []*[][]float64{&I, &P, &G} {
		for range groups {
			*s = append(*s, make([]float64, r.c-first))
		}
	}
	r.elements(first, func(n, c, i int) float64 { return 1 }, func(n, c, i int, m float64) {
		p, t := r.x[n][c][i], r.t[n][c][i]
		switch {
		case a == afl.Sigmoid:
			p = sigmoid(p)
		case a == afl.Softmax && r.c > 1:
			p = r.softmax(n, 0, i)[c]
		}
		g := n % groups
		I[g][c-first] += m * p * t
		if squared {
			p, t = p*p, t*t
		}
		P[g][c-first] += m * p
		G[g][c-first] += m * t
	})
	return I, P, G
}

// total reduces the groups' values.
func total(values []float64, how afl.Reduction) float64 {
	sum := 0.0
	for _, f := range values {
		sum += f
	}
	if how == afl.ReduceMean {
		sum /= float64(len(values))
	}
	return sum
}

func (r *definition) dice(l afl.Dice) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, l.SquaredPred, l.Batch)
	var values []float64
	for g := range I {
		for c := range I[g] {
			den := P[g][c] + G[g][c]
			if l.Jaccard {
				den = 2 * (den - I[g][c])
			}
			w := 1.0
			if len(I[g]) > 1 {
				w = weightOf(l.Weight, c)
			}
			values = append(values, w*(1-(2*I[g][c]+l.SmoothNr)/(den+l.SmoothDr)))
		}
	}
	return total(values, l.Reduction)
}

func (r *definition) generalizedDice(l afl.GeneralizedDice) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, false, l.Batch)
	var values []float64
	for g := range I {
		num, den := l.SmoothNr, l.SmoothDr
		for c := range I[g] {
			v := map[afl.ClassWeighting]float64{afl.WeightSquare: 1 / G[g][c] / G[g][c], afl.WeightSimple: 1 / G[g][c], afl.WeightUniform: 1}[l.Weighting]
			v *= weightOf(l.Weight, c)
			num += 2 * v * I[g][c]
			den += v * (P[g][c] + G[g][c])
		}
		values = append(values, 1-num/den)
	}
	return total(values, l.Reduction)
}

func (r *definition) tversky(l afl.Tversky, gamma float64) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, false, l.Batch)
	var values []float64
	for g := range I {
		for c := range I[g] {
			tp, fp, fn := I[g][c], P[g][c]-I[g][c], G[g][c]-I[g][c]
			f := 1 - (tp+l.SmoothNr)/(tp+l.Alpha*fp+l.Beta*fn+l.SmoothDr)
			values = append(values, weightOf(l.Weight, c)*math.Pow(f, gamma))
		}
	}
	return total(values, l.Reduction)
}

// value is the loss by the formulas of its doc comment, one voxel after the
// other, from probabilities.
func (r *definition) value(l afl.Loss) float64 {
	switch l := l.(type) {
	case afl.CrossEntropy:
		return r.crossEntropy(l)
	case afl.Focal:
		return r.focal(l)
	case afl.AdaptiveFocal:
		return r.adaptive(l)
	case afl.Dice:
		return r.dice(l)
	case afl.GeneralizedDice:
		return r.generalizedDice(l)
	case afl.Tversky:
		return r.tversky(l, 1)
	case afl.FocalTversky:
		return r.tversky(l.Tversky, l.Gamma)
	case afl.DiceCE:
		d := l.Dice
		if first := r.first(l.Options); len(d.Weight) > 1 {
			d.Weight = d.Weight[first:]
		}
		ce := afl.CrossEntropy{Options: l.Options, Activation: afl.Softmax}
		ce.IncludeBackground = true
		if r.c == 1 {
			ce.Activation, ce.Weight, ce.PosWeight = afl.Sigmoid, nil, l.Weight
		}
		return l.LambdaDice*r.dice(d) + l.LambdaCE*r.crossEntropy(ce)
	case afl.DiceFocal:
		f := afl.Focal{Options: l.Options, Activation: l.FocalActivation, Gamma: l.Gamma, Alpha: l.Alpha}
		return l.LambdaDice*r.dice(l.Dice) + l.LambdaFocal*r.focal(f)
	}
	panic(fmt.Sprintf("no reference for %T", l))
}

// reference compares every loss under every option with the slow reference, on
// images of several of the CPU's tiles.
func (s suite) reference(t *testing.T) {
	checks, cover := 0, s.cover()
	for i, v := range variants() {
		for _, c := range v.channels {
			for d, shape := range [][]int{{2, c, 23, 29}, {2, c, 7, 11, 5}} {
				for _, o := range sharedOptions(v, c, i) {
					if !cover.needs(v.name, v.kind()+o.name, fmt.Sprint(v.kind(), c), fmt.Sprint(o.name, d)) {
						continue
					}
					l := setOptions(v.loss, o.set)
					call := o.call(shape)
					call.Logits = RandomLogits(tensor.Float64, shape, 15)
					if takesProbabilities(l) || c == 1 {
						call.Logits = probabilities(tensor.Float64, shape, 16)
					}
					checks++
					want := newDefinition(call).value(l)
					name := fmt.Sprintf("%s/C=%d/%v/%s", v.name, c, shape[2:], o.name)
					require.InDelta(t, want, s.value(t, name, l, call), 1e-11*math.Max(1, math.Abs(want)), name)
				}
			}
		}
	}
	t.Logf("%d combinations of loss, option and shape", checks)
}
