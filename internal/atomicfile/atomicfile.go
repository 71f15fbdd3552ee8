// Package atomicfile writes files atomically: a file appears complete or not at all.
//
// It does not use an existing package because google/renameio does not build on
// Windows, and natefinch/atomic takes a reader and does not sync the file before
// renaming it.
package atomicfile

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
)

// temporary returns a new name for the temporary file of the file base.
func temporary(base string) string { return fmt.Sprintf(".%s.%016x.tmp", base, rand.Uint64()) }

var temporaryName = regexp.MustCompile(`^\.(.+)\.[0-9a-f]{16}\.tmp$`)

// Base returns the name of the file whose temporary file has the given name, or "" if it is
// not the name of a temporary file. A process that is killed leaves temporary files behind.
func Base(name string) string {
	if m := temporaryName.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// WriteString writes text to the file at path, as [Write] does.
func WriteString(path, text string) error {
	return Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// Write calls write to produce the content of the file at path. Afterwards path
// holds either its old content or all of the new: the bytes go to a temporary
// file in the same folder, which is synced to disk and renamed once it is
// complete. The temporary file is removed on error. The writer is buffered.
func Write(path string, write func(io.Writer) error) (err error) {
	dir, base := filepath.Split(path)
	// os.CreateTemp would create a file that only its owner can read.
	temp := filepath.Join(dir, temporary(base))
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
	// The rename may reach the disk before the data does; a crash in between
	// would leave an empty file under the final name.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
