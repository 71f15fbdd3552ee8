package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// tileGo is the plain tile kernel: the steps of the row kernels rowExp to rowGrad for one
// channel by sigmoid, or those from rowDifference on for two by softmax, in one call. Where
// it differs from them:
//
//   - It computes σ(−|x|) and −log σ(|x|) as the logistic kernels do.
//   - It sets FlagBad and returns if a target is not in [0,1], or −0.
//   - It adds the sums of all lanes to acc, at the places that they have in ArgSums.
//   - The elements, if wanted, are stored and not added to: each is the element of its channel
//     times weight and scale plus CoefOffset. Of a pair without ArgElements0 they are the sum
//     of both channels, which is also channel 1's where channel 0 has none.
//   - Without ArgUpstream the upstream gradient is 1.
//   - The gradient is stored, that of both terms together.
func tileGo(v kernel.Variant, a *rowArgs[float32], n int) {
	x, small := a.buffer(kernel.ArgBuffer, kernel.TileX, n), a.buffer(kernel.ArgBuffer, kernel.TileSmall, n)
	m, x1, x0 := a.of(kernel.ArgWeight, n), a.of(kernel.ArgX, n), a.row[kernel.ArgX0]
	for i, w := range m {
		x[i] = 0
		if w > 0 {
			x[i] = x1[i]
			if v.Pair {
				x[i] -= x0[i]
			}
		}
	}
	for _, arg := range []kernel.RowArg{kernel.ArgTarget, kernel.ArgTarget0} {
		if arg == kernel.ArgTarget0 && !v.Pair {
			break
		}
		for _, t := range a.of(arg, n) {
			if math.Float32bits(t) > math.Float32bits(1) {
				a.flags |= kernel.FlagBad
				return
			}
		}
	}
	smaller(small, x)
	if v.Exponent != kernel.NoPointwise && (v.Elements() || a.row[kernel.ArgElements] != nil) {
		l := a.buffer(kernel.ArgBuffer, kernel.TileLog, n)
		for i, s := range small {
			l[i] = minusLog1m(s)
		}
	}
	var sums tileSums
	if v.Pair {
		tilePair(v, a, n, &sums)
	} else {
		tileSingle(v, a, n, &sums)
	}
	for s := range sums {
		for lane, sum := range sums[s] {
			if s/kernel.RowSums == 0 || v.Pair {
				a.acc[s*lanes+lane] += float64(sum)
			}
		}
	}
}

// tileSums are the sums of a tile kernel, of both channels of a pair.
type tileSums [2 * kernel.RowSums][lanes]float32

// smaller stores σ(−|x|).
func smaller(dst, x []float32) {
	for i, x := range x {
		if !negative(x) {
			x = negated(x)
		}
		dst[i] = x
	}
	expGo(dst, dst)
	for i, e := range dst {
		dst[i] = e / (1 + e)
	}
}

// scaledMisses stores σ(−s·x), and for any γ its power.
func scaledMisses(v kernel.Variant, a *rowArgs[float32], n int) {
	x, t := a.buffer(kernel.ArgBuffer, kernel.TileX, n), a.of(kernel.ArgTarget, n)
	miss, scaled := a.buffer(kernel.ArgBuffer, kernel.TileMiss, n), a.buffer(kernel.ArgBuffer, kernel.TilePower, n)
	for i, x := range x {
		scaled[i] = x * side(t[i])
	}
	smaller(miss, scaled)
	minusGamma := a.coef(kernel.CoefMinusGamma)
	for i, s := range miss {
		z := scaled[i]
		if v.Exponent == kernel.GammaAny {
			scaled[i] = float32((max32(0, z) + minusLog1m(s)) * minusGamma)
		}
		if negative(z) {
			miss[i] = 1 - s
		}
	}
	if v.Exponent == kernel.GammaAny {
		expGo(scaled, scaled)
	}
}

