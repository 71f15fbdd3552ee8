package cpu

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/internal/cpu/kernel"
)

// ulps64 returns |got−want| in units of the float64 spacing at want.
func ulps64(got float64, want *big.Float) float64 {
	rounded, _ := want.Float64()
	_, exp := math.Frexp(rounded)
	spacing := math.Ldexp(1, max(exp-53, -1074))
	d := new(big.Float).Sub(want, new(big.Float).SetFloat64(got))
	f, _ := d.Quo(d, new(big.Float).SetFloat64(spacing)).Float64()
	return math.Abs(f)
}

const precision = 160 // bits of the references

func exact(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

// exactExp returns eˣ by the Taylor series of x/2¹⁶, squared sixteen times.
func exactExp(x float64) *big.Float {
	r := new(big.Float).SetMantExp(exact(x), -16)
	sum, term := exact(1), exact(1)
	for k := 1.0; k < 60; k++ {
		term.Mul(term, r).Quo(term, exact(k))
		sum.Add(sum, term)
	}
	for range 16 {
		sum.Mul(sum, sum)
	}
	return sum
}

// exactLog returns log x by two steps of Newton's method, y + 2(x−eʸ)/(x+eʸ), which
// triple the digits of math.Log.
func exactLog(x *big.Float) *big.Float {
	near, _ := x.Float64()
	y := exact(math.Log(near))
	e := exactExp(math.Log(near))
	d := new(big.Float).SetPrec(precision).Sub(x, e)
	s := new(big.Float).SetPrec(precision).Add(x, e)
	return y.Add(y, d.Quo(d.Mul(d, exact(2)), s))
}

// TestFunctions64 compares the exponential and the logarithms of float64 with
// arithmetic of more bits, at random and at structured numbers.
func TestFunctions64(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	// near returns numbers around v.
	near := func(v float64) []float64 {
		list := []float64{v}
		for up, down, i := v, v, 0; i < 20; i++ {
			up, down = math.Nextafter(up, math.Inf(1)), math.Nextafter(down, math.Inf(-1))
			list = append(list, up, down)
		}
		return list
	}
	var exps, units, positives []float64
	for range 2000 {
		exps = append(exps, -745*r.Float64(), 709*r.Float64(), 4*r.NormFloat64(), -math.Exp(-40*r.Float64()), r.Float64()-0.5)
		units = append(units, r.Float64(), math.Exp(-700*r.Float64()), math.Exp(-r.Float64()))
		positives = append(positives, r.Float64()*4, math.Exp(1400*r.Float64()-700), 1+r.NormFloat64()/10)
	}
	for k := -1074; k <= 1023; k += 3 {
		exps = append(exps, near(float64(k) * math.Ln2)[:5]...)
		exps = append(exps, near((float64(k) + 0.585) * math.Ln2)[:5]...) // where n changes
		if k >= -1021 {
			positives = append(positives, near(math.Ldexp(1, k))[:5]...)
			positives = append(positives, near(math.Ldexp(0.75, k))[:5]...)
		}
	}
	for _, v := range []float64{1, 0.5, 0.25, 0.75, 1e-8, 0x1p-53, 0x1p-1022, 5e-324} {
		units = append(units, near(v)...)
	}
	units = append(units, 0)
	one := exact(1)
	for _, f := range []struct {
		name   string
		got    func(float64) float64
		want   func(float64) *big.Float
		in     []float64
		lo, hi float64
		limit  float64
	}{
		{"exp", exp64, exactExp, exps, -745, 709.7, 1},
		{"log", logNormal64, func(x float64) *big.Float { return exactLog(exact(x)) }, positives, 0x1p-1022, math.MaxFloat64, 1},
		{"log1p on [0,1]", log1p01in64, func(e float64) *big.Float {
			return exactLog(new(big.Float).SetPrec(precision).Add(one, exact(e)))
		}, units, 0x1p-52, 1, 1},
		// Its rounded 1+x is within 1/2 ulp, which counts for less than one of the result.
		{"log(1+x)", logOnePlus64, func(x float64) *big.Float {
			return exactLog(new(big.Float).SetPrec(precision).Add(one, exact(x)))
		}, positives, 0x1p-52, 0x1p1000, 2},
	} {
		worst, at, tested := 0.0, 0.0, 0
		for _, x := range f.in {
			if !(x >= f.lo && x <= f.hi) || f.name != "exp" && x == 1 {
				continue
			}
			tested++
			if u := ulps64(f.got(x), f.want(x)); !(u <= worst) {
				worst, at = u, x
			}
		}
		t.Logf("%s: %d inputs, largest error %.4f ulp at %v", f.name, tested, worst, at)
		assert.LessOrEqual(t, worst, f.limit, "%s at %v", f.name, at)
	}
	assert.Equal(t, math.Log1p(1), log1p01in64(1))
	for _, tiny := range []float64{0, 5e-324, 0x1p-1022, 1e-300, 0x1p-60} {
		assert.Equal(t, tiny, log1p01in64(tiny))
		assert.Equal(t, tiny, logOnePlus64(tiny))
	}
	assert.Zero(t, logNormal64(1))
	assert.Equal(t, 1.0, exp64(0))
	assert.Zero(t, exp64(-746))
	assert.Zero(t, exp64(math.Inf(-1)))
	assert.True(t, math.IsNaN(exp64(math.NaN())))
	assert.Equal(t, 0x1p-1022, smallest[float64]())
	assert.EqualValues(t, kernel.Float32.Smallest, smallest[float32]())
}
