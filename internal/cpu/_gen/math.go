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
	expBias = 0.0849625
	signBit = 1 << 31
)

// exp is eˣ for x below the point where it becomes infinite.
func (t tier) exp(x vec) vec {
	x = t.max(lit(-104), x)
	n := t.round(t.sub(t.mul(x, lit(log2e)), lit(expBias)))
	r := t.sub(x, t.mul(n, lit(ln2Hi)))
	r = t.sub(r, t.mul(n, lit(ln2Lo)))
	r2 := t.mul(r, r)
	low := t.add(t.mul(r, lit(expPoly[1])), lit(expPoly[0]))
	high := t.add(t.mul(r, lit(expPoly[3])), lit(expPoly[2]))
	high = t.add(high, t.mul(r2, lit(expPoly[4])))
	q := t.add(low, t.mul(high, r2))
	p := t.add(t.add(r, t.mul(q, r2)), lit(1))
	return t.scale(p, n)
}

// log1p01 is log(1+e) for e in [0,1].
func (t tier) log1p01(e vec) vec {
	halved := t.atLeast(e, lit(0.5))
	f := t.blend(halved, t.mul(t.sub(e, lit(1)), lit(0.5)), e)
	return t.logOfSum(f, t.keep(halved, lit(ln2Hi)), t.keep(halved, lit(ln2Lo)))
}

// logOfSum is log(1+f) plus a whole multiple of ln 2, given in two parts.
func (t tier) logOfSum(f, whole, part vec) vec {
	f2 := t.mul(f, f)
	pair := func(i int) vec { return t.add(t.mul(f, lit(logPoly[i+1])), lit(logPoly[i])) }
	low := t.add(pair(0), t.mul(pair(2), f2))
	high := t.add(pair(4), t.mul(pair(6), f2))
	p := t.add(low, t.mul(high, t.mul(f2, f2)))
	tail := t.add(t.mul(t.mul(f2, f), p), part)
	tail = t.sub(tail, t.mul(f2, lit(0.5)))
	sum := t.add(whole, f)
	lost := t.sub(f, t.sub(sum, whole))
	return t.add(sum, t.add(tail, lost))
}

// logOnePlus is log(1+x) for x ≥ 0.
func (t tier) logOnePlus(x vec) vec {
	large := t.atLeast(x, lit(0.5))
	f, k := t.split(t.add(x, lit(1)))
	f = t.blend(large, f, x)
	k = t.keep(large, k)
	return t.logOfSum(f, t.mul(k, lit(ln2Hi)), t.mul(k, lit(ln2Lo)))
}

// logNormal is log x of a positive normal number.
func (t tier) logNormal(x vec) vec {
	f, k := t.split(x)
	return t.logOfSum(f, t.mul(k, lit(ln2Hi)), t.mul(k, lit(ln2Lo)))
}
