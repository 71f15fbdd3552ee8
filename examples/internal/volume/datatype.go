package volume

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DataType is the type of the values stored in a file; the numbers are the
// datatype codes of the NIfTI standard.
type DataType int

// The supported types.
const (
	Uint8   DataType = 2
	Int16   DataType = 4
	Int32   DataType = 8
	Float32 DataType = 16
	Float64 DataType = 64
	Int8    DataType = 256
	Uint16  DataType = 512
	Uint32  DataType = 768
	Int64   DataType = 1024 // values beyond ±2⁵³ are rounded to float64 when read
	Uint64  DataType = 1280 // values beyond 2⁵³ are rounded to float64 when read
)

// unsupported names the NIfTI types that are not plain numbers of up to 64 bits, so that
// an error can name the type of a file.
var unsupported = map[DataType]string{
	0: "unknown", 1: "binary", 32: "complex64", 128: "rgb24", 1536: "float128",
	1792: "complex128", 2048: "complex256", 2304: "rgba32",
}

// String returns the type's name as in Go and NumPy, such as "uint8".
func (t DataType) String() string {
	switch t {
	case Uint8:
		return "uint8"
	case Int16:
		return "int16"
	case Int32:
		return "int32"
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Int8:
		return "int8"
	case Uint16:
		return "uint16"
	case Uint32:
		return "uint32"
	case Int64:
		return "int64"
	case Uint64:
		return "uint64"
	}
	if name, ok := unsupported[t]; ok {
		return name
	}
	return fmt.Sprintf("DataType(%d)", int(t))
}

// Size returns the number of bytes of one value, or 0 for an unsupported type.
func (t DataType) Size() int {
	switch t {
	case Uint8, Int8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64:
		return 8
	}
	return 0
}

func (t DataType) check() error {
	if t.Size() == 0 {
		return fmt.Errorf("data type %v (code %d), want an integer or floating-point type of 8 to 64 bits", t, int(t))
	}
	return nil
}

// swapBytes reverses the bytes of each value of the given size.
func swapBytes(b []byte, size int) {
	switch size {
	case 2:
		for ; len(b) >= 2; b = b[2:] {
			b[0], b[1] = b[1], b[0]
		}
	case 4:
		for ; len(b) >= 4; b = b[4:] {
			binary.LittleEndian.PutUint32(b, binary.BigEndian.Uint32(b))
		}
	case 8:
		for ; len(b) >= 8; b = b[8:] {
			binary.LittleEndian.PutUint64(b, binary.BigEndian.Uint64(b))
		}
	}
}

// load converts len(dst) little-endian values of src to float64.
func (t DataType) load(dst []float64, src []byte) {
	le := binary.LittleEndian
	switch t {
	case Uint8:
		for i := range dst {
			dst[i] = float64(src[i])
		}
	case Int8:
		for i := range dst {
			dst[i] = float64(int8(src[i]))
		}
	case Uint16:
		for i := range dst {
			dst[i] = float64(le.Uint16(src[2*i:]))
		}
	case Int16:
		for i := range dst {
			dst[i] = float64(int16(le.Uint16(src[2*i:])))
		}
	case Uint32:
		for i := range dst {
			dst[i] = float64(le.Uint32(src[4*i:]))
		}
	case Int32:
		for i := range dst {
			dst[i] = float64(int32(le.Uint32(src[4*i:])))
		}
	case Float32:
		for i := range dst {
			dst[i] = float64(math.Float32frombits(le.Uint32(src[4*i:])))
		}
	case Uint64:
		for i := range dst {
			dst[i] = float64(le.Uint64(src[8*i:]))
		}
	case Int64:
		for i := range dst {
			dst[i] = float64(int64(le.Uint64(src[8*i:])))
		}
	case Float64:
		for i := range dst {
			dst[i] = math.Float64frombits(le.Uint64(src[8*i:]))
		}
	}
}

// store converts values to little-endian t, rounding to even for integers. It returns an
// error for the first value that does not fit. Infinite and NaN values are valid for
// floating-point types.
func (t DataType) store(dst []byte, src []float64) error {
	le := binary.LittleEndian
	switch t {
	case Float64:
		for i, x := range src {
			le.PutUint64(dst[8*i:], math.Float64bits(x))
		}
		return nil
	case Float32:
		for i, x := range src {
			f := float32(x)
			if math.IsInf(float64(f), 0) && !math.IsInf(x, 0) {
				return fmt.Errorf("value %g does not fit in float32", x)
			}
			le.PutUint32(dst[4*i:], math.Float32bits(f))
		}
		return nil
	}
	lo, end := t.integerRange()
	size := t.Size()
	for i, x := range src {
		r := math.RoundToEven(x)
		if !(r >= lo && r < end) { // also false for NaN
			return fmt.Errorf("value %g does not fit in %v", x, t)
		}
		var bits uint64
		if t == Uint64 {
			bits = uint64(r)
		} else {
			bits = uint64(int64(r))
		}
		switch size {
		case 1:
			dst[i] = byte(bits)
		case 2:
			le.PutUint16(dst[2*i:], uint16(bits))
		case 4:
			le.PutUint32(dst[4*i:], uint32(bits))
		case 8:
			le.PutUint64(dst[8*i:], bits)
		}
	}
	return nil
}

// integerRange returns the smallest value of an integer type and its largest value plus
// one. Both are exact in float64, unlike the largest value itself for 64 bits.
func (t DataType) integerRange() (lo, end float64) {
	bits := 8 * t.Size()
	switch t {
	case Int8, Int16, Int32, Int64:
		return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1)
	default:
		return 0, math.Ldexp(1, bits)
	}
}
