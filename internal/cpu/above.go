package cpu

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// Above is a pass of a pointwise term with one element per voxel over the voxels with a large
// element. T is the type of the logits.
type Above[T real] struct {
	Batch *plan.Batch
	// Plan has no overlap term and no smoothing of its own; Scale is a factor of the gradient
	// alone.
	Plan *plan.Plan
	// The sum is of the voxels whose element is above High. The gradient is that of the voxels
	// whose element is not below Low, and 0 for the others.
	Low, High T
	Grad      *tensor.Dense // or nil
	// Listed receives, by chunk of consecutive voxels, the elements from Low to High of the
	// voxels that are not ignored. The position is the index of the voxel in the batch. Its
	// memory is used again.
	Listed []selection.List[T]
	// elements, if not nil, receives all elements, and nothing is listed.
	elements []T
}

// AboveSums are the results of a pass.
type AboveSums struct {
	Sum   float64 // of the elements above High
	Above int     // their number
	// Finite reports whether all elements that are not below Low, and their sum, are numbers in
	// the range of T. The other results are not to be used otherwise.
	Finite bool
}

// PassAbove makes a pass.
func PassAbove[T real](k Backend, a *Above[T]) (AboveSums, error) {
	b, kernels := open(a.Batch), k.kernels()
	chunks := b.N * chunksPerSample(b.V)
	a.Listed = slices.Grow(a.Listed[:0], chunks)[:chunks]
	filter := &aboveFilter[T]{Above: a, kernels: kernels, counts: make([]int, chunks)}
	out := &plan.Output{Grad: a.Grad}
	fast := newFloat32Pass(b, kernels, a.Plan, out, false)
	if fast != nil && !fast.setAbove(filter) {
		fast = nil
	}
	var narrow *rowPass[float32]
	if isFloat32[T]() {
		narrow = newRowPassAbove[float32](b, kernels, &kernels.rows32, a.Plan, out, filter)
	}
	wide := sync.OnceValue(func() *rowPass[float64] {
		return newRowPassAbove[float64](b, kernels, &kernels.rows64, a.Plan, out, filter)
	})
	width := 1 + 4*b.C
	sums, err := sumChunks(b.N, b.V, width, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		if fast != nil {
			filter.restart(ch)
			if ok, err := fast.chunk(ch, acc, &s.strip); err != nil || ok {
				return err
			}
			clear(acc)
		}
		if narrow != nil {
			filter.restart(ch)
			if ok, err := narrow.chunk(ch, acc, &s.rows32); err != nil || ok {
				return err
			}
			clear(acc)
		}
		filter.restart(ch)
		ok, err := wide().chunk(ch, acc, &s.rows64)
		if !ok {
			filter.setNotFinite()
		}
		return err
	})
	if err != nil {
		return AboveSums{}, err
	}
	r := AboveSums{Finite: !filter.notFinite.Load()}
	for _, n := range filter.counts {
		r.Above += n
	}
	for n := range b.N {
		r.Sum += sums[n*width]
	}
	return r, nil
}

// aboveFilter lists voxels by their elements. T is the type of the logits.
type aboveFilter[T real] struct {
	*Above[T]
	kernels   *kernels
	counts    []int // by chunk: the voxels above High
	notFinite atomic.Bool
}

// aboveScratch is scratch memory of an aboveFilter.
type aboveScratch struct {
	above, within, none [stripVoxels / 64]uint64
	found               [stripVoxels + 3]uint16 // the voxels listed
}

// elementFilter is an [aboveFilter] of either type.
type elementFilter interface {
	limits() (low, high float64)
	setNotFinite()
}

func (f *aboveFilter[T]) limits() (low, high float64) { return float64(f.Low), float64(f.High) }

func (f *aboveFilter[T]) setNotFinite() { f.notFinite.Store(true) }

// restart removes what a chunk has listed.
func (f *aboveFilter[T]) restart(ch chunk) {
	list := &f.Listed[ch.i]
	list.Values, list.At, f.counts[ch.i] = list.Values[:0], list.At[:0], 0
}

// list lists and counts the n voxels of a strip, whose first has the index at in the batch. It
// returns false if the element of one that it lists is not finite. class and elements have whole
// blocks.
func (f *aboveFilter[T]) list(ch chunk, at, n int, class []uint8, elements []T, limits *[2]T, s *aboveScratch) (finite bool) {
	if f.elements != nil {
		copy(f.elements[at:], elements[:n])
		return true
	}
	words := len(elements) / 64
	above, within, none := s.above[:words], s.within[:words], s.none[:words]
	if f.Batch.Target.HasIgnore {
		f.kernels.pack(none, class, noClass)
	} else {
		clear(none)
	}
	if n%64 != 0 {
		none[words-1] |= math.MaxUint64 << (n % 64)
	}
	packAbove(f.kernels, above, within, elements, limits)
	listed := 0
	for w, a := range above {
		f.counts[ch.i] += bits.OnesCount64(a &^ none[w])
		within[w] &^= a | none[w]
		listed += bits.OnesCount64(within[w])
	}
	if listed == 0 {
		return true
	}
	positions(within, 0, s.found[:], 0)
	list := &f.Listed[ch.i]
	have := len(list.Values)
	list.Values, list.At = slices.Grow(list.Values, listed)[:have+listed], slices.Grow(list.At, listed)[:have+listed]
	values, positions := list.Values[have:], list.At[have:]
	var check T // NaN if an element is not finite
	for k, i := range s.found[:listed] {
		e := elements[i]
		check += e * 0
		values[k], positions[k] = e, uint32(at+int(i))
	}
	return check == 0
}

