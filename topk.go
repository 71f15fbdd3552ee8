package afl

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/parallel"
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
// nnU-Net.
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
	m := pool.Get().(*topkScratch[T])
	defer pool.Put(m)
	if pair, ok := any(m).(*topkScratch[float32]); ok && s.byMargin() {
		v, finite, err := evalMargins(s, pair)
		if finite || err != nil {
			return plan.FromNumber(v), false, err
		}
	}
	v, overflow, err := m.evalElements(s)
	return plan.FromNumber(v), overflow, err
}

// byMargin reports whether the elements are those of the softmax of two channels without
// weights, and so increase with the margin: the logit of the other class minus that of their
// own.
func (s *topkSum) byMargin() bool {
	focal := s.described.Focal
	return s.batch.C == 2 && s.batch.VoxelWeight == nil && focal.Smoothing == 0 &&
		focal.Pos[0] == 1 && focal.Pos[1] == 1 && focal.First == 0
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
	listed   [][]selection.Item[T]
	sample   []T
	class    []uint8
	elements []T
	logits   []T
	grad     []T
}

var topkMemory32, topkMemory64 = sync.Pool{New: func() any { return new(topkScratch[float32]) }}, sync.Pool{New: func() any { return new(topkScratch[float64]) }}

// window returns the limits between which the least score of those selected lies, most likely,
// by a sample of the voxels. scores stores those of the voxels that are not ignored, and returns
// their number.
func (m *topkScratch[T]) window(s *topkSum, scores func(voxels []int, dst []T) (n int)) (low, high T) {
	all := s.batch.N * s.batch.V
	size := topkSample(all)
	const part = 1 << 10
	m.sample = cpu.Grow(m.sample, size)
	stored := make([]int, (size+part-1)/part)
	parallel.Each(len(stored), func(p int) {
		var voxels [part]int
		lo, hi := p*part, min((p+1)*part, size)
		for i := range hi - lo {
			// Not at equal distances, which may be those of a pattern.
			from, to := (lo+i)*all/size, (lo+i+1)*all/size
			voxels[i] = from + int(uint64(uint32(lo+i)*0x9e3779b1)*uint64(to-from)>>32)
		}
		stored[p] = scores(voxels[:hi-lo], m.sample[lo:hi])
	})
	n := 0
	for p, of := range stored {
		n += copy(m.sample[n:], m.sample[p*part:][:of])
	}
	return m.selector.Window(m.sample[:n], float64(s.selected)/float64(s.valid))
}

// topkSample is the number of voxels in the sample. More would cost more than the narrower
// window saves.
func topkSample(voxels int) int {
	if voxels < 1<<12 {
		return 0
	}
	return 1 << min(2*bits.Len(uint(voxels))/3, 15)
}

// narrowed returns the limits for a second pass where those of the first did not enclose the
// least score of those selected.
func narrowed[T float32 | float64](low, high T, tooMany bool) (T, T) {
	if tooMany {
		return high, T(math.Inf(1))
	}
	return T(math.Inf(-1)), low
}

// evalMargins evaluates a loss by margins. One pass computes the voxels that are certainly
// selected and lists those that may be. finite is false where a margin or the sum exceeds the
// range of float32; value is not to be used then.
func evalMargins(s *topkSum, m *topkScratch[float32]) (value float64, finite bool, err error) {
	scale := 1 / float64(s.count)
	p := s.described.Plan(&s.batch, nil)
	p.Pointwise.Scale = scale * s.cfg.GradScale // not in the sums
	pass := &cpu.Margins{Batch: &s.batch, Plan: p, Grad: s.grad, Listed: m.listed}
	pass.Low, pass.High = m.window(s, s.margins())
	for {
		sums, err := s.kernels.Margins(pass)
		m.listed = pass.Listed
		if err != nil || !sums.Finite {
			return 0, false, public(err)
		}
		value = scale * sums.Sum
		if sums.Above <= s.selected {
			if m.selector.Largest(s.selected-sums.Above, m.listed, pass.Low, pass.High) {
				rest, err := addMargins(s, m, p.Pointwise.Scale)
				return value + float64(scale*rest), true, err
			}
		}
		pass.Low, pass.High = narrowed(pass.Low, pass.High, sums.Above > s.selected)
	}
}

