package cpu

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// Margins are the two passes of the softmax cross-entropy of two channels of float32 logits,
// without weights, over the voxels with the largest margins: the logit of the other class minus
// that of their own. The cross-entropy is log(1+exp(margin)), and so increases with the margin.
type Margins struct {
	Batch *plan.Batch
	// The least margin of those selected lies between Low and High, and is probably near Middle.
	Low, Middle, High float32
	Grad              *tensor.Dense // or nil
	Scale             float64       // of the gradient
	// The margins from Low to High, by chunk of consecutive voxels, and their counts. A position
	// is twice the index of the voxel plus the class. The memory is used again.
	listed []selection.List[float32]
	total  int
	counts []selection.Counts[float32] // by goroutine, their sum in the first
	// Those of the listed that are in the same bucket as the least one selected.
	undecided []selection.List[float32]
	selector  selection.Selector[float32]
}

// MarginSums are the results of the first pass.
type MarginSums struct {
	Sum   float64 // of the cross-entropy of the voxels with a margin above Middle
	Above int     // number of voxels with a margin above High
	// Finite reports whether the sum, and all margins that are not below Low, are numbers in the
	// range of float32. The other results are not to be used otherwise.
	Finite bool
}

// Margins makes the first pass, which lists voxels and takes those with a margin above Middle.
func (k Backend) Margins(m *Margins) (MarginSums, error) {
	f := newMarginPass(m, k.kernels())
	n := f.N * chunksPerSample(f.V)
	m.listed, m.undecided = resized(m.listed, n), resized(m.undecided, n)
	sums, above := make([]float64, n), make([]int, n)
	workers := 0
	err := unitsOf(n, parallel.Forwards, func(s *scratch) {
		m.counts = resized(m.counts, workers+1)
		m.counts[workers].Reset(m.Low, m.High)
		s.margins.worker = workers
		workers++
	}, func(i int, s *scratch) (err error) {
		sums[i], above[i], err = f.chunk(chunkAt(i, f.V), s)
		return err
	})
	if err != nil {
		return MarginSums{}, err
	}
	for i := 1; i < workers; i++ {
		m.counts[0].Merge(&m.counts[i])
	}
	r := MarginSums{}
	m.total = 0
	for i := range n {
		r.Sum += sums[i]
		r.Above += above[i]
		m.total += len(m.listed[i].Values)
	}
	r.Finite = !f.notFinite.Load() && !math.IsNaN(r.Sum) && !math.IsInf(r.Sum, 0)
	return r, nil
}

// resized returns s with length n, and what it held.
func resized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// SelectMargins makes the second pass, which selects n voxels besides those with a margin above
// High, of equal ones the first: it takes those listed that are selected but have no margin above
// Middle, and undoes the first pass for those that have one and are not selected. It returns the
// sum of their cross-entropies, which is to be added to that of the first pass. ok is false, and
// nothing is done, where fewer voxels are listed.
func (k Backend) SelectMargins(m *Margins, n int) (sum float64, ok bool) {
	if n < 0 || n > m.total {
		return 0, false
	}
	f := newMarginPass(m, k.kernels())
	if n == 0 || n == m.total {
		cut, _ := m.selector.Cut(n, m.listed, m.Low, m.High)
		return f.cut(m.listed, cut), true
	}
	// Most are decided by the bucket of their margin.
	bracket, rest := m.counts[0].Bracket(n)
	sum = f.sum(len(m.listed), func(i int, s *scratch) float64 {
		list := &m.listed[i]
		taken := list.Split(bracket, m.Middle, &m.undecided[i])
		return f.correct(list, taken, s)
	})
	undecided := m.undecided
	if few := joined(undecided); few != nil {
		undecided = []selection.List[float32]{*few}
	}
	cut, _ := m.selector.Cut(rest, undecided, m.Low, m.High)
	return sum + f.cut(undecided, cut), true
}

