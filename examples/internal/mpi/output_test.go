//go:build cgo && linux

package mpi

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForwarded reads from a pipe late: the wait must end after that, and not before.
func TestForwarded(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	forwarded(time.Hour, w) // an empty pipe, and a file, hold nothing back
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer file.Close()
	for _, to := range []*os.File{w, file} {
		_, err = to.WriteString("why")
		require.NoError(t, err)
	}
	forwarded(time.Hour, file)

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		forwarded(time.Hour, file, w)
	}()
	select {
	case <-ended:
		t.Fatal("ended with three bytes in the pipe")
	case <-time.After(20 * time.Millisecond):
	}
	_, err = io.ReadFull(r, make([]byte, 3))
	require.NoError(t, err)
	<-ended

	_, err = w.WriteString("why")
	require.NoError(t, err)
	start := time.Now()
	forwarded(10*time.Millisecond, w) // nobody reads
	assert.GreaterOrEqual(t, time.Since(start), 10*time.Millisecond)
}
