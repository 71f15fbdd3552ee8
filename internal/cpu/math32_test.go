package cpu

import (
	"flag"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

var exhaustive = flag.Bool("exhaustive", false, "test the elementary functions over all 2^32 float32 inputs, not a sample")

// ulps returns |got−want| in units of the float32 spacing at want; infinities
// and NaN count 0 where they match and infinity where they do not.
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
		// Infinite where it ought to be finite, or past the largest number.
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
