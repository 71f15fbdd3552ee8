//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
)

// Engine returns the engine that a backend of this package computes on, for its memory
// statistics, for synchronization, and to close a backend that [New] returned before the garbage
// collector does. It returns nil for any other backend.
func Engine(b nn.Backend) *cuda.Engine {
	if c, ok := b.(*backend); ok {
		return c.engine
	}
	return nil
}
