package cpu

import (
	"math"
	"unsafe"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// streamFrom is the size of a gradient in bytes from which it is written with
// non-temporal stores: it would evict everything else from the caches.
const streamFrom = 16 << 20

// float32Pass is a pass by float32 kernels.
type float32Pass struct {
	*batch
	kernels      *kernels
	labels       *labelReader // nil for a target of maps
	maps         *mapReader   // nil for class indices
	weight       []float32    // nil if every voxel weighs 1
	x, grad      []float32
	upstream     []float32 // nil for ones; of elements by channel
	variant      kernel.Variant
	sums         []kernel.Sum // of the variant
	first        int          // sigmoid: channels below it take no part and have gradient 0
	elementsFrom int          // the first channel that has elements
	coef         []logisticCoef
	softmax      bool // three or more channels by softmax
	softmaxCoef  []softmaxCoef
	above        *aboveFilter[float32]
	limits       [2]float32 // of above
}

// newFloat32Pass returns nil for a pass that row kernels compute. That depends on the
// call alone, never on the machine, as does whether a chunk is left to them.
func newFloat32Pass(b *batch, k *kernels, p *plan.Plan, out *plan.Output, sums bool) *float32Pass {
	x, ok := b.logits.([]float32)
	if !ok || out.Elements != nil {
		return nil
	}
	var upstream []float32
	if out.Upstream != nil {
		upstream, ok = out.Upstream.Data().([]float32)
		if !ok || !sums || p.Pointwise != nil && p.Pointwise.PerVoxel {
			return nil
		}
	}
	if out.Grad == nil && p.Overlap != nil && !sums {
		return nil
	}
	w, o := p.Pointwise, p.Overlap
	f := &float32Pass{batch: b, kernels: k, labels: newLabelReader(b, k), x: x, upstream: upstream}
	if b.VoxelWeight != nil {
		if f.weight, f.variant.Weighted = b.weight.([]float32); f.weight == nil {
			return nil
		}
	}
	if b.Target.Dense && b.C < noClass {
		f.maps = newMapReader(b, k)
	}
	if f.labels == nil && f.maps == nil {
		return nil
	}
	if out.Grad != nil {
		f.grad = out.Grad.Data().([]float32)
		f.variant.Grad = !sums
	}
	activation := plan.None
	if w != nil {
		activation = w.Activation
		f.first, f.elementsFrom = w.First, w.First
	}
	if o != nil {
		if w != nil && o.Activation != w.Activation {
			return nil
		}
		activation = o.Activation
		if w == nil || o.First < f.first {
			f.first = o.First
		}
		f.variant.Overlap = true
	}
	switch {
	case activation == plan.Sigmoid:
	case activation == plan.Softmax && b.C > 1:
		if w != nil && (w.Smoothing != 0 || w.SoftmaxFrom != 0) {
			return nil
		}
		f.first = 0
		f.variant.Pair = b.C == 2
		f.softmax = b.C > 2
		if f.softmax && f.weight != nil {
			return nil
		}
	default:
		return nil
	}
	if w != nil {
		f.variant.Exponent = exponentOf(w, b.N, b.C)
	}
	// Caching σ(−|x|) saves the second pass an exponential and a division and costs the
	// first a write per voxel. For a pair it also saves a read of the logits; for one
	// channel it does not, and pays only if the gradient's memory stays in the processor's
	// cache. Both passes must have been given that memory.
	f.variant.Cached = f.grad != nil && p.Overlap != nil && !f.softmax &&
		(f.variant.Grad == out.Reduced) && (f.variant.Pair || 4*len(f.grad) < streamFrom)
	f.sums = f.variant.Sums()
	f.coef = make([]logisticCoef, b.N*b.C)
	for i := range f.coef {
		f.coef[i] = coefOf(p, out, b.C, i)
		if f.maps != nil {
			f.coef[i].class = 1 // the map's ones
		}
	}
	if f.softmax {
		f.softmaxCoef = make([]softmaxCoef, len(f.coef))
		for i, k := range f.coef {
			f.softmaxCoef[i] = softmaxCoef{class: uint32(i % b.C), pos: k.pos, grad: -k.gradPos, gamma: k.gammaPos,
				plain: k.plain, coefPos: k.coefPos, coefNeg: k.coefNeg, slope: k.slope}
		}
	}
	return f
}

// exponentOf returns the form of the power that suits every sample and channel.
func exponentOf(w *plan.Pointwise, n, c int) kernel.Exponent {
	gamma := w.Gamma[w.First]
	for i := range n * c {
		if i%c >= w.First && w.Gamma[i] != gamma {
			return kernel.GammaAny
		}
	}
	switch gamma {
	case 0:
		return kernel.GammaZero
	case 2:
		return kernel.GammaTwo
	}
	return kernel.GammaAny
}

// coefOf returns the constants of channel i%c of sample i/c.
func coefOf(p *plan.Plan, out *plan.Output, c, i int) logisticCoef {
	ch := i % c
	k := logisticCoef{class: uint32(ch), plain: 1}
	if c == 1 {
		k.class = 1
	}
	pair := ch == 1 && c == 2 // of two channels by sigmoid its constants are not used
	if w := p.Pointwise; w != nil && ch >= w.First {
		pos, neg, gammaNeg := w.Pos[i]*w.CE[ch], w.Neg[i], w.Gamma[i]
		if w.Activation == plan.Softmax {
			// Voxels that are negative for channel 1 are positive for channel 0.
			pos, neg = w.Pos[i], 0
			if pair && w.First == 0 {
				neg, gammaNeg = w.Pos[i-1], w.Gamma[i-1]
			}
		}
		k.pos, k.neg = float32(pos), float32(neg)
		k.gradPos, k.gradNeg = float32(-w.Scale*pos), float32(w.Scale*neg)
		k.gammaPos, k.gammaNeg = float32(w.Gamma[i]), float32(gammaNeg)
	}
	if o := p.Overlap; o != nil {
		if o.Squared {
			k.plain = 0
		}
		if out.CoefT != nil {
			k.coefPos, k.coefNeg, k.slope = overlapCoef(o, out, i)
			if pair {
				k.coefPos0, k.coefNeg0, k.slope0 = overlapCoef(o, out, i-1)
			}
		}
	}
	return k
}

// overlapCoef returns the derivative of the overlap term with respect to p, which is
// pos + slope·p for positive voxels and neg + slope·p for negative ones.
func overlapCoef(o *plan.Overlap, out *plan.Output, i int) (pos, neg, slope float32) {
	t, p := out.CoefT[i], out.CoefP[i]
	if o.Squared {
		return float32(t), 0, float32(2 * p)
	}
	return float32(t + p), float32(p), 0
}

// stripScratch is scratch memory for the float32 kernels.
type stripScratch struct {
	y     [stripVoxels]uint8
	class []int32
	acc   []float64 // sums of each lane
	maps  chunkMaps
	// The voxel weights are in the scratch memory of the kernel, those of the last voxels
	// in one of their own.
	weights rowArgs[float32]
	rest    []float32
	// The last voxels of a chunk that do not fill a block.
	x0, x1, g0, g1 [block]float32
	buf            []float32 // scratch memory of the kernel
	// The same for the softmax kernels.
	sums, e, xs, gs []float32
	above           aboveScratch
	elements        [stripVoxels]float32
}

// allocate makes the scratch memory of the logistic kernels.
func (s *stripScratch) allocate() {
	if s.buf == nil {
		s.buf, s.rest = alignedFloats(kernel.LogisticBuffer), alignedFloats(kernel.LogisticBuffer)
	}
}

// softmaxChunk is chunk for three or more channels by softmax.
func (f *float32Pass) softmaxChunk(ch chunk, acc []float64, s *stripScratch) (ok bool, err error) {
	rows := 1 + 3*f.C
	s.sums, s.acc = Grow(s.sums, rows*lanes), Grow(s.acc, rows*lanes)
	s.xs, s.gs = Grow(s.xs, f.C*block), Grow(s.gs, f.C*block)
	clear(s.acc)
	if len(s.e) < kernel.SoftmaxBuffer(f.C) {
		s.e = alignedFloats(kernel.SoftmaxBuffer(f.C))
	}
	stream := f.variant.Grad && 4*len(f.grad) >= streamFrom
	if stream {
		defer f.kernels.fence()
	}
	k := f.softmaxCoef[ch.n*f.C : (ch.n+1)*f.C]
	base := ch.n * f.C * f.V
	for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
		hi := min(lo+stripVoxels, ch.hi)
		switch {
		case f.maps != nil:
			s.maps.classes(s.y[:], lo-ch.lo, hi-lo)
		default:
			if err := f.labels.read(ch.n, lo, hi, s.y[:], &s.class); err != nil {
				return false, err
			}
		}
		for i := hi - lo; i%block != 0; i++ {
			s.y[i] = noClass
		}
		clear(s.sums)
		whole := (hi - lo) / block * block
		turn := stripVoxels
		if f.above != nil {
			turn = kernel.Part
		}
		for at := 0; at < whole; at += turn {
			n := min(turn, whole-at)
			x, g := f.x[base+lo+at:base+f.C*f.V], f.grad
			if g != nil {
				g = g[base+lo+at : base+f.C*f.V]
			}
			f.kernels.softmax(f.variant, x, g, f.V, s.y[at:at+n], s.sums, k, s.e, stream)
			if f.above != nil {
				copy(s.elements[at:], s.e[:n])
			}
		}
		if rest := lo + whole; rest < hi {
			for c := range f.C {
				copy(s.xs[c*block:(c+1)*block], f.x[base+c*f.V+rest:base+c*f.V+hi])
			}
			f.kernels.softmax(f.variant, s.xs, s.gs, block, s.y[whole:whole+block], s.sums, k, s.e, false)
			if f.variant.Grad {
				for c := range f.C {
					copy(f.grad[base+c*f.V+rest:base+c*f.V+hi], s.gs[c*block:])
				}
			}
			if f.above != nil {
				copy(s.elements[whole:], s.e[:block])
			}
		}
		if n := (hi - lo + block - 1) / block * block; f.above != nil && !f.above.list(ch, ch.n*f.V+lo, hi-lo, s.y[:n], s.elements[:n], &f.limits, &s.above) {
			return false, nil
		}
		for i, sum := range s.sums {
			s.acc[i] += float64(sum)
		}
	}
	for c := f.elementsFrom; c < f.C; c++ {
		acc[1+3*f.C+c] = f.upstreamTotal(ch, c)
	}
	row := func(i int) float64 { return sumLanes(s.acc[i*lanes:][:lanes]) }
	acc[0] = row(0)
	for c := range f.C {
		acc[1+c], acc[1+f.C+c], acc[1+2*f.C+c] = row(1+3*c), row(2+3*c), row(3+3*c)
	}
	return !math.IsNaN(acc[0]) && !math.IsInf(acc[0], 0), nil
}

