//go:build gc && (arm64 || ppc64le || s390x)

package cpu

// fma32 returns a·b + c rounded once: on these architectures the compiler makes one
// fused multiply-add of the expression.
func fma32(a, b, c float32) float32 { return a*b + c }

// quickFMA32 is fma32; see the emulation.
func quickFMA32(a, b, c float32) (sum float32, exact bool) { return a*b + c, true }

// fmaNormal is fma32; see the emulation.
func fmaNormal(a, b, c float32) float32 { return a*b + c }

// fmaExact is fma32; see the emulation.
func fmaExact(a, b, c float32) float32 { return a*b + c }
