package cpu

import (
	"math"

	"github.com/x/afl/internal/cpu/kernel"
)

// Sizes of the kernels; see package kernel.
const (
	lanes       = kernel.Lanes
	block       = kernel.Block
	stripVoxels = kernel.Strip
)

// logisticCoef are the constants of a logistic kernel. The assembly reads it as
// an array of 4-byte words in this order.
type logisticCoef struct {
	class    uint32  // of the positive voxels
	pos, neg float32 // factors of the elements of positive and negative voxels
	// gradPos and gradNeg are these factors times the scale and the sign of the
	// gradient, − for positive voxels.
	gradPos, gradNeg   float32
	gammaPos, gammaNeg float32
	// plain is 1 if the overlap term sums p and 0 if it sums p².
	plain float32
	// The derivative of the overlap term with respect to p is coefPos or coefNeg
	// plus slope·p. The second row is for channel 0 of a pair, whose positive voxels
	// are the negative ones of channel 1.
	coefPos, coefNeg, slope    float32
	coefPos0, coefNeg0, slope0 float32
	low, high                  float32 // the limits of an Above kernel
}

// logisticGo is the plain kernel for one channel by sigmoid, or for two by softmax,
// which is the sigmoid of their difference. For whole blocks of the logits x (x1, or
// x1−x0 for a pair) it adds the sums of each lane to acc and writes the gradient to
// g1 and, for a pair, its negative to g0. y holds classes or noClass; the logits of
// such voxels are ignored and their gradient is 0. So are voxels of weight 0; without
// v.Weighted all weigh 1.
//
// With z = −x for positive voxels and x for the others, 1−p_t = σ(z):
//
//	element   w·(1−p_t)^γ·softplus(z)
//	gradient  ∓w·(1−p_t)^γ·((1−p_t) + γ·p_t·softplus(z)) + p·(1−p)·∂overlap/∂p
//
// With v.Above the elements are stored in buf, from kernel.Strip on, and 0 for voxels that are
// ignored.
func logisticGo(v kernel.Variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32) {
	var weights, elements []float32
	if v.Weighted {
		weights = buf[kernel.LogisticWeights:]
	}
	if v.Above {
		elements = buf[kernel.Strip:]
	}
	var sums [kernel.Sums][lanes]float32
	var b logisticBlock
	for i, class := range y {
		lane := i % lanes
		if i%block == 0 {
			b.compute(v, x0, x1, g1, y, i, k)
		}
		x := x1[i]
		if v.Pair {
			x -= x0[i]
		}
		small := b.small[i%block]
		if v.Cached && !v.Grad {
			g1[i] = math.Float32frombits(math.Float32bits(small) | math.Float32bits(x)&signBit)
		}
		weight := float32(1)
		if v.Weighted {
			weight = weights[i]
		}
		if class == noClass || !(weight > 0) {
			if v.Above {
				elements[i] = 0
			}
			if v.Grad {
				g1[i] = 0
				if v.Pair {
					g0[i] = 0
				}
			}
			continue
		}
		positive := uint32(class) == k.class
		large := 1 - small
		var g float32
		if v.Overlap {
			p, q := large, small
			if negative(x) {
				p, q = q, p
			}
			if v.Grad {
				d, d0 := k.coefNeg, k.coefPos0
				if positive {
					d, d0 = k.coefPos, k.coefNeg0
				}
				d = fma32(p, k.slope, d)
				if v.Pair {
					d -= fma32(q, k.slope0, d0)
				}
				g = float32(d * float32(small*large))
			} else {
				mp := float32(p * weight)
				add(&sums[kernel.SumP][lane], mp, max32(p, k.plain))
				if positive {
					sums[kernel.SumI][lane] += mp
					sums[kernel.SumG][lane] += weight
				}
				if v.Pair {
					mq := float32(q * weight)
					add(&sums[kernel.SumP0][lane], mq, max32(q, k.plain))
					if !positive {
						sums[kernel.SumI0][lane] += mq
						sums[kernel.SumG0][lane] += weight
					}
				}
			}
		}
		if v.Exponent != kernel.NoPointwise {
			z, w, own, gamma := x, k.neg, k.gradNeg, k.gammaNeg
			if positive {
				z, w, own, gamma = negated(x), k.pos, k.gradPos, k.gammaPos
			}
			miss := large
			if negative(z) {
				miss = small
			}
			var nll float32
			factor := float32(1)
			if v.Elements() {
				nll = max32(0, z) + b.log[i%block]
				switch v.Exponent {
				case kernel.GammaTwo:
					factor = miss * miss
				case kernel.GammaAny:
					factor = b.power[i%block]
				}
				w = float32(float32(w*factor) * weight)
				if !v.Above {
					add(&sums[kernel.SumPointwise][lane], w, nll)
				}
			}
			if v.Above {
				elements[i] = float32(w * nll)
				if elements[i] > k.high {
					sums[kernel.SumPointwise][lane] += elements[i]
				}
				if elements[i] < k.low {
					if v.Grad {
						g1[i], g0[i] = 0, 0
					}
					continue
				}
			}
			if v.Grad {
				if v.Exponent == kernel.GammaZero {
					own = float32(own * miss)
				} else {
					own = float32(float32(own*factor) * fma32(float32((1-miss)*gamma), nll, miss))
				}
				if v.Overlap {
					own = g + own
				}
				g = own
			}
		}
		if v.Grad {
			g = float32(g * weight)
			g1[i] = g
			if v.Pair {
				g0[i] = negated(g)
			}
		}
	}
	for s := range sums {
		for lane, sum := range sums[s] {
			acc[s*lanes+lane] += float64(sum)
		}
	}
}

// logisticBlock holds the elementary functions of a block of voxels. They are computed
// in a loop each: their chains of dependent operations are long, and of a short loop
// the processor runs several turns at once.
type logisticBlock struct {
	small [block]float32 // σ(−|x|)
	log   [block]float32 // −log σ(|x|), where v has elements
	power [block]float32 // (1−p_t)^γ, where γ is any
}

// compute computes the block that starts at voxel lo.
func (b *logisticBlock) compute(v kernel.Variant, x0, x1, g1 []float32, y []uint8, lo int, k *logisticCoef) {
	logit := func(i int) float32 {
		if v.Pair {
			return x1[lo+i] - x0[lo+i]
		}
		return x1[lo+i]
	}
	for i := range b.small {
		if v.Cached && v.Grad {
			b.small[i] = math.Float32frombits(math.Float32bits(g1[lo+i]) &^ signBit)
		} else {
			e := expUpTo(math.Float32frombits(math.Float32bits(logit(i)) | signBit))
			b.small[i] = e / (1 + e)
		}
	}
	if !v.Elements() {
		return
	}
	for i, s := range b.small {
		b.log[i] = minusLog1m(s)
	}
	if v.Exponent != kernel.GammaAny {
		return
	}
	for i, l := range b.log {
		z, gamma := logit(i), k.gammaNeg
		if uint32(y[lo+i]) == k.class {
			z, gamma = negated(z), k.gammaPos
		}
		b.power[i] = expUpTo(float32((min32(0, z) - l) * gamma))
	}
}

// add adds a·b to a sum.
func add(sum *float32, a, b float32) { *sum = fma32(a, b, *sum) }

const signBit = 1 << 31

// negative reports whether the sign bit of x is set, as it is for −0.
func negative(x float32) bool { return math.Float32bits(x)&signBit != 0 }

// negated is −x, with the sign bit of 0 flipped too.
func negated(x float32) float32 { return math.Float32frombits(math.Float32bits(x) ^ signBit) }
