package gomlx

import (
	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"

	"github.com/x/afl/internal/plan"
)

// factors are the focusing parameter of A-FL and the factors of a channel's positives and
// negatives, in float64, with all axes kept: N or 1 samples, C or 1 channels.
type factors struct{ gamma, positive, negative *Node }

// adaptive derives the parameters of A-FL from the label.
func (e *evaluation) adaptive(a *plan.Adaptive) factors {
	g := e.x.Graph()
	valid := Const(g, float64(e.v()))
	if e.valid == nil {
		valid = BroadcastToDims(valid, e.with(e.n(), 1, false)...)
	} else {
		valid = e.sumOverSpace(e.valid)
	}
	foreground := e.statistics(e.foreground(), valid)
	share := foreground.share(a)
	gamma, alpha := Add(share, foreground.smoothness(a)), OneMinus(share)
	// 1 for the channels of the foreground, else 0.
	list := make([]float64, e.c())
	for c := range list {
		if c > 0 || len(list) == 1 {
			list[c] = 1
		}
	}
	isForeground := e.perChannel(g, list, dtypes.Float64)
	choose := func(foreground, background *Node) *Node {
		return Add(Mul(isForeground, foreground), Mul(OneMinus(isForeground), background))
	}
	switch a.Form {
	case plan.Released:
		w := choose(share, alpha)
		return factors{gamma, w, w}
	case plan.Scalar:
		return factors{gamma, alpha, alpha}
	case plan.Multiclass:
		if e.c() > 1 {
			class := e.statistics(e.classMaps(dtypes.Float64), valid)
			own := class.share(a)
			gamma, alpha = choose(Add(own, class.smoothness(a)), gamma), choose(OneMinus(own), alpha)
		}
	}
	// The background's positives are the others' negatives.
	positive := choose(alpha, share)
	return factors{gamma, positive, OneMinus(positive)}
}

// foreground returns the map of the foreground in float64, with a channel axis of size 1
// and 0 in voxels that are ignored.
func (e *evaluation) foreground() *Node {
	if !e.target.Dense {
		in := NotEqual(e.source, ScalarZero(e.source.Graph(), e.source.DType()))
		if !e.target.Binarize && e.c() == 1 {
			in = Equal(e.source, ScalarOne(e.source.Graph(), e.source.DType()))
		}
		if e.valid != nil {
			in = LogicalAnd(in, e.valid)
		}
		return ConvertDType(in, dtypes.Float64)
	}
	maps := e.classMaps(dtypes.Float64)
	if e.c() == 1 {
		return maps
	}
	return ReduceAndKeep(SliceAxis(maps, e.channel, AxisRangeToEnd(1)), ReduceMax, e.channel)
}

// labelStatistics are those of one mask, or of one for each channel, by sample; all are
// float64 with all axes kept.
type labelStatistics struct {
	valid, count        *Node // voxels that are not ignored, and those of the mask
	magnitude, boundary *Node // Σ|∇mask| over the valid voxels, and how many are not 0
}

func (e *evaluation) statistics(mask, valid *Node) labelStatistics {
	m := e.gradientMagnitude(mask)
	edge := ConvertDType(NotEqual(m, ZerosLike(m)), dtypes.Float64)
	if e.valid != nil {
		counts := ConvertDType(e.valid, dtypes.Float64)
		m, edge = Mul(m, counts), Mul(edge, counts)
	}
	return labelStatistics{valid, e.sumOverSpace(mask), e.sumOverSpace(m), e.sumOverSpace(edge)}
}

// share is the mask's share of the voxels, by sample or of the batch; 0 where all voxels
// are ignored.
func (s labelStatistics) share(a *plan.Adaptive) *Node {
	count, valid := s.count, s.valid
	if a.Stats != plan.StatsPerSample {
		count, valid = ReduceAndKeep(count, ReduceSum, 0), ReduceAndKeep(valid, ReduceSum, 0)
	}
	return ratioOrZero(count, valid)
}

// smoothness is the mean gradient magnitude, by sample or as the mode takes it.
func (s labelStatistics) smoothness(a *plan.Adaptive) *Node {
	over := s.valid
	if a.Smoothness == plan.Boundary {
		over = s.boundary
	}
	mean := ratioOrZero(s.magnitude, over)
	switch a.Stats {
	case plan.StatsReleased:
		return SliceAxis(mean, 0, AxisElem(0))
	case plan.StatsPooled:
		return ReduceAndKeep(mean, ReduceMean, 0)
	default:
		return mean
	}
}

// ratioOrZero is a/b, 0 where b is 0.
func ratioOrZero(a, b *Node) *Node {
	g := a.Graph()
	none := Equal(b, ZerosLike(b))
	ratio := Div(a, Where(none, ScalarOne(g, dtypes.Float64), b))
	return Where(BroadcastToShape(none, ratio.Shape()), ScalarZero(g, dtypes.Float64), ratio)
}

// gradientMagnitude is |∇ mask| by the differences of numpy.gradient with unit step.
func (e *evaluation) gradientMagnitude(mask *Node) *Node {
	sum := ZerosLike(mask)
	for _, axis := range e.spatial {
		n := e.dims[axis]
		if n < 2 {
			continue
		}
		part := func(from, to int) *Node { return SliceAxis(mask, axis, AxisRange(from, to)) }
		parts := []*Node{Sub(part(1, 2), part(0, 1))}
		if n > 2 {
			parts = append(parts, MulScalar(Sub(part(2, n), part(0, n-2)), 0.5))
		}
		parts = append(parts, Sub(part(n-1, n), part(n-2, n-1)))
		sum = Add(sum, Square(Concatenate(parts, axis)))
	}
	return Sqrt(sum)
}
