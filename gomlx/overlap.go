package gomlx

import (
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"

	"github.com/x/afl/internal/plan"
)

// smallestDen is the smallest denominator whose ratio is differentiated, as in package afl.
const smallestDen = 1e-290

// groups returns the values of an overlap term's groups, weighted but without its scale, in
// float64, with all axes kept: N or 1 samples, and every channel, where those that take no
// part are 0, or 1 for generalized Dice.
func (e *evaluation) groups(o *plan.Overlap) *Node {
	p, t := e.probability(o.Activation), e.t
	sum := func(x *Node) *Node {
		s := e.sumOverSpace(e.weighted(x))
		if o.Batch {
			s = ReduceAndKeep(s, ReduceSum, 0)
		}
		return s
	}
	i := sum(Mul(p, t))
	if o.Squared {
		p, t = Square(p), Square(t)
	}
	pSum, tSum := sum(p), StopGradient(sum(t))

	list := make([]float64, e.c())
	copy(list[o.First:], o.Weight)
	weight := e.perChannel(p.Graph(), list, dtypes.Float64)
	if o.Kind == plan.GeneralizedDice {
		v := e.volumeWeights(o, tSum, weight)
		total := func(x *Node) *Node { return ReduceAndKeep(Mul(v, x), ReduceSum, e.channel) }
		return ratioLoss(AddScalar(MulScalar(total(i), 2), o.Nr), AddScalar(total(Add(tSum, pSum)), o.Dr))
	}
	var num, den *Node
	switch {
	case o.Kind == plan.Tversky:
		num = i
		den = Add(i, Add(MulScalar(Sub(pSum, i), o.Alpha), MulScalar(Sub(tSum, i), o.Beta)))
	case o.Jaccard:
		num, den = MulScalar(i, 2), MulScalar(Sub(Add(tSum, pSum), i), 2)
	default:
		num, den = MulScalar(i, 2), Add(tSum, pSum)
	}
	f := ratioLoss(AddScalar(num, o.Nr), AddScalar(den, o.Dr))
	if o.Exponent != nil {
		f = e.power(f, o)
	}
	return Mul(weight, f)
}

// ratioLoss is 1 − num/den. 0/0 counts as perfect agreement, and where den is all but 0
// its derivative is taken as 0.
func ratioLoss(num, den *Node) *Node {
	g := num.Graph()
	zero, one := ScalarZero(g, dtypes.Float64), ScalarOne(g, dtypes.Float64)
	none := Equal(den, ZerosLike(den))
	small := LessThan(Abs(den), Const(g, smallestDen))
	constant := StopGradient(OneMinus(Div(num, Where(none, one, den))))
	return Where(none, zero, Where(small, constant, OneMinus(Div(num, Where(small, one, den)))))
}

// power is f^Exponent, 0 with derivative 0 where f is not above 0 and the exponent not 1.
func (e *evaluation) power(f *Node, o *plan.Overlap) *Node {
	g := f.Graph()
	zero, one := ScalarZero(g, dtypes.Float64), ScalarOne(g, dtypes.Float64)
	list := make([]float64, e.c())
	for c := range list {
		list[c] = 1
	}
	copy(list[o.First:], o.Exponent)
	exponent := BroadcastToShape(e.perChannel(g, list, dtypes.Float64), f.Shape())
	above := GreaterThan(f, ZerosLike(f))
	raised := Where(above, Pow(Where(above, f, one), exponent), zero)
	return Where(Equal(exponent, OnesLike(exponent)), f, raised)
}

// volumeWeights are the weights of generalized Dice: of each class's volume, times weight.
func (e *evaluation) volumeWeights(o *plan.Overlap, volume, weight *Node) *Node {
	g := volume.Graph()
	zero := ScalarZero(g, dtypes.Float64)
	list := make([]float64, e.c()) // 1 for channels that take part
	for c := o.First; c < len(list); c++ {
		list[c] = 1
	}
	v := BroadcastToShape(e.perChannel(g, list, dtypes.Float64), volume.Shape())
	takesPart := Equal(v, OnesLike(v))
	switch o.Weighting {
	case plan.WeightSquare:
		volume = Square(volume)
	case plan.WeightUniform:
		volume = OnesLike(volume)
	}
	inverse := Div(OnesLike(volume), volume)
	finite := LessThan(inverse, Const(g, math.Inf(1)))
	largest := ReduceAndKeep(Where(LogicalAnd(finite, takesPart), inverse, zero), ReduceMax, e.channel)
	v = Where(finite, inverse, BroadcastToShape(largest, inverse.Shape()))
	return StopGradient(Mul(Where(takesPart, v, zero), weight))
}

// factor is what each group's value is multiplied by.
func (e *evaluation) factor(o *plan.Overlap) float64 {
	if !o.Mean {
		return o.Scale
	}
	samples, channels := o.Grid(e.n(), e.c())
	return o.Scale / float64(samples*channels)
}
