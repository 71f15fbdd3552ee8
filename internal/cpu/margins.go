package cpu

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// Margins is a pass of the softmax cross-entropy of two channels of float32 logits, without
// weights, over the voxels with a large margin: the logit of the other class minus that of
// their own, with which the cross-entropy increases.
type Margins struct {
	Batch *plan.Batch
	Plan  *plan.Plan
	// Voxels whose margin is above High take part in the sum and the gradient. The others have
	// gradient 0, and of these the voxels whose margin is not below Low are listed.
	Low, High float32
	Grad      *tensor.Dense // or nil
	// Listed receives, by chunk of consecutive voxels, the margins of the voxels from Low to
	// High. The position is twice the index of the voxel plus the class. Its memory is used
	// again.
	Listed [][]selection.Item[float32]
}

// MarginSums are the results of a pass.
type MarginSums struct {
	Sum   float64 // of the cross-entropy of the voxels above High
	Above int     // their number
	// Finite reports whether all margins above Low, and the sum, are numbers in the range of
	// float32. The other results are not to be used otherwise.
	Finite bool
}

// Margins makes a pass.
func (k Backend) Margins(m *Margins) (MarginSums, error) {
	b := open(m.Batch)
	f := newFloat32Pass(b, k.kernels(), m.Plan, &plan.Output{Grad: m.Grad}, false)
	m.Listed = slices.Grow(m.Listed[:0], b.N*chunksPerSample(b.V))[:b.N*chunksPerSample(b.V)]
	f.margins = &marginFilter{Margins: m, above: make([]int, len(m.Listed))}
	sums, err := sumChunks(b.N, b.V, 1+4*b.C, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		m.Listed[ch.i] = m.Listed[ch.i][:0]
		ok, err := f.chunk(ch, acc, &s.strip)
		if !ok {
			f.margins.notFinite.Store(true)
		}
		return err
	})
	if err != nil {
		return MarginSums{}, err
	}
	r := MarginSums{Finite: !f.margins.notFinite.Load()}
	for _, n := range f.margins.above {
		r.Above += n
	}
	for n := range b.N {
		r.Sum += sums[n*(1+4*b.C)]
	}
	return r, nil
}

// marginFilter takes the voxels out of a float32Pass that are not above the limit.
type marginFilter struct {
	*Margins
	above     []int // by chunk
	notFinite atomic.Bool
}

// marginScratch is scratch memory of a marginFilter.
type marginScratch struct {
	above, within, none, ones [stripVoxels / 64]uint64
	found                     [stripVoxels + 3]uint16 // the voxels listed
	x0, x1                    [block]float32          // the last voxels of a chunk that do not fill a block
}

// filter lists voxels of a strip, whose first has the index at in the batch. Those that are
// not above the limit lose their class. It returns false if none is. class has whole blocks.
func (f *marginFilter) filter(k *kernels, chunk, at int, x0, x1 []float32, class []uint8, s *marginScratch) bool {
	words, whole := len(class)/64, len(x1)/64
	limits := [2]float32{f.Low, f.High}
	above, within, none, ones := s.above[:words], s.within[:words], s.none[:words], s.ones[:words]
	k.pack(none, class, noClass)
	k.pack(ones, class, 1)
	k.packMargins(above[:whole], within[:whole], x0, x1, class, &limits)
	if whole < words {
		copy(s.x0[:], x0[64*whole:])
		copy(s.x1[:], x1[64*whole:])
		k.packMargins(above[whole:], within[whole:], s.x0[:], s.x1[:], class[64*whole:], &limits)
	}
	kept, listed := 0, 0
	for w, a := range above {
		kept += bits.OnesCount64(a &^ none[w])
		within[w] &^= a | none[w]
		listed += bits.OnesCount64(within[w])
	}
	f.above[chunk] += kept
	if listed > 0 {
		f.list(chunk, listed, at, x0, x1, s)
	}
	return kept > 0
}

