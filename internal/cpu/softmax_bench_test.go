package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/x/afl/internal/cpu/kernel"
)

// BenchmarkSoftmax times the softmax kernels on voxels whose logits are in the
// first-level cache.
func BenchmarkSoftmax(b *testing.B) {
	const n = 256
	r := rand.New(rand.NewPCG(1, 2))
	for _, impl := range available {
		for _, c := range []int{3, 4, 8} {
			x, g := make([]float32, c*n), make([]float32, c*n)
			for i := range x {
				x[i] = float32(3 * r.NormFloat64())
			}
			y := make([]uint8, n)
			for i := range y {
				y[i] = uint8(r.IntN(c))
			}
			k := make([]softmaxCoef, c)
			for i := range k {
				k[i] = softmaxCoef{class: uint32(i), pos: 1, grad: 1, gamma: 1.3, coefPos: 0.5, slope: 1}
			}
			sums, e := make([]float32, (1+3*c)*lanes), alignedFloats(kernel.SoftmaxBuffer(c))
			for _, v := range []kernel.Variant{
				{Exponent: kernel.GammaZero, Grad: true}, {Exponent: kernel.GammaTwo, Grad: true}, {Exponent: kernel.GammaAny, Grad: true},
				{Overlap: true}, {Overlap: true, Grad: true}, {Exponent: kernel.GammaZero, Overlap: true, Grad: true},
			} {
				b.Run(fmt.Sprintf("backend=%s/channels=%d/kernel=%s", impl.name, c, v.SoftmaxName()), func(b *testing.B) {
					for b.Loop() {
						impl.softmax(v, x, g, n, y, sums, k, e, false)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/voxel")
				})
			}
		}
	}
}