func tileSingle(v kernel.Variant, a *rowArgs[float32], n int, sums *tileSums) {
	if v.Scaled() {
		scaledMisses(v, a, n)
	}
	m, t := a.of(kernel.ArgWeight, n), a.of(kernel.ArgTarget, n)
	x, small, l := a.buffer(kernel.ArgBuffer, kernel.TileX, n), a.buffer(kernel.ArgBuffer, kernel.TileSmall, n), a.buffer(kernel.ArgBuffer, kernel.TileLog, n)
	misses, power := a.buffer(kernel.ArgBuffer, kernel.TileMiss, n), a.buffer(kernel.ArgBuffer, kernel.TilePower, n)
	elements, grad, upstream := a.row[kernel.ArgElements], a.row[kernel.ArgGrad], a.row[kernel.ArgUpstream]
	pos, neg, ce, scale := a.coef(kernel.CoefPos), a.coef(kernel.CoefNeg), a.coef(kernel.CoefCE), a.coef(kernel.CoefScale)
	minusGamma, twiceGamma := a.coef(kernel.CoefMinusGamma), a.coef(kernel.CoefTwiceGamma)
	slope, coefT, plain := a.coef(kernel.CoefSlope), a.coef(kernel.CoefT), a.coef(kernel.CoefPlain)
	square, linear, offset := a.coef(kernel.CoefSquare), a.coef(kernel.CoefLinear), a.coef(kernel.CoefOffset)
	value, check := &sums[kernel.RowSumPointwise], &sums[kernel.RowSumCheck]
	si, sp, sg := &sums[kernel.RowSumI], &sums[kernel.RowSumP], &sums[kernel.RowSumG]
	for i, w := range m {
		lane, t, s := i%lanes, t[i], small[i]
		large := 1 - s
		p, q := large, s
		if negative(x[i]) {
			p, q = q, p
		}
		var g float32
		switch {
		case v.Overlap && v.Grad:
			g = float32(fma(p, slope, fma(t, coefT, plain)) * float32(s*large))
		case v.Overlap:
			overlapTerms(&sp[lane], &si[lane], &sg[lane], p, t, w, square, linear)
		}
		if v.Exponent != kernel.NoPointwise {
			other, own := 1-t, float32(t*ce)
			bracket := fma(other, max32(0, x[i])+l[i], float32(own*(max32(0, negated(x[i]))+l[i])))
			factor := fma(t, pos, float32(other*neg))
			miss := misses[i]
			switch v.Exponent {
			case kernel.GammaTwo:
				factor *= float32(miss * miss)
			case kernel.GammaAny:
				factor *= power[i]
			}
			element := float32(factor * bracket)
			if !v.Overlap || !v.Grad {
				add(&value[lane], w, element)
			}
			if v.Grad && elements != nil {
				elements[i] = fma(float32(w*scale), element, offset)
				nonFinite(&check[lane], elements[i])
			}
			if v.Grad && grad != nil {
				d := fma(-own, q, float32(other*p))
				if v.Exponent != kernel.GammaZero {
					d = fma(-float32(fma(t, twiceGamma, minusGamma)*(1-miss)), bracket, d)
				}
				d = float32(float32(factor*scale) * d)
				d = timesUpstream(d, w, upstream, i)
				if v.Overlap {
					d += g
				}
				g = d
			}
		}
		if v.Grad && grad != nil {
			g = float32(g * w)
			nonFinite(&check[lane], g)
			grad[i] = g
		}
	}
}

// overlapTerms adds to the sums of the overlap term.
func overlapTerms(sp, si, sg *float32, p, t, w, square, linear float32) {
	mp := float32(p * w)
	add(sp, mp, squares(p, square, linear))
	add(si, mp, t)
	add(sg, float32(t*w), squares(t, square, linear))
}

// timesUpstream multiplies the derivative at voxel i by the upstream gradient.
func timesUpstream(d, weight float32, upstream []float32, i int) float32 {
	switch {
	case upstream == nil:
		return d
	case weight > 0:
		return float32(upstream[i] * d)
	}
	return float32(0 * d)
}

