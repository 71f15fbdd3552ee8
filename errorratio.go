package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// An overlap loss of a group is, of the sums over voxels TP = Σ p·t, FP = Σ p·(1−t) and
// FN = Σ (1−p)·t,
//
//	f = (fp·FP + fn·FN + dr − nr) / (hit·TP + fp·FP + fn·FN + dr).
//
// Made from the errors in this way it keeps its relative precision where it is almost 0,
// which 1 minus a ratio loses and an exponent below 1 brings to light. In the semimetric
// form TP = Σ min(p,t), FP = Σ max(p−t,0) and FN = Σ max(t−p,0).

// errorSums is how many sums an errorRatio is made from: TP, FP and FN.
const errorSums = 3

// addErrors adds the sums of a channel of a tile.
func addErrors(sums []float64, t *cpu.Tile, k int) {
	n := len(t.Weight)
	p, q, target := t.P[k][:n], t.Q[k][:n], t.Target[k][:n]
	var tp, fp, fn float64
	for i, w := range t.Weight {
		p, y := float64(w*p[i]), target[i]
		tp += float64(y * p)
		fp += float64((1 - y) * p)
		fn += float64(w * y * q[i])
	}
	sums[0] += tp
	sums[1] += fp
	sums[2] += fn
}

// addSemimetricErrors is addErrors for the semimetric form.
func addSemimetricErrors(sums []float64, t *cpu.Tile, k int) {
	var tp, fp, fn float64
	for i, w := range t.Weight {
		y, p := t.Target[k][i], t.P[k][i]
		tp += float64(w * min(p, y))
		fp += float64(w * max(p-y, 0))
		fn += float64(w * max(y-p, 0))
	}
	sums[0] += tp
	sums[1] += fp
	sums[2] += fn
}

// errorRatio is f of a group.
type errorRatio struct {
	hit, fp, fn float64 // factors
	f, den      float64
	scale       float64 // ∂L/∂f
}

// evaluate computes f from the sums.
func (r *errorRatio) evaluate(sums []float64, nr, dr float64) {
	wrong := float64(r.fp*sums[1]) + float64(r.fn*sums[2])
	r.den = float64(r.hit*sums[0]) + wrong + dr
	if r.f = 0; r.den != 0 {
		r.f = (wrong + (dr - nr)) / r.den
	}
}

// pull adds the derivative of scale·f to that of a channel of a tile.
func (r *errorRatio) pull(t *cpu.Tile, k int, semimetric bool) {
	if r.scale == 0 || math.Abs(r.den) < 1e-290 {
		return
	}
	u := r.scale / r.den
	n := len(t.Weight)
	pull, factor, target := t.Pull[k][:n], t.Factor[k][:n], t.Target[k][:n]
	for i, w := range t.Weight {
		s := target[i]
		if semimetric {
			s = stepOfMin(t.P[k][i], s)
		}
		pull[i] += float64(w * factor[i] * u * r.numerator(s))
	}
}

// numerator returns den·df/dp = d − f·(hit·s + d), d = fp·(1−s) − fn·s, where s is the
// derivative of the voxel's part in TP.
func (r *errorRatio) numerator(s float64) float64 {
	d := float64(r.fp*(1-s)) - float64(r.fn*s)
	return d - float64(r.f*(float64(r.hit*s)+d))
}

// slope returns the derivative of scale·f with respect to p at a voxel with target s.
func (r *errorRatio) slope(s float64) float64 {
	if r.scale == 0 || math.Abs(r.den) < 1e-290 {
		return 0
	}
	return r.scale / r.den * r.numerator(s)
}

// stepOfMin returns the derivative of min(p,t) = (p + t − |p−t|)/2 with respect to p, with
// that of |0| taken as 0.
func stepOfMin(p, t float64) float64 {
	switch {
	case p < t:
		return 1
	case p > t:
		return 0
	}
	return 0.5
}

// powerOrZero returns f^e and its derivative with respect to f, both 0 where f ≤ 0 and e is
// not 1: below 1 the derivative is infinite at 0, but times that of f with respect to the
// logits it tends to 0.
func powerOrZero(f, e float64) (value, slope float64) {
	switch {
	case e == 1:
		return f, 1
	case f <= 0:
		return 0, 0
	}
	value = cpu.Power(f, e)
	return value, e * value / f
}

