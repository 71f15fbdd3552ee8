package cuda

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// Precision is the precision of the products in convolutions. Sums are in float32, arrays in
// memory as well.
type Precision uint8

const (
	// Float32 multiplies in float32. It is the default.
	Float32 Precision = iota
	// TF32 rounds both factors to 10 bits of fraction, ties away from zero, and multiplies
	// on tensor cores. It needs compute capability 8.0.
	TF32
	// BFloat16 rounds both factors to bfloat16, 7 bits of fraction, ties to even, and
	// multiplies on tensor cores. It needs compute capability 8.0.
	BFloat16
)

// String returns "float32", "tf32" or "bfloat16".
func (p Precision) String() string {
	switch p {
	case Float32:
		return "float32"
	case TF32:
		return "tf32"
	case BFloat16:
		return "bfloat16"
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}

// Precisions returns all precisions.
func Precisions() []Precision { return []Precision{Float32, TF32, BFloat16} }

// ParsePrecision returns the precision whose String is s.
func ParsePrecision(s string) (Precision, error) {
	for _, p := range Precisions() {
		if s == p.String() {
			return p, nil
		}
	}
	return Float32, fmt.Errorf("the precision is %q, want one of %v", s, Precisions())
}

// precise is a backend whose convolutions have a precision.
type precise interface{ setPrecision(p Precision) error }

// SetPrecision sets the precision of the convolutions of a backend of this package, from the
// next operation on; the pullback of an operation keeps the precision of the operation.
func SetPrecision(b nn.Backend, p Precision) error {
	if p > BFloat16 {
		return fmt.Errorf("nn/cuda: precision is %v, want one of %v", p, Precisions())
	}
	c, ok := b.(precise)
	if !ok {
		return fmt.Errorf("nn/cuda: backend is %T, want one that On or New returned", b)
	}
	return c.setPrecision(p)
}
