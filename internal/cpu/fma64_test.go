package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFMA64 compares the fused multiply-add of float64 with that of package math, on
// operands of all exponents and on sums that cancel or lie almost halfway between two
// float64.
func TestFMA64(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	special := []float64{0, math.Copysign(0, -1), 1, -1, 0x1p-1074, 0x1p-1022, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()}
	number := func() float64 {
		switch r.IntN(8) {
		case 0:
			return special[r.IntN(len(special))]
		case 1:
			return math.Float64frombits(r.Uint64())
		case 2: // few bits
			return math.Ldexp(float64(1+r.IntN(1<<12))*float64(1-2*r.IntN(2)), r.IntN(120)-60)
		}
		return math.Ldexp(r.Float64()-0.5, r.IntN(20)-10)
	}
	for range 200_000 {
		a, b := number(), number()
		c := number()
		switch p := a * b; r.IntN(4) {
		case 0:
			c = -p
		case 1:
			c = math.Nextafter(-p, number())
		case 2: // of half a unit in the last place of the product, or a little more or less
			_, exp := math.Frexp(p)
			c = math.Ldexp(1+float64(r.IntN(3)-1)*0x1p-52, exp-54+r.IntN(3))
		}
		want, got := math.FMA(a, b, c), fma64(a, b, c)
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(got), "%v·%v + %v is %v, want NaN", a, b, c, got)
			continue
		}
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%v·%v + %v is %v, want %v", a, b, c, got, want)
	}
}