// margins returns a function that stores the margins of voxels that are not ignored.
func (s *topkSum) margins() func(voxels []int, dst []float32) (n int) {
	x := s.batch.Logits.Data().([]float32)
	read := s.classesAt()
	return func(voxels []int, dst []float32) (n int) {
		for i, class := range read(voxels) {
			if class == labels.Ignored {
				continue
			}
			at := voxels[i]
			at += at / s.batch.V * s.batch.V
			if dst[n] = x[at+s.batch.V] - x[at]; class == 1 {
				dst[n] = -dst[n]
			}
			n++
		}
		return n
	}
}

// classesAt returns a function that returns the classes of voxels, [labels.Ignored] where they
// are ignored.
func (s *topkSum) classesAt() func(voxels []int) []int32 {
	reader := labels.Of(s.batch.Target.Tensor.Data())
	classes := labels.Classes{Limit: int32(s.batch.Classes()), Binarize: s.batch.Target.Binarize}
	if s.batch.Target.HasIgnore {
		classes.Ignore = []int64{s.batch.Target.Ignore}
	}
	return func(voxels []int) []int32 {
		dst := make([]int32, len(voxels))
		if labels.Of(reader.Gather(voxels)).Classes(dst, 0, &classes) >= 0 {
			return nil // for the pass to refuse
		}
		return dst
	}
}

// addMargins returns the sum of the elements of the voxels listed and stores their gradients.
// An element and its derivative by the other class's logit are those of the sigmoid
// cross-entropy of the margin against class 0.
func addMargins(s *topkSum, m *topkScratch[float32], scale float64) (sum float64, err error) {
	from, n := make([]int, len(m.listed)), 0
	for i, list := range m.listed {
		from[i] = n
		n += len(list)
	}
	if n == 0 {
		return 0, nil
	}
	m.logits, m.class = cpu.Grow(m.logits, n), cpu.Grow(m.class, n)
	clear(m.class)
	for i, list := range m.listed {
		dst := m.logits[from[i]:][:len(list)]
		for j := range list {
			dst[j] = list[j].Value
		}
	}
	batch := plan.Batch{N: 1, C: 1, V: n, Space: [3]int{1, 1, n},
		Logits: tensor.New(tensor.WithShape(1, 1, n), tensor.WithBacking(m.logits)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, n), tensor.WithBacking(m.class)), Argument: "target"}}
	one := []float64{1}
	p := (&plan.Loss{Focal: &plan.Focal{Activation: plan.Sigmoid, Gamma: []float64{0}, Pos: one, Neg: one, CE: one, Scale: scale}}).Plan(&batch, nil)
	if s.grad == nil {
		sums, err := s.kernels.Reduce(&batch, p, nil, nil)
		if err != nil {
			return 0, public(err)
		}
		return sums.Pointwise, nil
	}
	m.grad = cpu.Grow(m.grad, n)
	sums, err := s.kernels.Gradient(&batch, p, &plan.Output{Grad: tensor.New(tensor.WithShape(1, 1, n), tensor.WithBacking(m.grad))})
	if err != nil {
		return 0, public(err)
	}
	g, voxels := s.grad.Data().([]float32), s.batch.V
	parallel.Each(len(m.listed), func(i int) {
		list := m.listed[i]
		if len(list) == 0 {
			return
		}
		before := int(list[0].At/2) / voxels * voxels // a list is of one sample
		for j, d := range m.grad[from[i]:][:len(list)] {
			at := int(list[j].At/2) + before
			own := math.Float32frombits(math.Float32bits(d) ^ list[j].At<<31) // −d for class 1
			// They are 0. Unlike stores alone, loads of several cache lines overlap.
			g[at] -= own
			g[at+voxels] += own
		}
	})
	return sums.Pointwise, nil
}