// chunk computes one chunk and adds its sums to acc, in the layout of pass. It returns
// ok = false for a chunk that is left to the row kernels: where a sum exceeds the range
// of float32 or a product with a weight could, where a weight is invalid, and where the
// maps are not zeros and ones, by softmax a single one for each voxel.
func (f *float32Pass) chunk(ch chunk, acc []float64, s *stripScratch) (ok bool, err error) {
	if f.maps != nil && !s.maps.read(f.maps, ch, f.softmax || f.variant.Pair) {
		return false, nil
	}
	if f.softmax {
		return f.softmaxChunk(ch, acc, s)
	}
	units, from := f.C, f.first
	if f.variant.Pair {
		units, from = 1, 0
	}
	const width = kernel.Sums * lanes
	s.acc = Grow(s.acc, units*width)
	clear(s.acc)
	s.allocate()
	stream := (f.variant.Grad || f.variant.Cached) && 4*len(f.grad) >= streamFrom
	if stream {
		defer f.kernels.fence()
	}
	for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
		hi := min(lo+stripVoxels, ch.hi)
		whole := lo + (hi-lo)/block*block
		if f.weight != nil && !f.readWeights(ch.n, lo, whole, hi, s) {
			return false, nil
		}
		if f.maps == nil {
			if err := f.labels.read(ch.n, lo, hi, s.y[:], &s.class); err != nil {
				return false, err
			}
		}
		for u := range units {
			c := u
			if f.variant.Pair {
				c = 1
			}
			k := &f.coef[ch.n*f.C+c]
			x1, g1 := f.rows(ch.n, c, lo, hi)
			if u < from {
				if f.variant.Grad {
					clear(g1)
				}
				continue
			}
			var x0, g0 []float32
			if f.variant.Pair {
				x0, g0 = f.rows(ch.n, 0, lo, hi)
			}
			if f.maps != nil {
				s.maps.ones(f.kernels, s.y[:], c, lo-ch.lo, hi-lo)
			}
			for i := hi - lo; i%block != 0; i++ {
				s.y[i] = noClass
			}
			a := s.acc[u*width : (u+1)*width]
			f.kernels.logistic(f.variant, x0, x1, g0, g1, s.y[:whole-lo], a, k, s.buf, stream)
			if whole < hi {
				rest := whole - lo
				copy(s.x0[:], tail(x0, rest))
				copy(s.x1[:], tail(x1, rest))
				// The intermediates that the first pass cached, and not what another call
				// left in the scratch memory.
				clear(s.g1[copy(s.g1[:], tail(g1, rest)):])
				f.kernels.logistic(f.variant, s.x0[:], s.x1[:], s.g0[:], s.g1[:], s.y[rest:rest+block], a, k, s.rest, false)
				if f.variant.Grad {
					copy(tail(g0, rest), s.g0[:])
				}
				if f.variant.Grad || f.variant.Cached {
					copy(tail(g1, rest), s.g1[:])
				}
			}
			if f.above != nil && !f.listStrip(ch, lo, whole, hi, s) {
				return false, nil
			}
		}
	}
	for c := f.elementsFrom; c < f.C; c++ {
		acc[1+3*f.C+c] = f.upstreamTotal(ch, c)
	}
	for u := from; u < units; u++ {
		a := s.acc[u*width:]
		var total [kernel.Sums]float64
		for _, i := range f.sums {
			total[i] = sumLanes(a[int(i)*lanes:][:lanes])
		}
		if v := total[kernel.SumPointwise]; math.IsNaN(v) || math.IsInf(v, 0) {
			return false, nil
		}
		acc[0] += total[kernel.SumPointwise]
		c := u
		if f.variant.Pair {
			c = 1
			acc[1], acc[1+f.C], acc[1+2*f.C] = total[kernel.SumI0], total[kernel.SumP0], total[kernel.SumG0]
		}
		acc[1+c], acc[1+f.C+c], acc[1+2*f.C+c] = total[kernel.SumI], total[kernel.SumP], total[kernel.SumG]
	}
	return true, nil
}

