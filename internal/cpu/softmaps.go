package cpu

import (
	"errors"
	"math"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// The statistics of soft maps are computed on planes of voxels: of one or two float32 maps
// for float32 logits in float32, else in float64.

// sumLanes64 is the number of partial sums of the kernels of soft maps: value i is added
// to sum i mod sumLanes64.
const sumLanes64 = 8

// widenGo copies values of a map and adds them to the partial sums. It reports whether
// all are in [0,1].
func widenGo(dst []float64, src []float32, sums *[sumLanes64]float64) (ok bool) {
	ok = true
	for i, v := range src {
		w := float64(v)
		dst[i] = w
		sums[i%sumLanes64] += w
		ok = ok && w >= 0 && w <= 1
	}
	return ok
}

// sumMapGo adds values of a map to the partial sums. It reports whether all are in [0,1] and
// none is −0.
func sumMapGo(src []float32, sums *[sumLanes64]float64) (ok bool) {
	ok = true
	for i, v := range src {
		sums[i%sumLanes64] += float64(v)
		ok = ok && math.Float32bits(v) <= math.Float32bits(1)
	}
	return ok
}

// magnitudesGo stores the gradient magnitudes of consecutive voxels inside of their rows.
// around holds their values, and one more before and after; the others hold those of
// their neighbors along the first and the second axis, and steps the reciprocals of these
// neighbors' distances.
func magnitudesGo(dst, around, left, right, up, down []float64, steps *[2]float64) {
	n := len(dst)
	around, left, right, up, down = around[:n+2], left[:n], right[:n], up[:n], down[:n]
	for i := range dst {
		dst[i] = magnitude((right[i]-left[i])*steps[0], (down[i]-up[i])*steps[1], (around[i+2]-around[i])*0.5)
	}
}

// Marks of the voxels at the ends of a row.
const (
	rowStart = 1
	rowEnd   = 2
)

// softMagnitudesGo adds the gradient magnitudes of consecutive voxels to the partial sums,
// and returns for how many it is not 0. ends marks the ends of rows, of more than one voxel;
// the rest is as for magnitudesGo.
func softMagnitudesGo(around, left, right, up, down []float32, ends []uint8, steps *[2]float32, sums *[sumLanes64]float64) (boundary int) {
	n := len(ends)
	around, left, right, up, down = around[:n+2], left[:n], right[:n], up[:n], down[:n]
	for i, end := range ends {
		before, after, step := around[i], around[i+2], float32(0.5)
		switch end {
		case rowStart:
			before, step = around[i+1], 1
		case rowEnd:
			after, step = around[i+1], 1
		}
		x, y, z := right[i]-left[i], down[i]-up[i], after-before
		if x != 0 || y != 0 || z != 0 { // also where the squares are too small for float32
			boundary++
		}
		x, y, z = x*steps[0], y*steps[1], z*step
		square := float32(float32(x*x)+float32(y*y)) + float32(z*z)
		sums[i%sumLanes64] += float64(float32(math.Sqrt(float64(square))))
	}
	return boundary
}

// softStats computes the statistics of one or two float32 maps, of which all are in the
// foreground or in channel 1 and the foreground alike. It returns false if a value is not in
// [0,1], or −0.
func softStats(b *batch, k *kernels, src []float32, st *plan.Stats, want plan.StatsRequest) bool {
	sums, err := sumChunks(b.N, b.V, b.C, parallel.Forwards, func(ch chunk, acc []float64, _ *scratch) error {
		for c := range acc {
			var sums [sumLanes64]float64
			at := (ch.n*b.C + c) * b.V
			if !k.sumMap(src[at+ch.lo:at+ch.hi], &sums) {
				return errOutside
			}
			acc[c] = sumLanes(sums[:])
		}
		return nil
	})
	if err != nil {
		return false
	}
	copy(st.Count, sums)
	for n := range b.N {
		st.Valid[n], st.Foreground[n] = float64(b.V), sums[(n+1)*b.C-1]
	}
	if !want.Smoothness {
		return true
	}
	slabs := min(b.Space[0], 16) // sums do not depend on the number of goroutines
	part := make([]struct {
		sums     [sumLanes64]float64
		boundary int
	}, b.N*slabs)
	_ = units(len(part), func(i int, s *scratch) error { // returns no error
		n, slab := i/slabs, i%slabs
		p := &part[i]
		for x := slab * b.Space[0] / slabs; x < (slab+1)*b.Space[0]/slabs; x++ {
			p.boundary += softPlane(b, k, src, n, x, &p.sums, &s.soft)
		}
		return nil
	})
	for i := range part {
		n := i / slabs
		magnitude, boundary := sumLanes(part[i].sums[:]), float64(part[i].boundary)
		for mask := range st.K { // channel 1 is the foreground
			st.Magnitude[n*st.K+mask] += magnitude
			st.Boundary[n*st.K+mask] += boundary
		}
	}
	return true
}

var errOutside = errors.New("a value outside [0,1]")

// softScratch is scratch memory for softPlane.
type softScratch struct {
	around []float32
	ends   []uint8 // marks of a plane
	length int     // of its rows
}

// softPlane adds the gradient magnitudes of plane x of the last map of sample n.
func softPlane(b *batch, k *kernels, src []float32, n, x int, sums *[sumLanes64]float64, s *softScratch) (boundary int) {
	planes, rows, length := b.Space[0], b.Space[1], b.Space[2]
	size := rows * length
	if len(s.ends) != size || s.length != length {
		s.ends, s.length = Grow(s.ends, size), length
		clear(s.ends)
		for at := 0; at < size; at += length {
			s.ends[at], s.ends[at+length-1] = rowStart, rowEnd
		}
	}
	sample := ((n+1)*b.C - 1) * b.V
	plane := func(x int) []float32 { return src[sample+x*size:][:size] }
	own, left, right := plane(x), plane(max(x-1, 0)), plane(min(x+1, planes-1))
	var around []float32
	if at := sample + x*size; at > 0 && at+size < len(src) {
		around = src[at-1 : at+size+1]
	} else {
		s.around = Grow(s.around, size+2)
		around = s.around
		copy(around[1:], own)
	}
	steps := [2]float32{float32(step(x, planes))}
	// some adds rows [from,to), whose neighbors have the same distances.
	some := func(from, to int) {
		steps[1] = float32(step(from, rows))
		up, down := max(from-1, 0)*length, min(from+1, rows-1)*length
		from, to = from*length, to*length
		boundary += k.softMagnitudes(around[from:to+2], left[from:to], right[from:to], own[up:up+to-from], own[down:down+to-from], s.ends[from:to], &steps, sums)
	}
	some(0, 1)
	if rows > 2 {
		some(1, rows-1)
	}
	if rows > 1 {
		some(rows-1, rows)
	}
	return boundary
}

// magnitude is the length of a vector.
func magnitude(x, y, z float64) float64 {
	return math.Sqrt(float64(x*x) + float64(y*y) + float64(z*z))
}

// sum adds up numbers in the order of the kernels' partial sums.
func sum(s []float64) float64 {
	total, _ := sumPositive(s)
	return total
}

// sumPositive is sum for numbers of at least 0, of which it also counts those above. The
// partial sums are variables, as the compiler keeps no array in registers.
func sumPositive(s []float64) (total float64, above int) {
	var a, b, c, d, e, f, g, h float64
	count := uint64(0)
	for ; len(s) >= sumLanes64; s = s[sumLanes64:] {
		v := (*[sumLanes64]float64)(s)
		a, b, c, d = a+v[0], b+v[1], c+v[2], d+v[3]
		e, f, g, h = e+v[4], f+v[5], g+v[6], h+v[7]
		count += isAbove(v[0]) + isAbove(v[1]) + isAbove(v[2]) + isAbove(v[3]) +
			isAbove(v[4]) + isAbove(v[5]) + isAbove(v[6]) + isAbove(v[7])
	}
	sums := [sumLanes64]float64{a, b, c, d, e, f, g, h}
	for i, v := range s {
		sums[i] += v
		count += isAbove(v)
	}
	return sumLanes(sums[:]), int(count)
}

// isAbove is 1 for a number above 0 and 0 for 0, without a branch.
func isAbove(v float64) uint64 { return -math.Float64bits(v) >> 63 }

// softRow reads voxels [lo,hi) of channel c of sample n of a target of maps into dst and
// returns their sum.
func softRow(b *batch, k *kernels, n, c, lo, hi int, dst []float64) (float64, error) {
	dst, at := dst[:hi-lo], (n*b.C+c)*b.V+lo
	if src, ok := b.target.([]float32); ok {
		var sums [sumLanes64]float64
		if k.widen(dst, src[at:at+len(dst)], &sums) {
			return sumLanes(sums[:]), nil
		}
	}
	// Other types, and maps that are to be clamped or refused.
	if err := maps(b, n, c, lo, hi, dst); err != nil {
		return 0, err
	}
	return sum(dst), nil
}
