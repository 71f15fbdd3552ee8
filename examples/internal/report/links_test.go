package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMarkdownLinksFilesThatExist links the curves and other files from the folder of the
// report.
func TestMarkdownLinksFilesThatExist(t *testing.T) {
	run, dir := several(), t.TempDir()
	path := filepath.Join(dir, "results.md")
	read := func() string {
		require.NoError(t, run.WriteMarkdown(path, "qualitative.png", "absent.html"))
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(raw)
	}
	assert.Equal(t, run.Markdown(), read())
	for _, name := range []string{"qualitative.png", "unet/loss.png", "attunet/dice.png"} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, nil, 0o644))
	}
	assert.Equal(t, run.Markdown()+"\n## Figures\n\n- [qualitative.png](qualitative.png)\n- [unet/loss.png](unet/loss.png)\n- [attunet/dice.png](attunet/dice.png)\n", read())
}
