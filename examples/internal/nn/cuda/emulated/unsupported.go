//go:build !(cgo && linux && (amd64 || arm64))

package emulated

import (
	"testing"

	gpu "github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
)

// Open skips the test, since package cuda has no backend on this platform.
func Open(t testing.TB) (nn.Backend, *gpu.Engine) {
	t.Helper()
	t.Skip("package cuda needs cgo on Linux, amd64 or arm64")
	return nil, nil
}
