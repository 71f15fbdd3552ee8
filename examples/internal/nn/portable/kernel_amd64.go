//go:build !noasm

package portable

import "golang.org/x/sys/cpu"

// tiers returns the float32 kernels that this machine can run, fastest first.
func tiers() []kernels[float32] {
	var t []kernels[float32]
	if cpu.X86.HasAVX512F {
		t = append(t, kernels[float32]{name: "avx512", tile: tileAVX512, dot: dotAVX512})
	}
	if cpu.X86.HasAVX2 {
		t = append(t, kernels[float32]{name: "avx2", tile: tileAVX2, dot: dotAVX2})
	}
	return append(t, plain[float32]())
}

// The assembly routines implement the loops of tileGo and dotGo. They access memory through
// pointers without bounds checks; the functions below check the slices.

// tile8x48AVX512 adds the k outer products to the tile dst of 8 rows and 48 columns.
//
//go:noescape
func tile8x48AVX512(dst, a, b *float32, off *int, k int)

// tile8x32AVX512 does the same for the first 32 columns.
//
//go:noescape
func tile8x32AVX512(dst, a, b *float32, off *int, k int)

// tile8x16AVX512 does the same for the first 16 columns.
//
//go:noescape
func tile8x16AVX512(dst, a, b *float32, off *int, k int)

// tile2x48AVX512 does the same for the first 2 rows.
//
//go:noescape
func tile2x48AVX512(dst, a, b *float32, off *int, k int)

// dot4x6AVX512 multiplies 4 rows with 6 columns over n elements into 16 lanes each.
//
//go:noescape
func dot4x6AVX512(acc, p *float32, pitch int, q *float32, off *int, n int)

// tile4x16AVX2 adds the k outer products to 4 rows and 16 columns of a tile whose rows are 48
// elements apart. The factors of consecutive k are 8 elements apart in a.
//
//go:noescape
func tile4x16AVX2(dst, a, b *float32, off *int, k int)

// dot4x3AVX2 multiplies 4 rows with 3 columns over n elements, using the first 8 of every 16,
// into the first 8 of 16 lanes each. The rows of acc are 6·16 elements apart.
//
//go:noescape
func dot4x3AVX2(acc, p *float32, pitch int, q *float32, off *int, n int)

// checkTile panics, as the plain kernel would, if an assembly routine would access memory
// outside a slice. That would be a bug in this package.
func checkTile(dst, a, b []float32, base int, off offsets, rows, cols int) {
	_ = dst[(rows-1)*tileCols+cols-1]
	_ = a[len(off.at)*tileRows-1]
	_ = b[base+off.largest+cols-1]
}

func checkDot(acc, p []float32, pitch int, q []float32, base int, off offsets, n int) {
	_ = acc[dotRows*dotCols*lanes-1]
	_ = p[(dotRows-1)*pitch+n-1]
	_ = q[base+off.largest+n-1]
	_ = off.at[dotCols-1]
}

func tileAVX512(dst, a, b []float32, base int, off offsets, rows, cols int) {
	if len(off.at) == 0 {
		return
	}
	checkTile(dst, a, b, base, off, rows, cols)
	routine := tile8x48AVX512
	switch {
	case rows == 2 && cols == tileCols:
		routine = tile2x48AVX512
	case cols == 2*lanes:
		routine = tile8x32AVX512
	case cols == lanes:
		routine = tile8x16AVX512
	}
	routine(&dst[0], &a[0], &b[base], &off.at[0], len(off.at))
}

func tileAVX2(dst, a, b []float32, base int, off offsets, rows, cols int) {
	if len(off.at) == 0 {
		return
	}
	checkTile(dst, a, b, base, off, rows, cols)
	for r := 0; r < rows; r += 4 {
		for c := 0; c < cols; c += 16 {
			tile4x16AVX2(&dst[r*tileCols+c], &a[r], &b[base+c], &off.at[0], len(off.at))
		}
	}
}

func dotAVX512(acc, p []float32, pitch int, q []float32, base int, off offsets, n int) {
	if n == 0 {
		return
	}
	checkDot(acc, p, pitch, q, base, off, n)
	dot4x6AVX512(&acc[0], &p[0], pitch, &q[base], &off.at[0], n)
}

func dotAVX2(acc, p []float32, pitch int, q []float32, base int, off offsets, n int) {
	if n == 0 {
		return
	}
	checkDot(acc, p, pitch, q, base, off, n)
	for c := 0; c < dotCols; c += 3 {
		for half := 0; half < lanes; half += 8 {
			dot4x3AVX2(&acc[c*lanes+half], &p[half], pitch, &q[base+half], &off.at[c], n)
		}
	}
}
