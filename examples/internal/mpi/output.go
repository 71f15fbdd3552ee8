//go:build cgo && linux

package mpi

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// forwarded waits until the launcher has read what this process wrote to the pipes that are
// its standard output and standard error, at most for limit. A launcher that learns of an
// abort before it has read them can drop the message that says why.
func forwarded(limit time.Duration, files ...*os.File) {
	for start := time.Now(); time.Since(start) < limit; time.Sleep(time.Millisecond) {
		if !unread(files) {
			return
		}
	}
}

// unread says whether a pipe holds bytes that its reader has not read. Files of other kinds
// hold none.
func unread(files []*os.File) bool {
	for _, f := range files {
		i, err := f.Stat()
		if err != nil || i.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		if n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ); err == nil && n > 0 {
			return true
		}
	}
	return false
}
