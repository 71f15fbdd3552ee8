package afl

import (
	"math"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// TopKCrossEntropy is the mean of the largest K percent of the elements of [CrossEntropy]
// with the softmax (nnU-Net's TopKLoss; Wu et al., "Bridging Category-level and
// Instance-level Semantic Image Segmentation", 2016). With the elements E of all voxels of
// the batch,
//
//	L = (1/m)·Σ of the m largest E,  m = max(1, ⌊n·K/100⌋),
//
// where n is the number of all voxels, of which the ignored have E = 0, or with ValidOnly
// of those that are not ignored. Among equal elements the earlier voxels are taken. Class
// weights and voxel weights are factors of E; the mean is not divided by them, as in
// nnU-Net. The target holds class indices or one-hot maps.
type TopKCrossEntropy struct {
	Options
	constructed
	// LabelSmoothing ε is in [0,1], default 0.
	LabelSmoothing float64
	// K is the share of voxels in percent, above 0 to 100, default 10.
	K float64
	// ValidOnly takes the share of the voxels that are not ignored, default false.
	ValidOnly bool
}

// NewTopKCrossEntropy returns the mean of the largest 10 % of the softmax cross-entropy.
func NewTopKCrossEntropy() TopKCrossEntropy {
	return TopKCrossEntropy{constructed: constructed{true}, K: 10}
}

func (TopKCrossEntropy) constructor() string { return "NewTopKCrossEntropy" }

// Eval implements [Loss].
func (l TopKCrossEntropy) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	has := support{reductions: []Reduction{ReduceMean}, weight: true, ignore: true, background: true, weights: true}
	c, err := newHostCall(l, has, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	if !(l.K > 0 && l.K <= 100) {
		return nil, refuse("K", l.K, "a number above 0 up to 100")
	}
	if err := c.checkByteClasses(); err != nil {
		return nil, err
	}
	if err := c.checkPositions(); err != nil {
		return nil, err
	}
	ce := NewCrossEntropy()
	ce.Options, ce.LabelSmoothing = l.Options, l.LabelSmoothing
	ce.Reduction = ReduceNone
	described, err := ce.plan(c.input)
	if err != nil {
		return nil, err
	}
	s := topkSum{hostCall: c, described: described}
	if logits.Dtype() == tensor.Float64 {
		value, _, err := evalTopK[float64](&s, l, &topkMemory64)
		return value, err
	}
	value, overflow, err := evalTopK[float32](&s, l, &topkMemory32)
	if overflow && err == nil {
		return l.evalWide(logits, target, grad, opts)
	}
	return value, err
}

// topkSum is an evaluation.
type topkSum struct {
	*hostCall
	described *plan.Loss // the un-reduced cross-entropy
	count     int        // m of the definition
	// selected voxels have elements. The ignored, whose elements are 0, are left out even where
	// they count.
	selected, valid int
}

// evalTopK evaluates the loss in memory of a pool. It gives up, with overflow, if an element is
// beyond the range of T.
func evalTopK[T float32 | float64](s *topkSum, l TopKCrossEntropy, pool *sync.Pool) (value *tensor.Dense, overflow bool, err error) {
	if s.valid, err = s.validVoxels(); err != nil {
		return nil, false, err
	}
	n := s.batch.N * s.batch.V
	if l.ValidOnly {
		n = s.valid
	}
	s.count = max(1, int(math.Floor(float64(n)*l.K/100)))
	s.selected = min(s.count, s.valid)
	if s.selected == 0 {
		if s.grad != nil {
			g := s.grad.Data().([]T)
			eachPart(len(g), func(lo, hi int) { clear(g[lo:hi]) })
		}
		return plan.FromNumber(0), false, nil
	}
	if s.byMargin() {
		v, finite, err := s.evalMargins()
		if finite || err != nil {
			return plan.FromNumber(v), false, err
		}
	}
	m := pool.Get().(*topkScratch[T])
	defer pool.Put(m)
	v, overflow, err := m.evalElements(s)
	return plan.FromNumber(v), overflow, err
}

// evalWide evaluates the loss of float32 logits in float64, which holds elements that
// float32 does not.
func (l TopKCrossEntropy) evalWide(logits, target, grad *tensor.Dense, opts []EvalOption) (*tensor.Dense, error) {
	x := logits.Data().([]float32)
	wide := make([]float64, len(x))
	cpu.ReadFloats(x, 0, wide)
	shape := tensor.WithShape(logits.Shape()...)
	var wideGrad *tensor.Dense
	if grad != nil {
		wideGrad = tensor.New(tensor.Of(tensor.Float64), shape)
	}
	value, err := l.Eval(tensor.New(shape, tensor.WithBacking(wide)), target, wideGrad, opts...)
	if err == nil && grad != nil {
		cpu.StoreFloats(grad.Data(), 0, wideGrad.Data().([]float64))
	}
	return value, err
}

// topkScratch is the memory of an evaluation, which another uses again.
type topkScratch[T float32 | float64] struct {
	selector selection.Selector[T]
	listed   []selection.List[T]
	sample   cpu.Sample[T]
}

var topkMemory32, topkMemory64 = sync.Pool{New: func() any { return new(topkScratch[float32]) }}, sync.Pool{New: func() any { return new(topkScratch[float64]) }}

// narrowed returns the limits for a second pass where those of the first did not enclose the
// least score of those selected.
func narrowed[T float32 | float64](low, high T, tooMany bool) (T, T) {
	if tooMany {
		return high, T(math.Inf(1))
	}
	return T(math.Inf(-1)), low
}
