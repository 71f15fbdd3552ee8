package cli

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// affinity returns the cores on which this process may run, nil if they are unknown.
func affinity() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cores []int
	for i := range 8 * len(set) * 8 {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores
}

// machineCores returns the number of cores of the machine, bound or not; 0 if it is unknown.
func machineCores() int {
	cores, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*")
	if err != nil {
		return 0
	}
	n := 0
	for _, core := range cores {
		// cpu0 has no such file where it cannot be turned off.
		if state, err := os.ReadFile(filepath.Join(core, "online")); err != nil || string(state) != "0\n" {
			n++
		}
	}
	return n
}
