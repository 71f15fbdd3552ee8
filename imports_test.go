package afl_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestImports: who imports this package compiles what gorgonia.org/tensor imports, this
// module's own packages, and nothing else but what is listed here.
func TestImports(t *testing.T) {
	want := map[string]string{
		"golang.org/x/sys/cpu":                       "the instruction sets of the processor",
		"gonum.org/v1/gonum/mathext":                 "Student's t in TInterval",
		"gonum.org/v1/gonum/mathext/internal/amos":   "imported by mathext",
		"gonum.org/v1/gonum/mathext/internal/cephes": "imported by mathext",
		"gonum.org/v1/gonum/mathext/internal/gonum":  "imported by mathext",
	}
	tensor := dependencies(t, "gorgonia.org/tensor")
	for _, p := range dependencies(t, "github.com/x/afl") {
		if slices.Contains(tensor, p) || strings.HasPrefix(p+"/", "github.com/x/afl/") {
			continue
		}
		assert.Contains(t, want, p, "a package that importers have to compile")
		delete(want, p)
	}
	delete(want, "golang.org/x/sys/cpu") // not on every processor
	assert.Empty(t, want, "no longer imported")
}

// dependencies returns the packages outside the standard library that a package imports,
// directly or not, and itself.
func dependencies(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}
