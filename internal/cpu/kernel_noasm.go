//go:build !(amd64 || arm64) || noasm

package cpu

// tiers returns the kernels that this machine can run, the fastest first.
func tiers() []kernels { return []kernels{plain} }
