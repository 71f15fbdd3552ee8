package disk

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	n, ok := Free(dir)
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd", "windows":
		assert.True(t, ok)
		assert.Positive(t, n)
	default:
		assert.False(t, ok)
	}
	_, ok = Free(filepath.Join(dir, "absent"))
	assert.False(t, ok)
}
