package cpu

import (
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Stats implements [plan.Backend] and [plan.Kernels].
func (k Backend) Stats(in *plan.Batch, want plan.StatsRequest) (*plan.Stats, error) {
	b, kernels := open(in), k.kernels()
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
	if labels := newLabelReader(b, kernels); labels != nil {
		if err := statsOfBits(b, labels, st, want); err != nil {
			return nil, err
		}
		return st, nil
	}
	if b.Target.Dense {
		if maps := newMapReader(b, kernels); maps != nil && statsOfBits(b, maps, st, want) == nil {
			return st, nil
		}
		// A map is soft, or invalid.
		_, isFloat32 := b.logits.([]float32)
		if src, ok := b.target.([]float32); ok && isFloat32 && b.C <= 2 && b.Space[2] > 1 && softStats(b, kernels, src, st, want) {
			return st, nil
		}
		// What follows names the first invalid value.
	}
	width := 2 + b.C
	sums, err := sumChunks(b.N, b.V, width, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		return countChunk(b, kernels, ch, acc, &s.labels)
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
		return gradientPlanes(b, kernels, mask/st.K, mask%st.K, lo, hi, s, func(_ int, magnitude []float64) {
			total, boundary := sumPositive(magnitude)
			part[2*i] += total
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
	t.class = Grow(t.class, tileVoxels)
	t.row = Grow(t.row, tileVoxels)
	t.maps = Grow(t.maps, c*tileVoxels)
}

// countChunk adds the numbers of valid voxels, of the foreground and of each class
// to acc.
func countChunk(b *batch, k *kernels, ch chunk, acc []float64, t *labelTile) error {
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
			own, err := softRow(b, k, ch.n, c, lo, hi, t.maps[c*tileVoxels:])
			if err != nil {
				return err
			}
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
	around []float64 // mask, and one more number before and after
	mask   []float64
	// ignored lists the voxels that take no part, which are background in mask.
	ignored []int32
}

// read fills the plane with plane x of a mask: mask 0 is the foreground, mask k
// the class k.
func (p *maskPlane) read(b *batch, k *kernels, n, mask, x int, t *labelTile) error {
	size := b.Space[1] * b.Space[2]
	p.around = Grow(p.around, size+2)
	p.mask = p.around[1 : size+1]
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
			if _, err := softRow(b, k, n, c, from, to, out); err != nil {
				return err
			}
		case b.Target.Dense:
			for c := 1; c < b.C; c++ {
				if _, err := softRow(b, k, n, c, from, to, t.maps[c*tileVoxels:]); err != nil {
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

// gradientPlanes calls visit with the gradient magnitude of each of planes [lo,hi) of a
// mask and the index of the plane's first voxel in the sample: central differences
// inside, one-sided ones at the ends, unit step, no component along an axis of size 1.
// Ignored voxels have magnitude 0.
func gradientPlanes(b *batch, k *kernels, n, mask, lo, hi int, s *scratch, visit func(first int, magnitude []float64)) error {
	planes, rows, length := b.Space[0], b.Space[1], b.Space[2]
	size := rows * length
	s.row = Grow(s.row, size)
	before, center, after := &s.planes[0], &s.planes[1], &s.planes[2]
	if err := before.read(b, k, n, mask, max(lo-1, 0), &s.labels); err != nil {
		return err
	}
	if err := center.read(b, k, n, mask, lo, &s.labels); err != nil {
		return err
	}
	for x := lo; x < hi; x++ {
		if err := after.read(b, k, n, mask, min(x+1, planes-1), &s.labels); err != nil {
			return err
		}
		left, right := before.mask, after.mask
		steps := [2]float64{step(x, planes)}
		// some computes rows [from,to), whose neighbors have the same distances. It takes
		// the ends of rows for inner voxels.
		some := func(from, to int) {
			steps[1] = step(from, rows)
			from, to, up, down := from*length, to*length, max(from-1, 0)*length, min(from+1, rows-1)*length
			k.magnitudes(s.row[from:to], center.around[from:to+2], left[from:to], right[from:to],
				center.mask[up:up+to-from], center.mask[down:down+to-from], &steps)
			for at := from; at < to; at += length {
				ends := [2]int{0, length - 1}
				own := center.mask[at : at+length]
				for _, z := range ends[:min(length, 2)] {
					i := at + z
					s.row[i] = magnitude((right[i]-left[i])*steps[0], (center.mask[down+i-from]-center.mask[up+i-from])*steps[1],
						(own[min(z+1, length-1)]-own[max(z-1, 0)])*step(z, length))
				}
			}
		}
		some(0, 1)
		if rows > 2 {
			some(1, rows-1)
		}
		if rows > 1 {
			some(rows-1, rows)
		}
		for _, i := range center.ignored {
			s.row[i] = 0
		}
		visit(x*size, s.row)
		before, center, after = center, after, before
	}
	return nil
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
func checkMaps(b *batch, k *kernels) error {
	_, err := sumChunks(b.N, b.V, 2+b.C, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		return countChunk(b, k, ch, acc, &s.labels)
	})
	return err
}

// Magnitude writes the gradient magnitude of the foreground mask of every voxel
// to dst, which has N×V entries; ignored voxels get 0.
func Magnitude(in *plan.Batch, dst []float64) error {
	b, k := open(in), Backend{}.kernels()
	if b.Target.Dense { // the foreground does not need channel 0, which is checked too
		if err := checkMaps(b, k); err != nil {
			return err
		}
	}
	return units(b.N*b.Space[0], func(i int, s *scratch) error {
		n, x := i/b.Space[0], i%b.Space[0]
		return gradientPlanes(b, k, n, 0, x, x+1, s, func(first int, magnitude []float64) {
			copy(dst[n*b.V+first:], magnitude)
		})
	})
}