// setAbove makes a pass over the voxels with a large element of one over all. It returns false
// if there is no kernel for it.
func (f *float32Pass) setAbove(filter elementFilter) bool {
	narrow, ok := filter.(*aboveFilter[float32])
	if !ok || !f.variant.Pair && !f.softmax || f.variant.Exponent != kernel.GammaZero {
		return false
	}
	f.above, f.variant.Above = narrow, true
	f.limits = [2]float32{narrow.Low, narrow.High}
	for i := range f.coef {
		f.coef[i].low, f.coef[i].high = narrow.Low, narrow.High
	}
	for i := 0; i < len(f.softmaxCoef); i += f.C {
		setLimits(f.softmaxCoef[i:], narrow.Low, narrow.High)
	}
	return true
}

// listStrip lists voxels of strip [lo,hi), of which the elements from whole on are in the
// scratch memory of the last block.
func (f *float32Pass) listStrip(ch chunk, lo, whole, hi int, s *stripScratch) (finite bool) {
	elements := s.buf[kernel.Strip:][:(hi-lo+block-1)/block*block]
	copy(elements[whole-lo:], s.rest[kernel.Strip:])
	return f.above.list(ch, ch.n*f.V+lo, hi-lo, s.y[:len(elements)], elements, &f.limits, &s.above)
}

// newRowPassAbove is newRowPass for a pass over the voxels with a large element.
func newRowPassAbove[T real](b *batch, k *kernels, kernels *rowKernels[T], p *plan.Plan, out *plan.Output, filter elementFilter) *rowPass[T] {
	w := *p.Pointwise
	scale := w.Scale
	w.Scale = 1 // of the elements
	f := newRowPass(b, k, kernels, &plan.Plan{Pointwise: &w}, out, false)
	if f == nil || !isFactor[T](scale) {
		return nil
	}
	low, high := filter.limits()
	f.filter, f.all, f.gradScale = filter, k, T(scale)
	f.limits, f.aboveHigh = [2]T{T(low), T(high)}, NumberAfter(T(high))
	f.wantElements = true
	f.summed = append(f.summed, kernel.RowSumUpstream)
	return f
}

// filterTile lists voxels of the tile, adds up the elements of those above the limit and clears
// the gradient of those below the other one. It returns false if an element exceeds the range of
// T and T is float32.
func (t *rowTile[T]) filterTile() (ok bool) {
	var finite bool
	first := t.plan.Pointwise.First
	elements := rowOf(t.s.elements, first)[:t.processed]
	at, n, class := t.sample*t.V+t.lo, t.hi-t.lo, t.s.y[:t.processed]
	switch f := t.filter.(type) {
	case *aboveFilter[T]:
		finite = f.list(t.chunk, at, n, class, elements, &t.limits, &t.s.above)
	case *aboveFilter[float32]: // of float64 rows
		narrow, limits := t.s.narrow[:t.processed], [2]float32{f.Low, f.High}
		for i, e := range elements {
			narrow[i] = float32(e)
			elements[i] = T(narrow[i])
		}
		finite = f.list(t.chunk, at, n, class, narrow, &limits, &t.s.above)
	}
	if !finite {
		if isFloat32[T]() {
			return false
		}
		t.filter.setNotFinite()
	}
	if t.wantGrad {
		for c := range t.C {
			keepFrom(t.all, t.gradRow(c)[:t.processed], elements, &t.limits[0])
		}
	}
	if !math.IsInf(float64(t.limits[1]), 1) { // else there is none above it
		keepFrom(t.all, elements, elements, &t.aboveHigh)
		t.channel(first)
		t.s.args.row[kernel.ArgX] = elements
		t.run(kernel.RowTotal)
	}
	return true
}

// packAbove is [packAboveGo] by kernels.
func packAbove[T real](k *kernels, above, within []uint64, of []T, limits *[2]T) {
	switch of := any(of).(type) {
	case []float32:
		k.packAbove32(above, within, of, any(limits).(*[2]float32))
	case []float64:
		k.packAbove64(above, within, of, any(limits).(*[2]float64))
	}
}

// packAboveGo sets the bits of the values that are above limits[1], and of those that are not
// below limits[0], as NaN is. There are 64 values for each word.
func packAboveGo[T real](above, within []uint64, of []T, limits *[2]T) {
	for w := range above {
		var a, b uint64
		for i, v := range of[64*w:][:64] {
			if v > limits[1] {
				a |= 1 << i
			}
			if !(v < limits[0]) {
				b |= 1 << i
			}
		}
		above[w], within[w] = a, b
	}
}

// keepFrom is [keepFromGo] by kernels.
func keepFrom[T real](k *kernels, dst, of []T, limit *T) {
	switch dst := any(dst).(type) {
	case []float32:
		k.keepFrom32(dst, any(of).([]float32), any(limit).(*float32))
	case []float64:
		k.keepFrom64(dst, any(of).([]float64), any(limit).(*float64))
	}
}

// keepFromGo makes the values of dst 0 where those of another slice, which may be the same, are
// below a limit. They have whole blocks.
func keepFromGo[T real](dst, of []T, limit *T) {
	for i, v := range of[:len(dst)] {
		if v < *limit {
			dst[i] = 0
		}
	}
}
