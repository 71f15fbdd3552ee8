package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// TestWidenKernels compares the kernels with plain Go and that with the definition.
func TestWidenKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(8, 9))
		for n := range 37 {
			src := make([]float32, n+1)[1:]
			for i := range src {
				src[i] = []float32{r.Float32(), 0, 1, float32(math.Copysign(0, -1)), 1e-45}[r.IntN(5)]
			}
			check := func(wantOK bool) {
				t.Helper()
				want, got := make([]float64, n), make([]float64, n+1)
				got[n] = canary
				wantSums, gotSums := [sumLanes64]float64{3, 1}, [sumLanes64]float64{3, 1}
				sameOK := sumMapGo(src, &wantSums)
				require.Equal(t, sameOK, impl.sumMap(src, &gotSums))
				require.True(t, wantOK || !sameOK)
				sameBits(t, wantSums[:], gotSums[:], "sums alone")
				wantSums, gotSums = [sumLanes64]float64{3, 1}, [sumLanes64]float64{3, 1}
				require.Equal(t, wantOK, widenGo(want, src, &wantSums))
				require.Equal(t, wantOK, impl.widen(got[:n], src, &gotSums))
				require.Equal(t, canary, got[n])
				sameBits(t, want, got[:n], "values")
				sameBits(t, wantSums[:], gotSums[:], "sums")
				for i, v := range src {
					if !math.IsNaN(float64(v)) {
						require.Equal(t, float64(v), got[i])
					}
				}
			}
			check(true)
			for i, old := range src {
				for _, bad := range []float32{-1e-45, 1 + 0x1p-23, -1, 2, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
					src[i] = bad
					check(false)
				}
				src[i] = old
			}
		}
	})
}

func TestMagnitudeKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(10, 11))
		for n := range 23 {
			random := func(n int) []float64 {
				s := make([]float64, n)
				for i := range s {
					s[i] = []float64{r.Float64(), 0, 1, 1e-300, math.Inf(1)}[r.IntN(5)]
				}
				return s
			}
			around, left, right, up, down := random(n+2), random(n), random(n), random(n), random(n)
			steps := [2]float64{0.5, 1}
			want, got := make([]float64, n), make([]float64, n+1)
			got[n] = canary
			magnitudesGo(want, around, left, right, up, down, &steps)
			impl.magnitudes(got[:n], around, left, right, up, down, &steps)
			assert.Equal(t, canary, got[n])
			sameBits(t, want, got[:n], "magnitudes")
		}
		one := []float64{0}
		impl.magnitudes(one, []float64{1, 7, 5}, []float64{2}, []float64{8}, []float64{1}, []float64{4}, &[2]float64{0.5, 2})
		assert.Equal(t, []float64{7}, one) // of (3, 6, 2)
	})
}

func TestSoftMagnitudeKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(12, 13))
		for n := range 53 {
			random := func(n int) []float32 {
				s := make([]float32, n)
				for i := range s {
					s[i] = []float32{r.Float32(), 0, 1, 1e-30, 1e-45}[r.IntN(5)]
				}
				return s
			}
			around, left, right, up, down := random(n+2), random(n), random(n), random(n), random(n)
			ends := make([]uint8, n)
			for i := range ends {
				ends[i] = uint8(r.IntN(3))
			}
			steps := [2]float32{0.5, 1}
			want, got := [sumLanes64]float64{2, 5}, [sumLanes64]float64{2, 5}
			boundary := softMagnitudesGo(around, left, right, up, down, ends, &steps, &want)
			assert.Equal(t, boundary, impl.softMagnitudes(around, left, right, up, down, ends, &steps, &got))
			sameBits(t, want[:], got[:], "sums")
		}
		var sums [sumLanes64]float64
		boundary := impl.softMagnitudes([]float32{9, 1, 5}, []float32{2}, []float32{8}, []float32{1}, []float32{4}, []uint8{rowStart}, &[2]float32{0.5, 2}, &sums)
		assert.Equal(t, 1, boundary)
		assert.InDelta(t, math.Sqrt(9+36+16), sums[0], 1e-6) // of (3, 6, 4)
	})
}

// TestSoftStats: the statistics of soft float32 maps for float32 logits are those for float64
// logits, which are computed in float64.
func TestSoftStats(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for _, space := range [][3]int{{1, 1, 2}, {1, 9, 7}, {5, 3, 67}, {3, 8, 64}, {20, 1, 13}, {4, 5, 1}} {
		for c := 1; c <= 3; c++ {
			const n = 2
			v := space[0] * space[1] * space[2]
			maps := make([]float32, n*c*v)
			for i := range maps {
				maps[i] = []float32{r.Float32(), 0, 1, 1e-30, 0.5}[r.IntN(5)]
			}
			stats := func(logits any) *plan.Stats {
				b := &plan.Batch{N: n, C: c, V: v, Space: space, Logits: tensor.New(tensor.WithShape(n, c, v), tensor.WithBacking(logits)),
					Target: plan.Target{Dense: true, Argument: "target", Tensor: tensor.New(tensor.WithShape(n, c, v), tensor.WithBacking(maps))}}
				st, err := Backend{}.Stats(b, plan.StatsRequest{Smoothness: true, PerClass: true})
				require.NoError(t, err)
				return st
			}
			want, got := stats(make([]float64, n*c*v)), stats(make([]float32, n*c*v))
			what := fmt.Sprintf("%d channels of %v", c, space)
			assert.Equal(t, want.Valid, got.Valid, what)
			assert.InDeltaSlice(t, want.Count, got.Count, 1e-11*float64(v), what)
			assert.InDeltaSlice(t, want.Foreground, got.Foreground, 1e-11*float64(v), what)
			assert.InDeltaSlice(t, want.Magnitude, got.Magnitude, 1e-6*float64(v), what)
			assert.Equal(t, want.Boundary, got.Boundary, what)
		}
	}
}
