// Package machine describes the machine on which a measurement was taken.
package machine

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// CPU returns the processor's model name, or the architecture if the model is unknown.
func CPU() string {
	if name := field("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return runtime.GOARCH
}

// Memory returns the size of the physical memory in bytes, or 0 if it is unknown.
func Memory() int64 {
	kib, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// field returns the first value of key in a file of "key : value" lines, or "" if
// there is none.
func field(path, key string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
