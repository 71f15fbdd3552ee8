package afl

import (
	"bytes"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
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
	if c.batch.C >= kernel.NoClass {
		return nil, refuse("channels of logits", c.batch.C, "at most %d", kernel.NoClass-1)
	}
	if all := c.batch.N * c.batch.V; all > math.MaxInt32 {
		return nil, refuse("voxels of logits", all, "at most %d", math.MaxInt32)
	}
	ce := NewCrossEntropy()
	ce.Options, ce.LabelSmoothing = l.Options, l.LabelSmoothing
	ce.Reduction = ReduceNone
	described, err := ce.plan(c.input)
	if err != nil {
		return nil, err
	}
	s := topkSum{hostCall: c, ce: ce, described: described}
	if logits.Dtype() == tensor.Float64 {
		value, _, err := evalTopK[float64](&s, l)
		return value, err
	}
	value, overflow, err := evalTopK[float32](&s, l)
	if overflow && err == nil {
		return l.evalWide(logits, target, grad, opts)
	}
	return value, err
}

// topkSum is an evaluation.
type topkSum struct {
	*hostCall
	ce        CrossEntropy // un-reduced
	described *plan.Loss
}

// evalTopK evaluates the loss. The voxels are selected by their elements, or by what
// decreases with them; then the cross-entropy is that of the selected alone. It gives up, with
// overflow, if one of them is beyond the range of T.
func evalTopK[T float32 | float64](s *topkSum, l TopKCrossEntropy) (value *tensor.Dense, overflow bool, err error) {
	all := s.batch.N * s.batch.V
	m := topkMemory[T]()
	defer m.release()
	m.class = cpu.Grow(m.class, all)
	if err := s.kernels.ClassBytes(m.class, &s.batch); err != nil {
		return nil, false, public(err)
	}
	valid, n := all, all
	if l.IgnoreIndex.Set {
		valid -= bytes.Count(m.class, []byte{kernel.NoClass})
		if l.ValidOnly {
			n = valid
		}
	}
	if s.grad != nil {
		g := s.grad.Data().([]T)
		eachPart(len(g), func(lo, hi int) { clear(g[lo:hi]) })
	}
	if n == 0 {
		return plan.FromNumber(0), false, nil
	}
	count := max(1, int(math.Floor(float64(n)*l.K/100)))
	// Ignored voxels, whose elements are 0, may be left out even where they count.
	selected := min(count, valid)
	score, err := newTopkScore(s, m)
	if err != nil {
		return nil, false, err
	}
	taken := m.selectLargest(score, selected, valid)
	if score.infinite.Load() {
		return nil, true, nil
	}
	v, err := m.crossEntropy(s, taken, 1/float64(count))
	return plan.FromNumber(v), false, err
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

// topkScore is a number of each voxel that increases with its cross-entropy: the element, or
// for two channels without weights the logit of the other class minus that of its own, which
// takes no exponential.
type topkScore[T float32 | float64] struct {
	class    []uint8 // the ignored are left out
	voxels   int     // of a sample
	elements []T
	logits   []T // in place of elements
	kernels  cpu.Backend
	infinite atomic.Bool // whether a candidate's is +∞
}

func newTopkScore[T float32 | float64](s *topkSum, m *topkScratch[T]) (*topkScore[T], error) {
	score := &topkScore[T]{class: m.class, voxels: s.batch.V, kernels: s.kernels}
	focal := s.described.Focal
	if s.batch.C == 2 && s.batch.VoxelWeight == nil && focal.Smoothing == 0 &&
		focal.Pos[0] == 1 && focal.Pos[1] == 1 && focal.First == 0 && unsafe.Sizeof(T(0)) == 4 {
		score.logits = s.batch.Logits.Data().([]T)
		return score, nil
	}
	m.elements = cpu.Grow(m.elements, len(m.class))
	e := tensor.New(tensor.WithShape(s.batch.N, s.batch.V), tensor.WithBacking(m.elements))
	p := s.described.Plan(&s.batch, nil)
	if _, err := s.kernels.Gradient(&s.batch, p, &plan.Output{Elements: e}); err != nil {
		return nil, public(err)
	}
	score.elements = m.elements
	return score, nil
}

// of returns the score of a voxel.
func (s *topkScore[T]) of(at int) T {
	if s.elements != nil {
		return s.elements[at]
	}
	sample, i := at/s.voxels, at%s.voxels
	x := s.logits[2*sample*s.voxels:][:2*s.voxels]
	if s.class[at] == 1 {
		return x[i] - x[s.voxels+i]
	}
	return x[s.voxels+i] - x[i]
}

// candidates stores the voxels [lo,hi) whose score is not below a bound, and returns how
// many.
func (s *topkScore[T]) candidates(lo, hi int, bound T, dst []selection.Item[T]) (n int) {
	if s.elements != nil {
		n = candidatesByElement(s.elements[lo:hi], s.class[lo:hi], lo, bound, dst)
	}
	var words [64]uint64
	for lo < hi && s.elements == nil {
		sample, i := lo/s.voxels, lo%s.voxels
		width := min(hi-lo, s.voxels-i, 64*len(words))
		x := any(s.logits).([]float32)[2*sample*s.voxels:]
		x0, x1, class := x[i:][:width], x[s.voxels+i:][:width], s.class[lo:][:width]
		s.kernels.PackMargins(words[:], x0, x1, class, -float32(bound))
		for w, word := range words[:(width+63)/64] {
			for ; word != 0; word &= word - 1 {
				at := 64*w + bits.TrailingZeros64(word)
				d := x1[at] - x0[at]
				if class[at] == 1 {
					d = -d
				}
				dst[n] = selection.Item[T]{Value: T(d), At: uint32(lo + at)}
				n++
			}
		}
		lo += width
	}
	for i := range dst[:n] {
		if dst[i].Value > largest[T]() {
			s.infinite.Store(true)
			break
		}
	}
	return n
}

func candidatesByElement[T float32 | float64](elements []T, class []uint8, first int, bound T, dst []selection.Item[T]) (n int) {
	class = class[:len(elements)]
	for i, e := range elements {
		dst[n] = selection.Item[T]{Value: e, At: uint32(first + i)} // in any case, which takes no branch at random
		if class[i] != kernel.NoClass && !(e < bound) {
			n++
		}
	}
	return n
}

// largest returns the largest finite number.
func largest[T float32 | float64]() T {
	if unsafe.Sizeof(T(0)) == 4 {
		return math.MaxFloat32
	}
	most := math.MaxFloat64
	return T(most)
}

// bound returns a number that most likely a share of the voxels reach, and not many more.
func (s *topkScore[T]) bound(share float64) T {
	const samples = 2048
	step := len(s.class) / samples
	if step < 8 {
		return T(math.Inf(-1))
	}
	sample := make([]T, 0, samples)
	for i := range samples {
		// Not at equal distances, which may be those of a pattern.
		at := i*step + int(uint32(i)*0x9e3779b1>>8)%step
		if s.class[at] != kernel.NoClass {
			sample = append(sample, s.of(at))
		}
	}
	return selection.Bound(sample, share)
}

// topkScratch is the memory of an evaluation, which another uses again.
type topkScratch[T float32 | float64] struct {
	class        []uint8
	elements     []T
	selector     selection.Selector[T]
	logits, grad []T // of the selected voxels
	rows         []int
	selected     []uint8
	weight32     []float32
	weight64     []float64
	pool         *sync.Pool
}

var topkPools [2]sync.Pool

func topkMemory[T float32 | float64]() *topkScratch[T] {
	pool := &topkPools[unsafe.Sizeof(T(0))/8]
	if m, ok := pool.Get().(*topkScratch[T]); ok {
		return m
	}
	return &topkScratch[T]{pool: pool}
}

func (m *topkScratch[T]) release() { m.pool.Put(m) }

// selectLargest returns the voxels of the n largest scores, in ascending order. Among equal
// ones it takes the first. There are valid voxels that are not left out.
func (m *topkScratch[T]) selectLargest(s *topkScore[T], n, valid int) []uint32 {
	if n == 0 {
		return nil
	}
	all := len(s.class)
	size := max(all/(4*runtime.GOMAXPROCS(0)), 1<<13)
	bound := s.bound(float64(n) / float64(valid))
	for {
		taken := m.selector.Largest(n, (all+size-1)/size, size, func(part int, dst []selection.Item[T]) int {
			return s.candidates(part*size, min((part+1)*size, all), bound, dst)
		})
		if taken != nil {
			return taken
		}
		bound = T(math.Inf(-1)) // too few reached it
	}
}

// crossEntropy returns the sum of the cross-entropy of some voxels, times scale, and stores
// the gradient at them.
func (m *topkScratch[T]) crossEntropy(s *topkSum, taken []uint32, scale float64) (float64, error) {
	if len(taken) == 0 {
		return 0, nil
	}
	n, c, voxels := len(taken), s.batch.C, s.batch.V
	m.logits, m.selected = cpu.Grow(m.logits, c*n), cpu.Grow(m.selected, n)
	batch := plan.Batch{N: 1, C: c, V: n, Space: [3]int{1, 1, n},
		Logits: tensor.New(tensor.WithShape(1, c, n), tensor.WithBacking(m.logits)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, n), tensor.WithBacking(m.selected)), Argument: "target"}}
	x := s.batch.Logits.Data().([]T)
	const part = 1 << 12
	eachTaken := func(f func(lo int, taken []uint32)) {
		parallel.Each((n+part-1)/part, func(i int) { f(i*part, taken[i*part:min((i+1)*part, n)]) })
	}
	// rows stores where channel 0 of each voxel is.
	m.rows = cpu.Grow(m.rows, n)
	eachTaken(func(lo int, taken []uint32) {
		before, end := 0, 0 // of the logits of a sample, behind its voxels
		for i, at := range taken {
			if int(at) >= end { // seldom, as voxels ascend
				sample := int(at) / voxels
				before, end = sample*(c-1)*voxels, (sample+1)*voxels
			}
			m.rows[lo+i] = int(at) + before
			m.selected[lo+i] = m.class[at]
		}
		for ch := range c {
			dst, x := m.logits[ch*n+lo:][:len(taken)], x[ch*voxels:]
			for i, row := range m.rows[lo:][:len(taken)] {
				dst[i] = x[row]
			}
		}
	})
	if s.batch.VoxelWeight != nil {
		batch.VoxelWeight = m.gatherWeights(s.batch.VoxelWeight, taken)
	}
	focal := *s.described.Focal
	focal.Scale = scale
	p := (&plan.Loss{Focal: &focal}).Plan(&batch, nil)
	if s.grad == nil {
		sums, err := s.kernels.Reduce(&batch, p, nil, nil)
		if err != nil {
			return 0, public(err)
		}
		return scale * sums.Pointwise, nil
	}
	m.grad = cpu.Grow(m.grad, c*n)
	p.Pointwise.Scale *= s.cfg.GradScale // not in the sums
	sums, err := s.kernels.Gradient(&batch, p, &plan.Output{Grad: tensor.New(tensor.WithShape(1, c, n), tensor.WithBacking(m.grad))})
	if err != nil {
		return 0, public(err)
	}
	g := s.grad.Data().([]T)
	eachTaken(func(lo int, taken []uint32) {
		for ch := range c {
			d, g := m.grad[ch*n+lo:][:len(taken)], g[ch*voxels:]
			for i, row := range m.rows[lo:][:len(taken)] {
				g[row] = d[i]
			}
		}
	})
	return scale * sums.Pointwise, nil
}

// gatherWeights returns the weights of some voxels.
func (m *topkScratch[T]) gatherWeights(w *tensor.Dense, taken []uint32) *tensor.Dense {
	shape := tensor.WithShape(1, len(taken))
	if from, ok := w.Data().([]float32); ok {
		m.weight32 = gathered(m.weight32, from, taken)
		return tensor.New(shape, tensor.WithBacking(m.weight32))
	}
	m.weight64 = gathered(m.weight64, w.Data().([]float64), taken)
	return tensor.New(shape, tensor.WithBacking(m.weight64))
}

func gathered[T any](dst, from []T, at []uint32) []T {
	dst = cpu.Grow(dst, len(at))
	for i, a := range at {
		dst[i] = from[a]
	}
	return dst
}
