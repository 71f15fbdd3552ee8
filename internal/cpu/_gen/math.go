package main

import "github.com/x/afl/internal/cpu/kernel"

// The elementary functions, operation by operation those of math32.go in package
// cpu, which explains them.

const (
	// smallFrom is just above log ¾: from there to 0 exp's n is 0.
	smallFrom = -0.2876
	signBit   = 1 << 31
)

// expConstants are the constants of exp.
func expConstants() []word {
	return []word{lit(kernel.ExpLow), lit(kernel.Log2E), lit(-kernel.ExpBias), lit(kernel.Ln2Hi), lit(kernel.Ln2Lo), lit(1),
		lit(kernel.ExpPoly[0]), lit(kernel.ExpPoly[1]), lit(kernel.ExpPoly[2]), lit(kernel.ExpPoly[3]), lit(kernel.ExpPoly[4])}
}

// exp is eˣ for x below the point where it becomes infinite.
func (t tier) exp(x vec) vec {
	x = t.max(lit(kernel.ExpLow), x)
	n := t.round(t.fma(x, lit(kernel.Log2E), lit(-kernel.ExpBias)))
	r := t.fnma(n, lit(kernel.Ln2Hi), x)
	r = t.fnma(n, lit(kernel.Ln2Lo), r)
	return t.scale(t.expOfRemainder(r), n)
}

// expOfRemainder is eʳ for the remainders r of exp, which begin at log ¾.
func (t tier) expOfRemainder(r vec) vec {
	r2 := t.mul(r, r)
	low := t.fma(r, lit(kernel.ExpPoly[1]), lit(kernel.ExpPoly[0]))
	high := t.fma(r, lit(kernel.ExpPoly[3]), lit(kernel.ExpPoly[2]))
	high = t.fma(r2, lit(kernel.ExpPoly[4]), high)
	q := t.fma(high, r2, low)
	return t.add(t.fma(q, r2, r), lit(1))
}

// logConstants are the constants of log1p01.
func logConstants() []word {
	return []word{lit(kernel.Log1pSplit), lit(-0.5), lit(kernel.Ln2), lit(kernel.LogPoly[0]), lit(kernel.LogPoly[1]), lit(kernel.LogPoly[2]), lit(kernel.LogPoly[3]),
		lit(kernel.LogPoly[4]), lit(kernel.LogPoly[5]), lit(kernel.LogPoly[6]), lit(kernel.LogPoly[7])}
}

// log1p01 is log(1+e) for e in [0,1].
func (t tier) log1p01(e vec) vec {
	halved := t.atLeast(e, lit(kernel.Log1pSplit))
	f := t.blend(halved, t.fma(e, lit(0.5), lit(-0.5)), e)
	f2, c := t.logTail(f)
	return t.add(t.fma(c, f2, f), t.masked(halved, lit(kernel.Ln2)))
}

// logTail returns f² and c with log(1+f) = f + f²·c.
func (t tier) logTail(f vec) (f2, c vec) {
	f2 = t.mul(f, f)
	pair := func(i int) vec { return t.fma(f, lit(kernel.LogPoly[i+1]), lit(kernel.LogPoly[i])) }
	p := t.fma(pair(6), f2, pair(4))
	p = t.fma(p, f2, pair(2))
	p = t.fma(p, f2, pair(0))
	return f2, t.fma(p, f, lit(-0.5))
}

// logOfSum is log(1+f) + k·ln 2 for a whole number k.
func (t tier) logOfSum(f, k vec) vec {
	f2, c := t.logTail(f)
	whole := t.mul(k, lit(kernel.Ln2Hi))
	sum := t.add(whole, f)
	lost := t.sub(f, t.sub(sum, whole))
	return t.add(sum, t.fma(c, f2, t.fma(k, lit(kernel.Ln2Lo), lost)))
}

// logOnePlus is log(1+x) for x ≥ 0.
func (t tier) logOnePlus(x vec) vec {
	large := t.atLeast(x, lit(kernel.Log1pSplit))
	f, k := t.split(t.add(x, lit(1)))
	f = t.blend(large, f, x)
	return t.logOfSum(f, t.masked(large, k))
}

// logNormal is log x of a positive normal number.
func (t tier) logNormal(x vec) vec {
	f, k := t.split(x)
	return t.logOfSum(f, k)
}
