// Package kernel describes the kernels of package cpu: their variants, their sizes
// and their constants. Package cpu, which runs them, and the generator
// of their assembly both read them here, and nothing else is imported.
package kernel

// Exponent is the form in which a kernel computes (1−p_t)^γ.
type Exponent uint8

// The forms of (1−p_t)^γ.
const (
	NoPointwise Exponent = iota // there is no pointwise term
	GammaZero                   // 1
	GammaTwo                    // a square
	GammaAny                    // exp(γ·log(1−p_t))
)

// Variant selects what a kernel computes. Each variant is compiled separately, so
// that a loss pays only for what it needs.
type Variant struct {
	Pair     bool // two channels by softmax in place of one by sigmoid; a logistic kernel's alone
	Exponent Exponent
	Overlap  bool // an overlap term: its sums, or with Grad its gradient
	Grad     bool // writes the gradient
	// Cached is set for both passes of an overlap term that share σ(−|x|): the first
	// stores it in g1 with the sign of x, the second loads it from there. Logistic
	// kernels only.
	Cached bool
	// Weighted multiplies the terms of each voxel by its weight and leaves out those of
	// weight 0. Logistic kernels only.
	Weighted bool
	// Above stores the elements of all voxels in scratch memory, adds up those above a limit
	// and writes the gradient of those that are not below another one. Softmax kernels and
	// logistic kernels of a pair only, with GammaZero and without Overlap.
	Above bool
}

// Index is the variant's place in a table of [Variants] entries.
func (v Variant) Index() int {
	i := int(v.Exponent)
	set := func(bit int, on bool) {
		if on {
			i |= bit
		}
	}
	set(4, v.Overlap)
	set(8, v.Grad)
	set(16, v.Pair)
	set(32, v.Cached)
	set(64, v.Weighted)
	set(128, v.Above)
	return i
}

// Variants is the number of values that [Variant.Index] can have.
const Variants = 256

// LogisticName names the variant of a logistic kernel: pairGamma2OverlapGradCached.
func (v Variant) LogisticName() string {
	if v.Pair {
		return "pair" + v.features()
	}
	return "logistic" + v.features()
}

// SoftmaxName names the variant of a softmax kernel: softmaxGamma2OverlapGrad.
func (v Variant) SoftmaxName() string { return "softmax" + v.features() }

func (v Variant) features() string {
	name := [...]string{"", "Gamma0", "Gamma2", "Gamma"}[v.Exponent]
	if v.Overlap {
		name += "Overlap"
	}
	if v.Grad {
		name += "Grad"
	} else {
		name += "Sums"
	}
	if v.Cached {
		name += "Cached"
	}
	if v.Weighted {
		name += "Weighted"
	}
	if v.Above {
		name += "Above"
	}
	return name
}

// Elements reports whether the elements' values are needed. With an overlap term
// the first pass has already added them up, and the gradient of a cross-entropy
// needs no logarithm.
func (v Variant) Elements() bool {
	return v.Exponent != NoPointwise && !(v.Exponent == GammaZero && v.Overlap && v.Grad)
}

// Logistic lists the variants of the logistic kernels.
func Logistic() []Variant {
	var list []Variant
	both := []bool{false, true}
	for _, weighted := range both {
		for _, cached := range both {
			for _, pair := range both {
				for _, grad := range both {
					for _, overlap := range both {
						for exponent := NoPointwise; exponent <= GammaAny; exponent++ {
							if overlap || exponent != NoPointwise && !cached {
								list = append(list, Variant{pair, exponent, overlap, grad, cached, weighted, false})
							}
						}
					}
				}
			}
		}
	}
	for _, weighted := range both {
		for _, grad := range both {
			list = append(list, Variant{Pair: true, Exponent: GammaZero, Grad: grad, Weighted: weighted, Above: true})
		}
	}
	return list
}

// Softmax lists the variants of the softmax kernels, those without Pair, Cached and
// Weighted.
func Softmax() []Variant {
	var list []Variant
	for _, v := range Logistic() {
		if !v.Pair && !v.Cached && !v.Weighted {
			list = append(list, v)
		}
	}
	for _, grad := range []bool{false, true} {
		list = append(list, Variant{Exponent: GammaZero, Grad: grad, Above: true})
	}
	return list
}

// Sum is one of the sums of a logistic kernel, Lanes wide each.
type Sum int

// The sums of a logistic kernel: the pointwise elements, then I, P and G of the
// channel, then those of channel 0 of a pair.
const (
	SumPointwise Sum = iota
	SumI
	SumP
	SumG
	SumI0
	SumP0
	SumG0
	Sums = iota // their number
)

// Sums lists the sums that the variant of a logistic kernel adds up.
func (v Variant) Sums() []Sum {
	var list []Sum
	if v.Elements() {
		list = append(list, SumPointwise)
	}
	if v.Overlap && !v.Grad {
		list = append(list, SumI, SumP, SumG)
		if v.Pair {
			list = append(list, SumI0, SumP0, SumG0)
		}
	}
	return list
}
