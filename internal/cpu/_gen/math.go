package main

// The elementary functions; math32.go of package cpu explains them and has the
// same constants.
var (
	expPoly = []float32{0.5000002, 0.16666572, 0.041658193, 0.0083601065, 0.0014652617}
	logPoly = []float32{0.3333345, -0.25000098, 0.19990826, -0.16647206, 0.14478762, -0.13162799, 0.10464271, -0.04507033}
)

const (
	log2e   = 1.442695
	ln2Hi   = 0.693359375
	ln2Lo   = -2.12194440e-4
	ln2     = 0.6931472
	expBias = 0.0849625
	// expWhole is just above log ¾: from there to 0 exp's n is 0.
	expWhole = -0.2876
	signBit  = 1 << 31
)

// expConstants are those that exp uses.
func expConstants() []word {
	return []word{lit(-104), lit(log2e), lit(-expBias), lit(ln2Hi), lit(ln2Lo), lit(1),
		lit(expPoly[0]), lit(expPoly[1]), lit(expPoly[2]), lit(expPoly[3]), lit(expPoly[4])}
}

// exp is eˣ for x below the point where it becomes infinite.
func (t tier) exp(x vec) vec {
	x = t.max(lit(-104), x)
	n := t.round(t.fma(x, lit(log2e), lit(-expBias)))
	r := t.fnma(n, lit(ln2Hi), x)
	r = t.fnma(n, lit(ln2Lo), r)
	return t.scale(t.expOfRemainder(r), n)
}

// expOfRemainder is eʳ where exp takes r for its own remainder: from log ¾ on.
func (t tier) expOfRemainder(r vec) vec {
	r2 := t.mul(r, r)
	low := t.fma(r, lit(expPoly[1]), lit(expPoly[0]))
	high := t.fma(r, lit(expPoly[3]), lit(expPoly[2]))
	high = t.fma(r2, lit(expPoly[4]), high)
	q := t.fma(high, r2, low)
	return t.add(t.fma(q, r2, r), lit(1))
}

// logConstants are those that log1p01 uses.
func logConstants() []word {
	return []word{lit(0.5), lit(-0.5), lit(ln2), lit(logPoly[0]), lit(logPoly[1]), lit(logPoly[2]), lit(logPoly[3]),
		lit(logPoly[4]), lit(logPoly[5]), lit(logPoly[6]), lit(logPoly[7])}
}

// log1p01 is log(1+e) for e in [0,1].
func (t tier) log1p01(e vec) vec {
	halved := t.atLeast(e, lit(0.5))
	f := t.blend(halved, t.fma(e, lit(0.5), lit(-0.5)), e)
	f2, c := t.logTail(f)
	return t.add(t.fma(c, f2, f), t.keep(halved, lit(ln2)))
}

// logTail returns f² and c with log(1+f) = f + f²·c.
func (t tier) logTail(f vec) (f2, c vec) {
	f2 = t.mul(f, f)
	pair := func(i int) vec { return t.fma(f, lit(logPoly[i+1]), lit(logPoly[i])) }
	p := t.fma(pair(6), f2, pair(4))
	p = t.fma(p, f2, pair(2))
	p = t.fma(p, f2, pair(0))
	return f2, t.fma(p, f, lit(-0.5))
}

// logOfSum is log(1+f) + k·ln 2 for a whole number k.
func (t tier) logOfSum(f, k vec) vec {
	f2, c := t.logTail(f)
	whole := t.mul(k, lit(ln2Hi))
	sum := t.add(whole, f)
	lost := t.sub(f, t.sub(sum, whole))
	return t.add(sum, t.fma(c, f2, t.fma(k, lit(ln2Lo), lost)))
}

// logOnePlus is log(1+x) for x ≥ 0.
func (t tier) logOnePlus(x vec) vec {
	large := t.atLeast(x, lit(0.5))
	f, k := t.split(t.add(x, lit(1)))
	f = t.blend(large, f, x)
	return t.logOfSum(f, t.keep(large, k))
}

// logNormal is log x of a positive normal number.
func (t tier) logNormal(x vec) vec {
	f, k := t.split(x)
	return t.logOfSum(f, k)
}
