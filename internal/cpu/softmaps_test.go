package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
