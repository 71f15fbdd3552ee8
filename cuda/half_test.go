package cuda

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// halfFormat is a half precision format, for tests by definition.
type halfFormat struct {
	name     string
	fraction int // bits
	exponent int // bits
	decode   func(uint16) float32
	encode   func(float32) uint16
}

var halfFormats = []halfFormat{
	{"float16", 10, 5, func(b uint16) float32 { return F16(b).Float32() }, func(x float32) uint16 { return uint16(NewF16(x)) }},
	{"bfloat16", 7, 8, func(b uint16) float32 { return BF16(b).Float32() }, func(x float32) uint16 { return uint16(NewBF16(x)) }},
}

// value decodes a number as IEEE 754 defines it.
func (f halfFormat) value(b uint16) float64 {
	sign := 1.0
	if b&0x8000 != 0 {
		sign = -1
	}
	bias := 1<<(f.exponent-1) - 1
	exponent := int(b) >> f.fraction & (1<<f.exponent - 1)
	fraction := float64(int(b) & (1<<f.fraction - 1))
	unit := math.Ldexp(1, -f.fraction)
	switch {
	case exponent == 1<<f.exponent-1 && fraction != 0:
		return math.NaN()
	case exponent == 1<<f.exponent-1:
		return sign * math.Inf(1)
	case exponent == 0:
		return sign * math.Ldexp(fraction*unit, 1-bias)
	}
	return sign * math.Ldexp(1+fraction*unit, exponent-bias)
}

// All 65536 bit patterns decode by definition, and survive the conversion to float32 and
// back.
func TestHalfOfEveryBitPattern(t *testing.T) {
	for _, f := range halfFormats {
		t.Run(f.name, func(t *testing.T) {
			for i := range 1 << 16 {
				b := uint16(i)
				want, got := f.value(b), f.decode(b)
				if math.IsNaN(want) {
					require.True(t, math.IsNaN(float64(got)), "%#04x", b)
					back := f.encode(got)
					require.True(t, math.IsNaN(f.value(back)), "%#04x", b)
					require.Equal(t, b|1<<(f.fraction-1), back, "%#04x: sign and payload, quiet", b)
					continue
				}
				require.Equal(t, math.Float64bits(want), math.Float64bits(float64(got)), "%#04x", b)
				require.Equal(t, b, f.encode(got), "%#04x", b)
			}
		})
	}
}

// Numbers between two neighbors are rounded to the nearer one, and the midpoint to the
// even one. The midpoint and the float32 numbers next to it suffice, since rounding is
// monotone in between.
func TestHalfRoundsToNearestEven(t *testing.T) {
	for _, f := range halfFormats {
		t.Run(f.name, func(t *testing.T) {
			infinity := uint16(1<<f.exponent-1) << f.fraction
			for b := uint16(0); b < infinity; b++ {
				low := f.value(b)
				high := f.value(b + 1)
				if b+1 == infinity { // where the next number would be
					high = 2*low - f.value(b-1)
				}
				middle := float32((low + high) / 2)
				even := b + b&1
				for _, sign := range []uint16{0, 0x8000} {
					s := float32(1)
					if sign != 0 {
						s = -1
					}
					at := math.Float32bits(middle)
					below, above := math.Float32frombits(at-1), math.Float32frombits(at+1)
					require.Equal(t, even|sign, f.encode(s*middle), "half way above %#04x", b)
					require.Equal(t, b|sign, f.encode(s*below), "below half way above %#04x", b)
					require.Equal(t, (b+1)|sign, f.encode(s*above), "above half way above %#04x", b)
				}
			}
			assert.Equal(t, infinity, f.encode(float32(math.Inf(1))))
			assert.Equal(t, infinity, f.encode(math.MaxFloat32))
		})
	}
}

func TestHalfTypes(t *testing.T) {
	assert.EqualValues(t, 2, Float16.Size())
	assert.EqualValues(t, 2, BFloat16.Size())
	assert.NotEqual(t, Float16, BFloat16)
}
