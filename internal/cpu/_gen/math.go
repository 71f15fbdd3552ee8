package main

import (
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/x/afl/internal/cpu/kernel"
)

// The elementary functions, operation by operation those of math32.go in package
// cpu, which explains them.

const (
	// smallFrom is just above log ¾: from there to 0 exp's n is 0.
	smallFrom = -0.2876
	signBit   = 1 << 31
)

// expConstants are the constants of exp.
func expConstants() []word {
	k := &kernel.Float32
	var list []word
	for _, c := range slices.Concat([]float64{k.ExpLow, k.Log2E, -k.ExpBias, k.Ln2Hi, k.Ln2Lo, 1}, k.Exp) {
		list = append(list, lit(float32(c)))
	}
	return list
}

// functions are the constants of the tier's element type.
func (t tier) functions() *kernel.Functions {
	if t.double {
		return &kernel.Float64
	}
	return &kernel.Float32
}

// exp is eˣ for x below the point where it becomes infinite.
func (t tier) exp(x vec) vec {
	return t.expInRange(t.max(t.lit(t.functions().ExpLow), x))
}

// expOfMinusAbs is e^−|x|. For a NaN it may be anything if that does not matter.
func (t tier) expOfMinusAbs(x vec, nanMatters bool) vec {
	if !t.wide || nanMatters {
		return t.exp(t.or(x, t.signBit()))
	}
	// The number that is smaller in magnitude, with the sign bit set.
	const negativeOfSmaller = 0x0e
	low := t.lit(t.functions().ExpLow)
	return t.expInRange(t.each(func(u int, d reg.VecVirtual) {
		if w, ok := t.inMemory(low); ok {
			t.op(VRANGEPS_BCST, VRANGEPD_BCST)(U8(negativeOfSmaller), w.mem, x[u], d)
		} else {
			t.op(VRANGEPS, VRANGEPD)(U8(negativeOfSmaller), t.load(low)[u], x[u], d)
		}
	}))
}

// expInRange is eˣ for x that are at least ExpLow.
func (t tier) expInRange(x vec) vec {
	k := t.functions()
	n := t.round(t.fma(x, t.lit(k.Log2E), t.lit(-k.ExpBias)))
	r := t.fnma(n, t.lit(k.Ln2Hi), x)
	r = t.fnma(n, t.lit(k.Ln2Lo), r)
	return t.scale(t.expOfRemainder(r), n)
}

// expOfRemainder is eʳ for the remainders r of exp, which begin at log ¾.
func (t tier) expOfRemainder(r vec) vec {
	r2 := t.mul(r, r)
	q := t.polynomial(t.functions().Exp, r, r2)
	return t.add(t.fma(q, r2, r), t.lit(1))
}

// polynomial is Σ c_k·xᵏ, of pairs of terms; x2 is x².
func (t tier) polynomial(c []float64, x, x2 vec) vec {
	pair := func(i int) vec { return t.fma(x, t.lit(c[i+1]), t.lit(c[i])) }
	i := len(c)
	var p vec
	if i%2 == 0 {
		i -= 2
		p = pair(i)
	} else {
		i -= 3
		p = t.fma(x2, t.lit(c[i+2]), pair(i))
	}
	for i > 0 {
		i -= 2
		p = t.fma(p, x2, pair(i))
	}
	return p
}

// logConstants are the constants of log1p01.
func logConstants() []word {
	list := []word{lit(kernel.Log1pSplit), lit(-0.5), lit(kernel.Ln2)}
	for _, c := range kernel.Float32.Log {
		list = append(list, lit(float32(c)))
	}
	return list
}

// log1p01 is log(1+e) for e in [0,1]. e is overwritten.
func (t tier) log1p01(e vec) vec {
	halved := t.atLeast(e, t.lit(kernel.Log1pSplit))
	f := t.fmaWhere(halved, e, t.lit(0.5), t.lit(-0.5))
	if t.double { // ln 2 rounded to one number is not close enough
		return t.logOfSum(f, t.masked(halved, t.lit(1)))
	}
	f2, c := t.logTail(f)
	return t.addWhere(halved, t.fma(c, f2, f), lit(kernel.Ln2))
}

// minusLogConstants are the constants of minusLog1m.
func minusLogConstants() []word {
	list := []word{lit(2), lit(kernel.Log1mSplit), lit(-1), lit(0.5), lit(kernel.Ln2)}
	for _, c := range mirrored(kernel.Float32.Log) {
		list = append(list, lit(float32(c)))
	}
	return list
}

// minusLog1m is −log(1−s) for s in [0,½]. s is overwritten.
func (t tier) minusLog1m(s vec) vec {
	halved := t.greater(s, lit(kernel.Log1mSplit))
	g := t.fmaWhere(halved, s, lit(2), lit(-1))
	g2 := t.mul(g, g)
	c := t.fma(t.polynomial(mirrored(kernel.Float32.Log), g, g2), g, lit(0.5))
	return t.addWhere(halved, t.fma(c, g2, g), lit(kernel.Ln2))
}

// mirrored returns the coefficients of p(−x).
func mirrored(p []float64) []float64 {
	q := slices.Clone(p)
	for i := 1; i < len(q); i += 2 {
		q[i] = -q[i]
	}
	return q
}

// logTail returns f² and c with log(1+f) = f + f²·c.
func (t tier) logTail(f vec) (f2, c vec) {
	f2 = t.mul(f, f)
	return f2, t.fma(t.polynomial(t.functions().Log, f, f2), f, t.lit(-0.5))
}

// logOfSum is log(1+f) + k·ln 2 for a whole number k.
func (t tier) logOfSum(f, k vec) vec {
	of := t.functions()
	f2, c := t.logTail(f)
	whole := t.mul(k, t.lit(of.Ln2Hi))
	sum := t.add(whole, f)
	lost := t.sub(f, t.sub(sum, whole))
	return t.add(sum, t.fma(c, f2, t.fma(k, t.lit(of.Ln2Lo), lost)))
}

// logOnePlus is log(1+x) for x ≥ 0.
func (t tier) logOnePlus(x vec) vec {
	large := t.atLeast(x, t.lit(kernel.Log1pSplit))
	f, k := t.split(t.add(x, t.lit(1)))
	f = t.blend(large, f, x)
	return t.logOfSum(f, t.masked(large, k))
}

// logNormal is log x of a positive normal number.
func (t tier) logNormal(x vec) vec {
	f, k := t.split(x)
	return t.logOfSum(f, k)
}
