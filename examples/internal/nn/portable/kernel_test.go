package portable

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKernelsAgree holds every vector kernel to the plain loop, bit for bit,
// and checks that it touches nothing outside the columns it was asked for.
func TestKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(rng.NormFloat64() * math.Exp(4*rng.NormFloat64()))
		}
		return s
	}
	ref := plain[float32]()
	for _, k := range tiers() {
		t.Run(k.name, func(t *testing.T) {
			for _, steps := range []int{0, 1, 2, 7, 27, 129} {
				for _, cols := range []int{lanes, tileCols} {
					off := randomOffsets(rng, steps, 200)
					a, b := fill(steps*tileRows), fill(5+200+tileCols)
					want := fill(tileRows * tileCols)
					got := append([]float32(nil), want...)
					ref.tile(want, a, b, 5, off, cols)
					k.tile(got, a, b, 5, off, cols)
					requireSameBits(t, want, got)
				}
			}
			for _, n := range []int{0, 16, 48, 160} {
				off := randomOffsets(rng, dotCols, 200)
				pitch := n + 3
				p, q := fill(dotRows*pitch), fill(7+200+n)
				want := fill(dotRows * dotCols * lanes)
				got := append([]float32(nil), want...)
				ref.dot(want, p, pitch, q, 7, off, n)
				k.dot(got, p, pitch, q, 7, off, n)
				requireSameBits(t, want, got)
			}
		})
	}
}

func randomOffsets(rng *rand.Rand, n, below int) (off offsets) {
	for range n {
		off.add(rng.IntN(below))
	}
	return off
}

func requireSameBits(t *testing.T, want, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, math.Float32bits(want[i]), math.Float32bits(got[i]), "element %d: %v and %v", i, want[i], got[i])
	}
}

func BenchmarkKernels(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const steps, n = 432, 3200
	off := randomOffsets(rng, steps, 3000)
	a, src := make([]float32, steps*tileRows), make([]float32, 4000+n)
	dst, acc := make([]float32, tileRows*tileCols), make([]float32, dotRows*dotCols*lanes)
	p := make([]float32, dotRows*n)
	for _, k := range tiers() {
		b.Run(k.name+"/tile", func(b *testing.B) {
			for b.Loop() {
				k.tile(dst, a, src, 0, off, tileCols)
			}
			b.ReportMetric(2*steps*tileRows*tileCols/1e9/(b.Elapsed().Seconds()/float64(b.N)), "GFLOP/s")
		})
		b.Run(k.name+"/dot", func(b *testing.B) {
			for b.Loop() {
				k.dot(acc, p, n, src, 0, off, n)
			}
			b.ReportMetric(2*dotRows*dotCols*n/1e9/(b.Elapsed().Seconds()/float64(b.N)), "GFLOP/s")
		})
	}
}
