package plan

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// Kernels are the three passes of a backend that returns its sums to the host.
// [Evaluate] combines them.
type Kernels interface {
	// Stats reads the label once.
	Stats(b *Batch, want StatsRequest) (*Stats, error)
	// Reduce reads logits and label once. upstream is nil or shaped like the
	// elements. grad is nil or the tensor that Gradient will write, which Reduce may
	// use to cache intermediates for it.
	Reduce(b *Batch, p *Plan, upstream, grad *tensor.Dense) (*Sums, error)
	// Gradient reads logits and label once, writes what out asks for, and
	// returns the pointwise sum of a plan that has no overlap term (with one,
	// Reduce has).
	Gradient(b *Batch, p *Plan, out *Output) (*Sums, error)
	NewTensor(like *tensor.Dense, shape ...int) (*tensor.Dense, error)
}

// Evaluate evaluates a loss with the given kernels, see [Backend.Eval].
func Evaluate(k Kernels, b *Batch, l *Loss, c *Call) (*tensor.Dense, error) {
	var st *Stats
	if want, needed := l.Request(b); needed {
		var err error
		if st, err = k.Stats(b, want); err != nil {
			return nil, err
		}
	}
	p := l.Plan(b, st)
	switch {
	case c.Shape == nil:
		return reduced(k, b, p, c)
	case p.Pointwise != nil:
		return elements(k, b, p, c)
	}
	return groups(k, b, p, c)
}

// reduced returns the scalar loss.
func reduced(k Kernels, b *Batch, p *Plan, c *Call) (*tensor.Dense, error) {
	grad, scaled := c.Grad, p.scaled(c.Scale())
	if p.Overlap == nil && grad != nil {
		// The gradient depends on no sum: one pass.
		sums, err := k.Gradient(b, scaled, &Output{Grad: grad})
		if err != nil {
			return nil, err
		}
		return FromNumber(p.Pointwise.Scale * sums.Pointwise), nil
	}
	sums, err := k.Reduce(b, scaled, nil, grad)
	if err != nil {
		return nil, err
	}
	value := 0.0
	if p.Pointwise != nil {
		value = p.Pointwise.Scale * sums.Pointwise
	}
	if p.Overlap == nil {
		return FromNumber(value), nil
	}
	g := p.Overlap.Groups(sums, b.N, b.C)
	value += float64(p.Overlap.Total(g)) // not fused: the same bits everywhere
	if grad != nil {
		out := &Output{Grad: grad, Reduced: true}
		out.CoefT, out.CoefP = p.Overlap.Coefficients(g, nil, b.N, b.C)
		out.scaleCoefficients(c.Scale())
		if _, err := k.Gradient(b, scaled, out); err != nil {
			return nil, err
		}
	}
	return FromNumber(value), nil
}

// scaled returns the plan with the pointwise derivatives, and the value, multiplied by s.
// The sums do not contain the factor.
func (p *Plan) scaled(s float64) *Plan {
	if s == 1 || p.Pointwise == nil {
		return p
	}
	q, w := *p, *p.Pointwise
	w.Scale *= s
	q.Pointwise = &w
	return &q
}

// scaleCoefficients multiplies the derivatives of the overlap term by s.
func (o *Output) scaleCoefficients(s float64) {
	for _, coefficients := range [][]float64{o.CoefT, o.CoefP} {
		for i := range coefficients {
			coefficients[i] *= s
		}
	}
}

// elements returns the un-reduced pointwise loss, to each element of which the
// overlap term's group is added where there is one.
func elements(k Kernels, b *Batch, p *Plan, c *Call) (*tensor.Dense, error) {
	value, err := k.NewTensor(b.Logits, c.Shape...)
	if err != nil {
		return nil, err
	}
	out := &Output{Grad: c.Grad, Elements: value, Upstream: c.Upstream}
	if o := p.Overlap; o != nil {
		sums, err := k.Reduce(b, p, c.Upstream, nil)
		if err != nil {
			return nil, err
		}
		g := o.Groups(sums, b.N, b.C)
		perGroup := make([]float64, len(g.Value))
		out.Offset = make([]float64, b.N*b.C)
		for i := range b.N * b.C {
			ch := i%b.C - o.First
			if ch < 0 {
				continue
			}
			group := i/b.C*g.Channels + ch
			if o.Batch {
				group = ch
			}
			perGroup[group] += sums.Upstream[i]
			out.Offset[i] = o.Scale * g.Value[group]
		}
		out.CoefT, out.CoefP = o.Coefficients(g, perGroup, b.N, b.C)
	}
	if c.Grad != nil && c.Scale() != 1 {
		// The elements have the factor of the plan, the gradient that of the scaled one.
		scaled := *out
		out.Grad, scaled.Elements, scaled.Offset = nil, nil, nil
		scaled.CoefT, scaled.CoefP = slices.Clone(out.CoefT), slices.Clone(out.CoefP)
		scaled.scaleCoefficients(c.Scale())
		if _, err := k.Gradient(b, p.scaled(c.Scale()), &scaled); err != nil {
			return nil, err
		}
	}
	if _, err := k.Gradient(b, p, out); err != nil {
		return nil, err
	}
	return value, nil
}

// groups returns the un-reduced overlap loss.
func groups(k Kernels, b *Batch, p *Plan, c *Call) (*tensor.Dense, error) {
	sums, err := k.Reduce(b, p, nil, c.Grad)
	if err != nil {
		return nil, err
	}
	g := p.Overlap.Groups(sums, b.N, b.C)
	if c.Grad != nil {
		var upstream []float64
		if c.Upstream != nil {
			upstream = c.Upstream.Data().([]float64)
		}
		out := &Output{Grad: c.Grad, Reduced: true}
		out.CoefT, out.CoefP = p.Overlap.Coefficients(g, upstream, b.N, b.C)
		out.scaleCoefficients(c.Scale())
		if _, err := k.Gradient(b, p, out); err != nil {
			return nil, err
		}
	}
	value := make([]float64, len(g.Value))
	for i, v := range g.Value {
		value[i] = p.Overlap.Scale * v
	}
	return tensor.New(tensor.WithShape(c.Shape...), tensor.WithBacking(value)), nil
}

// FromNumber returns a loss's value as a float64 scalar in Go memory.
func FromNumber(v float64) *tensor.Dense { return tensor.New(tensor.FromScalar(v)) }

// Number returns a loss's value, a float scalar in Go memory.
func Number(scalar *tensor.Dense) (float64, error) {
	switch x := scalar.ScalarValue().(type) {
	case float64:
		return x, nil
	case float32:
		return float64(x), nil
	default:
		return 0, Refuse("loss value", fmt.Sprintf("a %T", x), "a float")
	}
}
