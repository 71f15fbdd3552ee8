package cpu

import "math"

const (
	lanes = 16 // a kernel's partial sums; voxel i goes to sum i mod lanes
	block = 64 // a kernel's number of voxels is a multiple of it
)

// exponent says which form of (1−p_t)^γ a kernel computes.
type exponent uint8

const (
	noPointwise exponent = iota // no pointwise term
	gammaZero                   // 1
	gammaTwo                    // a square
	gammaAny                    // exp(γ·log(1−p_t))
)

// variant selects a kernel. Each is compiled on its own: what a loss does not
// need costs nothing.
type variant struct {
	pair     bool // two channels by softmax, not one by sigmoid
	exponent exponent
	overlap  bool
	grad     bool // write the gradient; the overlap sums are not needed then
	// kept: the first of an overlap term's two passes leaves e^−|x| with the sign
	// of x in g1, and the second takes it from there.
	kept bool
}

// index numbers the variants for tables of routines.
func (v variant) index() int {
	i := int(v.exponent)
	for k, on := range []bool{v.overlap, v.grad, v.pair, v.kept} {
		if on {
			i += 4 << k
		}
	}
	return i
}

const (
	logisticVariants = 64
	logisticBuffer   = 2 * blockTile
)

// logisticCoef are the constants of a logistic kernel. The assembly reads it as
// an array of 4-byte words in this order.
type logisticCoef struct {
	class    uint32  // of the positive voxels
	pos, neg float32 // factors of the elements of positive and negative voxels
	// gradPos and gradNeg are those factors times the scale and the sign that
	// the gradient has there, − for positive voxels.
	gradPos, gradNeg   float32
	gammaPos, gammaNeg float32
	// plain is 1 where the overlap term sums p and 0 where it sums p².
	plain float32
	// The derivative of the overlap term with respect to p is coefPos or coefNeg
	// plus slope·p; the second row is that of channel 0 of a pair, of which the
	// negative voxels are the positive ones.
	coefPos, coefNeg, slope    float32
	coefPos0, coefNeg0, slope0 float32
}

// Sums of a logistic kernel, each lanes wide: the pointwise elements, then I, P
// and G of the channel, then those of channel 0 of a pair.
const (
	sumPointwise = iota
	sumI
	sumP
	sumG
	sumI0
	sumP0
	sumG0
	logisticSums
)

// elements reports whether the elements' values are wanted. With an overlap term
// the pass before the gradient's has added them up; a cross-entropy's gradient
// then needs no logarithm.
func (v variant) elements() bool {
	return v.exponent != noPointwise && !(v.exponent == gammaZero && v.overlap && v.grad)
}

// sums returns the sums that the variant adds up.
func (v variant) sums() []int {
	lists := [...][]int{
		{sumPointwise},
		{sumPointwise, sumI, sumP, sumG},
		{sumPointwise, sumI, sumP, sumG, sumI0, sumP0, sumG0},
	}
	list := lists[0]
	if v.overlap && !v.grad {
		list = lists[1]
		if v.pair {
			list = lists[2]
		}
	}
	if !v.elements() {
		return list[1:]
	}
	return list
}

// logisticGo is the plain kernel for one channel by sigmoid, or for two by
// softmax, which is the sigmoid of their difference. It goes over whole blocks
// of the logits x (x1 less x0 for a pair), adds each lane's sums to acc, and
// writes the gradient to g (g1, and its negative to g0). y holds classes or
// noClass; such voxels' logits do not matter and their gradient is 0.
//
// With z = −x for positive voxels and x for the others, 1−p_t = σ(z):
//
//	element   w·(1−p_t)^γ·softplus(z)
//	gradient  ∓w·(1−p_t)^γ·((1−p_t) + γ·p_t·softplus(z)) + p·(1−p)·∂overlap/∂p
func logisticGo(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef) {
	var sums [logisticSums][lanes]float32
	for i, class := range y {
		lane := i % lanes
		if class == noClass {
			if v.grad {
				g1[i] = 0
				if v.pair {
					g0[i] = 0
				}
			} else if v.kept {
				g1[i] = 1 // of a logit of 0
			}
			continue
		}
		x := x1[i]
		if v.pair {
			x -= x0[i]
		}
		positive := uint32(class) == k.class
		var e float32
		if v.kept && v.grad {
			e = math.Float32frombits(math.Float32bits(g1[i]) &^ signBit)
		} else {
			e = expUpTo(math.Float32frombits(math.Float32bits(x) | signBit))
			if v.kept {
				g1[i] = math.Float32frombits(math.Float32bits(e) | math.Float32bits(x)&signBit)
			}
		}
		large := 1 / (1 + e)
		small := float32(e * large)
		var g float32
		if v.overlap {
			p, q := large, small
			if negative(x) {
				p, q = q, p
			}
			if v.grad {
				d, d0 := k.coefNeg, k.coefPos0
				if positive {
					d, d0 = k.coefPos, k.coefNeg0
				}
				d = fma32(p, k.slope, d)
				if v.pair {
					d -= fma32(q, k.slope0, d0)
				}
				g = float32(d * float32(small*large))
			} else {
				add(&sums[sumP][lane], p, max32(p, k.plain))
				if positive {
					sums[sumI][lane] += p
					sums[sumG][lane]++
				}
				if v.pair {
					add(&sums[sumP0][lane], q, max32(q, k.plain))
					if !positive {
						sums[sumI0][lane] += q
						sums[sumG0][lane]++
					}
				}
			}
		}
		if v.exponent != noPointwise {
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
			if v.elements() {
				l := log1p01(e)
				nll = max32(0, z) + l
				switch v.exponent {
				case gammaTwo:
					factor = miss * miss
				case gammaAny:
					factor = expUpTo(float32((min32(0, z) - l) * gamma))
				}
				add(&sums[sumPointwise][lane], float32(w*factor), nll)
			}
			if v.grad {
				if v.exponent == gammaZero {
					own *= miss
				} else {
					own = float32(own*factor) * fma32(float32((1-miss)*gamma), nll, miss)
				}
				if v.overlap {
					own = g + own
				}
				g = own
			}
		}
		if v.grad {
			g1[i] = g
			if v.pair {
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

// add adds a·b to a sum.
func add(sum *float32, a, b float32) { *sum = fma32(a, b, *sum) }

const signBit = 1 << 31

// negative reports whether x has a minus sign, which −0 has too.
func negative(x float32) bool { return math.Float32bits(x)&signBit != 0 }

// negated is −x, of 0 too.
func negated(x float32) float32 { return math.Float32frombits(math.Float32bits(x) ^ signBit) }