// upstreamTotal is the sum of the upstream gradient of a channel's elements in a chunk.
func (f *float32Pass) upstreamTotal(ch chunk, c int) float64 {
	if f.upstream == nil {
		return float64(ch.hi - ch.lo)
	}
	var total [sumLanes64]float64
	at := (ch.n*(f.C-f.elementsFrom) + c - f.elementsFrom) * f.V
	f.kernels.sumMap(f.upstream[at+ch.lo:at+ch.hi], &total) // whatever its range
	return sumLanes(total[:])
}

// readWeights copies the weights of voxels [lo,whole), whole blocks, and [whole,hi) of
// sample n to scratch memory. It returns false if one is invalid, or such that products
// with it may leave the range of float32.
func (f *float32Pass) readWeights(n, lo, whole, hi int, s *stripScratch) bool {
	a := &s.weights
	a.flags = 0
	run := func(dst, src []float32) {
		a.row[kernel.ArgX], a.row[kernel.ArgWeight] = src, dst
		f.kernels.rows32[kernel.RowWeight](a, len(src))
	}
	for at := lo; at < whole; at += kernel.Tile {
		src := f.weight[n*f.V+at : n*f.V+min(at+kernel.Tile, whole)]
		run(s.buf[kernel.LogisticWeights+at-lo:][:len(src)], src)
	}
	if whole < hi {
		last := s.rest[kernel.LogisticWeights:][:block]
		clear(last[copy(last, f.weight[n*f.V+whole:n*f.V+hi]):])
		run(last, last)
	}
	a.row = [kernel.RowArgs][]float32{} // keeps no tensor alive
	return a.flags == 0
}

