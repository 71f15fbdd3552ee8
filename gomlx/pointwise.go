package gomlx

import (
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"

	"github.com/x/afl/internal/plan"
)

// elements returns the elements of a pointwise term without its scale, of every channel;
// those that take no part are 0.
func (e *evaluation) elements(f *plan.Focal) *Node {
	g, dt := e.x.Graph(), e.x.DType()
	channels := func(list []float64) *Node { return e.perChannel(g, list, dtypes.Float64) }
	gamma, positive, negative := channels(f.Gamma), channels(f.Pos), channels(f.Neg)
	modulated := f.Adaptive != nil
	if modulated {
		q := e.adaptive(f.Adaptive)
		gamma, positive, negative = q.gamma, Mul(positive, q.positive), Mul(negative, q.negative)
	}
	for _, one := range f.Gamma {
		modulated = modulated || one != 0
	}
	gamma, positive, negative = asType(gamma, dt), asType(positive, dt), asType(negative, dt)
	if f.Activation == plan.Sigmoid {
		factor := Add(Mul(positive, e.t), Mul(negative, OneMinus(e.t)))
		element := Mul(factor, binaryCrossEntropy(e.x, e.t, asType(channels(f.CE), dt)))
		if modulated {
			element = Mul(element, logisticPower(e.x, AddScalar(MulScalar(e.t, 2), -1), gamma))
		}
		return e.weighted(element)
	}
	soft := e.softmax()
	if f.SoftmaxFrom > 0 {
		soft = newSoftmax(e.x, e.channel, f.SoftmaxFrom)
	}
	logP := soft.log()
	t := e.t
	if f.Smoothing != 0 {
		t = AddScalar(MulScalar(t, 1-f.Smoothing), f.Smoothing/float64(e.c()))
	}
	element := Neg(logP)
	if modulated {
		element = focalLog(logP, gamma)
	}
	return e.weighted(Mul(Mul(positive, t), element))
}

// scaled multiplies a float64 value by the term's scale over its denominator.
func (e *evaluation) scaled(f *plan.Focal, value *Node) *Node {
	g := value.Graph()
	voxels := float64(e.n() * e.v())
	if f.Denominator == plan.One {
		return MulScalar(value, f.Scale)
	}
	if f.Denominator != plan.LabelWeight && e.valid == nil {
		return MulScalar(value, f.Scale/voxels)
	}
	count := Const(g, voxels)
	if e.valid != nil {
		count = sumAll(e.valid)
	}
	denominator := count
	if f.Denominator == plan.LabelWeight {
		denominator = sumAll(Mul(e.sumOverSpace(e.t), e.perChannel(g, f.Pos, dtypes.Float64)))
	}
	zero := ScalarZero(g, dtypes.Float64)
	nothing := zero
	if f.Denominator != plan.Valid {
		nothing = Const(g, math.NaN()) // the mean of nothing, as in PyTorch
	}
	safe := Where(Equal(denominator, zero), ScalarOne(g, dtypes.Float64), denominator)
	scaled := Where(Equal(denominator, zero), zero, Div(MulScalar(value, f.Scale), StopGradient(safe)))
	return Where(Equal(count, zero), nothing, scaled)
}
