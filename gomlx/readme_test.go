package gomlx

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadme: the table has every loss of package afl that has a plan, as its own has it, and the version
// is that of go.mod.
func TestReadme(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(text)
	}
	readme := read("README.md")
	rows := regexp.MustCompile("(?m)^\\| `(New\\w+)` \\| `([\\w-]+)`.*\\| (.*) \\|$").FindAllStringSubmatch(read("../README.md"), -1)
	taken := 0
	for _, row := range rows {
		if slices.Contains(names(), row[2]) {
			taken++
			assert.Contains(t, readme, "\n| `afl."+row[1]+"` | "+row[3]+" |\n")
		}
	}
	assert.Equal(t, len(names()), taken)
	assert.Equal(t, taken, strings.Count(readme, "\n| `afl."))
	version := regexp.MustCompile(`github.com/gomlx/gomlx (v\S+)`).FindStringSubmatch(read("go.mod"))
	require.NotNil(t, version)
	assert.Contains(t, readme, "Tested with GoMLX "+version[1]+" ")
}
