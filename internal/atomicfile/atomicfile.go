// Package atomicfile writes files that are there whole or not at all.
//
// It is its own few lines because the well-known packages for it either do not
// build on Windows (google/renameio) or take a reader and do not flush to the
// disk before they rename (natefinch/atomic).
package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// WriteString writes a file of the given text, as [Write] does.
func WriteString(path, text string) error {
	return Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// Write writes a file through write, so that path holds either its old content
// or all of the new: the bytes go to a temporary file in the same folder, which
// is flushed to the disk and renamed when it is complete. After an error the
// temporary file is gone. The writer is buffered.
func Write(path string, write func(io.Writer) error) (err error) {
	dir, base := filepath.Split(path)
	// Not os.CreateTemp, which makes files that only their owner can read.
	temp := filepath.Join(dir, fmt.Sprintf(".%s.%016x.tmp", base, rand.Uint64()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // a second Close is harmless
			os.Remove(temp)
		}
	}()
	buf := bufio.NewWriterSize(f, 256<<10)
	if err := write(buf); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	// A rename may reach the disk before the bytes do; a crash between the two
	// would leave an empty file under the final name.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
