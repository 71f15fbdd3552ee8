package gomlx

import (
	. "github.com/gomlx/gomlx/pkg/core/graph"

	"github.com/x/afl/internal/plan"
)

// reduced returns the loss as a float64 scalar.
func (e *evaluation) reduced(l *plan.Loss) *Node {
	var total *Node
	if l.Focal != nil {
		total = e.scaled(l.Focal, sumAll(e.elements(l.Focal)))
	}
	if l.Overlap != nil {
		overlap := MulScalar(ReduceAllSum(e.groups(l.Overlap)), e.factor(l.Overlap))
		if total == nil {
			return overlap
		}
		total = Add(total, overlap)
	}
	return total
}

// unreduced returns the elements or groups of the loss in the logits' type. shape is that
// of package afl.
func (e *evaluation) unreduced(l *plan.Loss, shape []int) *Node {
	dt := e.x.DType()
	var groups *Node
	if l.Overlap != nil {
		groups = ConvertDType(MulScalar(e.groups(l.Overlap), l.Overlap.Scale), dt)
		if l.Focal == nil {
			return e.groupsWithoutAxes(l.Overlap, groups, len(shape))
		}
	}
	elements := MulScalar(e.elements(l.Focal), l.Focal.Scale)
	if l.Focal.PerVoxel {
		return ReduceSum(elements, e.channel)
	}
	if groups != nil {
		elements = Add(elements, groups)
	}
	return e.from(elements, l.Focal.First)
}

// groupsWithoutAxes returns groups with the given number of axes: without samples where the
// batch is one group, without space for the Tversky losses, and without the channels that
// take no part.
func (e *evaluation) groupsWithoutAxes(o *plan.Overlap, groups *Node, rank int) *Node {
	if o.Kind != plan.GeneralizedDice {
		groups = e.from(groups, o.First)
	}
	dims := groups.Shape().Dimensions
	if o.Kind == plan.Tversky {
		dims = []int{dims[0], dims[e.channel]}
	}
	return Reshape(groups, dims[len(dims)-rank:]...)
}

// from leaves out the channels before first.
func (e *evaluation) from(x *Node, first int) *Node {
	if first == 0 {
		return x
	}
	// By a gather along the first axis, as not every backend differentiates a slice.
	there, back := []int{e.channel}, make([]int, x.Rank())
	for a := range x.Rank() {
		if a != e.channel {
			there = append(there, a)
		}
	}
	for to, from := range there {
		back[from] = to
	}
	var indices [][]int32
	for c := first; c < e.c(); c++ {
		indices = append(indices, []int32{int32(c)})
	}
	rows := Gather(TransposeAllAxes(x, there...), Const(x.Graph(), indices))
	return TransposeAllAxes(rows, back...)
}
