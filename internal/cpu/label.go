package cpu

import (
	"math"
	"reflect"
	"strconv"

	"github.com/x/afl/internal/plan"
)

// batch is a batch with its memory at hand: asking a tensor for its slice
// allocates, which a kernel must not do once a tile.
type batch struct {
	*plan.Batch
	logits, target, weight any
}

func open(b *plan.Batch) *batch {
	in := &batch{Batch: b, target: b.Target.Tensor.Data()}
	if b.Logits != nil {
		in.logits = b.Logits.Data()
	}
	if b.VoxelWeight != nil {
		in.weight = b.VoxelWeight.Data()
	}
	return in
}

// ignored marks a voxel that takes no part.
const ignored = -1

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// classes reads the class indices of voxels [lo,hi) of sample n into dst,
// ignored ones as [ignored]. Indices at or above limit are refused.
func classes(b *batch, n, lo, hi int, dst []int32) error {
	limit := int64(b.Classes())
	at := n*b.V + lo
	bad := -1
	switch y := b.target.(type) {
	case []uint8:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []int8:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []int16:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []uint16:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []int32:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []uint32:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []int64:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []uint64:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []int:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []uint:
		bad = classInts(&b.Target, limit, y[at:], dst[:hi-lo])
	case []bool:
		classBools(&b.Target, y[at:], dst[:hi-lo])
	case []float32:
		bad = classFloats(&b.Target, limit, y[at:], dst[:hi-lo])
	case []float64:
		bad = classFloats(&b.Target, limit, y[at:], dst[:hi-lo])
	default:
		return plan.Refuse(b.Target.Argument, b.Target.Tensor.Dtype(), "an integer, float or bool type")
	}
	if bad < 0 {
		return nil
	}
	got := reflect.ValueOf(b.target).Index(at + bad)
	want := "a class index from 0 to " + strconv.FormatInt(limit-1, 10)
	if b.Target.HasIgnore {
		want += ", or the ignored " + strconv.FormatInt(b.Target.Ignore, 10)
	}
	return plan.Refuse(b.Target.Argument+" at sample "+strconv.Itoa(n)+", voxel "+strconv.Itoa(lo+bad), got, "%s", want)
}

func classInts[T integer](t *plan.Target, limit int64, src []T, dst []int32) (bad int) {
	for i := range dst {
		y := int64(src[i])
		wrapped := y < 0 && src[i] > 0 // a uint64 above the int64s
		switch {
		case t.HasIgnore && y == t.Ignore && !wrapped:
			dst[i] = ignored
		case y >= 0 && y < limit:
			dst[i] = int32(y)
		case t.Binarize && (y > 0 || wrapped):
			dst[i] = 1
		default:
			return i
		}
	}
	return -1
}

func classBools(t *plan.Target, src []bool, dst []int32) {
	for i := range dst {
		y := int64(0)
		if src[i] {
			y = 1
		}
		dst[i] = int32(y)
		if t.HasIgnore && y == t.Ignore {
			dst[i] = ignored
		}
	}
}

func classFloats[T float32 | float64](t *plan.Target, limit int64, src []T, dst []int32) (bad int) {
	for i := range dst {
		y := float64(src[i])
		switch {
		case t.HasIgnore && y == float64(t.Ignore):
			dst[i] = ignored
		case y != math.Trunc(y): // NaN too
			return i
		case y >= 0 && y < float64(limit):
			dst[i] = int32(y)
		case t.Binarize && y > 0 && !math.IsInf(y, 0):
			dst[i] = 1
		default:
			return i
		}
	}
	return -1
}

// mapSlack is how far a soft map may stray from [0,1]: interpolation in float32
// leaves such values. They are read as 0 and 1.
const mapSlack = 1e-5

// maps reads voxels [lo,hi) of channel c of sample n of a dense target.
func maps(b *batch, n, c, lo, hi int, dst []float64) error {
	at := (n*b.C+c)*b.V + lo
	if err := widenAny(b.target, at, dst[:hi-lo]); err != nil {
		return err
	}
	for i, v := range dst[:hi-lo] {
		if !(v >= -mapSlack && v <= 1+mapSlack) {
			return plan.Refuse(b.Target.Argument+" at sample "+strconv.Itoa(n)+", channel "+strconv.Itoa(c)+", voxel "+strconv.Itoa(lo+i),
				v, "a value in [0,1]")
		}
		dst[i] = max(0, min(v, 1))
	}
	return nil
}

// voxelWeights reads the weights of voxels [lo,hi) of sample n.
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

// widenAny copies data[at:at+len(dst)] of any numeric slice to dst.
func widenAny(data any, at int, dst []float64) error {
	switch s := data.(type) {
	case []float32:
		widen(s[at:], dst)
	case []float64:
		copy(dst, s[at:])
	case []uint8:
		widen(s[at:], dst)
	case []int8:
		widen(s[at:], dst)
	case []int16:
		widen(s[at:], dst)
	case []uint16:
		widen(s[at:], dst)
	case []int32:
		widen(s[at:], dst)
	case []uint32:
		widen(s[at:], dst)
	case []int64:
		widen(s[at:], dst)
	case []uint64:
		widen(s[at:], dst)
	case []int:
		widen(s[at:], dst)
	case []uint:
		widen(s[at:], dst)
	case []bool:
		for i := range dst {
			dst[i] = 0
			if s[at+i] {
				dst[i] = 1
			}
		}
	default:
		return plan.Refuse("tensor", data, "a slice of integers, floats or bools")
	}
	return nil
}

func widen[T integer | float32](src []T, dst []float64) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = float64(v)
	}
}

// store rounds src into data[at:].
func store(data any, at int, src []float64) {
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
