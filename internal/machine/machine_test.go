package machine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestField(t *testing.T) {
	path := filepath.Join(t.TempDir(), "info")
	require.NoError(t, os.WriteFile(path, []byte("processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n"), 0o600))
	assert.Equal(t, "A: B", field(path, "model name"), "the first match, including the text after a second colon")
	assert.Empty(t, field(path, "model"))
	assert.Empty(t, field(path+"x", "model name"))
	assert.NotEmpty(t, CPU())
	assert.GreaterOrEqual(t, Memory(), int64(0))
}
