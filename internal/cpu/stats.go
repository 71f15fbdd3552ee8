package cpu

import (
	"math"

	"github.com/x/afl/internal/plan"
)

// Stats implements [plan.Backend].
func (Backend) Stats(in *plan.Batch, want plan.StatsRequest) (*plan.Stats, error) {
	b := open(in)
	st := &plan.Stats{
		Valid:      make([]float64, b.N),
		Count:      make([]float64, b.N*b.C),
		Foreground: make([]float64, b.N),
	}
	width := 2 + b.C
	sums, err := sumChunks(b.N, b.V, width, func(ch chunk, acc []float64, s *scratch) error {
		return countChunk(b, ch, acc, &s.tile)
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
	st.K = 1
	if want.PerClass {
		st.K = b.C
	}
	st.Magnitude = make([]float64, b.N*st.K)
	st.Boundary = make([]float64, b.N*st.K)
	// A task is a slab of rows of one mask; rows keep their order within it.
	rows := b.Space[0] * b.Space[1]
	slabs := min(rows, maxChunks)
	part := make([]float64, 2*b.N*st.K*slabs)
	err = parallel(b.N*st.K*slabs, func(i int, s *scratch) error {
		slab, mask := i%slabs, i/slabs
		for r := slab * rows / slabs; r < (slab+1)*rows/slabs; r++ {
			err := gradientRow(b, mask/st.K, mask%st.K, r, s, func(_ int, magnitude float64) {
				part[2*i] += magnitude
				if magnitude != 0 {
					part[2*i+1]++
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
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

// countChunk adds valid voxels, foreground and class counts to acc.
func countChunk(b *batch, ch chunk, acc []float64, t *tile) error {
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
			row := t.t[c*tileVoxels:][:hi-lo]
			if err := maps(b, ch.n, c, lo, hi, row); err != nil {
				return err
			}
			acc[2+c] += sum(row)
		}
		acc[1] += sum(foregroundOfMaps(t.t, b.C, hi-lo, t.m))
	}
	return nil
}

func sum(s []float64) float64 {
	total := 0.0
	for _, v := range s {
		total += v
	}
	return total
}

// foregroundOfMaps returns the largest value of the channels above 0, or of the
// only channel, for each of n voxels.
func foregroundOfMaps(maps []float64, channels, n int, dst []float64) []float64 {
	dst = dst[:n]
	first := min(1, channels-1)
	copy(dst, maps[first*tileVoxels:])
	for c := first + 1; c < channels; c++ {
		for i, v := range maps[c*tileVoxels:][:n] {
			dst[i] = max(dst[i], v)
		}
	}
	return dst
}

// maskRow reads row r (all voxels that share the first two spatial indices) of a
// mask: mask 0 is the foreground, mask k the class k. Ignored voxels are
// background in it; valid, where not nil, receives 0 for them and 1 elsewhere.
func maskRow(b *batch, n, mask, r int, dst, valid []float64, t *tile) error {
	t.reserve(b.C)
	length := b.Space[2]
	for lo := 0; lo < length; lo += tileVoxels {
		hi := min(lo+tileVoxels, length)
		out := dst[lo:hi]
		if b.Target.Dense {
			if mask > 0 {
				if err := maps(b, n, mask, r*length+lo, r*length+hi, out); err != nil {
					return err
				}
			} else {
				for c := range b.C {
					if err := maps(b, n, c, r*length+lo, r*length+hi, t.t[c*tileVoxels:]); err != nil {
						return err
					}
				}
				foregroundOfMaps(t.t, b.C, hi-lo, out)
			}
			if valid != nil {
				fill(valid[lo:hi], 1)
			}
			continue
		}
		if err := classes(b, n, r*length+lo, r*length+hi, t.class); err != nil {
			return err
		}
		for i, y := range t.class[:hi-lo] {
			out[i] = 0
			if mask == 0 && y > 0 || mask > 0 && y == int32(mask) {
				out[i] = 1
			}
			if valid != nil {
				valid[lo+i] = 1
				if y == ignored {
					valid[lo+i] = 0
				}
			}
		}
	}
	return nil
}

func fill(s []float64, v float64) {
	for i := range s {
		s[i] = v
	}
}

// gradientRow calls visit with the gradient magnitude of every voxel of a row
// that is not ignored: central differences inside, one-sided ones at the ends,
// unit step, no component along an axis of size 1.
func gradientRow(b *batch, n, mask, r int, s *scratch, visit func(i int, magnitude float64)) error {
	length := b.Space[2]
	for k := range s.rows {
		s.rows[k] = grow(s.rows[k], length)
	}
	centre, valid, dx, dy := s.rows[0], s.rows[1], s.rows[2], s.rows[3]
	if err := maskRow(b, n, mask, r, centre, valid, &s.tile); err != nil {
		return err
	}
	x, y := r/b.Space[1], r%b.Space[1]
	if err := difference(b, n, mask, x, b.Space[0], r, b.Space[1], dx, s); err != nil {
		return err
	}
	if err := difference(b, n, mask, y, b.Space[1], r, 1, dy, s); err != nil {
		return err
	}
	for i := range centre {
		if valid[i] == 0 {
			continue
		}
		dz := 0.0
		switch {
		case length == 1:
		case i == 0:
			dz = centre[1] - centre[0]
		case i == length-1:
			dz = centre[i] - centre[i-1]
		default:
			dz = (centre[i+1] - centre[i-1]) / 2
		}
		visit(i, math.Sqrt(dx[i]*dx[i]+dy[i]*dy[i]+dz*dz))
	}
	return nil
}

// difference fills dst with the derivative of row r along an axis of the given
// size, on which the row has index at and neighbours lie stride rows away.
func difference(b *batch, n, mask, at, size, r, stride int, dst []float64, s *scratch) error {
	if size == 1 {
		clear(dst)
		return nil
	}
	before, after, step := r-stride, r+stride, 2.0
	if at == 0 {
		before, step = r, 1
	}
	if at == size-1 {
		after, step = r, 1
	}
	low := s.rows[4]
	if err := maskRow(b, n, mask, before, low, nil, &s.tile); err != nil {
		return err
	}
	if err := maskRow(b, n, mask, after, dst, nil, &s.tile); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = (dst[i] - low[i]) / step
	}
	return nil
}

// Magnitude writes the gradient magnitude of the foreground mask of every voxel
// to dst, which has N×V entries; ignored voxels get 0.
func Magnitude(in *plan.Batch, dst []float64) error {
	b := open(in)
	clear(dst)
	rows := b.Space[0] * b.Space[1]
	return parallel(b.N*rows, func(i int, s *scratch) error {
		return gradientRow(b, i/rows, 0, i%rows, s, func(k int, magnitude float64) {
			dst[i*b.Space[2]+k] = magnitude
		})
	})
}
