package portable

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// TestKernelsAgree compares every vector kernel with the plain loop, bit for bit, and checks
// that it does not write outside its destination.
func TestKernelsAgree(t *testing.T) {
	const guard = 32 // elements before and after the destination that must not change
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
				for _, size := range [][2]int{{tileRows, lanes}, {tileRows, 2 * lanes}, {tileRows, tileCols}, {2, tileCols}} {
					rows, cols := size[0], size[1]
					off := randomOffsets(rng, steps, 200)
					a, b := fill(steps*tileRows), fill(5+200+tileCols)
					want := fill(tileRows*tileCols + 2*guard)
					got := append([]float32(nil), want...)
					ref.tile(want[guard:][:tileRows*tileCols], a, b, 5, off, rows, cols)
					k.tile(got[guard:][:tileRows*tileCols], a, b, 5, off, rows, cols)
					requireSameBits(t, want[:guard], got[:guard])
					requireSameBits(t, want[guard+tileRows*tileCols:], got[guard+tileRows*tileCols:])
					for r := range rows {
						at := guard + r*tileCols
						requireSameBits(t, want[at:at+cols], got[at:at+cols])
					}
				}
			}
			for _, n := range []int{0, 16, 48, 160} {
				off := randomOffsets(rng, dotCols, 200)
				pitch := n + 3
				p, q := fill(dotRows*pitch), fill(7+200+n)
				want := fill(dotRows*dotCols*lanes + 2*guard)
				got := append([]float32(nil), want...)
				ref.dot(want[guard:][:dotRows*dotCols*lanes], p, pitch, q, 7, off, n)
				k.dot(got[guard:][:dotRows*dotCols*lanes], p, pitch, q, 7, off, n)
				requireSameBits(t, want, got)
			}
		})
	}
}

// TestTiersGiveTheSameConvolutions runs complete convolutions with every kernel that this
// machine supports: results must not depend on the machine.
func TestTiersGiveTheSameConvolutions(t *testing.T) {
	specs := []nn.ConvSpec{
		{Padding: [3]int{1, 1, 1}},
		{Padding: [3]int{1, 1, 1}, Stride: [3]int{2, 2, 2}},
	}
	shapes := [][]int{{2, 13, 7, 10, 20}, {1, 40, 3, 4, 3}, {1, 3, 20, 17, 30}}
	run := func(k kernels[float32]) (all [][]float32) {
		rng := rand.New(rand.NewPCG(1, 2))
		b := &backend[float32]{dtype: nn.Float32, kernels: k}
		random := func(shape ...int) *array[float32] {
			a := b.newArray(shape...)
			for i := range a.data {
				a.data[i] = float32(rng.NormFloat64())
			}
			return a
		}
		for _, shape := range shapes {
			for _, spec := range specs {
				for _, conv := range []func(x, w, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error){b.Conv3D, b.ConvTranspose3D} {
					c := shape[1]
					y, pullback, err := conv(random(shape...), random(c, c, 3, 3, 3), random(c), spec)
					require.NoError(t, err)
					grads, err := pullback(random(y.Shape()...), []bool{true, true, true})
					require.NoError(t, err)
					for _, a := range append(grads, y) {
						all = append(all, a.(*array[float32]).data)
					}
				}
			}
		}
		return all
	}
	want := run(plain[float32]())
	for _, k := range tiers() {
		for i, got := range run(k) {
			requireSameBits(t, want[i], got)
		}
		t.Logf("%s: %d bit-identical results", k.name, len(want))
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
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			require.Failf(t, "different bits", "element %d: want %v, got %v", i, want[i], got[i])
		}
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
				k.tile(dst, a, src, 0, off, tileRows, tileCols)
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
