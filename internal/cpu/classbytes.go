package cpu

import "math"

// noClass marks a voxel that takes no part among uint8 classes.
const noClass = 255

// labelReader reads class indices of any type as uint8 classes.
type labelReader struct {
	*batch
	kernels *kernels
	rules   labelRules
}

// labelRules say what a uint8 label means. The assembly reads it as 4 bytes.
type labelRules struct {
	ignore, mark uint8 // a label equal to ignore becomes mark
	cap          uint8 // larger labels become cap
	limit        uint8 // other labels from limit on are refused
}

// newLabelReader returns nil for a target of maps, and for classes that do not
// fit a byte.
func newLabelReader(b *batch) *labelReader {
	t := &b.Target
	limit := max(b.C, 2) // a single channel takes a 0/1 mask
	if t.Dense || limit >= noClass {
		return nil
	}
	r := labelRules{cap: noClass - 1, limit: uint8(limit)}
	if t.Binarize {
		r.cap = 1
	}
	if t.HasIgnore {
		r.ignore, r.mark = uint8(t.Ignore), noClass
		if t.Ignore < 0 || t.Ignore > math.MaxUint8 {
			r.ignore, r.mark = 0, 0 // no uint8 label is ignored
		}
	}
	return &labelReader{batch: b, kernels: &fastest, rules: r}
}

// read writes the classes of voxels [lo,hi) of sample n to y, noClass for those
// that take no part. class is scratch memory.
func (l *labelReader) read(n, lo, hi int, y []uint8, class *[]int32) error {
	y = y[:hi-lo]
	if src, ok := l.target.([]uint8); ok && l.kernels.labels(y, src[n*l.V+lo:n*l.V+hi], &l.rules) {
		return nil
	}
	// Other types, and the error that names the first bad label.
	*class = grow(*class, hi-lo)
	if err := classes(l.batch, n, lo, hi, *class); err != nil {
		return err
	}
	for i, c := range *class {
		y[i] = uint8(c) // ignored becomes noClass
	}
	return nil
}

// labelsGo writes the class of every label to dst, noClass for those that take
// no part, and reports whether all are classes.
func labelsGo(dst, src []uint8, r *labelRules) bool {
	ok := true
	for i, y := range src {
		class := min(y, r.cap)
		if y == r.ignore {
			class = r.mark
		}
		if class >= r.limit && class != noClass {
			ok = false
		}
		dst[i] = class
	}
	return ok
}
