package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/x/afl/internal/cpu/kernel"
)

// BenchmarkRow times the row kernels on a tile in the first-level cache.
func BenchmarkRow(b *testing.B) {
	for _, impl := range available {
		benchmarkRows(b, impl.name+"/type=float32", &impl.rows32)
		benchmarkRows(b, impl.name+"/type=float64", &impl.rows64)
	}
}

func benchmarkRows[T real](b *testing.B, name string, kernels *rowKernels[T]) {
	r := rand.New(rand.NewPCG(1, 2))
	a := randomRowArgs(r, func() T { return T(3 * r.NormFloat64()) }, kernel.Tile, 0)
	for which, run := range kernels {
		b.Run(fmt.Sprintf("backend=%s/kernel=%s", name, kernel.Row(which).Name()), func(b *testing.B) {
			for b.Loop() {
				run(a, kernel.Tile)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/kernel.Tile, "ns/voxel")
		})
	}
}
