package cli

import (
	"os"
	"runtime/debug"
)

// garbagePercent is the GOGC of the programs: how much garbage may accumulate, in percent of the
// memory in use. Networks, images and weights are few large arrays, so that a collection takes
// about a millisecond, while by Go's default of 100 garbage would take as much memory as they do.
const garbagePercent = 15

// collectOften sets the garbage collector to garbagePercent unless the user has set GOGC.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
