package cpu

import (
	"math"
	"unsafe"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// rowPass is a pass by row kernels that compute in T.
type rowPass[T real] struct {
	*batch
	labels  *labelReader // nil for a target of maps, and if the classes do not fit a byte
	kernels *rowKernels[T]
	tile    func(v kernel.Variant, a *rowArgs[T], n int) // nil for row kernels
	terms   func(t *rowTile[T])                          // of a loss that is no plan, else nil
	// firstTiled is 1 if a tile kernel computes both channels of a pair, else 0.
	firstTiled int
	plan       *plan.Plan
	out        *plan.Output
	sums       bool

	// The slices of tensors with elements of T; nil for others, which are converted.
	x, grad, elements, upstream, weight, maps []T
	byteMaps                                  []uint8 // of maps of uint8 and bool

	wantGrad, wantElements bool
	gradient               any // the slices of the outputs, whatever their type
	values                 any
	given                  any // the upstream gradient
	coef                   []T // by sample and channel
	// By sample and channel: the kernel of the pointwise term, by its γ, and that kernel's
	// form of the power. Of a pair that of channel 1 is for both.
	focal    []kernel.Row
	exponent []kernel.Exponent
	summed   []int // the sums that the pass adds up

	// Of a pass over the voxels with a large element, see [Above].
	filter    elementFilter // nil for all voxels
	all       *kernels
	limits    [2]T
	aboveHigh T // the number after High
	gradScale T
}

// newRowPass returns nil if a constant of the loss is outside the range of T.
func newRowPass[T real](b *batch, k *kernels, kernels *rowKernels[T], p *plan.Plan, out *plan.Output, sums bool) *rowPass[T] {
	f := &rowPass[T]{batch: b, kernels: kernels, plan: p, out: out, sums: sums, labels: newLabelReader(b, k)}
	f.x, _ = b.logits.([]T)
	f.weight, _ = b.weight.([]T)
	if b.Target.Dense {
		switch s := b.target.(type) {
		case []uint8:
			f.byteMaps = s
		case []bool:
			f.byteMaps = bytesOf(s)
		case []T:
			f.maps = s
		}
	}
	if out.Grad != nil && !sums {
		f.wantGrad, f.gradient = true, out.Grad.Data()
		f.grad, _ = f.gradient.([]T)
	}
	if out.Elements != nil {
		f.wantElements, f.values = true, out.Elements.Data()
		f.elements, _ = f.values.([]T)
	}
	if out.Upstream != nil {
		f.given = out.Upstream.Data()
		f.upstream, _ = f.given.([]T)
	}
	if f.tiled() {
		f.tile, _ = any(k.tile).(func(v kernel.Variant, a *rowArgs[T], n int)) // nil for float64
	}
	if p.Pointwise != nil && f.tile == nil {
		f.summed = append(f.summed, kernel.RowSumPointwise)
	}
	if (f.wantGrad || f.wantElements) && f.tile == nil {
		f.summed = append(f.summed, kernel.RowSumCheck)
	}
	if p.Overlap != nil && sums && f.tile == nil {
		f.summed = append(f.summed, kernel.RowSumI, kernel.RowSumP, kernel.RowSumG)
	}
	if f.given != nil && sums {
		f.summed = append(f.summed, kernel.RowSumUpstream)
	}
	if !f.constants() {
		return nil
	}
	return f
}

// tiled reports whether tile kernels can compute the plan, all of it by one activation, which
// is the sigmoid or the softmax of two channels, and sets firstTiled.
func (f *rowPass[T]) tiled() bool {
	w, o := f.plan.Pointwise, f.plan.Overlap
	activation := plan.None
	switch {
	case w != nil && o != nil && w.Activation != o.Activation:
		return false
	case w != nil:
		activation = w.Activation
	case o != nil:
		activation = o.Activation
	}
	if activation == plan.Softmax && f.C == 2 && (w == nil || w.SoftmaxFrom == 0) {
		f.firstTiled = 1
		return true
	}
	return activation == plan.Sigmoid
}

// constants sets the constants of every sample and channel and returns whether all
// are in the range of T.
func (f *rowPass[T]) constants() bool {
	f.coef = make([]T, f.N*f.C*kernel.RowCoefs)
	f.focal = make([]kernel.Row, f.N*f.C)
	f.exponent = make([]kernel.Exponent, f.N*f.C)
	good := true
	for i := range f.N * f.C {
		coef, ch := f.coef[i*kernel.RowCoefs:(i+1)*kernel.RowCoefs], i%f.C
		set := func(at int, v float64) { good = setConstant(coef, at, v) && good }
		factor := func(at int, v float64) { good = setConstant(coef, at, v) && isFactor[T](v) && good }
		set(kernel.CoefChannel, float64(ch))
		if w := f.plan.Pointwise; w != nil && ch+1 == w.First && f.C == 2 {
			// Channel 0 of a pair has no elements; their factor 0 is not to meet an infinite power.
			set(kernel.CoefMinusGamma, -w.Gamma[i+1])
		}
		if w := f.plan.Pointwise; w != nil && ch >= w.First {
			factor(kernel.CoefPos, w.Pos[i])
			factor(kernel.CoefNeg, w.Neg[i])
			factor(kernel.CoefCE, w.CE[ch])
			set(kernel.CoefGamma, w.Gamma[i])
			set(kernel.CoefMinusGamma, -w.Gamma[i])
			set(kernel.CoefTwiceGamma, 2*w.Gamma[i])
			if !math.IsInf(w.Scale, 0) { // else no voxel takes part
				factor(kernel.CoefScale, w.Scale)
			}
			set(kernel.CoefTarget, w.Pos[i]*(1-w.Smoothing))
			set(kernel.CoefUniform, w.Pos[i]*w.Smoothing/float64(f.C))
			zero, two, general := kernel.RowFocalZero, kernel.RowFocalTwo, kernel.RowFocal
			switch {
			case w.Activation == plan.Softmax && f.C == 2 && w.SoftmaxFrom == 0:
				zero, two, general = kernel.RowPairFocalZero, kernel.RowPairFocalTwo, kernel.RowPairFocal
			case w.Activation == plan.Softmax:
				zero, two, general = kernel.RowSoftmaxFocalZero, kernel.RowSoftmaxFocalTwo, kernel.RowSoftmaxFocal
			}
			switch w.Gamma[i] {
			case 0:
				f.focal[i] = zero
			case 2:
				f.focal[i] = two
			default:
				f.focal[i] = general
			}
			if general == kernel.RowPairFocal && ch == 1 && w.First == 0 && f.focal[i-1] != f.focal[i] {
				f.focal[i] = general // suits both channels
			}
			f.exponent[i] = f.focal[i].Exponent()
		}
		if f.out.Offset != nil {
			set(kernel.CoefOffset, f.out.Offset[i])
		}
		if o := f.plan.Overlap; o != nil && ch >= o.First {
			square := 0.0
			if o.Squared {
				square = 1
			}
			set(kernel.CoefSquare, square)
			set(kernel.CoefLinear, 1-square)
			if f.out.CoefT != nil {
				set(kernel.CoefT, f.out.CoefT[i])
				set(kernel.CoefPlain, f.out.CoefP[i]*(1-square))
				set(kernel.CoefSlope, 2*f.out.CoefP[i]*square)
			}
		}
	}
	return good
}

// setConstant sets a constant and returns whether it is in the range of T.
func setConstant[T real](coef []T, at int, v float64) bool {
	coef[at] = T(v)
	return !math.IsInf(float64(coef[at]), 0) || math.IsInf(v, 0)
}

// isFactor reports whether products with v stay in the range of T.
func isFactor[T real](v float64) bool {
	return !isFloat32[T]() || v == 0 || math.Abs(v) >= kernel.SmallestWeight && math.Abs(v) <= kernel.LargestWeight
}

// rowScratch is scratch memory for row kernels.
type rowScratch[T real] struct {
	args rowArgs[T]
	// One row of kernel.Tile numbers for each channel.
	t, e, derivative, after, x, grad, elements, upstream []T
	m, weight                                            []T
	ones, lowest                                         []T // constant rows
	buf                                                  []T
	sums                                                 []T
	lanes                                                []float64
	target                                               [][]T // of each channel: its row of t, or its map in place
	soft, written                                        []bool
	field                                                [2][]T // rows of fields that are converted, padded or computed
	regions                                              regionRows[T]
	y                                                    [kernel.Tile]uint8
	class                                                []int32
	wide                                                 [kernel.Tile]float64
	narrow                                               [kernel.Tile]float32
	gradScale                                            []T // a constant row
	above                                                aboveScratch
}

func (s *rowScratch[T]) reserve(c int) {
	if s.ones == nil {
		for _, row := range []*[]T{&s.m, &s.weight, &s.ones, &s.lowest, &s.field[0], &s.field[1]} {
			*row = alignedOf[T](kernel.Tile)
		}
		for i := range s.ones {
			s.ones[i], s.lowest[i] = 1, T(math.Inf(-1))
		}
		s.buf = alignedOf[T](kernel.RowBuffer * kernel.Tile)
	}
	if len(s.t) < c*kernel.Tile {
		for _, row := range []*[]T{&s.t, &s.e, &s.derivative, &s.after, &s.x, &s.grad, &s.elements, &s.upstream} {
			*row = alignedOf[T](c * kernel.Tile)
		}
	}
	s.sums = Grow(s.sums, c*kernel.RowSums*lanesOf[T]())
	s.lanes = Grow(s.lanes, len(s.sums))
	s.target, s.soft, s.written = Grow(s.target, c), Grow(s.soft, c), Grow(s.written, c)
}

// alignedOf returns n numbers from the start of a cache line.
func alignedOf[T real](n int) []T {
	floats := alignedFloats(n * int(unsafe.Sizeof(T(0))) / 4)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(floats))), n)
}

