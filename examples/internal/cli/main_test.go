package cli

import (
	"os"
	"testing"
)

// TestMain keeps the tests from measuring convolutions, which would make their runs depend on
// the machine's load, and from writing to the user's cache.
func TestMain(m *testing.M) {
	os.Setenv("AFL_TUNING", "off")
	os.Exit(m.Run())
}
