package disk

import (
	"math"

	"golang.org/x/sys/windows"
)

func free(dir string) (int64, bool) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var available uint64
	if err := windows.GetDiskFreeSpaceEx(path, &available, nil, nil); err != nil || available > math.MaxInt64 {
		return 0, false
	}
	return int64(available), true
}
