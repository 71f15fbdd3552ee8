package cpu

import (
	"math"
	"strconv"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/plan"
)

// batch is a batch with the slices of its tensors: asking a tensor for its slice
// allocates, which must not happen once per tile.
type batch struct {
	*plan.Batch
	logits, target, weight any
	labels                 labels.Reader  // reads target
	classes                labels.Classes // the class indices that target may hold
}

func open(b *plan.Batch) *batch {
	in := &batch{Batch: b, target: b.Target.Tensor.Data()}
	in.labels = labels.Of(in.target)
	in.classes = labels.Classes{Limit: int32(b.Classes()), Binarize: b.Target.Binarize}
	if b.Target.HasIgnore {
		in.classes.Ignore = []int64{b.Target.Ignore}
	}
	if b.Logits != nil {
		in.logits = b.Logits.Data()
	}
	if b.VoxelWeight != nil {
		in.weight = b.VoxelWeight.Data()
	}
	return in
}

// ignored marks the class of a voxel that takes no part.
const ignored = labels.Ignored

// classes reads the class indices of voxels [lo,hi) of sample n into dst, [ignored]
// where the label is the ignore index. Any other label is refused.
func classes(b *batch, n, lo, hi int, dst []int32) error {
	at := n*b.V + lo
	bad := b.labels.Classes(dst[:hi-lo], at, &b.classes)
	if bad < 0 {
		return nil
	}
	want := "a class index from 0 to " + strconv.Itoa(int(b.classes.Limit)-1)
	if b.Target.HasIgnore {
		want += ", or the ignored " + strconv.FormatInt(b.Target.Ignore, 10)
	}
	return plan.Refuse(b.Target.Argument+" at sample "+strconv.Itoa(n)+", voxel "+strconv.Itoa(lo+bad), b.labels.At(at+bad), "%s", want)
}

// maps reads voxels [lo,hi) of channel c of sample n of a target of maps into dst.
func maps(b *batch, n, c, lo, hi int, dst []float64) error {
	b.labels.Float64s(dst[:hi-lo], (n*b.C+c)*b.V+lo)
	for i, v := range dst[:hi-lo] {
		if v >= 0 && v <= 1 {
			continue
		}
		if !(v >= -kernel.MapSlack && v <= 1+kernel.MapSlack) {
			return plan.Refuse(b.Target.Argument+" at sample "+strconv.Itoa(n)+", channel "+strconv.Itoa(c)+", voxel "+strconv.Itoa(lo+i),
				v, "a value in [0,1]")
		}
		dst[i] = max(0, min(v, 1))
	}
	return nil
}

// voxelWeights reads the weights of voxels [lo,hi) of sample n into dst.
func voxelWeights(b *batch, n, lo, hi int, dst []float64) error {
	if err := widenAny(b.weight, n*b.V+lo, dst[:hi-lo]); err != nil {
		return err
	}
	for i, v := range dst[:hi-lo] {
		if !(v >= 0) || math.IsInf(v, 0) {
			return plan.Refuse("voxel weight at sample "+strconv.Itoa(n)+", voxel "+strconv.Itoa(lo+i), v, "a finite number of at least 0")
		}
	}
	return nil
}

// widenAny copies data[at:at+len(dst)] to dst; data is a []float32 or a []float64.
func widenAny(data any, at int, dst []float64) error {
	if !ReadFloats(data, at, dst) {
		return plan.Refuse("tensor", data, "a slice of floats")
	}
	return nil
}

// ReadFloats copies data[at:at+len(dst)] to dst and reports true where data is a []float32 or
// a []float64.
func ReadFloats(data any, at int, dst []float64) bool {
	switch s := data.(type) {
	case []float32:
		for i, v := range s[at : at+len(dst)] {
			dst[i] = float64(v)
		}
	case []float64:
		copy(dst, s[at:])
	default:
		return false
	}
	return true
}

// StoreFloats copies src to data[at:], rounded to its type: []float32 or []float64.
func StoreFloats(data any, at int, src []float64) {
	switch d := data.(type) {
	case []float32:
		d = d[at : at+len(src)]
		for i, v := range src {
			d[i] = float32(v)
		}
	case []float64:
		copy(d[at:at+len(src)], src)
	}
}
