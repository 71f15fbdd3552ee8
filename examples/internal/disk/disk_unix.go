//go:build darwin || freebsd || linux

package disk

import (
	"math"

	"golang.org/x/sys/unix"
)

func free(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	// Not Bfree, which includes the blocks reserved for root.
	blocks, size := uint64(s.Bavail), uint64(s.Bsize)
	if size == 0 || blocks > math.MaxInt64/size {
		return 0, false
	}
	return int64(blocks * size), true
}
