package cpu

// PackMargins sets the bits of the voxels whose margin, the logit of their class minus that
// of the other, is at most limit or NaN, of two channels of logits x0 and x1. A voxel of
// kernel.NoClass has none. The last word may have less than 64 voxels.
func (k Backend) PackMargins(dst []uint64, x0, x1 []float32, class []uint8, limit float32) {
	kernels := k.kernels()
	const most = stripVoxels / 64
	var above, below, inside, ignored [most]uint64
	for at := 0; at < len(class); at += stripVoxels {
		hi := min(at+stripVoxels, len(class))
		whole := (hi - at) / 64
		words := (hi - at + 63) / 64
		a, b, y := x0[at:hi], x1[at:hi], class[at:hi]
		pack := func(word, n int, a, b []float32, y []uint8) {
			kernels.packMargins(above[word:][:n], below[word:][:n], a, b, limit)
			kernels.pack(inside[word:][:n], y, 1)
			kernels.pack(ignored[word:][:n], y, noClass)
		}
		pack(0, whole, a, b, y)
		if whole < words {
			var lastA, lastB [64]float32
			lastY := noClasses
			copy(lastA[:], a[64*whole:])
			copy(lastB[:], b[64*whole:])
			copy(lastY[:], y[64*whole:])
			pack(whole, 1, lastA[:], lastB[:], lastY[:])
		}
		for i := range words {
			dst[at/64+i] = ^above[i]&inside[i] | ^below[i]&^inside[i]&^ignored[i]
		}
	}
}

// noClasses is a word of voxels that take no part.
var noClasses = func() (y [64]uint8) {
	for i := range y {
		y[i] = noClass
	}
	return y
}()

// packMarginsGo sets the bits of the differences x1−x0 that are above limit, and of those
// below −limit. x0 and x1 hold 64 values for each word.
func packMarginsGo(above, below []uint64, x0, x1 []float32, limit float32) {
	for w := range above {
		var high, low uint64
		a, b := x0[64*w:][:64], x1[64*w:][:64]
		for i, v := range b {
			d := v - a[i]
			if d > limit {
				high |= 1 << i
			}
			if d < -limit {
				low |= 1 << i
			}
		}
		above[w], below[w] = high, low
	}
}
