package gomlx

import (
	"math"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/shapes"

	"github.com/x/afl/internal/plan"
)

// withDerivative returns value as a function of x, which has its shape, with the given
// derivative. GoMLX's own derivatives lose the digits of 1−p where p is near 1, and are
// NaN for powers below 1 of what has underflowed.
func withDerivative(value, x *Node, backward func(v *Node) *Node) *Node {
	carrier := IdentityWithCustomGradient(x, func(_, v *Node) *Node { return backward(v) })
	return Add(StopGradient(value), Sub(carrier, StopGradient(x)))
}

// logistic is σ(x) = 1/(1+e^−x), with the derivative σ(x)·σ(−x).
func logistic(x *Node) *Node {
	p := Logistic(x)
	return withDerivative(p, x, func(v *Node) *Node { return Mul(v, Mul(p, Logistic(Neg(x)))) })
}

// binaryCrossEntropy is ce·t·softplus(−x) + (1−t)·softplus(x), whose derivative is
// (1−t)·σ(x) − ce·t·σ(−x).
func binaryCrossEntropy(x, t, ce *Node) *Node {
	positive, negative := Mul(ce, t), OneMinus(t)
	zero := ScalarZero(x.Graph(), x.DType())
	common := Log1p(Exp(Neg(Abs(x)))) // softplus(±x) − max(±x, 0)
	value := Add(Mul(positive, Add(Max(Neg(x), zero), common)), Mul(negative, Add(Max(x, zero), common)))
	return withDerivative(value, x, func(v *Node) *Node {
		return Mul(v, Sub(Mul(negative, Logistic(x)), Mul(positive, Logistic(Neg(x)))))
	})
}

// logisticPower is σ(−s·x)^gamma, whose derivative is −gamma·s·σ(s·x)·σ(−s·x)^gamma.
func logisticPower(x, s, gamma *Node) *Node {
	sx := Mul(s, x)
	value := Pow(Logistic(Neg(sx)), gamma)
	return withDerivative(value, x, func(v *Node) *Node {
		return Neg(Mul(v, Mul(Mul(Mul(gamma, s), Logistic(sx)), value)))
	})
}

// softmax is the softmax over the channels from first on.
type softmax struct {
	x        *Node // the logits, all but −∞ in the channels before first
	channel  int
	included *Node // nil where first is 0: which elements take part
	largest  *Node // where x is the largest of its voxel
	ties     *Node // how many of a voxel are, less one
	value    *Node // the logarithm of the softmax
}

// newSoftmax makes the logarithm ℓ of the softmax so that it has all its digits also where
// it is near 0, and with it 1−p = −expm1(ℓ).
func newSoftmax(x *Node, channel, first int) *softmax {
	g, dt := x.Graph(), x.DType()
	s := &softmax{x: x, channel: channel}
	if first > 0 {
		dims := make([]int, x.Rank())
		for i := range dims {
			dims[i] = 1
		}
		list := make([]bool, x.Shape().Dimensions[channel])
		for c := first; c < len(list); c++ {
			list[c] = true
		}
		dims[channel] = len(list)
		s.included = BroadcastToShape(Reshape(Const(g, list), dims...), x.Shape())
		s.x = Where(s.included, x, Const(g, lowest(dt)))
	}
	d := Sub(s.x, ReduceAndKeep(s.x, ReduceMax, channel))
	s.largest = Equal(d, ZerosLike(d))
	s.ties = AddScalar(s.sum(ConvertDType(s.largest, dt)), -1)
	// Σ e^d less the 1 of one of the largest, from which nothing is subtracted.
	others := Add(s.sum(Where(s.largest, ScalarZero(g, dt), Exp(d))), s.ties)
	s.value = Sub(d, Log1p(others))
	return s
}

// sum adds the channels up.
func (s *softmax) sum(y *Node) *Node { return ReduceAndKeep(y, ReduceSum, s.channel) }

// log is ℓ, and −1 in channels that take no part. Its derivative is
// ∂ℓ_c/∂x_j = δ_cj − p_j.
func (s *softmax) log() *Node {
	out := withDerivative(s.value, s.x, func(v *Node) *Node {
		return Sub(Mul(v, Neg(Expm1(s.value))), Mul(Exp(s.value), Sub(s.sum(v), v)))
	})
	if s.included != nil {
		out = Where(s.included, out, Const(out.Graph(), shapes.CastAsDType(-1, out.DType())))
	}
	return out
}

// probability is p = e^ℓ, where all channels take part. Its derivative is
//
//	Σ_c v_c·∂p_c/∂x_j = p_j·Σ_{c≠j} p_c·(v_j − v_c) = p_j·((1−p_j)·u_j − Σ_{c≠j} p_c·u_c),
//
// with u = v less the v of the most likely class: so that what is left of equal v is exactly
// 0, however small the other probabilities are.
func (s *softmax) probability() *Node {
	p := Exp(s.value)
	return withDerivative(p, s.x, func(v *Node) *Node {
		zero := ScalarZero(v.Graph(), v.DType())
		u := Sub(v, Div(s.sum(Where(s.largest, v, zero)), AddScalar(s.ties, 1)))
		pu := Mul(p, u)
		return Mul(p, Sub(Mul(u, Neg(Expm1(s.value))), Sub(s.sum(pu), pu)))
	})
}

// lowest is a quarter of the lowest finite number, of the given type.
func lowest(dt dtypes.DType) any {
	if dt == dtypes.Float32 {
		return float32(-math.MaxFloat32 / 4)
	}
	return -math.MaxFloat64 / 4
}

// focalLog is −(1−p)^gamma·ℓ, with p = e^ℓ, whose derivative is
// (1−p)^gamma·(gamma·p·ℓ/(1−p) − 1); the ratio tends to −1 where p tends to 1.
func focalLog(logP, gamma *Node) *Node {
	q := Neg(Expm1(logP)) // 1−p
	power := Pow(q, gamma)
	return withDerivative(Neg(Mul(power, logP)), logP, func(v *Node) *Node {
		one := ScalarOne(q.Graph(), q.DType())
		certain := Equal(q, ZerosLike(q))
		ratio := Where(certain, Neg(one), Div(Mul(Exp(logP), logP), Where(certain, one, q)))
		return Mul(v, Mul(power, Sub(Mul(gamma, ratio), one)))
	})
}

// softmax is that over all channels.
func (e *evaluation) softmax() *softmax {
	if e.soft == nil {
		e.soft = newSoftmax(e.x, e.channel, 0)
	}
	return e.soft
}

// probability activates the logits of an overlap term.
func (e *evaluation) probability(a plan.Activation) *Node {
	switch a {
	case plan.None:
		return e.x
	case plan.Sigmoid:
		return logistic(e.x)
	default:
		return e.softmax().probability()
	}
}

// asType converts constants and statistics, which carry no gradient.
func asType(x *Node, dt dtypes.DType) *Node { return StopGradient(ConvertDType(x, dt)) }