// joined returns lists as one, or nil where a single goroutine would take too long for it.
func joined(lists []selection.List[float32]) *selection.List[float32] {
	n := 0
	for i := range lists {
		n += len(lists[i].Values)
	}
	if n > 1024 {
		return nil
	}
	all := &selection.List[float32]{Values: make([]float32, 0, n), At: make([]uint32, 0, n)}
	for i := range lists {
		all.Values, all.At = append(all.Values, lists[i].Values...), append(all.At, lists[i].At...)
	}
	return all
}

// marginPass is a pass by margins.
type marginPass struct {
	*Margins
	*batch
	kernels   *kernels
	labels    *labelReader
	x, g      []float32 // g is nil without a gradient
	variant   kernel.Variant
	coef      logisticCoef
	notFinite atomic.Bool // a margin not below Low
}

func newMarginPass(m *Margins, k *kernels) *marginPass {
	b := open(m.Batch)
	f := &marginPass{Margins: m, batch: b, kernels: k, labels: newLabelReader(b, k), x: b.logits.([]float32),
		variant: kernel.Variant{Exponent: kernel.GammaZero},
		coef:    logisticCoef{class: 1, pos: 1, neg: 1, gradPos: float32(-m.Scale), gradNeg: float32(m.Scale), plain: 1}}
	if m.Grad != nil {
		f.g, f.variant.Grad = m.Grad.Data().([]float32), true
	}
	return f
}

// marginSection is the number of voxels whose large margins are compressed before they are
// evaluated: enough to fill most blocks.
const marginSection = 2 * stripVoxels

// marginScratch is scratch memory of a marginPass.
type marginScratch struct {
	worker  int // whose counts these are
	pick    marginPick
	class   [marginSection]uint8
	indices []int32 // for labels that are no uint8
	// The last voxels of a chunk that do not fill a block, and their gradients.
	x0, x1, g0, g1 [block]float32
	above, ones    [marginSection / 64]uint64 // masks of the voxels above Middle, and of class 1
	slopes         [marginSection]float32     // derivatives by the margins
	negative       [stripVoxels]uint8         // zeros: classes of the margins
	acc            [kernel.Sums * lanes]float64
}

// sum returns the sum of what work returns for every i below n.
func (f *marginPass) sum(n int, work func(i int, s *scratch) float64) (total float64) {
	sums := make([]float64, n)
	_ = units(n, func(i int, s *scratch) error {
		sums[i] = work(i, s)
		return nil
	})
	for _, v := range sums {
		total += v
	}
	return total
}

// cut selects voxels of lists as [Backend.SelectMargins] does.
func (f *marginPass) cut(lists []selection.List[float32], cut selection.Cut) float64 {
	return f.sum(len(lists), func(i int, s *scratch) float64 {
		taken := lists[i].Differing(cut, i, f.Middle)
		return f.correct(&lists[i], taken, s)
	})
}

