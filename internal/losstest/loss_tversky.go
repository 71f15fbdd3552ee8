package losstest

import (
	"fmt"
	"math"

	"github.com/x/afl"
)

var _ = register(descriptor{
	variants: func(add adder) {
		add("tversky", afl.NewTversky())
		for _, a := range overlapActivations {
			for _, batch := range []bool{false, true} {
				l := afl.NewTversky()
				l.Activation, l.Batch, l.Alpha, l.Beta = a, batch, 0.3, 0.8
				add(fmt.Sprintf("tversky/%v/batch=%v", a, batch), l, channelsOf(a)...)
			}
		}
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"tversky": func(o goldenOptions, c int) afl.Loss { return goldenTversky(o) },
	},
}, func(r *definition, l afl.Tversky) float64 {
	return r.tversky(l, func(int) float64 { return 1 })
})

var _ = register(descriptor{
	variants: func(add adder) {
		for _, a := range overlapActivations {
			for _, batch := range []bool{false, true} {
				l := afl.NewFocalTversky()
				l.Activation, l.Batch = a, batch
				add(fmt.Sprintf("focal-tversky/%v/batch=%v", a, batch), l, channelsOf(a)...)
			}
		}
		l := afl.NewFocalTversky()
		l.Gamma = []float64{0.75}
		add("focal-tversky/gamma=0.75", l)
		l.Gamma = []float64{0.5, 1, 2}
		add("focal-tversky/gamma-per-class", l, 3)
	},
	compared: func(add adder) {
		for _, gamma := range []float64{1, 2.5} {
			l := afl.NewFocalTversky()
			l.Gamma = []float64{gamma}
			add(fmt.Sprintf("focal-tversky/gamma=%v", gamma), l)
		}
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"focal_tversky": func(o goldenOptions, c int) afl.Loss {
			l := afl.NewFocalTversky()
			l.Tversky, l.Gamma = goldenTversky(o), []float64{o.Gamma}
			return l
		},
	},
}, func(r *definition, l afl.FocalTversky) float64 {
	return r.tversky(l.Tversky, func(k int) float64 { return weightOf(l.Gamma, k) })
})

// tversky is the Tversky loss with the group's value of the k-th channel that takes
// part raised to a power.
func (r *definition) tversky(l afl.Tversky, gamma func(k int) float64) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, false, l.Batch)
	var values []float64
	for g := range I {
		for k := range I[g] {
			tp, fp, fn := I[g][k], P[g][k]-I[g][k], G[g][k]-I[g][k]
			f := 1 - (tp+l.SmoothNr)/(tp+l.Alpha*fp+l.Beta*fn+l.SmoothDr)
			values = append(values, r.weight(l.Options, r.first(l.Options)+k)*math.Pow(f, gamma(k)))
		}
	}
	return total(values, l.Reduction)
}

func goldenTversky(o goldenOptions) afl.Tversky {
	l := afl.NewTversky()
	l.Options, l.Activation, l.Alpha, l.Beta = o.shared(true), o.activation(), *o.Alpha, o.Beta
	l.Batch, l.SmoothNr, l.SmoothDr = o.Batch, o.SmoothNr, o.SmoothDr
	return l
}