func tilePair(v kernel.Variant, a *rowArgs[float32], n int, sums *tileSums) {
	x, small, l := a.buffer(kernel.ArgBuffer, kernel.TileX, n), a.buffer(kernel.ArgBuffer, kernel.TileSmall, n), a.buffer(kernel.ArgBuffer, kernel.TileLog, n)
	power := [2][]float32{a.buffer(kernel.ArgBuffer, kernel.TilePower0, n), a.buffer(kernel.ArgBuffer, kernel.TilePower, n)}
	coef := func(c, i int) float32 { return a.coef(c*kernel.RowCoefs + i) }
	if v.Exponent == kernel.GammaAny {
		for i, x := range x {
			power[1][i] = float32((max32(0, x) + l[i]) * coef(1, kernel.CoefMinusGamma))
			power[0][i] = float32((max32(0, negated(x)) + l[i]) * coef(0, kernel.CoefMinusGamma))
		}
		expGo(power[0], power[0])
		expGo(power[1], power[1])
	}
	targets := [2][]float32{a.row[kernel.ArgTarget0], a.row[kernel.ArgTarget]}
	upstream := [2][]float32{a.row[kernel.ArgUpstream0], a.row[kernel.ArgUpstream]}
	elements, elements0, grad, grad0 := a.row[kernel.ArgElements], a.row[kernel.ArgElements0], a.row[kernel.ArgGrad], a.row[kernel.ArgGrad0]
	value, check, scale := &sums[kernel.RowSumPointwise], &sums[kernel.RowSumCheck], coef(1, kernel.CoefScale)
	for i, w := range a.of(kernel.ArgWeight, n) {
		lane, s := i%lanes, small[i]
		large := 1 - s
		p := [2]float32{s, large}
		if negative(x[i]) {
			p = [2]float32{large, s}
		}
		var g float32
		switch {
		case v.Overlap && v.Grad:
			var d [2]float32
			for c := range d {
				d[c] = fma(p[c], coef(c, kernel.CoefSlope), fma(targets[c][i], coef(c, kernel.CoefT), coef(c, kernel.CoefPlain)))
			}
			g = float32((d[1] - d[0]) * float32(s*large))
		case v.Overlap:
			for c := range p {
				sum := func(i int) *float32 { return &sums[c*kernel.RowSums+i][lane] }
				overlapTerms(sum(kernel.RowSumP), sum(kernel.RowSumI), sum(kernel.RowSumG), p[c], targets[c][i], w,
					coef(c, kernel.CoefSquare), coef(c, kernel.CoefLinear))
			}
		}
		if v.Exponent != kernel.NoPointwise {
			nll := [2]float32{max32(0, x[i]) + l[i], max32(0, negated(x[i])) + l[i]}
			var u, element, d [2]float32
			for c := range u {
				miss := p[1-c]
				u[c] = fma(targets[c][i], coef(c, kernel.CoefTarget), coef(c, kernel.CoefUniform))
				switch v.Exponent {
				case kernel.GammaTwo:
					u[c] *= float32(miss * miss)
				case kernel.GammaAny:
					u[c] *= power[c][i]
				}
				element[c] = float32(u[c] * nll[c])
				if v.Exponent != kernel.GammaZero {
					miss = fma(float32(p[c]*coef(c, kernel.CoefGamma)), nll[c], miss)
				}
				d[c] = timesUpstream(float32(u[c]*miss), w, upstream[c], i)
			}
			both := element[1] + element[0]
			if !v.Overlap || !v.Grad {
				add(&value[lane], w, both)
			}
			if v.Grad && elements != nil {
				scaled, own := float32(w*scale), both
				if elements0 != nil {
					own = element[1]
					elements0[i] = fma(scaled, element[0], coef(0, kernel.CoefOffset))
					nonFinite(&check[lane], elements0[i])
				}
				elements[i] = fma(scaled, own, coef(1, kernel.CoefOffset))
				nonFinite(&check[lane], elements[i])
			}
			own := float32((d[0] - d[1]) * scale)
			if v.Overlap {
				own += g
			}
			g = own
		}
		if v.Grad && grad != nil {
			g = float32(g * w)
			nonFinite(&check[lane], g)
			grad[i], grad0[i] = g, negated(g)
		}
	}
}
