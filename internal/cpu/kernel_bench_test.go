package cpu

import (
	"fmt"
	"testing"
)

// BenchmarkLogistic measures each kernel on a tile in the first-level cache.
func BenchmarkLogistic(b *testing.B) {
	x, g := make([]float32, 2*blockTile), make([]float32, 2*blockTile)
	for i := range x {
		x[i] = float32(i%97)/12 - 4
	}
	y := make([]uint8, blockTile)
	for i := range y {
		y[i] = uint8(i / 100 % 2)
	}
	acc, buf := make([]float64, logisticSums*lanes), make([]float32, logisticBuffer)
	k := logisticCoef{class: 1, pos: 1, neg: 1, gradPos: -1, gradNeg: 1, gammaPos: 1.3, gammaNeg: 1.3, coefPos: 0.5, slope: 1}
	for _, impl := range tiers() {
		for _, v := range logisticVariantsInUse() {
			b.Run(fmt.Sprintf("%s/%+v", impl.name, v), func(b *testing.B) {
				for b.Loop() {
					impl.logistic(v, x[:blockTile], x[blockTile:], g[:blockTile], g[blockTile:], y, acc, &k, buf, false)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(blockTile/lanes), "ns/block")
			})
		}
	}
}

// logisticVariantsInUse lists the variants that compute anything.
func logisticVariantsInUse() []variant {
	var out []variant
	both := []bool{false, true}
	for _, kept := range both {
		for _, pair := range both {
			for _, grad := range both {
				for _, overlap := range both {
					for e := noPointwise; e <= gammaAny; e++ {
						if overlap || e != noPointwise && !kept {
							out = append(out, variant{pair: pair, exponent: e, overlap: overlap, grad: grad, kept: kept})
						}
					}
				}
			}
		}
	}
	return out
}