// rowOf returns the row of channel c in scratch memory.
func rowOf[T real](s []T, c int) []T { return s[c*kernel.Tile:][:kernel.Tile] }

// tiles computes the tiles of a chunk and leaves the sums in s.lanes. It returns ok = false if
// an input is outside the range of T.
func (f *rowPass[T]) tiles(ch chunk, s *rowScratch[T]) (ok bool, err error) {
	s.reserve(f.C)
	defer func() { // keeps no tensor alive
		s.args.row = [kernel.RowArgs][]T{}
		clear(s.target)
	}()
	if f.filter != nil {
		if s.gradScale == nil {
			s.gradScale = alignedOf[T](kernel.Tile)
		}
		for i := range s.gradScale {
			s.gradScale[i] = f.gradScale
		}
	}
	lanes := lanesOf[T]()
	clear(s.lanes)
	clear(s.sums)
	for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
		hi := min(lo+stripVoxels, ch.hi)
		for at := lo; at < hi; at += kernel.Tile {
			t := rowTile[T]{f, s, ch, ch.n, at, min(at+kernel.Tile, hi), 0}
			if ok, err := t.compute(); err != nil || !ok {
				return false, err
			}
		}
		for _, i := range f.summed {
			for c := range f.C {
				at := (c*kernel.RowSums + i) * lanes
				from, to := s.sums[at:][:lanes], s.lanes[at:][:lanes]
				for i, v := range from {
					to[i] += float64(v)
				}
				clear(from)
			}
		}
	}
	return true, nil
}

