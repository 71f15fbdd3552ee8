//go:build amd64 || arm || arm64 || loong64 || ppc64le || riscv64 || s390x

package cpu

import "math"

// fma64 returns a·b + c rounded once: the processor's fused multiply-add, where it has
// one.
func fma64(a, b, c float64) float64 { return math.FMA(a, b, c) }
