package weights

import (
	"encoding/binary"
	"math"

	"gorgonia.org/tensor"
)

// element is a stored element type: its size in bytes, and a function that decodes
// elements into a slice of the Go type that represents them, or nil if there is none.
type element struct {
	size   int
	decode func(raw []byte, order binary.ByteOrder) any
}

// integer reports whether the elements are represented as int64.
func (e element) integer() bool {
	_, ok := e.decode(nil, binary.LittleEndian).([]int64)
	return ok
}

// The element types.
var (
	float32s = element{4, each(4, func(b []byte, o binary.ByteOrder) float32 { return math.Float32frombits(o.Uint32(b)) })}
	float64s = element{8, each(8, func(b []byte, o binary.ByteOrder) float64 { return math.Float64frombits(o.Uint64(b)) })}
	float16s = element{2, each(2, func(b []byte, o binary.ByteOrder) float32 { return float16(o.Uint16(b)) })}
	// A bfloat16 is the upper half of a float32.
	bfloat16s = element{2, each(2, func(b []byte, o binary.ByteOrder) float32 { return math.Float32frombits(uint32(o.Uint16(b)) << 16) })}

	int64s = element{8, each(8, func(b []byte, o binary.ByteOrder) int64 { return int64(o.Uint64(b)) })}
	int32s = element{4, each(4, func(b []byte, o binary.ByteOrder) int64 { return int64(int32(o.Uint32(b))) })}
	int16s = element{2, each(2, func(b []byte, o binary.ByteOrder) int64 { return int64(int16(o.Uint16(b))) })}
	int8s  = element{1, each(1, func(b []byte, _ binary.ByteOrder) int64 { return int64(int8(b[0])) })}
	uint8s = element{1, each(1, func(b []byte, _ binary.ByteOrder) int64 { return int64(b[0]) })}
	bools  = element{1, each(1, func(b []byte, _ binary.ByteOrder) int64 { return int64(min(b[0], 1)) })}
)

func each[T any](size int, get func([]byte, binary.ByteOrder) T) func([]byte, binary.ByteOrder) any {
	return func(raw []byte, order binary.ByteOrder) any {
		values := make([]T, len(raw)/size)
		for i := range values {
			values[i] = get(raw[i*size:], order)
		}
		return values
	}
}

// tensor returns a tensor of the values in raw, which must contain the number of elements
// given by the shape, at least one.
func (e element) tensor(raw []byte, order binary.ByteOrder, shape []int) *tensor.Dense {
	backing := e.decode(raw, order)
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
	}
	switch values := backing.(type) {
	case []float32:
		return tensor.New(tensor.FromScalar(values[0]))
	case []float64:
		return tensor.New(tensor.FromScalar(values[0]))
	default:
		return tensor.New(tensor.FromScalar(backing.([]int64)[0]))
	}
}

// float16 converts an IEEE 754 half-precision number to float32, which is always exact.
func float16(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent, fraction := uint32(h>>10)&0x1f, uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: a multiple of 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent-15+127)<<23 | fraction<<13)
}
