package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// noClass marks a voxel that takes no part among uint8 classes.
const noClass = kernel.NoClass

// labelReader reads class indices of any type as uint8 classes.
type labelReader struct {
	*batch
	kernels *kernels
	rules   labelRules
}

// labelRules map uint8 labels to classes. The assembly reads them as 4 bytes.
type labelRules struct {
	ignore, mark uint8 // a label equal to ignore becomes mark
	cap          uint8 // larger labels become cap
	limit        uint8 // labels that are then at least limit, and not noClass, are refused
}

// newLabelReader returns nil for a target of maps, and if the classes do not fit a
// byte.
func newLabelReader(b *batch, k *kernels) *labelReader {
	t := &b.Target
	limit := b.Classes()
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
	return &labelReader{batch: b, kernels: k, rules: r}
}

// read writes the classes of voxels [lo,hi) of sample n to y, and noClass for
// voxels that take no part. class is scratch memory.
func (l *labelReader) read(n, lo, hi int, y []uint8, class *[]int32) error {
	y = y[:hi-lo]
	if src, ok := l.target.([]uint8); ok && l.kernels.labels(y, src[n*l.V+lo:n*l.V+hi], &l.rules) {
		return nil
	}
	// Other types; of uint8 labels, the error that names the first invalid one.
	*class = Grow(*class, hi-lo)
	if err := classes(l.batch, n, lo, hi, *class); err != nil {
		return err
	}
	for i, c := range *class {
		y[i] = uint8(c) // ignored becomes noClass
	}
	return nil
}

// ClassBytes stores the class index of every voxel of a target of class indices, N×V, and
// [kernel.NoClass] where it is ignored. There must be fewer classes than that.
func (k Backend) ClassBytes(dst []uint8, in *plan.Batch) error {
	b := open(in)
	reader := newLabelReader(b, k.kernels())
	_, err := sumChunks(b.N, b.V, 0, parallel.Forwards, func(c chunk, _ []float64, s *scratch) error {
		return reader.read(c.n, c.lo, c.hi, dst[c.n*b.V+c.lo:][:c.hi-c.lo], &s.labels.class)
	})
	return err
}

// labelsGo writes the class of every label to dst, noClass for ignored ones, and
// reports whether all labels are valid.
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