// chunk is the first pass of one chunk.
func (f *marginPass) chunk(ch chunk, all *scratch) (sum float64, above int, err error) {
	s, p := &all.margins, &all.margins.pick
	clear(s.acc[:])
	stream := 4*len(f.g) >= streamFrom
	if stream {
		defer f.kernels.fence()
	}
	list, counts := &f.listed[ch.i], &f.counts[s.worker]
	list.Values, list.At = list.Values[:0], list.At[:0]
	p.limits = [3]float32{f.Low, f.Middle, f.High}
	for lo := ch.lo; lo < ch.hi; lo += marginSection {
		hi := min(lo+marginSection, ch.hi)
		words, whole := (hi-lo+63)/64, (hi-lo)/64
		if err := f.labels.read(ch.n, lo, hi, s.class[:], &s.indices); err != nil {
			return 0, 0, err
		}
		for i := hi - lo; i < 64*words; i++ {
			s.class[i] = noClass
		}
		x0, x1, g0, g1 := f.rows(ch.n, lo, hi)
		first := 2 * uint32(ch.n*f.V+lo)
		p.nAbove, p.nListed = 0, 0
		f.kernels.pickMargins(p, s.above[:whole], s.ones[:whole], x0, x1, s.class[:64*whole], first)
		if whole < words {
			copy(s.x0[:], x0[64*whole:])
			copy(s.x1[:], x1[64*whole:])
			f.kernels.pickMargins(p, s.above[whole:words], s.ones[whole:words], s.x0[:], s.x1[:], s.class[64*whole:64*words], first+2*64*uint32(whole))
		}
		above += p.nAbove
		for _, v := range p.listed[:p.nListed] {
			above -= int(math.Float32bits(f.Middle-v) >> 31) // 1 if v is above Middle, without a branch at random
			if !(v >= -math.MaxFloat32 && v <= math.MaxFloat32) {
				f.notFinite.Store(true)
			}
		}
		counts.Add(p.listed[:p.nListed])
		list.Values = append(list.Values, p.listed[:p.nListed]...)
		list.At = append(list.At, p.at[:p.nListed]...)
		f.evaluate(p.above[:], p.nAbove, all)
		if f.g == nil {
			continue
		}
		n := f.kernels.spreadMargins(g0, g1, s.above[:whole], s.ones[:whole], s.slopes[:], stream)
		if whole < words {
			f.kernels.spreadMargins(s.g0[:], s.g1[:], s.above[whole:words], s.ones[whole:words], s.slopes[n:], false)
			copy(g0[64*whole:], s.g0[:])
			copy(g1[64*whole:], s.g1[:])
		}
	}
	return sumLanes(s.acc[kernel.SumPointwise*lanes:][:lanes]), above, nil
}

// rows returns the logits and the gradients of voxels [lo,hi) of a sample.
func (f *marginPass) rows(n, lo, hi int) (x0, x1, g0, g1 []float32) {
	at := 2 * n * f.V
	if f.g != nil {
		g0, g1 = f.g[at+lo:at+hi], f.g[at+f.V+lo:at+f.V+hi]
	}
	return f.x[at+lo : at+hi], f.x[at+f.V+lo : at+f.V+hi], g0, g1
}

// correct takes the voxels of a list, or undoes that, and returns what it adds to the sum of
// the cross-entropies.
func (f *marginPass) correct(list *selection.List[float32], taken bool, all *scratch) float64 {
	s := &all.margins
	clear(s.acc[:])
	sign, undo := 1.0, uint32(0)
	if !taken {
		sign, undo = -1, 1
	}
	for lo := 0; lo < len(list.Values); lo += marginSection {
		n := copy(s.pick.above[:marginSection], list.Values[lo:])
		f.evaluate(s.pick.above[:], n, all)
		if f.g == nil {
			continue
		}
		slopes := s.slopes[:n]
		for j, at := range list.At[lo:][:len(slopes)] {
			i := int(at / 2)
			if f.N > 1 {
				i += i / f.V * f.V
			}
			own := math.Float32frombits(math.Float32bits(slopes[j]) ^ (at^undo)<<31) // −slope for class 1
			// They are 0, or become 0. Unlike stores alone, loads of several cache lines overlap.
			f.g[i] -= own
			f.g[i+f.V] += own
		}
	}
	return sign * sumLanes(s.acc[kernel.SumPointwise*lanes:][:lanes])
}

// evaluate adds the cross-entropies of n margins to the lanes of the scratch memory and stores
// their derivatives in its slopes. Behind the margins there are as many numbers as make up
// whole blocks.
func (f *marginPass) evaluate(margins []float32, n int, all *scratch) {
	s := &all.margins
	all.strip.allocate()
	for at := 0; at < n; at += stripVoxels {
		size := min(n-at, stripVoxels)
		blocks := (size + block - 1) / block * block
		class := s.negative[:blocks]
		for i := range class[size:] {
			class[size+i] = noClass
		}
		var slopes []float32
		if f.g != nil {
			slopes = s.slopes[at:][:blocks]
		}
		f.kernels.logistic(f.variant, nil, margins[at:at+blocks], nil, slopes, class, s.acc[:], &f.coef, all.strip.buf, false)
		clear(class[size:])
	}
}

