package cuda

import (
	"math"
	"math/bits"
	"reflect"

	"gorgonia.org/tensor"
)

// Element types of half precision logits. Host tensors of these types are backed by a
// []F16 or []BF16; gorgonia.org/tensor can move them but not compute with them.
var (
	// Float16 is IEEE 754 binary16: 5 bits of exponent, 10 of fraction. Its smallest
	// positive number is 6e-8, above the gradients of a mean over a large image: prefer
	// BFloat16, or scale the loss by its Weight.
	Float16 = tensor.Dtype{Type: reflect.TypeFor[F16]()}
	// BFloat16 is the upper half of a float32: 8 bits of exponent, 7 of fraction.
	BFloat16 = tensor.Dtype{Type: reflect.TypeFor[BF16]()}
)

// F16 is an IEEE 754 binary16 number, as its bits.
type F16 uint16

// BF16 is a bfloat16 number, as its bits.
type BF16 uint16

// NewF16 rounds x to the nearest binary16, ties to even. Magnitudes from 65520 on become
// infinite. A NaN stays NaN, with its sign and the upper bits of its payload.
func NewF16(x float32) F16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN, made quiet
		return F16(sign | 0x7e00 | uint16(b>>13)&0x3ff)
	case b >= 0x47800000: // 2¹⁶ and above
		return F16(sign | 0x7c00)
	case b >= 0x38800000: // 2⁻¹⁴ and above: normal
		b -= 112 << 23 // the biases differ by 112
		b += 0xfff + b>>13&1
		return F16(sign | uint16(b>>13))
	case b < 0x33000000: // below 2⁻²⁵, half of the smallest positive number
		return F16(sign)
	}
	// Denormal: the fraction with its leading one, in units of 2⁻²⁴.
	fraction, shift := b&0x7fffff|0x800000, 126-b>>23
	half := uint32(1) << (shift - 1)
	n := fraction >> shift
	if rest := fraction & (half<<1 - 1); rest > half || rest == half && n&1 == 1 {
		n++
	}
	return F16(sign | uint16(n))
}

// Float32 converts h to float32, which is exact.
func (h F16) Float32() float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exponent == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	case exponent != 0:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	case fraction == 0:
		return math.Float32frombits(sign)
	}
	// Denormal: shift the leading one to the position of float32's implicit bit.
	shift := uint32(bits.LeadingZeros16(uint16(fraction))) - 5
	return math.Float32frombits(sign | (113-shift)<<23 | fraction<<shift&0x3ff<<13)
}

// NewBF16 rounds x to the nearest bfloat16, ties to even. A NaN stays NaN, with its sign
// and the upper bits of its payload.
func NewBF16(x float32) BF16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 { // NaN, made quiet
		return BF16(b>>16 | 0x40)
	}
	return BF16((b + 0x7fff + b>>16&1) >> 16)
}

// Float32 converts h to float32, which is exact.
func (h BF16) Float32() float32 { return math.Float32frombits(uint32(h) << 16) }
