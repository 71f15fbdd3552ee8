// Package memory reports how much memory the process may use.
package memory

import (
	"bytes"
	"os"
	"strconv"
)

// Linux files that hold memory limits, in bytes except for meminfo.
const (
	meminfo  = "/proc/meminfo"
	cgroupV2 = "/sys/fs/cgroup/memory.max"
	cgroupV1 = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
)

// Limit returns the maximum number of bytes of memory that this process may use: the
// memory of the machine, or less in a container with a limit. ok is false if the limit
// is unknown.
func Limit() (limit int64, ok bool) { return limitOf(os.ReadFile) }

func limitOf(read func(string) ([]byte, error)) (limit int64, ok bool) {
	if raw, err := read(meminfo); err == nil {
		limit, ok = total(raw)
	}
	for _, path := range []string{cgroupV2, cgroupV1} {
		raw, err := read(path)
		if err != nil {
			continue
		}
		// "max", and in version 1 a value close to the largest int64, mean no limit.
		n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
		if err == nil && n > 0 && n < 1<<60 && (!ok || n < limit) {
			limit, ok = n, true
		}
	}
	return limit, ok
}

// total parses the line "MemTotal:  16314060 kB".
func total(raw []byte) (int64, bool) {
	for line := range bytes.Lines(raw) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "MemTotal:" && string(fields[2]) == "kB" {
			n, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return n << 10, err == nil && n > 0 && n < 1<<50
		}
	}
	return 0, false
}
