package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/x/afl/internal/cpu/kernel"
)

// BenchmarkTile times the tile kernels on a tile in the first-level cache, without elements
// and upstream gradient.
func BenchmarkTile(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	a := tileArgs(r, func() float32 { return float32(3 * r.NormFloat64()) }, kernel.Tile, 0)
	for _, arg := range []kernel.RowArg{kernel.ArgUpstream, kernel.ArgUpstream0, kernel.ArgElements, kernel.ArgElements0} {
		a.row[arg] = nil
	}
	for _, impl := range available {
		for _, v := range kernel.Tiles() {
			b.Run(fmt.Sprintf("backend=%s/kernel=%s", impl.name, v.TileName()), func(b *testing.B) {
				for b.Loop() {
					impl.tile(v, a, kernel.Tile)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/kernel.Tile, "ns/voxel")
			})
		}
	}
}
