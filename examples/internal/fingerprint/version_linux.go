package fingerprint

import (
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// version returns the Version of a file. It includes the time of the last change of the
// inode, which, unlike the modification time, no program can set: files exchanged under
// their names, or overwritten by a copy that keeps the modification time, show.
func version(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d:%d:%d:%d", s.Dev, s.Ino, s.Size, info.ModTime().UnixNano(), changed(info).UnixNano())
}

// changed returns the time of the last change of the inode.
func changed(info fs.FileInfo) time.Time {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.ModTime()
	}
	return time.Unix(s.Ctim.Unix())
}
