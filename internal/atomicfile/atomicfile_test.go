package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	put := func(text string, failure error) error {
		return Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			require.NoError(t, err)
			return failure
		})
	}
	broken := errors.New("broken")
	require.ErrorIs(t, put("half", broken), broken)
	assert.NoFileExists(t, path, "a failed write leaves nothing behind")
	require.NoError(t, put("old", nil))
	require.ErrorIs(t, put("half", broken), broken)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(content), "a failed write leaves the old content")
	require.NoError(t, put("new", nil))
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(content))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "no temporary file is left")
	assert.Error(t, Write(filepath.Join(dir, "absent", "file"), func(io.Writer) error { return nil }))
}

func TestBase(t *testing.T) {
	assert.Equal(t, "last.safetensors", Base(temporary("last.safetensors")))
	for _, name := range []string{"a", "a.tmp", ".a.tmp", "a.0123456789abcdef.tmp", ".a.0123456789abcdeg.tmp", "..0123456789abcdef.tmp"} {
		assert.Empty(t, Base(name), name)
	}
}
