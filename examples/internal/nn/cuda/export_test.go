//go:build cgo && linux && (amd64 || arm64)

package cuda

import "github.com/x/afl/examples/internal/nn"

// AddressOf returns the device address of an array.
func AddressOf(a nn.Array) uintptr { return a.(*array).memory.address }

// MaxSlots is the number of shapes of inputs that have a fixed place.
const MaxSlots = maxSlots
