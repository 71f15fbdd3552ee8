package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkSoftmax times the softmax kernels on a tile in the first-level cache;
// ns/block is the time for 16 voxels of one channel.
func BenchmarkSoftmax(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, impl := range tiers() {
		for _, c := range []int{3, 4, 8} {
			const n = 256
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
			sums, e := make([]float32, (1+3*c)*lanes), make([]float32, softmaxBuffer(c))
			for _, v := range []variant{
				{exponent: gammaZero, grad: true}, {exponent: gammaTwo, grad: true}, {exponent: gammaAny, grad: true},
				{overlap: true}, {overlap: true, grad: true}, {exponent: gammaZero, overlap: true, grad: true},
			} {
				b.Run(fmt.Sprintf("%s/%d/%+v", impl.name, c, v), func(b *testing.B) {
					for b.Loop() {
						impl.softmax(v, x, g, n, y, sums, k, e, false)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n/lanes*c), "ns/block")
				})
			}
		}
	}
}
