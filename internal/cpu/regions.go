package cpu

import (
	"math"
	"slices"
	"sort"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// Regions are regions of an image, in all of which the target is 1, and its background. The terms
// of a loss, by sigmoid, have factors of their own in each region. The background's are computed
// as those of any image. Those of the regions by the row kernels, in the type of the logits, on the
// voxels of the regions alone, which are gathered from each chunk while it is in the cache.
type Regions struct {
	// Batch is of one sample and one channel, and ignores the voxels of the regions.
	Batch *plan.Batch
	// Plan holds the terms, of which one may be nil.
	Plan *plan.Plan
	// Runs are those of the regions in raster order, each run's Label being that of its region
	// counted from 1.
	Runs []components.Run

	units []regionUnit // of each chunk, what the sums leave for the gradient
	sums  []RegionSums
	// The factors of the derivatives in each region.
	factors64 [][3]float64
	factors32 [][3]float32
}

// RegionSums are sums over the voxels of a region, each but their number under the voxel weights.
type RegionSums struct {
	Pointwise float64 // of the pointwise elements, without Scale
	I, P      float64 // of the overlap term: Σ p, and Σ p or Σ p²
	Weight    float64 // Σ 1
	Voxels    int
}

// Add adds the sums of other voxels.
func (a *RegionSums) Add(b RegionSums) {
	a.Pointwise += b.Pointwise
	a.I += b.I
	a.P += b.P
	a.Weight += b.Weight
	a.Voxels += b.Voxels
}

func (a *RegionSums) finite() bool {
	s := a.Pointwise + a.I + a.P + a.Weight
	return !math.IsNaN(s) && !math.IsInf(s, 0)
}

// RegionSlope holds the derivatives of a loss at a voxel of a region of weight 1: a factor of
// that of the pointwise element, and T + P, or T + 2·P·p if the overlap term squares its sums,
// by p.
type RegionSlope struct{ Pointwise, T, P float64 }

// regionUnit is what the regions have of a chunk.
type regionUnit struct {
	parts  []regionPart // of each region that has some
	pieces []regionPiece
	voxels int
	// The derivatives of the terms, a row of numbers for each factor of a RegionSlope that a
	// voxel needs, in float32 unless they exceed its range.
	narrow [3][]float32
	wide   [3][]float64
	isWide bool
}

// regionPart is what a unit has of a region.
type regionPart struct {
	region int
	RegionSums
}

// regionPiece is a run, or what the chunk has of it: n voxels from start on, of a part of the unit.
type regionPiece struct {
	start   int
	n, part int32
}

// ReduceRegions makes the first pass and returns the sums of the background and those of n regions.
// With a gradient to follow, scratch is where it will be stored. The sums are valid until the next
// call.
func (k Backend) ReduceRegions(r *Regions, n int, scratch *tensor.Dense) (background *plan.Sums, regions []RegionSums, err error) {
	pass := newRegionPass(k, r, n, scratch != nil)
	count := chunksPerSample(r.Batch.V)
	r.units = slices.Grow(r.units[:0], count)[:count] // keeps the memory of all units
	background, err = k.pass(r.Batch, r.Plan, &plan.Output{Grad: scratch}, true, pass.sumChunk)
	if err != nil {
		return nil, nil, err
	}
	r.sums = Grow(r.sums, n)
	regions = r.sums
	clear(regions)
	for i := range r.units {
		for j := range r.units[i].parts {
			part := &r.units[i].parts[j]
			regions[part.region].Add(part.RegionSums)
		}
	}
	return background, regions, nil
}

// RegionGradient makes the second pass, after ReduceRegions, and stores the gradient with respect
// to the logits: that of p in the background, and that of the slopes in the regions.
func (k Backend) RegionGradient(r *Regions, p *plan.Plan, out *plan.Output, slopes []RegionSlope) error {
	r.factors64, r.factors32 = Grow(r.factors64, len(slopes)), Grow(r.factors32, len(slopes))
	// A derivative of the pointwise term is at most this times the weight.
	limit := 1.0
	if w := r.Plan.Pointwise; w != nil {
		limit = w.Pos[0] * w.CE[0] * (1 + w.Gamma[0])
	}
	data, rows, fit := out.Grad.Data(), r.derivatives(), true
	for i := range slopes {
		wide, narrow := &r.factors64[i], &r.factors32[i]
		r.factors(&slopes[i], wide)
		for j, f := range wide[:rows] {
			narrow[j] = float32(f)
			fit = fit && isFactor[float32](f)
		}
		fit = fit && isFactor[float32](wide[0]*limit)
	}
	_, err := k.pass(r.Batch, p, out, false, func(ch chunk, s *scratch) error {
		u := &r.units[ch.i]
		switch dst := data.(type) {
		case []float32:
			switch {
			case u.isWide:
				storePieces(dst, u, u.wide[:rows], r.factors64)
			case fit:
				storePieces(dst, u, u.narrow[:rows], r.factors32)
			default:
				storePieces(dst, u, u.narrow[:rows], r.factors64)
			}
		case []float64:
			storePieces(dst, u, u.wide[:rows], r.factors64)
		}
		return nil
	})
	return err
}

// storePieces stores the sum of the rows times the factors of each region, in F.
func storePieces[S, T, F real](dst []S, u *regionUnit, rows [][]T, factors [][3]F) {
	if len(rows) == 2 { // the most frequent
		first := rows[0][:u.voxels]
		second := rows[1][:len(first)]
		at := 0
		for i := range u.pieces {
			piece := &u.pieces[i]
			f := &factors[u.parts[piece.part].region]
			a, b, to := f[0], f[1], piece.start-at
			// Most pieces are shorter than it takes to make slices of them.
			for end := at + int(piece.n); at < end; at++ {
				dst[to+at] = S(F(a*F(first[at])) + F(b*F(second[at])))
			}
		}
		return
	}
	at := 0
	for i := range u.pieces {
		piece := &u.pieces[i]
		f, to := &factors[u.parts[piece.part].region], dst[piece.start:][:piece.n]
		for k := range to {
			g := F(0)
			for j, row := range rows {
				g += F(f[j] * F(row[at+k]))
			}
			to[k] = S(g)
		}
		at += len(to)
	}
}

// derivatives is the number of rows of derivatives: of the pointwise term, and of Σ p or of Σ p
// and Σ p².
func (r *Regions) derivatives() int {
	n := 0
	if r.Plan.Pointwise != nil {
		n++
	}
	if r.Plan.Overlap != nil {
		n++
		if r.Plan.Overlap.Squared {
			n++
		}
	}
	return n
}

// factors stores a slope's factors of these rows.
func (r *Regions) factors(s *RegionSlope, f *[3]float64) {
	n := 0
	if r.Plan.Pointwise != nil {
		f[0] = s.Pointwise
		n = 1
	}
	if o := r.Plan.Overlap; o != nil {
		f[n] = s.T + s.P
		if o.Squared {
			f[n], f[n+1] = s.T, s.P
		}
	}
}

// regionPass is a pass.
type regionPass struct {
	*Regions
	*batch
	kernels  *kernels
	coef32   []float32 // nil if a constant is outside the range
	coef64   []float64
	focal    kernel.Row
	regions  int
	gradient bool // stores the derivatives
}

func newRegionPass(k Backend, r *Regions, n int, gradient bool) *regionPass {
	p := &regionPass{Regions: r, batch: &batch{Batch: r.Batch, logits: r.Batch.Logits.Data()}, kernels: k.kernels(), regions: n, gradient: gradient}
	if r.Batch.VoxelWeight != nil {
		p.weight = r.Batch.VoxelWeight.Data()
	}
	p.coef64, _ = regionConstants[float64](r)
	if _, narrow := p.logits.([]float32); narrow {
		var ok bool
		if p.coef32, ok = regionConstants[float32](r); !ok {
			p.coef32 = nil
		}
	}
	if w := r.Plan.Pointwise; w != nil {
		switch w.Gamma[0] {
		case 0:
			p.focal = kernel.RowFocalZero
		case 2:
			p.focal = kernel.RowFocalTwo
		default:
			p.focal = kernel.RowFocal
		}
	}
	return p
}

// regionConstants returns the constants of the kernels, and whether all are in the range of T.
func regionConstants[T real](r *Regions) (coef []T, good bool) {
	coef, good = make([]T, kernel.RowCoefs), true
	if w := r.Plan.Pointwise; w != nil {
		good = isFactor[T](w.Pos[0]) && isFactor[T](w.CE[0])
		coef[kernel.CoefPos], coef[kernel.CoefCE], coef[kernel.CoefScale] = T(w.Pos[0]), T(w.CE[0]), 1
		good = setConstant(coef, kernel.CoefGamma, w.Gamma[0]) && good
		good = setConstant(coef, kernel.CoefMinusGamma, -w.Gamma[0]) && good
	}
	square := 0
	if r.Plan.Overlap != nil && r.Plan.Overlap.Squared {
		square = 1
	}
	coef[kernel.CoefSquare], coef[kernel.CoefLinear] = T(square), T(1-square)
	return coef, good
}

// sumChunk computes the sums and the derivatives of the unit of a chunk.
func (p *regionPass) sumChunk(ch chunk, s *scratch) error {
	u := &p.units[ch.i]
	s.places = Grow(s.places, p.regions)
	u.divide(p.Runs, ch, s.places)
	if p.coef32 != nil {
		if ok, err := sumRegions(p, &p.kernels.rows32, p.coef32, u, &u.narrow, &s.rows32); ok || err != nil {
			u.isWide = false
			return err
		}
	}
	u.isWide = true
	_, err := sumRegions(p, &p.kernels.rows64, p.coef64, u, &u.wide, &s.rows64)
	return err
}

// divide finds the parts and pieces of a chunk. places are zeros, and are so afterwards.
func (u *regionUnit) divide(runs []components.Run, ch chunk, places []int32) {
	first := sort.Search(len(runs), func(i int) bool { return runs[i].End > ch.lo })
	runs = runs[first:]
	runs = runs[:sort.Search(len(runs), func(i int) bool { return runs[i].Start >= ch.hi })]
	u.parts, u.voxels = u.parts[:0], 0
	u.pieces = Grow(u.pieces, len(runs))
	pieces := u.pieces
	for i := range runs {
		run := &runs[i]
		place := places[run.Label-1] // counted from 1
		if place == 0 {
			place = u.add(run.Label-1, places)
		}
		pieces[i] = regionPiece{run.Start, int32(run.End - run.Start), place - 1}
	}
	if n := len(pieces); n > 0 { // the chunk may have a part of the first and last
		if cut := ch.lo - pieces[0].start; cut > 0 {
			pieces[0].start += cut
			pieces[0].n -= int32(cut)
		}
		last := &pieces[n-1]
		last.n = int32(min(last.start+int(last.n), ch.hi) - last.start)
	}
	for i := range pieces {
		u.voxels += int(pieces[i].n)
	}
	for i := range u.parts {
		places[u.parts[i].region] = 0
	}
}

// add adds a part and returns its place.
func (u *regionUnit) add(region int, places []int32) int32 {
	u.parts = append(u.parts, regionPart{region: region})
	places[region] = int32(len(u.parts))
	return places[region]
}

// regionRows are rows of scratch memory for the voxels of a unit.
type regionRows[T real] struct {
	x, weight, elements, hits, squares []T // hits and squares are the elements of I and P
	zeros, twos                        []T // constant rows of a tile
}

func (r *regionRows[T]) reserve(voxels int) {
	if r.zeros == nil {
		r.zeros, r.twos = alignedOf[T](kernel.Tile), alignedOf[T](kernel.Tile)
		for i := range r.twos {
			r.twos[i] = 2
		}
	}
	for _, row := range []*[]T{&r.x, &r.weight, &r.elements, &r.hits, &r.squares} {
		if len(*row) < voxels {
			*row = alignedOf[T](voxels)
		}
	}
}

// gatherRegions reads logits and weights. It returns ok = false if a weight is outside the range
// of T.
func gatherRegions[T real](p *regionPass, kernels *rowKernels[T], u *regionUnit, s *rowScratch[T]) (ok bool, err error) {
	r, processed := &s.regions, padded(u.voxels)
	gather(r.x, p.logits, u.pieces)
	clear(r.x[u.voxels:processed])
	clear(r.weight[u.voxels:processed])
	if p.weight == nil { // ones but for the last tile's padding
		last := u.voxels / kernel.Tile * kernel.Tile
		copy(r.weight[last:u.voxels], s.ones)
		return true, nil
	}
	gather(r.weight, p.weight, u.pieces)
	if isFloat32[T]() && !p.weightsFit(u) {
		return false, nil
	}
	a := &s.args
	a.flags = 0
	for lo := 0; lo < processed; lo += kernel.Tile {
		row := r.weight[lo:min(lo+kernel.Tile, processed)]
		a.row[kernel.ArgX], a.row[kernel.ArgWeight] = row, row
		kernels[kernel.RowWeight](a, len(row))
	}
	if a.flags&kernel.FlagBad != 0 {
		for _, piece := range u.pieces {
			for start, end := piece.start, piece.start+int(piece.n); start < end; start += kernel.Tile {
				if err := voxelWeights(p.batch, 0, start, min(start+kernel.Tile, end), s.wide[:]); err != nil {
					return false, err
				}
			}
		}
	}
	return a.flags&kernel.FlagBad == 0 && !(isFloat32[T]() && a.flags&kernel.FlagSpecial != 0), nil
}

// weightsFit reports whether float64 weights are 0 or in the range that float32 kernels take,
// which those of float32 are tested for when they are copied.
func (p *regionPass) weightsFit(u *regionUnit) bool {
	wide, ok := p.weight.([]float64)
	if !ok {
		return true
	}
	for _, piece := range u.pieces {
		for _, w := range wide[piece.start:][:piece.n] {
			if w != 0 && !isFactor[float32](w) {
				return false
			}
		}
	}
	return true
}

// gather copies the numbers of the voxels of pieces from a []float32 or []float64.
func gather[T real](dst []T, src any, pieces []regionPiece) {
	switch s := src.(type) {
	case []float32:
		gatherFrom(dst, s, pieces)
	case []float64:
		gatherFrom(dst, s, pieces)
	}
}

func gatherFrom[T, S real](dst []T, src []S, pieces []regionPiece) {
	at := 0
	for i := range pieces {
		from := pieces[i].start - at
		// Most pieces are shorter than it takes to make slices of them.
		for end := at + int(pieces[i].n); at < end; at++ {
			dst[at] = T(src[from+at])
		}
	}
}

// sumRegions computes a unit in T, whose derivatives go to rows. It returns ok = false if a number
// exceeded the range of T.
func sumRegions[T real](p *regionPass, kernels *rowKernels[T], coef []T, u *regionUnit, rows *[3][]T, s *rowScratch[T]) (ok bool, err error) {
	processed := padded(u.voxels)
	s.reserve(1)
	s.regions.reserve(processed)
	defer func() { s.args.row = [kernel.RowArgs][]T{} }() // keeps no tensor alive
	if ok, err := gatherRegions(p, kernels, u, s); !ok {
		return false, err
	}
	for i := range u.parts {
		u.parts[i].RegionSums = RegionSums{}
	}
	if p.gradient {
		for i := range p.derivatives() {
			rows[i] = Grow(rows[i], processed)
		}
	}
	uniform := len(u.parts) == 1
	if p.Plan.Pointwise != nil && !uniform {
		clear(s.regions.elements[:processed])
	}
	for lo := 0; lo < processed; lo += kernel.Tile {
		hi := min(lo+kernel.Tile, processed)
		var derivatives [3][]T
		if p.gradient {
			for i := range p.derivatives() {
				derivatives[i] = rows[i][lo:hi]
			}
		}
		computeRegions(p, kernels, coef, s, lo, hi, u.voxels, uniform, derivatives)
		if isFloat32[T]() && p.gradient && !checked(s.sums) {
			return false, nil
		}
		if uniform {
			addTile(p, s, &u.parts[0].RegionSums)
		}
	}
	if uniform {
		all := &u.parts[0]
		all.Voxels = u.voxels
		if p.weight != nil {
			all.Weight = total(s.regions.weight[:u.voxels])
		}
	} else {
		addPieces(p, u, &s.regions)
	}
	for i := range u.parts {
		part := &u.parts[i].RegionSums
		if p.weight == nil {
			part.Weight = float64(part.Voxels)
		}
		if o := p.Plan.Overlap; o != nil && !o.Squared {
			part.P = part.I
		}
		if isFloat32[T]() && !part.finite() {
			return false, nil
		}
	}
	return true, nil
}

// checked reports whether all derivatives of a tile are finite.
func checked[T real](sums []T) bool {
	lanes := lanesOf[T]()
	for _, v := range sums[kernel.RowSumCheck*lanes:][:lanes] {
		if v != 0 { // NaN
			return false
		}
	}
	return true
}

// computeRegions computes the elements of a tile, voxels [lo, hi) of so many of a unit and padding,
// or if it is uniform their sums, and the derivatives.
func computeRegions[T real](p *regionPass, kernels *rowKernels[T], coef []T, s *rowScratch[T], lo, hi, voxels int, uniform bool, derivatives [3][]T) {
	a, r, n, next := &s.args, &s.regions, hi-lo, 0
	derivative := func() {
		a.row[kernel.ArgGrad] = derivatives[next]
		next++
	}
	clear(s.sums)
	weight := r.weight[lo:hi]
	if p.weight == nil && hi <= voxels {
		weight = s.ones
	}
	a.row = [kernel.RowArgs][]T{
		kernel.ArgX: r.x[lo:hi], kernel.ArgWeight: weight, kernel.ArgTarget: s.ones, kernel.ArgUpstream: s.ones, kernel.ArgSums: s.sums,
		kernel.ArgCoefficients: coef, kernel.ArgBuffer: s.buf, kernel.ArgLogistic: s.buf[:3*kernel.Tile],
	}
	a.classes, a.add = nil, 0
	kernels[kernel.RowExp](a, n)
	if p.Plan.Pointwise != nil {
		if !uniform {
			a.row[kernel.ArgElements] = r.elements[lo:hi]
		}
		if p.gradient {
			derivative()
		}
		kernels[kernel.RowLog](a, n)
		if p.focal == kernel.RowFocal {
			kernels[kernel.RowPower](a, n)
		}
		kernels[p.focal](a, n)
	}
	if p.Plan.Overlap == nil {
		return
	}
	if p.gradient {
		derivative()
		a.row[kernel.ArgField], a.row[kernel.ArgField0] = s.ones, r.zeros
		kernels[kernel.RowOverlapGrad](a, n)
		if p.Plan.Overlap.Squared {
			derivative()
			a.row[kernel.ArgField], a.row[kernel.ArgField0] = r.zeros, r.twos
			kernels[kernel.RowOverlapGrad](a, n)
		}
	}
	if uniform {
		kernels[kernel.RowSumsSigmoid](a, n)
		return
	}
	squares := s.field[1] // not read again
	if p.Plan.Overlap.Squared {
		squares = r.squares[lo:hi]
	}
	a.row[kernel.ArgField], a.row[kernel.ArgField0] = r.hits[lo:hi], squares
	kernels[kernel.RowOverlapElements](a, n)
}

// addTile adds the sums of a uniform tile to those of the region.
func addTile[T real](p *regionPass, s *rowScratch[T], all *RegionSums) {
	lanes := lanesOf[T]()
	sum := func(i int) float64 { return total(s.sums[i*lanes:][:lanes]) }
	all.Pointwise += sum(kernel.RowSumPointwise)
	all.I += sum(kernel.RowSumI)
	if p.Plan.Overlap != nil && p.Plan.Overlap.Squared {
		all.P += sum(kernel.RowSumP)
	}
}

// shortPiece is the length up to which a piece is added up in its own type, number by number.
const shortPiece = 8

// addPieces adds the elements of a unit to the sums of its parts, but for P where it is I.
func addPieces[T real](p *regionPass, u *regionUnit, r *regionRows[T]) {
	pointwise, overlap := p.Plan.Pointwise != nil, p.Plan.Overlap != nil
	squared := overlap && p.Plan.Overlap.Squared
	if !squared && p.weight == nil && pointwise && overlap {
		addPairs(u.pieces, r.elements[:u.voxels], r.hits[:u.voxels], u.parts)
		return
	}
	at := 0
	for i := range u.pieces {
		part, n := &u.parts[u.pieces[i].part], int(u.pieces[i].n)
		part.Voxels += n
		if pointwise {
			part.Pointwise += total(r.elements[at:][:n])
		}
		if overlap {
			part.I += total(r.hits[at:][:n])
		}
		if squared {
			part.P += total(r.squares[at:][:n])
		}
		if p.weight != nil {
			part.Weight += total(r.weight[at:][:n])
		}
		at += n
	}
}

// addPairs adds elements to Pointwise and hits to I.
func addPairs[T real](pieces []regionPiece, elements, hits []T, parts []regionPart) {
	hits = hits[:len(elements)]
	at := 0
	for i := range pieces {
		part, n := &parts[pieces[i].part], int(pieces[i].n)
		part.Voxels += n
		if n > shortPiece {
			part.Pointwise += total(elements[at:][:n])
			part.I += total(hits[at:][:n])
			at += n
			continue
		}
		var a, b T
		for end := at + n; at < end; at++ {
			a += elements[at]
			b += hits[at]
		}
		part.Pointwise += float64(a)
		part.I += float64(b)
	}
}

// total adds up numbers, in four sums at a time.
func total[T real](row []T) float64 {
	var a, b, c, d float64
	for ; len(row) >= 4; row = row[4:] {
		a += float64(row[0])
		b += float64(row[1])
		c += float64(row[2])
		d += float64(row[3])
	}
	for _, v := range row {
		a += float64(v)
	}
	return (a + b) + (c + d)
}
