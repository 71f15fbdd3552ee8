package losstest

import (
	"fmt"
	"math"

	"github.com/x/afl"
)

var _ = register(descriptor{
	pointwise: true,
	variants: func(add adder) {
		for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax, afl.SoftmaxMONAI} {
			channels := channelsOf(a)
			for _, gamma := range []float64{0, 0.3, 1, 2, 3.7} {
				for _, alpha := range [][]float64{nil, {0.3}} {
					l := afl.NewFocal()
					l.Activation, l.Gamma, l.Alpha = a, []float64{gamma}, alpha
					add(fmt.Sprintf("focal/%v/gamma=%v/alpha=%v", a, gamma, alpha), l, channels...)
				}
			}
			perClass := afl.NewFocal()
			perClass.Activation, perClass.Alpha = a, []float64{0.2, 0.5, 0.9}
			add(fmt.Sprintf("focal/%v/alpha-per-class", a), perClass, 3)
			perClass = afl.NewFocal()
			perClass.Activation, perClass.Gamma = a, []float64{0.4, 2, 0}
			add(fmt.Sprintf("focal/%v/gamma-per-class", a), perClass, 3)
		}
		single := afl.NewFocal()
		single.SingleChannelWeight = true
		add("focal/single-channel-weight", single)
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"focal": func(o goldenOptions, c int) afl.Loss { return goldenFocal(o, c) },
	},
}, func(r *definition, l afl.Focal) float64 {
	first := r.first(l.Options)
	from := 0
	if l.Activation == afl.SoftmaxMONAI {
		from = first
	}
	sum := 0.0
	r.elements(first, func(n, c, i int) float64 {
		w := r.weight(l.Options, c)
		pos, neg := w, w
		if len(l.Alpha) > 0 {
			alpha := weightOf(l.Alpha, c-first)
			switch {
			case l.Activation == afl.Sigmoid:
				pos, neg = w*alpha, w*(1-alpha)
			case len(l.Alpha) == 1 && first == 1: // ignored
			case len(l.Alpha) == 1 && c == 0 && r.c > 1:
				pos = w * (1 - alpha)
			default:
				pos = w * alpha
			}
		}
		return r.focalElement(l.Activation, from, n, c, i, weightOf(l.Gamma, c-first), pos, neg)
	}, func(_, _, _ int, e float64) { sum += e })
	return r.reduce(sum, l.Reduction, r.c-first)
})

// channelsOf are the channel counts that losses of an activation are tested with.
func channelsOf(a afl.Activation) []int {
	if a == afl.Softmax {
		return []int{fromTwo}
	}
	return nil
}

// focalElement is the focal loss's element with a gamma and factors of positives
// and negatives.
func (r *definition) focalElement(a afl.Activation, from int, n, c, i int, gamma, pos, neg float64) float64 {
	t := r.t[n][c][i]
	if a != afl.Sigmoid {
		p := r.softmax(n, from, i)[c]
		if p == 1 {
			return 0
		}
		return -pos * t * math.Pow(1-p, gamma) * math.Log(p)
	}
	p := sigmoid(r.x[n][c][i])
	ce := -t*math.Log(p) - (1-t)*math.Log(1-p)
	return (pos*t + neg*(1-t)) * ce * math.Pow(sigmoid(-(2*t-1)*r.x[n][c][i]), gamma)
}

func goldenFocal(o goldenOptions, c int) afl.Focal {
	l := afl.NewFocal()
	l.Options, l.Gamma, l.Activation = o.shared(true), []float64{o.Gamma}, o.activation()
	if l.Activation == afl.SoftmaxMONAI && o.SoftmaxScope != "after_drop" && c > 1 {
		l.Activation = afl.Softmax
	}
	if o.Alpha != nil {
		l.Alpha = []float64{*o.Alpha}
	}
	return l
}
