package portable

// The convolutions use two inner loops. Each exists in plain Go in this file and as vector
// code for some architectures. All versions compute every lane with the same operations in
// the same order, without fused multiply-add, so that they return the same bits.

const (
	tileRows = 8  // output channels of a tile
	tileCols = 48 // output positions of a tile
	dotRows  = 4
	dotCols  = 6
	lanes    = 16 // partial sums of a dot product
	// slack is the number of elements that a kernel may read beyond the last needed one.
	slack = tileCols
)

// kernels is an implementation of the two inner loops.
type kernels[T float] struct {
	name string
	// tile adds to dst, a tileRows×tileCols tile in row-major order, the outer products of
	// a[k·tileRows:][:tileRows] and b[base+off.at[k]:][:cols] for all k. rows is 2 or
	// tileRows, and cols is a multiple of lanes; the content of the other rows and columns
	// of dst is undefined afterward.
	tile func(dst, a, b []T, base int, off offsets, rows, cols int)
	// dot adds to acc, which has lanes partial sums for each of dotRows×dotCols dot
	// products, the products of p[r·pitch+i] and q[base+off.at[c]+i] for i < n, a multiple
	// of lanes. Product i is added to partial sum i mod lanes.
	dot func(acc, p []T, pitch int, q []T, base int, off offsets, n int)
}

// offsets lists the offsets at which a kernel reads. The assembly routines do not check
// bounds; their callers check them once for all offsets, using the largest.
type offsets struct {
	at      []int
	largest int
}

func (o *offsets) add(at int) {
	o.at = append(o.at, at)
	o.largest = max(o.largest, at)
}

// slice returns a range of the offsets; its largest is an upper bound.
func (o *offsets) slice(from, to int) offsets { return offsets{o.at[from:to], o.largest} }

type float interface{ float32 | float64 }

// plain returns the kernels in plain Go.
func plain[T float]() kernels[T] {
	return kernels[T]{name: "go", tile: tileGo[T], dot: dotGo[T]}
}

func tileGo[T float](dst, a, b []T, base int, off offsets, rows, cols int) {
	if len(off.at) == 0 {
		return
	}
	// The sums of two rows and four columns fit into registers along with their factors.
	for r := 0; r < rows; r += 2 {
		for c := 0; c < cols; c += 4 {
			d0 := dst[r*tileCols+c:][:4:4]
			d1 := dst[(r+1)*tileCols+c:][:4:4]
			s00, s01, s02, s03 := d0[0], d0[1], d0[2], d0[3]
			s10, s11, s12, s13 := d1[0], d1[1], d1[2], d1[3]
			from := base + c
			ak := a[r:]
			for k, o := range off.at {
				bk := b[from+o:][:4:4]
				b0, b1, b2, b3 := bk[0], bk[1], bk[2], bk[3]
				a0, a1 := ak[k*tileRows], ak[k*tileRows+1]
				// The conversions prevent fused multiply-add.
				s00 += T(a0 * b0)
				s01 += T(a0 * b1)
				s02 += T(a0 * b2)
				s03 += T(a0 * b3)
				s10 += T(a1 * b0)
				s11 += T(a1 * b1)
				s12 += T(a1 * b2)
				s13 += T(a1 * b3)
			}
			d0[0], d0[1], d0[2], d0[3] = s00, s01, s02, s03
			d1[0], d1[1], d1[2], d1[3] = s10, s11, s12, s13
		}
	}
}

func dotGo[T float](acc, p []T, pitch int, q []T, base int, off offsets, n int) {
	for r := range dotRows {
		row := p[r*pitch:][:n]
		for c := range dotCols {
			col := q[base+off.at[c]:][:n]
			sum := acc[(r*dotCols+c)*lanes:][:lanes:lanes]
			// Process four partial sums at a time, which stay in registers along the row.
			for l := 0; l < lanes; l += 4 {
				s0, s1, s2, s3 := sum[l], sum[l+1], sum[l+2], sum[l+3]
				for i := l; i < n; i += lanes {
					x, y := row[i:][:4:4], col[i:][:4:4]
					s0 += T(x[0] * y[0])
					s1 += T(x[1] * y[1])
					s2 += T(x[2] * y[2])
					s3 += T(x[3] * y[3])
				}
				sum[l], sum[l+1], sum[l+2], sum[l+3] = s0, s1, s2, s3
			}
		}
	}
}

// sumLanes adds the partial sums of a dot product as a fixed binary tree.
func sumLanes[T float](s []T) T {
	s = s[:lanes]
	a0, a1, a2, a3 := s[0]+s[8], s[1]+s[9], s[2]+s[10], s[3]+s[11]
	a4, a5, a6, a7 := s[4]+s[12], s[5]+s[13], s[6]+s[14], s[7]+s[15]
	return ((a0 + a4) + (a2 + a6)) + ((a1 + a5) + (a3 + a7))
}