// compressSlack is the number of elements that a kernel may write behind those of a list.
const compressSlack = 15

// marginPick are the lists of large margins.
type marginPick struct {
	limits [3]float32                             // low, middle and high
	above  [marginSection + compressSlack]float32 // those above middle
	nAbove int
	// Those from low to high, and twice their index plus the class.
	listed  [marginSection + compressSlack]float32
	at      [marginSection + compressSlack]uint32
	nListed int
}

// pickMarginsBy returns the kernel that appends the margins of voxels that have a class to the
// lists, and stores the masks of those above the middle and of those of class 1. The margin is
// x1−x0, or for class 1 its negative. x0, x1 and class have 64 values for each mask; first is
// twice the index of the first voxel. It has the kernels pack and packMargins.
func pickMarginsBy(pack func(dst []uint64, src []uint8, class uint8), packMargins func(above, within []uint64, x0, x1 []float32, class []uint8, limits *[2]float32)) func(p *marginPick, masks, ones []uint64, x0, x1 []float32, class []uint8, first uint32) {
	return func(p *marginPick, masks, ones []uint64, x0, x1 []float32, class []uint8, first uint32) {
		var none, some [marginSection / 64]uint64
		var found [marginSection + 3]uint16
		words := len(masks)
		pack(none[:words], class, noClass)
		pack(ones, class, 1)
		packMargins(masks, some[:words], x0, x1, class, &[2]float32{p.limits[0], p.limits[1]})
		for w := range masks {
			masks[w] &^= none[w]
			some[w] = some[w]&^none[w] | masks[w]
		}
		above, listed, at := p.above[p.nAbove:], p.listed[p.nListed:], p.at[p.nListed:]
		high, nAbove, nListed := p.limits[2], 0, 0
		for _, i := range found[:positions(some[:words], 0, found[:], 0)] {
			class := uint32(ones[i/64]>>(i%64)) & 1
			// The sign bit is flipped for class 1, as the kernels do.
			margin := math.Float32frombits(math.Float32bits(x1[i]-x0[i]) ^ class<<31)
			above[nAbove] = margin
			nAbove += int(masks[i/64]>>(i%64)) & 1
			listed[nListed], at[nListed] = margin, first+2*uint32(i)+class
			if !(margin > high) {
				nListed++
			}
		}
		p.nAbove += nAbove
		p.nListed += nListed
	}
}

// spreadMarginsGo stores the gradients of two channels for the voxels whose bit is set in masks,
// and 0 for the others. slopes are the derivatives by their margins, in order; it returns how
// many they are. Voxels of class 1 have their bit set in ones.
func spreadMarginsGo(g0, g1 []float32, masks, ones []uint64, slopes []float32, _ bool) (n int) {
	for w, mask := range masks {
		g0, g1, one := g0[64*w:][:64], g1[64*w:][:64], ones[w]
		clear(g0)
		clear(g1)
		for ; mask != 0; mask &= mask - 1 {
			i := bits.TrailingZeros64(mask) & 63
			own := math.Float32bits(slopes[n]) ^ uint32(one>>i)<<31
			g0[i], g1[i] = math.Float32frombits(own^signBit), math.Float32frombits(own)
			n++
		}
	}
	return n
}

// packMarginsGo sets the bits of the voxels whose margin is above a limit, and of those whose
// margin is not below another one, which are limits[1] and limits[0]. The margin is x1−x0, or
// for class 1 its negative. x0, x1 and class have 64 values for each word.
func packMarginsGo(above, within []uint64, x0, x1 []float32, class []uint8, limits *[2]float32) {
	for w := range above {
		var a, b uint64
		x0, x1, class := x0[64*w:][:64], x1[64*w:][:64], class[64*w:][:64]
		for i, v := range x1 {
			margin := v - x0[i]
			if class[i] == 1 {
				margin = negated(margin)
			}
			if margin > limits[1] {
				a |= 1 << i
			}
			if !(margin < limits[0]) {
				b |= 1 << i
			}
		}
		above[w], within[w] = a, b
	}
}