// rows returns the logits and the gradient of voxels [lo,hi) of a channel.
func (f *float32Pass) rows(n, c, lo, hi int) (x, g []float32) {
	at := (n*f.C + c) * f.V
	if f.grad != nil {
		g = f.grad[at+lo : at+hi]
	}
	return f.x[at+lo : at+hi], g
}

// aligned reports whether p is the start of a cache line, which non-temporal stores
// require.
func aligned(p *float32) bool { return uintptr(unsafe.Pointer(p))%cacheLine == 0 }

const cacheLine = 64

// alignedFloats returns n numbers from the start of a cache line: a load or store of
// a vector that straddles two lines takes twice as long.
func alignedFloats(n int) []float32 {
	s := make([]float32, n+cacheLine/4)
	for len(s) > n && !aligned(&s[0]) {
		s = s[1:]
	}
	return s[:n:n]
}

// tail is s[from:], or nil of nil.
func tail[T any](s []T, from int) []T {
	if s == nil {
		return nil
	}
	return s[from:]
}

// sumLanes sums lanes as a tree, adding lanes that are half as many apart, then a
// quarter and so on. It overwrites them.
func sumLanes(a []float64) float64 {
	for d := len(a) / 2; d > 0; d /= 2 {
		for i := range d {
			a[i] += a[i+d]
		}
	}
	return a[0]
}
