//go:build cgo && linux && (amd64 || arm64)

package cuda

import "github.com/x/afl/examples/internal/nn"

// AddressOf returns the device address of an array, 0 if it has no memory.
func AddressOf(a nn.Array) uintptr {
	if m := a.(*array).memory; m != nil {
		return m.address
	}
	return 0
}

// MaxSlots is the number of shapes of inputs that have a fixed place.
const MaxSlots = maxSlots
