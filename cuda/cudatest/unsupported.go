//go:build !(cgo && linux && (amd64 || arm64))

package cudatest

import (
	"testing"

	"github.com/x/afl/cuda"
)

// OpenEmulated skips the test, since package cuda has no backend on this platform.
func OpenEmulated(t testing.TB) *cuda.Engine {
	t.Helper()
	t.Skip("package cuda needs cgo on Linux, amd64 or arm64")
	return nil
}
