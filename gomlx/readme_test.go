package gomlx

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

// TestReadme: the table has every loss of package afl, as its own has it, and the version
// is that of go.mod.
func TestReadme(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(text)
	}
	readme := read("README.md")
	rows := regexp.MustCompile("(?m)^\\| `(New\\w+)` \\|.*\\| (.*) \\|$").FindAllStringSubmatch(read("../README.md"), -1)
	assert.Len(t, rows, len(afl.Names()))
	for _, row := range rows {
		assert.Contains(t, readme, "\n| `afl."+row[1]+"` | "+row[2]+" |\n")
	}
	assert.Equal(t, len(rows), strings.Count(readme, "\n| `afl."))
	version := regexp.MustCompile(`github.com/gomlx/gomlx (v\S+)`).FindStringSubmatch(read("go.mod"))
	require.NotNil(t, version)
	assert.Contains(t, readme, "Tested with GoMLX "+version[1]+" ")
}
