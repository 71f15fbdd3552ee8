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
}

// index numbers the variants for tables of routines.
func (v variant) index() int {
	i := int(v.exponent)
	for k, on := range []bool{v.overlap, v.grad, v.pair} {
		if on {
			i += 4 << k
		}
	}
	return i
}

const (
	logisticVariants = 32
	logisticBuffer   = 3 * blockTile
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

// logisticGo is the plain kernel for one channel by sigmoid, or for two by
// softmax, which is the sigmoid of their difference. It goes over whole blocks
// of the logits x (x1 less x0 for a pair), adds each lane's sums to acc, and
// writes the gradient to g (g1, and its negative to g0). y holds classes or
// noClass; such voxels' logits do not matter and their gradient is 0.
//
// With z = x for positive voxels and −x for the others, p_t = σ(z):
//
//	element   w·(1−p_t)^γ·softplus(−z)
//	gradient  ∓w·(1−p_t)^γ·((1−p_t) + γ·p_t·softplus(−z)) + p·(1−p)·∂overlap/∂p
func logisticGo(v variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef) {
	var sums [logisticSums][lanes]float32
	for i, class := range y {
		lane := i % lanes
		valid := class != noClass
		if !valid {
			if v.grad {
				g1[i] = 0
				if v.pair {
					g0[i] = 0
				}
			}
			continue
		}
		x := x1[i]
		if v.pair {
			x -= x0[i]
		}
		positive := uint32(class) == k.class
		e := expUpTo(math.Float32frombits(math.Float32bits(x) | signBit))
		large := 1 / (1 + e)
		p, q := large, float32(e*large)
		if math.Float32bits(x)&signBit != 0 {
			p, q = q, p
		}
		var g float32
		if v.exponent != noPointwise {
			l := log1p01(e)
			z, hit, miss, w, gw, gamma := x, p, q, k.pos, k.gradPos, k.gammaPos
			if !positive {
				z, hit, miss, w, gw, gamma = math.Float32frombits(math.Float32bits(x)^signBit), q, p, k.neg, k.gradNeg, k.gammaNeg
			}
			nll := max32(0, math.Float32frombits(math.Float32bits(z)^signBit)) + l
			switch v.exponent {
			case gammaTwo:
				square := float32(miss * miss)
				w, gw = float32(w*square), float32(gw*square)
			case gammaAny:
				power := expUpTo(float32(gamma * math.Float32frombits(math.Float32bits(max32(0, z)+l)^signBit)))
				w, gw = float32(w*power), float32(gw*power)
			}
			sums[sumPointwise][lane] += float32(w * nll)
			switch {
			case !v.grad:
			case v.exponent == gammaZero:
				g = float32(gw * miss)
			default:
				g = float32(gw * (miss + float32(float32(gamma*hit)*nll)))
			}
		}
		if v.overlap && v.grad {
			d := k.coefNeg
			if positive {
				d = k.coefPos
			}
			d += float32(k.slope * p)
			if v.pair {
				d0 := k.coefPos0
				if positive {
					d0 = k.coefNeg0
				}
				d -= d0 + float32(k.slope0*q)
			}
			d = float32(d * float32(p*q))
			if v.exponent != noPointwise {
				d += g
			}
			g = d
		}
		if v.grad {
			g1[i] = g
			if v.pair {
				g0[i] = math.Float32frombits(math.Float32bits(g) ^ signBit)
			}
			continue
		}
		if v.overlap {
			sums[sumP][lane] += float32(p * max32(p, k.plain))
			if positive {
				sums[sumI][lane] += p
				sums[sumG][lane]++
			}
			if v.pair {
				sums[sumP0][lane] += float32(q * max32(q, k.plain))
				if !positive {
					sums[sumI0][lane] += q
					sums[sumG0][lane]++
				}
			}
		}
	}
	for s := range sums {
		for lane, sum := range sums[s] {
			acc[s*lanes+lane] += float64(sum)
		}
	}
}

const signBit = 1 << 31
