package cuda

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// Convolutions says what computes the convolutions of a backend.
type Convolutions uint8

const (
	// Own are this module's kernels, the default.
	Own Convolutions = iota
	// CuDNN is NVIDIA's library, which has to be installed, see package cudnn. Convolutions
	// for which it has no acceptable engine fail.
	CuDNN
	// Auto is cuDNN where it is installed and has an acceptable engine, else Own.
	Auto
)

var convolutionNames = [...]string{"own", "cudnn", "auto"}

// String returns "own", "cudnn" or "auto".
func (c Convolutions) String() string {
	if int(c) < len(convolutionNames) {
		return convolutionNames[c]
	}
	return fmt.Sprintf("Convolutions(%d)", uint8(c))
}

// ParseConvolutions returns the value whose String is s.
func ParseConvolutions(s string) (Convolutions, error) {
	for i, name := range convolutionNames {
		if s == name {
			return Convolutions(i), nil
		}
	}
	return Own, fmt.Errorf("convolutions are %q, want own, cudnn or auto", s)
}

// convolver is a backend that can compute its convolutions in several ways.
type convolver interface {
	setConvolutions(c Convolutions) error
	describeConvolutions() []string
}

// SetConvolutions sets what computes the convolutions of a backend of this package, from the
// next operation on. With CuDNN it fails where the library is missing or too old.
//
// Convolutions in bfloat16 precision are always computed by this module's kernels. The first
// execution of each operation on sizes of its own is compared with this module's kernel, which
// synchronizes: run a step once before capturing it.
func SetConvolutions(b nn.Backend, c Convolutions) error {
	if int(c) >= len(convolutionNames) {
		return fmt.Errorf("nn/cuda: convolutions are %v, want own, cudnn or auto", c)
	}
	v, ok := b.(convolver)
	if !ok {
		return fmt.Errorf("nn/cuda: backend is %T, want one that On or New returned", b)
	}
	return v.setConvolutions(c)
}

// DescribeConvolutions returns lines for a report: what computes the convolutions, cuDNN's
// version, and the engine of each operation so far.
func DescribeConvolutions(b nn.Backend) []string {
	if v, ok := b.(convolver); ok {
		return v.describeConvolutions()
	}
	return nil
}
