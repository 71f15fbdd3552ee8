// Package labels reads the elements of masks and label tensors of any of the
// types that one may have: the integers, bool, float32 and float64.
package labels

import (
	"math"
	"slices"
)

// Reader reads the elements of a slice. Methods that fill dst read as many
// elements as it holds, from index from on.
type Reader interface {
	// NonZero stores 1 for each element that is not zero and 0 for the others. It
	// returns the index in dst of the first NaN, or −1.
	NonZero(dst []uint8, from int) (nan int)
	// Equal stores 1 for each element that equals the label, which is not
	// negative, and 0 for the others. It returns the index in dst of the first
	// element that is not a whole number, or −1.
	Equal(dst []uint8, from int, label int32) (bad int)
	// Classes stores the class index of each element. It returns the index in dst
	// of the first element that is none, or −1.
	Classes(dst []int32, from int, c *Classes) (bad int)
	// Float64s stores the elements as float64.
	Float64s(dst []float64, from int)
	// At returns an element as it is.
	At(i int) any
	// Gather returns a new slice of the reader's type with the elements at the given
	// indices.
	Gather(at []int) any
}

// Classes says which labels are class indices.
type Classes struct {
	Limit    int32   // classes are 0 to Limit−1, at least two of them
	Ignore   []int64 // labels that take no part; they become [Ignored]
	Binarize bool    // any larger label is class 1
}

// ignore returns whether labels are ignored, the first of them and the others:
// there is seldom more than one.
func (c *Classes) ignore() (ignoring bool, first int64, others []int64) {
	if len(c.Ignore) == 0 {
		return false, 0, nil
	}
	return true, c.Ignore[0], c.Ignore[1:]
}

// Ignored marks an element that takes no part among class indices.
const Ignored = -1

// Of returns a reader of a slice, or nil where its elements have no type of a
// label.
func Of(slice any) Reader {
	switch s := slice.(type) {
	case []uint8:
		return integers[uint8](s)
	case []int8:
		return integers[int8](s)
	case []int16:
		return integers[int16](s)
	case []uint16:
		return integers[uint16](s)
	case []int32:
		return integers[int32](s)
	case []uint32:
		return integers[uint32](s)
	case []int64:
		return integers[int64](s)
	case []uint64:
		return integers[uint64](s)
	case []int:
		return integers[int](s)
	case []uint:
		return integers[uint](s)
	case []bool:
		return bools(s)
	case []float32:
		return floats[float32](s)
	case []float64:
		return floats[float64](s)
	}
	return nil
}

type integer interface {
	int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64
}

type integers[T integer] []T

func (s integers[T]) NonZero(dst []uint8, from int) int {
	for i, v := range s[from : from+len(dst)] {
		var one uint8
		if v != 0 {
			one = 1
		}
		dst[i] = one
	}
	return -1
}

func (s integers[T]) Equal(dst []uint8, from int, label int32) int {
	for i, v := range s[from : from+len(dst)] {
		var one uint8
		// A uint64 above the int64s becomes negative, which the label is not.
		if int64(v) == int64(label) {
			one = 1
		}
		dst[i] = one
	}
	return -1
}

func (s integers[T]) Classes(dst []int32, from int, c *Classes) int {
	limit := uint64(c.Limit)
	ignoring, first, others := c.ignore()
	for i, v := range s[from : from+len(dst)] {
		y := int64(v)
		wrapped := y < 0 && v > 0 // a uint64 above the int64s
		switch {
		case ignoring && !wrapped && (y == first || len(others) > 0 && slices.Contains(others, y)):
			dst[i] = Ignored
		case uint64(y) < limit:
			dst[i] = int32(y)
		case c.Binarize && v > 0:
			dst[i] = 1
		default:
			return i
		}
	}
	return -1
}

func (s integers[T]) Float64s(dst []float64, from int) {
	for i, v := range s[from : from+len(dst)] {
		dst[i] = float64(v)
	}
}

func (s integers[T]) At(i int) any { return s[i] }

func (s integers[T]) Gather(at []int) any { return gather(s, at) }

type floats[T float32 | float64] []T

func (s floats[T]) NonZero(dst []uint8, from int) int {
	nan := -1
	for i, v := range s[from : from+len(dst)] {
		var one uint8
		if v != 0 {
			one = 1
		}
		if v != v && nan < 0 {
			nan = i
		}
		dst[i] = one
	}
	return nan
}

func (s floats[T]) Equal(dst []uint8, from int, label int32) int {
	want := float64(label)
	for i, v := range s[from : from+len(dst)] {
		y := float64(v)
		if !isWhole(y) {
			return i
		}
		var one uint8
		if y == want {
			one = 1
		}
		dst[i] = one
	}
	return -1
}

func (s floats[T]) Classes(dst []int32, from int, c *Classes) int {
	limit := float64(c.Limit)
	ignoring, first, others := c.ignore()
	for i, v := range s[from : from+len(dst)] {
		y := float64(v)
		switch {
		case ignoring && (y == float64(first) || slices.ContainsFunc(others, func(label int64) bool { return y == float64(label) })):
			dst[i] = Ignored
		case y >= 0 && y < limit && y == float64(int32(y)):
			dst[i] = int32(y)
		case c.Binarize && y > 0 && isWhole(y):
			dst[i] = 1
		default:
			return i
		}
	}
	return -1
}

func (s floats[T]) Float64s(dst []float64, from int) {
	for i, v := range s[from : from+len(dst)] {
		dst[i] = float64(v)
	}
}

func (s floats[T]) At(i int) any { return s[i] }

func (s floats[T]) Gather(at []int) any { return gather(s, at) }

func isWhole(v float64) bool { return v == math.Trunc(v) && !math.IsInf(v, 0) }

type bools []bool

func (s bools) NonZero(dst []uint8, from int) int {
	for i, v := range s[from : from+len(dst)] {
		dst[i] = uint8(number(v))
	}
	return -1
}

func (s bools) Equal(dst []uint8, from int, label int32) int {
	for i, v := range s[from : from+len(dst)] {
		var one uint8
		if number(v) == label {
			one = 1
		}
		dst[i] = one
	}
	return -1
}

func (s bools) Classes(dst []int32, from int, c *Classes) int {
	meaning := [2]int32{0, 1}
	for _, label := range c.Ignore {
		if label == 0 || label == 1 {
			meaning[label] = Ignored
		}
	}
	for i, v := range s[from : from+len(dst)] {
		dst[i] = meaning[number(v)]
	}
	return -1
}

func (s bools) Float64s(dst []float64, from int) {
	for i, v := range s[from : from+len(dst)] {
		dst[i] = float64(number(v))
	}
}

func (s bools) At(i int) any { return s[i] }

func (s bools) Gather(at []int) any { return gather(s, at) }

func gather[T any](s []T, at []int) []T {
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = s[k]
	}
	return out
}

func number(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
