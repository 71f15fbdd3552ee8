//go:build !linux

package cli

func affinity() []int { return nil }

func machineCores() int { return 0 }