// list lists the n voxels of a strip whose bits are set.
func (f *marginFilter) list(chunk, n, at int, x0, x1 []float32, s *marginScratch) {
	positions(s.within[:(len(x1)+63)/64], 0, s.found[:], 0)
	list := slices.Grow(f.Listed[chunk], n)
	dst := list[len(list):][:n]
	finite := true
	x0 = x0[:len(x1)]
	for k, i := range s.found[:n] {
		class := uint32(s.ones[i/64%(stripVoxels/64)]>>(i%64)) & 1
		// The sign bit of the margin is flipped for class 1, as the kernels do.
		margin := math.Float32frombits(math.Float32bits(x1[i]-x0[i]) ^ class<<31)
		if !(margin <= math.MaxFloat32) {
			finite = false
		}
		dst[k] = selection.Item[float32]{Value: margin, At: 2*uint32(at+int(i)) + class}
	}
	f.Listed[chunk] = list[:len(list)+n]
	if !finite {
		f.notFinite.Store(true)
	}
}

// packMarginsGo sets the bits of the voxels whose margin is above a limit, and of those whose
// margin is not below another one, which are limits[1] and limits[0]. The margin is x1−x0, or
// for class 1 its negative. Voxels not above the limit lose their class. x0, x1 and class have
// 64 values for each word.
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
			} else {
				class[i] = noClass
			}
			if !(margin < limits[0]) {
				b |= 1 << i
			}
		}
		above[w], within[w] = a, b
	}
}

// keepAboveGo multiplies the values of dst by scale where the values of another slice are above
// a limit, and makes the others 0.
func keepAboveGo[T real](dst, of []T, limit, scale T) {
	for i, v := range of[:len(dst)] {
		if v > limit {
			dst[i] = T(dst[i] * scale)
		} else {
			dst[i] = 0
		}
	}
}

// KeepAbove multiplies the values of dst by scale where the values of another slice are above a
// limit, and makes the others 0.
func KeepAbove[T real](k Backend, dst, of []T, limit, scale T) {
	if narrow, ok := any(dst).([]float32); ok {
		k.kernels().keepAbove(narrow, any(of).([]float32), float32(limit), float32(scale))
		return
	}
	keepAboveGo(dst, of, limit, scale)
}

// ListAbove returns the sum of the values above high and their number. The positions of those
// that are not above it, and not below low, are stored in found, which is 3 longer than the
// values, and their number is returned.
func (k Backend) ListAbove(values []float32, low, high float32, found []uint16) (sum float64, above, listed int) {
	kernels := k.kernels()
	const words = stripVoxels / 64
	var isAbove, within [words]uint64
	var zeros, kept, last [stripVoxels]float32
	var class [stripVoxels]uint8
	var total [sumLanes64]float64
	for at := 0; at < len(values); at += stripVoxels {
		v := values[at:min(at+stripVoxels, len(values))]
		n := (len(v) + 63) / 64
		whole := v
		if len(v)%64 != 0 {
			copy(last[:], v)
			for i := len(v); i < 64*n; i++ {
				last[i] = float32(math.Inf(-1))
			}
			whole = last[:64*n]
		}
		kernels.packMargins(isAbove[:n], within[:n], zeros[:64*n], whole, class[:64*n], &[2]float32{low, high})
		if len(v)%64 != 0 { // not those beyond the end
			within[n-1] &= 1<<(len(v)%64) - 1
			isAbove[n-1] &= 1<<(len(v)%64) - 1
		}
		for w, a := range isAbove[:n] {
			above += bits.OnesCount64(a)
			within[w] &^= a
		}
		listed = positions(within[:n], at, found, listed)
		copy(kept[:], v)
		kernels.keepAbove(kept[:len(v)], v, high, 1)
		kernels.sumMap(kept[:len(v)], &total) // whatever its range
	}
	return sumLanes(total[:]), above, listed
}

// positions stores the positions of the bits that are set, plus first, behind the n that there
// are, and returns the number of all. It stores four at a time, which takes few branches at
// random, and so up to 3 more.
func positions(words []uint64, first int, found []uint16, n int) int {
	for w, word := range words {
		end := n + bits.OnesCount64(word)
		base := first + 64*w
		for ; n < end; n += 4 {
			next := found[n:][:4]
			next[0] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[1] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[2] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
			next[3] = uint16(base + bits.TrailingZeros64(word)&63)
			word &= word - 1
		}
		n = end
	}
	return n
}
