package cpu

import "math"

// The statistics of soft maps are computed in float64 on planes of voxels.

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
