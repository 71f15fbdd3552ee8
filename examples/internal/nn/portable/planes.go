package portable

// A plane is a channel of a sample of an activation: plane p of N×C×X×Y×Z is channel p mod C
// of sample ⌊p/C⌋.

// planeChunks returns the number of chunks of a plane.
func planeChunks(size int) int { return (size + chunk - 1) / chunk }

// parallelPlanes calls f for ranges of elements that together cover all planes of an array; p
// is the plane of the range.
func parallelPlanes(planes, size int, f func(p, from, to int)) {
	per := planeChunks(size)
	parallel(planes*per, func(i, _ int) {
		p, c := i/per, i%per
		f(p, p*size+c*chunk, p*size+min(size, (c+1)*chunk))
	})
}

// sumPlanes returns, for every plane, the two sums that f computes over ranges of elements. It
// adds up the sums of the ranges of a plane in order.
func sumPlanes(planes, size int, f func(p, from, to int) (float64, float64)) [][2]float64 {
	per := planeChunks(size)
	parts := make([][2]float64, planes*per)
	parallelPlanes(planes, size, func(p, from, to int) {
		s0, s1 := f(p, from, to)
		parts[p*per+(from-p*size)/chunk] = [2]float64{s0, s1}
	})
	sums := parts[:planes]
	for p := range planes {
		var s0, s1 float64
		for _, part := range parts[p*per : (p+1)*per] {
			s0 += part[0]
			s1 += part[1]
		}
		sums[p] = [2]float64{s0, s1}
	}
	return sums
}

// sum adds values in float64, in four independent partial sums.
func sum[T float](x []T) float64 {
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
		x = x[4:]
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return (s0 + s1) + (s2 + s3)
}

// sumSquares adds the squared differences of x from the mean m.
func sumSquares[T float](x []T, m float64) float64 {
	var s0, s1, s2, s3 float64
	for len(x) >= 4 {
		d0, d1, d2, d3 := float64(x[0])-m, float64(x[1])-m, float64(x[2])-m, float64(x[3])-m
		s0 += float64(d0 * d0)
		s1 += float64(d1 * d1)
		s2 += float64(d2 * d2)
		s3 += float64(d3 * d3)
		x = x[4:]
	}
	for _, v := range x {
		d := float64(v) - m
		s0 += float64(d * d)
	}
	return (s0 + s1) + (s2 + s3)
}

// sumAndProduct adds the values of g, and their products with the differences of x from the
// mean m.
func sumAndProduct[T float](g, x []T, m float64) (float64, float64) {
	x = x[:len(g)]
	var s0, s1, s2, s3, p0, p1, p2, p3 float64
	for len(g) >= 4 && len(x) >= 4 {
		g0, g1, g2, g3 := float64(g[0]), float64(g[1]), float64(g[2]), float64(g[3])
		s0 += g0
		s1 += g1
		s2 += g2
		s3 += g3
		p0 += float64(g0 * (float64(x[0]) - m))
		p1 += float64(g1 * (float64(x[1]) - m))
		p2 += float64(g2 * (float64(x[2]) - m))
		p3 += float64(g3 * (float64(x[3]) - m))
		g, x = g[4:], x[4:]
	}
	for i, v := range g {
		s0 += float64(v)
		p0 += float64(float64(v) * (float64(x[i]) - m))
	}
	return (s0 + s1) + (s2 + s3), (p0 + p1) + (p2 + p3)
}