// evalElements evaluates a loss by elements: those of all voxels are computed, with their
// gradients.
func (m *topkScratch[T]) evalElements(s *topkSum) (value float64, overflow bool, err error) {
	n := s.batch.N * s.batch.V
	class := []uint8(nil) // if none is ignored
	if s.batch.Target.HasIgnore {
		m.class = cpu.Grow(m.class, n)
		if err := s.kernels.ClassBytes(m.class, &s.batch); err != nil {
			return 0, false, public(err)
		}
		class = m.class
	}
	m.elements = cpu.Grow(m.elements, n)
	out := &plan.Output{Grad: s.grad, Elements: tensor.New(tensor.WithShape(s.batch.N, s.batch.V), tensor.WithBacking(m.elements))}
	if _, err := s.kernels.Gradient(&s.batch, s.described.Plan(&s.batch, nil), out); err != nil {
		return 0, false, public(err)
	}
	low, high := m.window(s, func(voxels []int, dst []T) (n int) {
		for _, at := range voxels {
			if class == nil || class[at] != kernel.NoClass {
				dst[n] = m.elements[at]
				n++
			}
		}
		return n
	})
	for {
		var above int
		value, above = m.list(s, class, low, high)
		if above <= s.selected && m.selector.Largest(s.selected-above, m.listed, low, high) {
			break
		}
		low, high = narrowed(low, high, above > s.selected)
	}
	for _, list := range m.listed {
		for _, it := range list {
			value += float64(it.Value)
		}
	}
	if unsafe.Sizeof(T(0)) == 4 && value > math.MaxFloat32 {
		for _, e := range m.elements {
			if e > math.MaxFloat32 {
				return 0, true, nil
			}
		}
	}
	if s.grad != nil {
		m.clearGradient(s, high)
	}
	return value / float64(s.count), false, nil
}

// topkPart is the number of voxels of a part of the elements, one list each.
const topkPart = 1 << 13

// eachTopkPart calls f, concurrently, for the parts [lo,hi) of the voxels of all samples.
func (s *topkSum) eachTopkPart(f func(part, lo, hi int)) {
	per := (s.batch.V + topkPart - 1) / topkPart
	parallel.Each(s.batch.N*per, func(i int) {
		lo := i/per*s.batch.V + i%per*topkPart
		f(i, lo, min(lo+topkPart, (i/per+1)*s.batch.V))
	})
}

// list returns the sum of the elements above high and their number. It lists those from low to
// high that are not ignored.
func (m *topkScratch[T]) list(s *topkSum, class []uint8, low, high T) (sum float64, above int) {
	parts := s.batch.N * ((s.batch.V + topkPart - 1) / topkPart)
	m.listed = slices.Grow(m.listed[:0], parts)[:parts]
	sums, counts := make([]float64, parts), make([]int, parts)
	s.eachTopkPart(func(part, lo, hi int) {
		var found [topkPart + 3]uint16
		sum, above, n := listAbove(s.kernels, m.elements[lo:hi], low, high, found[:])
		list := m.listed[part][:0]
		for _, i := range found[:n] {
			if at := lo + int(i); class == nil || class[at] != kernel.NoClass {
				list = append(list, selection.Item[T]{Value: m.elements[at], At: uint32(at)})
			}
		}
		m.listed[part], sums[part], counts[part] = list, sum, above
	})
	for part := range parts {
		sum += sums[part]
		above += counts[part]
	}
	return sum, above
}

// listAbove is [cpu.Backend.ListAbove].
func listAbove[T float32 | float64](kernels cpu.Backend, e []T, low, high T, found []uint16) (sum float64, above, listed int) {
	if narrow, ok := any(e).([]float32); ok {
		return kernels.ListAbove(narrow, float32(low), float32(high), found)
	}
	for i, v := range e {
		switch {
		case v > high:
			sum += float64(v)
			above++
		case !(v < low):
			found[listed] = uint16(i)
			listed++
		}
	}
	return sum, above, listed
}

// clearGradient clears the gradient of the voxels whose element is neither above a limit nor
// listed, and scales that of the others. It overwrites the elements.
func (m *topkScratch[T]) clearGradient(s *topkSum, high T) {
	g, voxels, c := s.grad.Data().([]T), s.batch.V, s.batch.C
	scale := T(s.cfg.GradScale / float64(s.count))
	noneAbove := math.IsInf(float64(high), 1)
	if noneAbove {
		high = 0
	}
	s.eachTopkPart(func(part, lo, hi int) {
		before := lo / voxels * (c - 1) * voxels
		e := m.elements[lo:hi]
		if noneAbove {
			clear(e)
		}
		for _, it := range m.listed[part] {
			e[int(it.At)-lo] = T(math.Inf(1)) // above
		}
		for ch := range c {
			cpu.KeepAbove(s.kernels, g[before+ch*voxels+lo:][:hi-lo], e, high, scale)
		}
	})
}
