package cpu

import (
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

// Regions is a pass over regions of an image: of a batch of one sample and one channel, in all of
// whose regions the target is 1. The terms of its loss are by sigmoid, and have factors of their
// own in each region. It runs the row kernels, in the type of the logits, on the voxels of
// the regions alone, which it gathers.
type Regions struct {
	Batch *plan.Batch // its target is not read
	// Pointwise and Overlap are the terms, of which one may be nil.
	Pointwise *plan.Pointwise
	Overlap   *plan.Overlap
	// Runs are those of the regions, one region after the other, each run's Label being that of
	// its region counted from 1. Voxel says where the voxels of each run begin among
	// those of all regions, and their end.
	Runs  []components.Run
	Voxel []int
}

// RegionSums are sums over the voxels of a region, each under the voxel weights.
type RegionSums struct {
	Pointwise float64 // of the pointwise elements, without Scale
	I, P      float64 // of the overlap term: Σ p, and Σ p or Σ p²
	Weight    float64 // Σ 1
}

// Add adds the sums of other voxels.
func (a *RegionSums) Add(b RegionSums) {
	a.Pointwise += b.Pointwise
	a.I += b.I
	a.P += b.P
	a.Weight += b.Weight
}

func (a *RegionSums) finite() bool {
	s := a.Pointwise + a.I + a.P + a.Weight
	return !math.IsNaN(s) && !math.IsInf(s, 0)
}

// RegionSlope holds the derivatives of a loss at a voxel of a region of weight 1: a factor of
// that of the pointwise element, and T + P, or T + 2·P·p if the overlap term squares its sums,
// by p.
type RegionSlope struct{ Pointwise, T, P float64 }

// regionUnit is how many voxels a goroutine takes at a time.
const regionUnit = 8 * kernel.Tile

// RegionSums makes a pass and returns the sums of n regions.
func (k Backend) RegionSums(r *Regions, n int) ([]RegionSums, error) {
	// A unit adds to the sums of the regions that begin after its first voxel. Of the region of
	// that voxel it leaves the sums in heads.
	sums, heads := make([]RegionSums, n), make([]RegionSums, r.units())
	pass := newRegionPass(k, r)
	err := pass.each(func(unit int, t *regionTile, s *scratch) error {
		head := r.regionAt(unit * regionUnit)
		return pass.sum(t, s, func(region int, part RegionSums) {
			if region == head {
				heads[unit].Add(part)
			} else {
				sums[region].Add(part)
			}
		})
	})
	if err != nil {
		return nil, err
	}
	for unit, head := range heads {
		sums[r.regionAt(unit*regionUnit)].Add(head)
	}
	return sums, nil
}

// RegionGradient stores the gradient with respect to the logits at the voxels of the regions.
func (k Backend) RegionGradient(r *Regions, slopes []RegionSlope, grad *tensor.Dense) error {
	pass := newRegionPass(k, r)
	pass.slopes, pass.grad = slopes, grad.Data()
	return pass.each(func(_ int, t *regionTile, s *scratch) error { return pass.gradient(t, s) })
}

// voxels is the number of voxels of all regions.
func (r *Regions) voxels() int { return r.Voxel[len(r.Runs)] }

func (r *Regions) units() int { return (r.voxels() + regionUnit - 1) / regionUnit }

// runAt returns the run of a voxel among those of all regions.
func (r *Regions) runAt(voxel int) int {
	i, found := slices.BinarySearch(r.Voxel, voxel)
	if !found {
		i--
	}
	return i
}

func (r *Regions) regionAt(voxel int) int { return r.Runs[r.runAt(voxel)].Label - 1 }

// regionPass is a pass.
type regionPass struct {
	*Regions
	*batch
	kernels *kernels
	coef32  []float32 // nil if a constant is outside the range
	coef64  []float64
	focal   kernel.Row
	slopes  []RegionSlope // of a gradient
	grad    any
}

func newRegionPass(k Backend, r *Regions) *regionPass {
	p := &regionPass{Regions: r, batch: &batch{Batch: r.Batch, logits: r.Batch.Logits.Data()}, kernels: k.kernels()}
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
	if w := r.Pointwise; w != nil {
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
	if w := r.Pointwise; w != nil {
		good = isFactor[T](w.Pos[0]) && isFactor[T](w.CE[0])
		coef[kernel.CoefPos], coef[kernel.CoefCE], coef[kernel.CoefScale] = T(w.Pos[0]), T(w.CE[0]), 1
		good = setConstant(coef, kernel.CoefGamma, w.Gamma[0]) && good
		good = setConstant(coef, kernel.CoefMinusGamma, -w.Gamma[0]) && good
	}
	square := 0
	if r.Overlap != nil && r.Overlap.Squared {
		square = 1
	}
	coef[kernel.CoefSquare], coef[kernel.CoefLinear] = T(square), T(1-square)
	return coef, good
}

// regionTile is a range of voxels among those of all regions, at most kernel.Tile.
type regionTile struct {
	*Regions
	lo, hi    int
	run       int // of voxel lo
	processed int // hi − lo rounded up to whole blocks
}

// each calls f for every tile.
func (p *regionPass) each(f func(unit int, t *regionTile, s *scratch) error) error {
	return units(p.units(), func(unit int, s *scratch) error {
		defer s.releaseRegions()
		end := min((unit+1)*regionUnit, p.voxels())
		for lo := unit * regionUnit; lo < end; lo += kernel.Tile {
			t := &regionTile{Regions: p.Regions, lo: lo, hi: min(lo+kernel.Tile, end), run: p.runAt(lo)}
			t.processed = padded(t.hi - t.lo)
			if err := f(unit, t, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// releaseRegions lets go of the slices of tensors.
func (s *scratch) releaseRegions() {
	s.rows32.args.row = [kernel.RowArgs][]float32{}
	s.rows64.args.row = [kernel.RowArgs][]float64{}
}

// uniform reports whether all voxels are of one region.
func (t *regionTile) uniform() bool {
	return t.Runs[t.run].Label == t.Runs[t.runAt(t.hi-1)].Label
}

// has reports whether the tile has voxels of a run from its first one on.
func (t *regionTile) has(run int) bool { return run < len(t.Runs) && t.Voxel[run] < t.hi }

// part is what the tile has of a run: so many voxels of the image from start on.
func (t *regionTile) part(run int) (start, n int) {
	first := t.Voxel[run]
	lo, hi := max(first, t.lo), min(t.Voxel[run+1], t.hi)
	return t.Runs[run].Start + lo - first, hi - lo
}

// eachRegion calls f for voxels [lo, hi) of the tile of every region.
func (t *regionTile) eachRegion(f func(region, lo, hi int)) {
	for i := t.run; t.has(i); {
		label, lo := t.Runs[i].Label, t.Voxel[i]
		for i++; t.has(i) && t.Runs[i].Label == label; i++ {
		}
		f(label-1, max(lo, t.lo)-t.lo, min(t.Voxel[i], t.hi)-t.lo)
	}
}

// sum calls add with the sums of every region over its voxels in a tile.
func (p *regionPass) sum(t *regionTile, s *scratch, add func(region int, part RegionSums)) error {
	if p.coef32 != nil {
		if ok, err := sumRegions(p, &p.kernels.rows32, p.coef32, t, &s.rows32, add); ok || err != nil {
			return err
		}
	}
	_, err := sumRegions(p, &p.kernels.rows64, p.coef64, t, &s.rows64, add)
	return err
}

// gradient stores the gradient of a tile.
func (p *regionPass) gradient(t *regionTile, s *scratch) error {
	if p.coef32 != nil {
		if ok, err := storeRegionGradient(p, &p.kernels.rows32, p.coef32, t, &s.rows32); ok || err != nil {
			return err
		}
	}
	_, err := storeRegionGradient(p, &p.kernels.rows64, p.coef64, t, &s.rows64)
	return err
}

// gatherRegions reads logits and weights and sets the arguments of the kernels. It returns
// ok = false if a weight is outside the range of T.
func gatherRegions[T real](p *regionPass, kernels *rowKernels[T], coef []T, t *regionTile, s *rowScratch[T]) (ok bool, err error) {
	s.reserve(1)
	a := &s.args
	x, n := rowOf(s.x, 0), t.hi-t.lo
	gather(x, p.logits, t)
	clear(x[n:t.processed])
	weight := s.ones
	if p.weight != nil {
		weight = s.m
		a.row[kernel.ArgX], a.row[kernel.ArgWeight], a.flags = s.weight, weight, 0
		gather(s.weight, p.weight, t)
		if isFloat32[T]() && !p.weightsFit(t) {
			return false, nil
		}
		clear(s.weight[n:t.processed])
		kernels[kernel.RowWeight](a, t.processed)
		if a.flags&kernel.FlagBad != 0 {
			for i := t.run; t.has(i); i++ {
				start, n := t.part(i)
				if err := voxelWeights(p.batch, 0, start, start+n, s.wide[:]); err != nil {
					return false, err
				}
			}
			return false, nil
		}
		if isFloat32[T]() && a.flags&kernel.FlagSpecial != 0 {
			return false, nil
		}
	} else if n != t.processed {
		weight = s.m
		clear(weight[copy(weight, s.ones[:n]):t.processed])
	}
	clear(s.sums)
	a.row = [kernel.RowArgs][]T{
		kernel.ArgX: x, kernel.ArgWeight: weight, kernel.ArgTarget: s.ones, kernel.ArgUpstream: s.ones, kernel.ArgSums: s.sums,
		kernel.ArgCoefficients: coef, kernel.ArgBuffer: s.buf, kernel.ArgLogistic: s.buf[:3*kernel.Tile],
		kernel.ArgField: s.field[0], kernel.ArgField0: s.field[1],
	}
	a.classes, a.add = nil, 0
	kernels[kernel.RowExp](a, t.processed)
	return true, nil
}

// weightsFit reports whether float64 weights are 0 or in the range that float32 kernels take,
// which those of float32 are tested for when they are copied.
func (p *regionPass) weightsFit(t *regionTile) bool {
	wide, ok := p.weight.([]float64)
	if !ok {
		return true
	}
	for i := t.run; t.has(i); i++ {
		start, n := t.part(i)
		for _, w := range wide[start : start+n] {
			if w != 0 && !isFactor[float32](w) {
				return false
			}
		}
	}
	return true
}

// gather copies the numbers of a tile's voxels from a []float32 or []float64.
func gather[T real](dst []T, src any, t *regionTile) {
	switch s := src.(type) {
	case []float32:
		gatherFrom(dst, s, t)
	case []float64:
		gatherFrom(dst, s, t)
	}
}

func gatherFrom[T, S real](dst []T, src []S, t *regionTile) {
	at := 0
	for i := t.run; t.has(i); i++ {
		start, n := t.part(i)
		convert(dst[at:at+n], src[start:start+n])
		at += n
	}
}

// scatterTo is the opposite.
func scatterTo[T, S real](dst []S, src []T, t *regionTile) {
	at := 0
	for i := t.run; t.has(i); i++ {
		start, n := t.part(i)
		convert(dst[start:start+n], src[at:at+n])
		at += n
	}
}

// convert copies numbers; most runs are short.
func convert[T, S real](dst []T, src []S) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = T(v)
	}
}

// sumRegions returns ok = false, having added nothing, if a sum exceeded the range of T.
func sumRegions[T real](p *regionPass, kernels *rowKernels[T], coef []T, t *regionTile, s *rowScratch[T], add func(region int, part RegionSums)) (ok bool, err error) {
	if ok, err := gatherRegions(p, kernels, coef, t, s); !ok {
		return false, err
	}
	a, uniform := &s.args, t.uniform()
	elements := rowOf(s.elements, 0)
	if p.Pointwise != nil {
		if !uniform {
			clear(elements[:t.processed])
			a.row[kernel.ArgElements] = elements
		}
		kernels[kernel.RowLog](a, t.processed)
		if p.focal == kernel.RowFocal {
			kernels[kernel.RowPower](a, t.processed)
		}
		kernels[p.focal](a, t.processed)
	}
	weight := a.row[kernel.ArgWeight]
	s.regions = s.regions[:0]
	if uniform {
		if p.Overlap != nil {
			kernels[kernel.RowSumsSigmoid](a, t.processed)
		}
		all := regionPart{region: t.Runs[t.run].Label - 1}
		lanes := lanesOf[T]()
		for i, sum := range []*float64{kernel.RowSumPointwise: &all.Pointwise, kernel.RowSumI: &all.I, kernel.RowSumP: &all.P} {
			*sum = total(s.sums[i*lanes:][:lanes])
		}
		all.Weight = float64(t.hi - t.lo)
		if p.weight != nil {
			all.Weight = total(weight[:t.hi-t.lo])
		}
		s.regions = append(s.regions, all)
	} else {
		if p.Overlap != nil {
			kernels[kernel.RowOverlapElements](a, t.processed)
		}
		t.eachRegion(func(region, lo, hi int) {
			s.regions = append(s.regions, regionPart{region: region})
			one := &s.regions[len(s.regions)-1].RegionSums
			one.Weight = float64(hi - lo)
			if p.weight != nil {
				one.Weight = total(weight[lo:hi])
			}
			if p.Pointwise != nil {
				one.Pointwise = total(elements[lo:hi])
			}
			if p.Overlap == nil {
				return
			}
			one.I = total(s.field[0][lo:hi])
			if one.P = one.I; p.Overlap.Squared {
				one.P = total(s.field[1][lo:hi])
			}
		})
	}
	if isFloat32[T]() {
		for i := range s.regions {
			if !s.regions[i].finite() {
				return false, nil
			}
		}
	}
	for _, one := range s.regions {
		add(one.region, one.RegionSums)
	}
	return true, nil
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

// regionPart is what a tile has of a region.
type regionPart struct {
	region int
	RegionSums
}

func fill[T real](row []T, v T) {
	for i := range row {
		row[i] = v
	}
}

// storeRegionGradient returns ok = false if a factor or a result exceeded the range of T.
func storeRegionGradient[T real](p *regionPass, kernels *rowKernels[T], coef []T, t *regionTile, s *rowScratch[T]) (ok bool, err error) {
	if ok, err := gatherRegions(p, kernels, coef, t, s); !ok {
		return false, err
	}
	a, grad, upstream := &s.args, rowOf(s.grad, 0), rowOf(s.upstream, 0)
	ok = true
	t.eachRegion(func(region, lo, hi int) {
		slope := p.slopes[region]
		factor, plain, square := T(slope.Pointwise), T(slope.T+slope.P), T(0)
		if p.Overlap != nil && p.Overlap.Squared {
			plain, square = T(slope.T), T(2*slope.P)
		}
		ok = ok && isFactor[T](slope.Pointwise) && !math.IsInf(float64(plain), 0) && !math.IsInf(float64(square), 0)
		fill(upstream[lo:hi], factor)
		fill(s.field[0][lo:hi], plain)
		fill(s.field[1][lo:hi], square)
	})
	if !ok && isFloat32[T]() {
		return false, nil
	}
	for _, row := range [][]T{upstream, s.field[0], s.field[1]} {
		clear(row[t.hi-t.lo : t.processed])
	}
	a.row[kernel.ArgGrad], a.row[kernel.ArgUpstream] = grad, upstream
	if p.Pointwise != nil {
		if p.focal != kernel.RowFocalZero { // whose gradient does not depend on the logarithm
			kernels[kernel.RowLog](a, t.processed)
		}
		if p.focal == kernel.RowFocal {
			kernels[kernel.RowPower](a, t.processed)
		}
		kernels[p.focal](a, t.processed)
		a.add = 1
	}
	if p.Overlap != nil {
		kernels[kernel.RowOverlapGrad](a, t.processed)
	}
	if isFloat32[T]() {
		lanes := lanesOf[T]()
		for _, v := range s.sums[kernel.RowSumCheck*lanes:][:lanes] {
			if v != 0 { // NaN
				return false, nil
			}
		}
	}
	switch dst := p.grad.(type) {
	case []float32:
		scatterTo(dst, grad, t)
	case []float64:
		scatterTo(dst, grad, t)
	}
	return true, nil
}
