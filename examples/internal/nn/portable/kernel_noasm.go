//go:build !amd64 || noasm

package portable

// tiers returns the float32 kernels this machine can run, the fastest first.
func tiers() []kernels[float32] { return []kernels[float32]{plain[float32]()} }
