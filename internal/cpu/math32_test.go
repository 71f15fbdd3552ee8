package cpu

import (
	"flag"
	"math"
	"math/big"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/internal/cpu/kernel"
)

var exhaustive = flag.Bool("exhaustive", false, "test the elementary functions over all 2^32 float32 inputs, not a sample")

// ulps returns |got−want| in units of the float32 spacing at want: for infinities and
// NaN 0 if the two match, else infinity.
func ulps(got float32, want float64) float64 {
	rounded := float32(want)
	switch {
	case math.IsNaN(want):
		if got != got {
			return 0
		}
		return math.Inf(1)
	case got == rounded:
		if math.IsInf(want, 0) {
			return 0
		}
	case math.IsInf(float64(got), 0) && !math.IsInf(want, 0):
		// Wrongly infinite, or want is beyond the largest float32.
		got = math.Nextafter32(got, 0)
	}
	_, exp := math.Frexp(want)
	spacing := math.Ldexp(1, max(exp-24, -149))
	if math.IsInf(float64(rounded), 0) {
		spacing = math.Ldexp(1, 104)
		if math.IsInf(float64(got), 0) || math.Abs(float64(got)) == math.MaxFloat32 {
			return 0
		}
	}
	return math.Abs(float64(got)-want) / spacing
}

// TestFMA32 compares the fused multiply-add with exact arithmetic rounded once, on
// operands whose sum is halfway or almost halfway between two float32, denormal, or
// out of range. So do the compiler's fused multiply-add, where there is one, and the
// emulation elsewhere have the same bits.
func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	awkward := func() float32 {
		switch r.IntN(4) {
		case 0:
			return math.Float32frombits(r.Uint32())
		case 1:
			return hostile[r.IntN(len(hostile))]
		case 2: // few bits: sums halfway between two float32
			return float32(math.Ldexp(float64(1+r.IntN(1<<12))*float64(1-2*r.IntN(2)), r.IntN(60)-30))
		}
		return math.Float32frombits(r.Uint32()&^(0xff<<23) | uint32(127+r.IntN(8))<<23)
	}
	middles, cases := 0, 2_000_000
	if testing.Short() {
		cases = 100_000
	}
	for range cases {
		a, b, c := awkward(), awkward(), awkward()
		if r.IntN(2) == 0 { // a sum almost halfway between two float32
			middle := float64(math.Float32frombits(uint32(r.IntN(200)+20)<<23 | r.Uint32()&0x7fffff))
			b = 1
			a = float32(middle)
			_, exp := math.Frexp(middle)
			c = float32(math.Ldexp(1, exp-25))
			if r.IntN(2) == 0 {
				b = 1 + 0x1p-23
			}
		}
		got := fma32(a, b, c)
		if x := float64(a) * float64(b); math.IsNaN(x) || math.IsInf(x, 0) || math.IsNaN(float64(c)) || math.IsInf(float64(c), 0) {
			assert.Equal(t, math.Float32bits(float32(x+float64(c)))&0x7f800000, math.Float32bits(got)&0x7f800000)
			continue
		}
		exact := new(big.Float).SetPrec(600).SetFloat64(float64(a))
		exact.Mul(exact, new(big.Float).SetFloat64(float64(b)))
		exact.Add(exact, new(big.Float).SetFloat64(float64(c)))
		want, _ := exact.Float32()
		if float32(float64(a)*float64(b)+float64(c)) != want {
			middles++
		}
		if want != got {
			t.Fatalf("%v·%v + %v is %v, want %v", a, b, c, got, want)
		}
		if got := fmaNormal(a, b, c); math.Abs(float64(want)) >= kernel.Smallest && want != got {
			t.Fatalf("%v·%v + %v is %v by fmaNormal, want %v", a, b, c, got, want)
		}
		if got := fmaExact(a, b, c); float64(a*b) == float64(a)*float64(b) && want != got {
			t.Fatalf("%v·%v + %v is %v by fmaExact, want %v", a, b, c, got, want)
		}
	}
	t.Logf("rounding twice would have been wrong in %d cases", middles)
	assert.Positive(t, middles)
}

// exp32 is the kernels' exponential over all float32.
func exp32(x float32) float32 {
	const infinite = 89 // eˣ is infinite from just below it
	return expUpTo(min32(infinite, x))
}

// log32 is the kernels' logarithm over all float32.
func log32(x float32) float32 {
	switch {
	case x == 0:
		return float32(math.Inf(-1))
	case !(x > 0):
		return float32(math.NaN())
	case x > math.MaxFloat32:
		return x
	case x < 0x1p-126:
		f, k := split(x * 0x1p25)
		return logOfSum(f, k-25)
	}
	return logNormal(x)
}

func TestExhaustive(t *testing.T) {
	step := uint64(9973)
	if *exhaustive {
		step = 1
	}
	for _, f := range []struct {
		name   string
		got    func(float32) float32
		want   func(float64) float64
		lo, hi float32
	}{
		{"exp", exp32, math.Exp, float32(math.Inf(-1)), float32(math.Inf(1))},
		{"log", log32, math.Log, float32(math.Inf(-1)), float32(math.Inf(1))},
		{"log1p on [0,1]", log1p01, math.Log1p, 0, 1},
		{"-log1p(-s) on [0,1/2]", minusLog1m, func(s float64) float64 { return -math.Log1p(-s) }, 0, 0.5},
	} {
		t.Run(f.name, func(t *testing.T) {
			const parts = 64
			worst, at, tested := make([]float64, parts), make([]float32, parts), make([]int, parts)
			var wg sync.WaitGroup
			for part := range uint64(parts) {
				wg.Go(func() {
					for bits := part << 26; bits < (part+1)<<26; bits += step {
						x := math.Float32frombits(uint32(bits))
						if !math.IsNaN(float64(x)) && !(x >= f.lo && x <= f.hi) {
							continue
						}
						tested[part]++
						if u := ulps(f.got(x), f.want(float64(x))); u > worst[part] {
							worst[part], at[part] = u, x
						}
					}
				})
			}
			wg.Wait()
			total, top := 0, 0
			for i := range parts {
				total += tested[i]
				if worst[i] > worst[top] {
					top = i
				}
			}
			t.Logf("%d inputs, largest error %.4f ulp at %v", total, worst[top], at[top])
			assert.LessOrEqual(t, worst[top], 1.0, "at %v", at[top])
		})
	}
}
