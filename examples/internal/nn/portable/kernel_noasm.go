//go:build !amd64 || noasm

package portable

// tiers returns the float32 kernels that this machine can run, fastest first.
func tiers() []kernels[float32] { return []kernels[float32]{plain[float32]()} }
