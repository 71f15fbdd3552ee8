package cpu

import "github.com/x/afl/internal/cpu/kernel"

// softmaxCoef are the constants of a channel for the softmax kernel. The assembly
// reads it as an array of 4-byte words in this order.
type softmaxCoef struct {
	class   uint32
	pos     float32 // factor of the elements of the class
	grad    float32 // that factor times the scale
	gamma   float32
	plain   float32 // this and the following are as in logisticCoef
	coefPos float32
	coefNeg float32
	slope   float32
}

// setLimits sets the limits of an Above kernel, in place of constants of an overlap term.
func setLimits(k []softmaxCoef, low, high float32) { k[0].coefPos, k[0].coefNeg = low, high }

// softmaxGo is the plain kernel for channels by softmax. The logit of channel c at
// voxel i is x[c·pitch+i] and its gradient g[c·pitch+i]. The sums of each lane are
// added to sums: the pointwise elements, then I, P and G of every channel. y holds
// classes or noClass, as for logisticGo.
//
// Let m be the largest logit, top its channel, e_c = exp(x_c−m) and others the sum
// of all e_c but that of top, which keeps 1−p accurate for p near 1:
//
//	−log p_y  = (m−x_y) + log(1+others)
//	1−p_y     = others/(1+others), or 1+others−e_y instead of others
//	pointwise ∂/∂x_c = B·p_c, for c = y −B·(1−p_y),
//	          B = w·(1−p_y)^γ·(1 + γ·p_y·(−log p_y)/(1−p_y))
//	overlap   ∂/∂x_c = p_c·((D_c−D_top) − Σ_k p_k·(D_k−D_top)), D = ∂overlap/∂p
//
// With v.Above there are at most kernel.Part voxels, whose elements are stored at the beginning
// of e, 0 for those without a class. See setLimits.
func softmaxGo(v kernel.Variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32, _ bool) {
	elements, e := e[:kernel.Part], e[kernel.Part:]
	for i, class := range y {
		lane := i % lanes
		if class == noClass {
			if v.Above {
				elements[i] = 0
			}
			if v.Grad {
				for c := range k {
					g[c*pitch+i] = 0
				}
			}
			continue
		}
		m, top := x[i], 0
		for c := 1; c < len(k); c++ {
			if xc := x[c*pitch+i]; xc > m {
				m, top = xc, c
			}
		}
		others := float32(0)
		for c := range k {
			e[c] = expUpTo(x[c*pitch+i] - m)
			if c != top {
				others += e[c]
			}
		}
		scale := 1 / (1 + others)
		var b, miss float32
		kept := true
		if v.Exponent != kernel.NoPointwise {
			own := &k[class]
			ey := e[class]
			rest := others
			if int(class) != top {
				rest = 1 + (others - ey)
			}
			miss = float32(rest * scale)
			nll := (m - x[int(class)*pitch+i]) + logOnePlus(others)
			w := own.pos
			b = own.grad
			if v.Exponent != kernel.GammaZero {
				normal := max32(kernel.Smallest, miss)
				power := float32(miss * miss)
				if v.Exponent == kernel.GammaAny {
					power = expUpTo(float32(own.gamma * logNormal(normal)))
				}
				w = float32(w * power)
				if v.Grad {
					ratio := nll / normal
					b = float32(b*power) * fma32(float32(own.gamma*float32(ey*scale)), ratio, 1)
				}
			}
			if v.Above {
				elements[i] = float32(w * nll)
				if elements[i] > k[0].coefNeg {
					sums[lane] += elements[i]
				}
				if elements[i] < k[0].coefPos {
					kept, b = false, 0
				}
			} else {
				add(&sums[lane], w, nll)
			}
		}
		derivative := func(c int) float32 {
			d := k[c].coefNeg
			if int(class) == c {
				d = k[c].coefPos
			}
			return fma32(float32(e[c]*scale), k[c].slope, d)
		}
		var atTop, mean float32
		if v.Overlap && v.Grad {
			atTop = derivative(top)
			for c := range k {
				if c != top {
					add(&mean, float32(e[c]*scale), derivative(c)-atTop)
				}
			}
		}
		for c := range k {
			p := float32(e[c] * scale)
			positive := int(class) == c
			if v.Grad {
				var d float32
				if v.Exponent != kernel.NoPointwise {
					d = float32(b * p)
					if positive && kept {
						d = negated(b * miss)
					}
				}
				if v.Overlap {
					own := float32(p * ((derivative(c) - atTop) - mean))
					if v.Exponent != kernel.NoPointwise {
						own += d
					}
					d = own
				}
				g[c*pitch+i] = d
				continue
			}
			if v.Overlap {
				s := sums[(1+3*c)*lanes+lane:]
				if positive {
					s[0] += p
					s[2*lanes]++
				}
				add(&s[lanes], p, max32(p, k[c].plain))
			}
		}
	}
}
