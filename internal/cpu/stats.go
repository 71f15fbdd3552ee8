package cpu

import (
	"math"

	"github.com/x/afl/internal/plan"
)

// Stats implements [plan.Backend] and [plan.Kernels].
func (k Backend) Stats(in *plan.Batch, want plan.StatsRequest) (*plan.Stats, error) {
	b := open(in)
	st := &plan.Stats{
		Valid:      make([]float64, b.N),
		Count:      make([]float64, b.N*b.C),
		Foreground: make([]float64, b.N),
	}
	if want.Smoothness {
		st.K = want.Masks(b.C)
		st.Magnitude = make([]float64, b.N*st.K)
		st.Boundary = make([]float64, b.N*st.K)
	}
	if labels := newLabelReader(b, k.kernels()); labels != nil {
		if err := statsOfBits(b, labels, st, want); err != nil {
			return nil, err
		}
		return st, nil
	}
	if b.Target.Dense {
		if maps := newMapReader(b, k.kernels()); maps != nil && statsOfBits(b, maps, st, want) == nil {
			return st, nil
		}
		// A map is soft, or invalid: what follows names the first such value.
	}
	width := 2 + b.C
	sums, err := sumChunks(b.N, b.V, width, false, func(ch chunk, acc []float64, s *scratch) error {
		return countChunk(b, ch, acc, &s.labels)
	})
	if err != nil {
		return nil, err
	}
	for n := range b.N {
		row := sums[n*width:]
		st.Valid[n], st.Foreground[n] = row[0], row[1]
		copy(st.Count[n*b.C:(n+1)*b.C], row[2:])
	}
	if !want.Smoothness {
		return st, nil
	}
	// One unit is a slab of planes of one mask, within which voxels are summed in
	// order.
	slabs := min(b.Space[0], 16) // of many planes each, as those next to a slab are read too
	part := make([]float64, 2*b.N*st.K*slabs)
	err = units(b.N*st.K*slabs, func(i int, s *scratch) error {
		slab, mask := i%slabs, i/slabs
		lo, hi := slab*b.Space[0]/slabs, (slab+1)*b.Space[0]/slabs
		return gradientPlanes(b, mask/st.K, mask%st.K, lo, hi, s, func(_ int, magnitude []float64) {
			boundary := 0
			for _, m := range magnitude {
				if m != 0 {
					boundary++
				}
			}
			part[2*i] += sum(magnitude)
			part[2*i+1] += float64(boundary)
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range b.N * st.K * slabs {
		st.Magnitude[i/slabs] += part[2*i]
		st.Boundary[i/slabs] += part[2*i+1]
	}
	return st, nil
}

// labelTile holds the label of up to tileVoxels voxels.
type labelTile struct {
	class []int32
	maps  []float64 // rows of the channels, tileVoxels apart
	row   []float64
}

func (t *labelTile) reserve(c int) {
	t.class = grow(t.class, tileVoxels)
	t.row = grow(t.row, tileVoxels)
	t.maps = grow(t.maps, c*tileVoxels)
}

// countChunk adds the numbers of valid voxels, of the foreground and of each class
// to acc.
func countChunk(b *batch, ch chunk, acc []float64, t *labelTile) error {
	t.reserve(b.C)
	for lo := ch.lo; lo < ch.hi; lo += tileVoxels {
		hi := min(lo+tileVoxels, ch.hi)
		if !b.Target.Dense {
			if err := classes(b, ch.n, lo, hi, t.class); err != nil {
				return err
			}
			for _, y := range t.class[:hi-lo] {
				if y == ignored {
					continue
				}
				acc[0]++
				if y > 0 {
					acc[1]++
				}
				if int(y) < b.C {
					acc[2+y]++
				}
			}
			continue
		}
		acc[0] += float64(hi - lo)
		for c := range b.C {
			row := t.maps[c*tileVoxels:][:hi-lo]
			if err := maps(b, ch.n, c, lo, hi, row); err != nil {
				return err
			}
			own := sum(row)
			acc[2+c] += own
			if b.C <= 2 && c == b.C-1 { // the foreground is this channel
				acc[1] += own
			}
		}
		if b.C > 2 {
			acc[1] += sum(foregroundOfMaps(t.maps, b.C, hi-lo, t.row))
		}
	}
	return nil
}

// sum adds up numbers in four sums, each of every fourth number, and then those: a
// processor adds to several numbers at once.
func sum(s []float64) float64 {
	var a, b, c, d float64
	for ; len(s) >= 4; s = s[4:] {
		a += s[0]
		b += s[1]
		c += s[2]
		d += s[3]
	}
	for _, v := range s {
		a += v
	}
	return (a + c) + (b + d)
}

// foregroundOfMaps returns the largest value of the channels above 0, of which there
// are several, for each of n voxels.
func foregroundOfMaps(maps []float64, channels, n int, dst []float64) []float64 {
	dst = dst[:n]
	copy(dst, maps[tileVoxels:])
	for c := 2; c < channels; c++ {
		for i, v := range maps[c*tileVoxels:][:n] {
			dst[i] = max(dst[i], v)
		}
	}
	return dst
}

// maskPlane is one plane (all voxels of one first spatial index) of a mask.
type maskPlane struct {
	mask []float64
	// ignored lists the voxels that take no part, which are background in mask.
	ignored []int32
}

// read fills the plane with plane x of a mask: mask 0 is the foreground, mask k
// the class k.
func (p *maskPlane) read(b *batch, n, mask, x int, t *labelTile) error {
	size := b.Space[1] * b.Space[2]
	p.mask = grow(p.mask, size)
	p.ignored = p.ignored[:0]
	t.reserve(b.C)
	for lo := 0; lo < size; lo += tileVoxels {
		hi := min(lo+tileVoxels, size)
		from, to := x*size+lo, x*size+hi
		out := p.mask[lo:hi]
		switch {
		case b.Target.Dense && (mask > 0 || b.C <= 2):
			c := mask
			if mask == 0 { // the foreground is one channel
				c = b.C - 1
			}
			if err := maps(b, n, c, from, to, out); err != nil {
				return err
			}
		case b.Target.Dense:
			for c := 1; c < b.C; c++ {
				if err := maps(b, n, c, from, to, t.maps[c*tileVoxels:]); err != nil {
					return err
				}
			}
			foregroundOfMaps(t.maps, b.C, hi-lo, out)
		default:
			if err := classes(b, n, from, to, t.class); err != nil {
				return err
			}
			for i, y := range t.class[:hi-lo] {
				out[i] = 0
				if mask == 0 && y > 0 || mask > 0 && y == int32(mask) {
					out[i] = 1
				}
				if y == ignored {
					p.ignored = append(p.ignored, int32(lo+i))
				}
			}
		}
	}
	return nil
}

// gradientPlanes calls visit with the gradient magnitude of each row of planes
// [lo,hi) of a mask and the index of the row's first voxel in the sample:
// central differences inside, one-sided ones at the ends, unit step, no
// component along an axis of size 1. Ignored voxels have magnitude 0.
func gradientPlanes(b *batch, n, mask, lo, hi int, s *scratch, visit func(first int, magnitude []float64)) error {
	planes, rows, length := b.Space[0], b.Space[1], b.Space[2]
	s.row = grow(s.row, length)
	before, center, after := &s.planes[0], &s.planes[1], &s.planes[2]
	if err := before.read(b, n, mask, max(lo-1, 0), &s.labels); err != nil {
		return err
	}
	if err := center.read(b, n, mask, lo, &s.labels); err != nil {
		return err
	}
	for x := lo; x < hi; x++ {
		if err := after.read(b, n, mask, min(x+1, planes-1), &s.labels); err != nil {
			return err
		}
		stepX := step(x, planes)
		skip := center.ignored
		for y := range rows {
			at := y * length
			own := center.mask[at:][:length]
			left, right := before.mask[at:][:length], after.mask[at:][:length]
			up := center.mask[max(y-1, 0)*length:][:length]
			down := center.mask[min(y+1, rows-1)*length:][:length]
			magnitudes(s.row, own, left, right, up, down, stepX, step(y, rows))
			for len(skip) > 0 && int(skip[0]) < at+length {
				s.row[int(skip[0])-at] = 0
				skip = skip[1:]
			}
			visit((x*rows+y)*length, s.row)
		}
		before, center, after = center, after, before
	}
	return nil
}

// magnitudes stores the gradient magnitudes of a row in dst, given its neighbors in the
// planes before and after it and in the rows above and below it.
func magnitudes(dst, own, left, right, up, down []float64, stepX, stepY float64) {
	n := len(dst)
	own, left, right, up, down = own[:n], left[:n], right[:n], up[:n], down[:n]
	for i := range dst {
		dx, dy := (right[i]-left[i])*stepX, (down[i]-up[i])*stepY
		dst[i] = float64(dx*dx) + float64(dy*dy)
	}
	for i := 1; i < n-1; i++ {
		dz := (own[i+1] - own[i-1]) * 0.5
		dst[i] = math.Sqrt(dst[i] + float64(dz*dz))
	}
	ends := [2]int{0, n - 1}
	for _, i := range ends[:min(n, 2)] {
		dz := (own[min(i+1, n-1)] - own[max(i-1, 0)]) * step(i, n)
		dst[i] = math.Sqrt(dst[i] + float64(dz*dz))
	}
}

// step is the reciprocal of the distance between the two neighbors whose difference
// is the derivative at an index of an axis of the given size.
func step(at, size int) float64 {
	if at == 0 || at == size-1 {
		return 1
	}
	return 0.5
}

// checkMaps refuses a target of maps with a value outside [0,1].
func checkMaps(b *batch) error {
	_, err := sumChunks(b.N, b.V, 2+b.C, false, func(ch chunk, acc []float64, s *scratch) error {
		return countChunk(b, ch, acc, &s.labels)
	})
	return err
}

// Magnitude writes the gradient magnitude of the foreground mask of every voxel
// to dst, which has N×V entries; ignored voxels get 0.
func Magnitude(in *plan.Batch, dst []float64) error {
	b := open(in)
	if b.Target.Dense { // the foreground does not need channel 0, which is checked too
		if err := checkMaps(b); err != nil {
			return err
		}
	}
	return units(b.N*b.Space[0], func(i int, s *scratch) error {
		n, x := i/b.Space[0], i%b.Space[0]
		return gradientPlanes(b, n, 0, x, x+1, s, func(first int, magnitude []float64) {
			copy(dst[n*b.V+first:], magnitude)
		})
	})
}