// sum returns a sum of a channel, and whether it is finite.
func (s *rowScratch[T]) sum(c, i int) (v float64, finite bool) {
	lanes := lanesOf[T]()
	v = sumLanes(s.lanes[(c*kernel.RowSums+i)*lanes:][:lanes])
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// chunk computes one chunk and adds its sums to acc, in the layout of pass. It returns
// ok = false if a result exceeded the range of T.
func (f *rowPass[T]) chunk(ch chunk, acc []float64, s *rowScratch[T]) (ok bool, err error) {
	if ok, err := f.tiles(ch, s); err != nil || !ok {
		return false, err
	}
	first := f.C
	if f.plan.Pointwise != nil {
		first = f.plan.Pointwise.First
	}
	ok = true
	if f.filter != nil {
		acc[0], ok = s.sum(first, kernel.RowSumUpstream)
		return ok, nil
	}
	for c := range f.C {
		sum := func(i int) float64 {
			v, finite := s.sum(c, i)
			ok = ok && finite
			return v
		}
		acc[0] += sum(kernel.RowSumPointwise)
		acc[1+c], acc[1+f.C+c], acc[1+2*f.C+c] = sum(kernel.RowSumI), sum(kernel.RowSumP), sum(kernel.RowSumG)
		switch {
		case c < first:
		case f.given != nil:
			acc[1+3*f.C+c] = sum(kernel.RowSumUpstream)
		default:
			acc[1+3*f.C+c] = float64(ch.hi - ch.lo)
		}
		sum(kernel.RowSumCheck)
	}
	return ok, nil
}

// rowTile is voxels [lo,hi) of sample n.
type rowTile[T real] struct {
	*rowPass[T]
	s         *rowScratch[T]
	chunk     chunk
	sample    int
	lo, hi    int
	processed int // hi − lo rounded up to whole blocks
}

// padded reports whether the tile ends within a block. It is computed in scratch memory
// then, followed by voxels of weight 0.
func (t *rowTile[T]) padded() bool { return t.processed != t.hi-t.lo }

// run runs a kernel.
func (t *rowTile[T]) run(r kernel.Row) { t.kernels[r](&t.s.args, t.processed) }

// channel sets the arguments that depend on the channel alone.
func (t *rowTile[T]) channel(c int) {
	a, s, sums := &t.s.args, t.s, kernel.RowSums*lanesOf[T]()
	a.row[kernel.ArgX] = t.xRow(c)
	a.row[kernel.ArgTarget] = rowOf(s.t, c)
	a.row[kernel.ArgExp] = rowOf(s.e, c)
	a.row[kernel.ArgDerivative] = rowOf(s.derivative, c)
	a.row[kernel.ArgAfter] = rowOf(s.after, c)
	a.row[kernel.ArgSums] = s.sums[c*sums:][:sums]
	a.row[kernel.ArgCoefficients] = t.coef[(t.sample*t.C+c)*kernel.RowCoefs:][:kernel.RowCoefs]
	a.row[kernel.ArgLogistic] = s.buf[:3*kernel.Tile]
	a.row[kernel.ArgGrad], a.row[kernel.ArgElements] = nil, nil
	if t.wantGrad {
		a.row[kernel.ArgGrad] = t.gradRow(c)
	}
	a.add = 0
}

// buffer returns a row of the intermediates.
func (t *rowTile[T]) buffer(i int) []T { return t.s.buf[i*kernel.Tile:][:t.processed] }

func (t *rowTile[T]) xRow(c int) []T {
	if t.x != nil && !t.padded() {
		at := (t.sample*t.C + c) * t.V
		return t.x[at+t.lo : at+t.hi]
	}
	return rowOf(t.s.x, c)
}

func (t *rowTile[T]) gradRow(c int) []T {
	if t.grad != nil && !t.padded() {
		at := (t.sample*t.C + c) * t.V
		return t.grad[at+t.lo : at+t.hi]
	}
	return rowOf(t.s.grad, c)
}

// elementsOf returns the index of the element of a channel at the tile's first voxel,
// and the channel whose row in scratch memory has the elements.
func (t *rowTile[T]) elementsOf(c int) (at, row int) {
	w := t.plan.Pointwise
	if w.PerVoxel {
		return t.sample*t.V + t.lo, w.First
	}
	return (t.sample*(t.C-w.First)+c-w.First)*t.V + t.lo, c
}

func (t *rowTile[T]) elementRow(c int) []T {
	at, row := t.elementsOf(c)
	if t.elements != nil && !t.padded() {
		return t.elements[at:][:t.hi-t.lo]
	}
	return rowOf(t.s.elements, row)
}

func (t *rowTile[T]) upstreamRow(c int) []T {
	at, row := t.elementsOf(c)
	switch {
	case t.filter != nil:
		return t.s.gradScale
	case t.given == nil:
		return t.s.ones
	case t.upstream != nil && !t.padded():
		return t.upstream[at:][:t.hi-t.lo]
	}
	return rowOf(t.s.upstream, row)
}

// compute computes the tile. It returns ok = false if an input is outside the range
// of T.
func (t *rowTile[T]) compute() (ok bool, err error) {
	t.processed = (t.hi - t.lo + block - 1) / block * block
	t.s.args.row[kernel.ArgBuffer] = t.s.buf
	if ok, err := t.loadTarget(); err != nil || !ok {
		return false, err
	}
	if err := t.load(); err != nil {
		return false, err
	}
	clear(t.s.written)
	switch {
	case t.terms != nil:
		t.terms(t)
	case t.tile != nil:
		if err := t.tileTerms(); err != nil {
			return false, err
		}
	default:
		t.sigmoid()
		t.softmax()
	}
	if w := t.plan.Pointwise; w != nil && t.sums && t.given != nil {
		for c := w.First; c < t.C; c++ {
			t.channel(c)
			t.s.args.row[kernel.ArgX] = t.upstreamRow(c)
			t.run(kernel.RowTotal)
		}
	}
	if t.filter != nil && !t.filterTile() {
		return false, nil
	}
	t.store()
	return true, nil
}

// loadTarget reads weights and target.
func (t *rowTile[T]) loadTarget() (ok bool, err error) {
	s, a, n := t.s, &t.s.args, t.hi-t.lo
	weights := s.ones
	if t.VoxelWeight != nil {
		src := t.weight
		if src != nil && !t.padded() {
			src = src[t.sample*t.V+t.lo : t.sample*t.V+t.hi]
		} else {
			if err := voxelWeights(t.batch, t.sample, t.lo, t.hi, s.wide[:]); err != nil {
				return false, err
			}
			src = s.weight
			for i, v := range s.wide[:n] {
				src[i] = T(v)
				if isFloat32[T]() && v != 0 && !(v >= kernel.SmallestWeight && v <= kernel.LargestWeight) {
					return false, nil
				}
			}
			clear(src[n:])
		}
		a.row[kernel.ArgX], a.row[kernel.ArgWeight], a.flags = src, s.m, 0
		t.run(kernel.RowWeight)
		if a.flags&kernel.FlagBad != 0 {
			return false, voxelWeights(t.batch, t.sample, t.lo, t.hi, s.wide[:])
		}
		if isFloat32[T]() && a.flags&kernel.FlagSpecial != 0 {
			return false, nil
		}
		weights = s.m
	}
	clear(s.soft)
	for c := range t.C {
		s.target[c] = rowOf(s.t, c)
	}
	switch {
	case t.Target.Dense:
		if t.padded() && t.VoxelWeight == nil {
			clear(s.m[copy(s.m, s.ones[:n]):])
			weights = s.m
		}
		a.row[kernel.ArgWeight] = weights
		for c := range t.C {
			if t.inPlace(c) {
				at := (t.sample*t.C + c) * t.V
				s.target[c] = t.maps[at+t.lo : at+t.hi]
				continue
			}
			if err := t.loadMap(c); err != nil {
				return false, err
			}
		}
		return true, nil
	case t.labels != nil:
		if err := t.labels.read(t.sample, t.lo, t.hi, s.y[:], &s.class); err != nil {
			return false, err
		}
		for i := n; i < t.processed; i++ {
			s.y[i] = noClass
		}
	default:
		s.class = Grow(s.class, kernel.Tile)
		if err := classes(t.batch, t.sample, t.lo, t.hi, s.class); err != nil {
			return false, err
		}
		for i, y := range s.class[:n] {
			s.y[i] = 0
			if y == ignored {
				s.y[i] = noClass
			}
		}
		for i := n; i < t.processed; i++ {
			s.y[i], s.class[i] = noClass, ignored
		}
	}
	a.classes = s.y[:]
	if t.padded() || t.Target.HasIgnore {
		a.row[kernel.ArgX], a.row[kernel.ArgWeight] = weights, s.m
		t.run(kernel.RowValid)
		weights = s.m
	}
	a.row[kernel.ArgWeight] = weights
	if t.labels != nil && t.C == 2 {
		a.row[kernel.ArgTarget] = s.t[:2*kernel.Tile]
		t.run(kernel.RowPairClass)
		return true, nil
	}
	for c := range t.C {
		a.row[kernel.ArgTarget] = rowOf(s.t, c)
		class := c
		if t.C == 1 { // a single channel is the foreground
			class = 1
		}
		if t.labels != nil {
			a.class = uint64(class)
			t.run(kernel.RowClass)
			continue
		}
		row := rowOf(s.t, c)
		for i, y := range s.class[:t.processed] {
			row[i] = 0
			if int(y) == class {
				row[i] = 1
			}
		}
	}
	return true, nil
}

// inPlace reports whether a tile kernel reads, and checks, the map of channel c where it is.
func (t *rowTile[T]) inPlace(c int) bool {
	if t.tile == nil || t.maps == nil || t.padded() {
		return false
	}
	_, ok := t.tileVariant(max(c, t.firstTiled))
	return ok
}

// loadMap reads the target of channel c of a target of maps.
func (t *rowTile[T]) loadMap(c int) error {
	s, a, n := t.s, &t.s.args, t.hi-t.lo
	at := (t.sample*t.C+c)*t.V + t.lo
	a.row[kernel.ArgTarget], a.flags = rowOf(s.t, c), 0
	switch {
	case t.byteMaps != nil:
		a.classes = t.byteMaps[at : at+n]
		if t.padded() {
			clear(s.y[copy(s.y[:], a.classes):])
			a.classes = s.y[:]
		}
		a.class = 1
		t.run(kernel.RowClass)
	case t.maps != nil && !t.padded():
		a.row[kernel.ArgX] = t.maps[at : at+n]
		t.run(kernel.RowMap)
	default:
		if err := maps(t.batch, t.sample, c, t.lo, t.hi, s.wide[:]); err != nil {
			return err
		}
		row := rowOf(s.t, c)
		for i, v := range s.wide[:n] {
			row[i] = T(v)
			if v != 0 && v != 1 {
				s.soft[c] = true
			}
		}
		clear(row[n:])
		return nil
	}
	if a.flags&kernel.FlagBad != 0 {
		return maps(t.batch, t.sample, c, t.lo, t.hi, s.wide[:])
	}
	s.soft[c] = a.flags&kernel.FlagSpecial != 0
	return nil
}

// load copies what is converted or padded, and prepares the elements.
func (t *rowTile[T]) load() error {
	s, n := t.s, t.hi-t.lo
	convert := func(row []T, src any, at int) error {
		if same, ok := src.([]T); ok {
			copy(row, same[at:at+n])
		} else {
			if err := widenAny(src, at, s.wide[:n]); err != nil {
				return err
			}
			for i, v := range s.wide[:n] {
				row[i] = T(v)
			}
		}
		clear(row[n:])
		return nil
	}
	for c := range t.C {
		if t.x == nil || t.padded() {
			if err := convert(rowOf(s.x, c), t.logits, (t.sample*t.C+c)*t.V+t.lo); err != nil {
				return err
			}
		}
	}
	w := t.plan.Pointwise
	if w == nil {
		return nil
	}
	for c := w.First; c < t.C; c++ {
		at, row := t.elementsOf(c)
		if t.given != nil && (t.upstream == nil || t.padded()) {
			if err := convert(rowOf(s.upstream, row), t.given, at); err != nil {
				return err
			}
		}
		if t.wantElements && t.tile == nil {
			values := t.elementRow(c)[:t.processed]
			clear(values)
			if t.out.Offset != nil {
				offset := T(t.out.Offset[t.sample*t.C+c])
				for i := range values {
					values[i] = offset
				}
			}
		}
		if w.PerVoxel {
			break
		}
	}
	return nil
}

// inPointwise reports whether a channel takes part in the pointwise term.
func (t *rowTile[T]) inPointwise(c int, activation plan.Activation) bool {
	w := t.plan.Pointwise
	return w != nil && w.Activation == activation && c >= w.First
}

// inOverlap is the same for the overlap term, where this pass computes something of it.
func (t *rowTile[T]) inOverlap(c int, activation plan.Activation) bool {
	o := t.plan.Overlap
	return o != nil && o.Activation == activation && c >= o.First && (t.sums || t.wantGrad && t.out.CoefT != nil)
}

// pointwise runs the kernel of the pointwise term of channel c.
func (t *rowTile[T]) pointwise(c int) {
	a := &t.s.args
	a.row[kernel.ArgUpstream] = t.upstreamRow(c)
	if t.wantElements {
		a.row[kernel.ArgElements] = t.elementRow(c)
	}
	t.run(t.focal[t.sample*t.C+c])
}

// overlap runs the kernel of the overlap term, which by an activation without a
// pullback is the first or the second to write the gradient.
func (t *rowTile[T]) overlap(c int, sums, grad kernel.Row) {
	if t.sums {
		t.run(sums)
		return
	}
	t.s.args.add = 0
	if t.s.written[c] {
		t.s.args.add = 1
	}
	t.run(grad)
	t.s.written[c] = true
}

// tileTerms computes all terms by tile kernels.
func (t *rowTile[T]) tileTerms() error {
	for c := t.firstTiled; c < t.C; c++ {
		v, ok := t.tileVariant(c)
		if !ok {
			continue
		}
		t.s.args.flags = 0
		t.tileArgs(c, v)
		t.tile(v, &t.s.args, t.processed)
		if t.s.args.flags != 0 { // a map has values to clamp or to refuse
			for ch := range t.C {
				if ch != c && !v.Pair {
					continue
				}
				t.s.target[ch] = rowOf(t.s.t, ch)
				if err := t.loadMap(ch); err != nil {
					return err
				}
			}
			t.tileArgs(c, v)
			t.tile(v, &t.s.args, t.processed)
		}
		t.s.written[c] = t.wantGrad
	}
	return nil
}

// tileVariant returns the tile kernel of channel c, of a pair for both, and ok = false if
// this pass computes nothing of the channel.
func (t *rowTile[T]) tileVariant(c int) (v kernel.Variant, ok bool) {
	activation := plan.Sigmoid
	if t.firstTiled == 1 {
		activation, v.Pair = plan.Softmax, true
	}
	v.Overlap = t.inOverlap(c, activation)
	v.Grad = !v.Overlap || !t.sums
	if t.inPointwise(c, activation) {
		v.Exponent = t.exponent[t.sample*t.C+c]
	}
	return v, v.Overlap || v.Exponent != kernel.NoPointwise
}

// tileArgs sets the arguments of a tile kernel of channel c, but for the weights.
func (t *rowTile[T]) tileArgs(c int, v kernel.Variant) {
	t.channel(c)
	a, s := &t.s.args, t.s
	a.acc, a.hard = s.lanes[c*kernel.RowSums*lanes:], 1
	if t.Target.Dense && t.byteMaps == nil {
		a.hard = 0
	}
	a.row[kernel.ArgTarget] = s.target[c]
	a.row[kernel.ArgUpstream], a.row[kernel.ArgUpstream0], a.row[kernel.ArgElements0] = nil, nil, nil
	upstream := t.given != nil || t.filter != nil
	if v.Exponent != kernel.NoPointwise && upstream {
		a.row[kernel.ArgUpstream] = t.upstreamRow(c)
	}
	if v.Exponent != kernel.NoPointwise && t.wantElements {
		a.row[kernel.ArgElements] = t.elementRow(c)
	}
	if !v.Pair {
		return
	}
	a.row[kernel.ArgX0], a.row[kernel.ArgTarget0] = t.xRow(0), s.target[0]
	a.acc = s.lanes
	a.row[kernel.ArgCoefficients] = t.coef[t.sample*2*kernel.RowCoefs:][:2*kernel.RowCoefs]
	if t.wantGrad {
		a.row[kernel.ArgGrad0] = t.gradRow(0)
	}
	s.written[0] = t.wantGrad
	if w := t.plan.Pointwise; v.Exponent != kernel.NoPointwise && w.First == 0 {
		if upstream {
			a.row[kernel.ArgUpstream0] = t.upstreamRow(0)
		}
		if t.wantElements && !w.PerVoxel {
			a.row[kernel.ArgElements0] = t.elementRow(0)
		}
	}
}

// sigmoid computes the terms by sigmoid and by no activation.
func (t *rowTile[T]) sigmoid() {
	a := &t.s.args
	for c := range t.C {
		pointwise, overlap := t.inPointwise(c, plan.Sigmoid), t.inOverlap(c, plan.Sigmoid)
		if pointwise || overlap {
			t.channel(c)
			t.run(kernel.RowExp)
		}
		if pointwise {
			t.run(kernel.RowLog)
			focal := t.focal[t.sample*t.C+c]
			if focal != kernel.RowFocalZero && t.s.soft[c] {
				a.row[kernel.ArgLogistic] = t.s.buf[kernel.BufScaledExp*kernel.Tile:][:3*kernel.Tile]
				t.run(kernel.RowScaledExp)
				if focal == kernel.RowFocal { // RowFocalTwo needs no logarithm of it
					t.run(kernel.RowLog)
				}
			}
			if focal == kernel.RowFocal {
				t.run(kernel.RowPower)
			}
			t.pointwise(c)
			t.s.written[c] = true
		}
		if overlap {
			t.overlap(c, kernel.RowSumsSigmoid, kernel.RowGradSigmoid)
		}
		if t.inOverlap(c, plan.None) {
			t.channel(c)
			t.overlap(c, kernel.RowSumsNone, kernel.RowGradNone)
		}
	}
}

// softmax computes the terms by softmax.
func (t *rowTile[T]) softmax() {
	a, last := &t.s.args, t.C-1
	pointwise, overlap := t.inPointwise(last, plan.Softmax), t.inOverlap(last, plan.Softmax)
	from := 0
	if pointwise {
		from = t.plan.Pointwise.SoftmaxFrom
	}
	if t.C == 2 && from == 0 {
		t.pair(pointwise, overlap)
		return
	}
	if pointwise || overlap {
		t.exponentials(from)
	}
	if pointwise {
		for c := from; c < t.C; c++ {
			t.channel(c)
			if !t.wantGrad {
				a.row[kernel.ArgDerivative] = nil
			}
			if !t.inPointwise(c, plan.Softmax) {
				clear(a.row[kernel.ArgDerivative])
				continue
			}
			if t.focal[t.sample*t.C+c] == kernel.RowSoftmaxFocal {
				t.run(kernel.RowSoftmaxPower)
			}
			t.pointwise(c)
		}
	}
	together := pointwise && overlap && from == 0
	if pointwise && t.wantGrad && !together {
		t.pullback(from)
	}
	if !overlap {
		return
	}
	if pointwise && from != 0 {
		t.exponentials(0)
	}
	for c := range t.C {
		t.channel(c)
		switch {
		case t.inOverlap(c, plan.Softmax) && t.sums:
			t.run(kernel.RowSumsSoftmax)
		case t.inOverlap(c, plan.Softmax):
			if together {
				a.add = 1
			}
			t.run(kernel.RowGradSoftmax)
		case !together:
			clear(a.row[kernel.ArgDerivative])
		}
	}
	if !t.sums {
		t.pullback(0)
	}
}

// pair computes the terms by softmax of two channels.
func (t *rowTile[T]) pair(pointwise, overlap bool) {
	if !pointwise && !overlap {
		return
	}
	a, s := &t.s.args, t.s
	t.channel(1)
	a.row[kernel.ArgX0] = t.xRow(0)
	a.row[kernel.ArgTarget] = s.t[:2*kernel.Tile]
	a.row[kernel.ArgSums] = s.sums
	a.row[kernel.ArgCoefficients] = t.coef[t.sample*2*kernel.RowCoefs:][:2*kernel.RowCoefs]
	if t.wantGrad {
		a.row[kernel.ArgGrad0] = t.gradRow(0)
		if s.written[1] && !s.written[0] { // both are added to
			clear(t.gradRow(0)[:t.processed])
		}
	}
	t.run(kernel.RowDifference)
	a.row[kernel.ArgX] = s.buf[kernel.BufDifference*kernel.Tile:][:kernel.Tile]
	t.run(kernel.RowExp)
	if pointwise {
		t.run(kernel.RowLog)
		w := t.plan.Pointwise
		a.row[kernel.ArgUpstream], a.row[kernel.ArgUpstream0] = t.upstreamRow(1), s.ones
		a.row[kernel.ArgElements0] = nil
		if t.wantElements {
			a.row[kernel.ArgElements] = t.elementRow(1)
		}
		if w.First == 0 {
			a.row[kernel.ArgUpstream0] = t.upstreamRow(0)
			if t.wantElements {
				a.row[kernel.ArgElements0] = t.elementRow(0)
			}
		}
		focal := t.focal[t.sample*2+1]
		if focal == kernel.RowPairFocal {
			t.run(kernel.RowPairPower)
		}
		if s.written[1] { // by an overlap term of another activation
			a.add = 1
		}
		t.run(focal)
		s.written[0], s.written[1] = t.wantGrad, t.wantGrad
	}
	if overlap {
		t.overlap(1, kernel.RowPairSums, kernel.RowPairGrad)
		s.written[0] = t.wantGrad
	}
}

// exponentials computes the softmax over the channels from the given one.
func (t *rowTile[T]) exponentials(from int) {
	copy(t.buffer(kernel.BufLargest), t.s.lowest)
	clear(t.buffer(kernel.BufOthers))
	top := t.buffer(kernel.BufTop)
	clear(top)
	if from != 0 {
		for i := range top {
			top[i] = T(from)
		}
	}
	for _, r := range []kernel.Row{kernel.RowLargest, kernel.RowSoftmaxExp} {
		for c := from; c < t.C; c++ {
			t.channel(c)
			t.run(r)
		}
	}
	t.run(kernel.RowSoftmaxSum)
}

// pullback computes the gradient by the logits of the channels from the given one.
func (t *rowTile[T]) pullback(from int) {
	clear(t.buffer(kernel.BufRunning))
	for c := t.C - 1; c >= from; c-- {
		t.channel(c)
		t.run(kernel.RowAfter)
	}
	clear(t.buffer(kernel.BufRunning))
	for c := from; c < t.C; c++ {
		t.channel(c)
		if t.s.written[c] {
			t.s.args.add = 1
		}
		t.run(kernel.RowPullback)
		t.s.written[c] = true
	}
}

// store clears the gradient of channels that take no part, and copies outputs that
// are converted or padded.
func (t *rowTile[T]) store() {
	n := t.hi - t.lo
	copyTo := func(dst any, at int, row []T) {
		if same, ok := dst.([]T); ok {
			copy(same[at:at+n], row)
			return
		}
		for i, v := range row[:n] {
			t.s.wide[i] = float64(v)
		}
		StoreFloats(dst, at, t.s.wide[:n])
	}
	if t.wantGrad {
		for c := range t.C {
			row := t.gradRow(c)
			if !t.s.written[c] {
				clear(row[:t.processed])
			}
			if t.grad == nil || t.padded() {
				copyTo(t.gradient, (t.sample*t.C+c)*t.V+t.lo, row)
			}
		}
	}
	w := t.plan.Pointwise
	if !t.wantElements || t.filter != nil || t.elements != nil && !t.padded() {
		return
	}
	for c := w.First; c < t.C; c++ {
		at, row := t.elementsOf(c)
		copyTo(t.values, at, rowOf(t.s.elements, row))
		if w.PerVoxel {
			break
		}
	}
}
