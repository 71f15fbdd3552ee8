package cpu

import (
	"fmt"
	"testing"

	"github.com/x/afl/internal/cpu/kernel"
)

// BenchmarkLogistic times each variant on a strip in the first-level cache.
func BenchmarkLogistic(b *testing.B) {
	x, g := make([]float32, 2*stripVoxels), make([]float32, 2*stripVoxels)
	for i := range x {
		x[i] = float32(i%97)/12 - 4
	}
	y := make([]uint8, stripVoxels)
	for i := range y {
		y[i] = uint8(i / 100 % 2)
	}
	acc, buf := make([]float64, kernel.Sums*lanes), alignedFloats(kernel.LogisticBuffer)
	k := logisticCoef{class: 1, pos: 1, neg: 1, gradPos: -1, gradNeg: 1, gammaPos: 1.3, gammaNeg: 1.3, coefPos: 0.5, slope: 1}
	for _, impl := range available {
		for _, v := range kernel.Logistic() {
			b.Run(fmt.Sprintf("backend=%s/kernel=%s", impl.name, v.LogisticName()), func(b *testing.B) {
				for b.Loop() {
					impl.logistic(v, x[:stripVoxels], x[stripVoxels:], g[:stripVoxels], g[stripVoxels:], y, acc, &k, buf, false)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/stripVoxels, "ns/voxel")
			})
		}
	}
}
