package afl_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
)

var update = flag.Bool("update", false, "write the README's table of losses")

// TestReadmeLosses: the README's table of losses is that of the registry.
func TestReadmeLosses(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	begin, rest, ok := strings.Cut(string(readme), "-update . -->\n")
	require.True(t, ok)
	table, end, ok := strings.Cut(rest, "<!-- end of losses -->")
	require.True(t, ok)
	if *update {
		text := begin + "-update . -->\n" + afl.LossTable() + "<!-- end of losses -->" + end
		require.NoError(t, os.WriteFile("README.md", []byte(text), 0o666))
		return
	}
	assert.Equal(t, afl.LossTable(), table, "go test -run TestReadmeLosses -update .")
}

// TestReadmeExample: the README's first code block is the body of Example, which
// compiles and runs.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok, "the README has no Go block")
	block, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	for _, line := range strings.Split(strings.TrimSpace(block), "\n") {
		assert.Contains(t, string(source), "\t"+line+"\n")
	}
	body := strings.ReplaceAll(string(source), "\n\t", "\n")
	assert.Contains(t, body, strings.TrimSpace(block), "the block is not the example's body, line for line")
}