// evaluateSteep evaluates an overlap term with an exponent below 1: from the errors where f of
// any group is so small that 1 minus a ratio has lost precision that the exponent would show.
func (in *input) evaluateSteep(kernels cpu.Backend, l *plan.Loss, call *plan.Call) (*tensor.Dense, error) {
	b, o := &in.batch, *l.Overlap
	sums, err := kernels.Reduce(b, l.Plan(b, nil), nil, call.Grad)
	if err != nil {
		return nil, public(err)
	}
	o.Exponent, o.Weight = nil, make([]float64, len(o.Weight))
	for i := range o.Weight {
		o.Weight[i] = 1
	}
	for _, f := range o.Groups(sums, b.N, b.C).Value {
		if f < 1e-3 {
			return in.overlapByErrors(l, call)
		}
	}
	v, err := plan.Evaluate(reduced{kernels, sums}, b, l, call)
	return v, public(err)
}

// reduced are kernels whose Reduce has been called.
type reduced struct {
	cpu.Backend
	sums *plan.Sums
}

// Reduce implements [plan.Kernels].
func (r reduced) Reduce(*plan.Batch, *plan.Plan, *tensor.Dense, *tensor.Dense) (*plan.Sums, error) {
	return r.sums, nil
}

// overlapByErrors evaluates an overlap term from the errors.
func (in *input) overlapByErrors(l *plan.Loss, call *plan.Call) (*tensor.Dense, error) {
	kernels, ok := in.backend.(cpu.Backend)
	if !ok {
		return nil, refuse("Semimetric", "true for maps on "+engineName(in.batch.Logits.Engine()), "false, or tensors in Go memory")
	}
	if l.Focal != nil {
		return nil, refuse("Semimetric", "true for maps in a Compound", "false, or a Sum in place of the Compound")
	}
	o, b := l.Overlap, &in.batch
	add := addErrors
	if in.semimetric {
		add = addSemimetricErrors
	}
	v := cpu.Visit{Batch: b, Activation: o.Activation, Targets: true, Sums: b.C * errorSums}
	v.Do = func(t *cpu.Tile, sums []float64) error {
		for k := o.First; k < b.C; k++ {
			add(sums[k*errorSums:], t, k)
		}
		return nil
	}
	sums, err := kernels.Visit(&v)
	if err != nil {
		return nil, public(err)
	}
	samples, channels := o.Grid(b.N, b.C)
	if o.Batch {
		sums = total(sums, v.Sums)
	}
	factor := o.Scale
	if call.Shape == nil && o.Mean {
		factor /= float64(samples * channels)
	}
	values, ratios, reduced := make([]float64, samples*channels), make([]errorRatio, samples*channels), 0.0
	for i := range values {
		s, k := i/channels, i%channels
		r := &ratios[i]
		switch {
		case o.Kind == plan.Tversky:
			r.hit, r.fp, r.fn = 1, o.Alpha, o.Beta
		case o.Jaccard:
			r.hit, r.fp, r.fn = 2, 2, 2
		default:
			r.hit, r.fp, r.fn = 2, 1, 1
		}
		r.evaluate(sums[s*v.Sums+(o.First+k)*errorSums:], o.Nr, o.Dr)
		f, slope := r.f, 1.0
		if o.Exponent != nil {
			f, slope = powerOrZero(f, o.Exponent[k])
		}
		if o.LogCosh {
			f, slope, _ = plan.LogCosh(f, slope, 0)
		}
		values[i] = factor * o.Weight[k] * f
		r.scale = factor * o.Weight[k] * slope
		if call.Upstream != nil {
			r.scale *= call.Upstream.Data().([]float64)[i]
		}
		reduced += values[i]
	}
	if call.Grad != nil {
		v.Sums, v.Grad, v.GradScale = 0, call.Grad, call.GradScale
		v.Do = func(t *cpu.Tile, _ []float64) error {
			at := t.Sample * channels
			if o.Batch {
				at = 0
			}
			for k := range channels {
				ratios[at+k].pull(t, o.First+k, in.semimetric)
			}
			return nil
		}
		if _, err := kernels.Visit(&v); err != nil {
			return nil, public(err)
		}
	}
	if call.Shape == nil {
		return plan.FromNumber(reduced), nil
	}
	return tensor.New(tensor.WithShape(call.Shape...), tensor.WithBacking(values)), nil
}
