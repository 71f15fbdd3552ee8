package losstest

import (
	"fmt"

	"github.com/x/afl"
)

var _ = register(descriptor{
	variants: func(add adder) {
		for _, a := range overlapActivations {
			for _, batch := range []bool{false, true} {
				for _, w := range []afl.ClassWeighting{afl.WeightSquare, afl.WeightSimple, afl.WeightUniform} {
					l := afl.NewGeneralizedDice()
					l.Activation, l.Batch, l.Weighting = a, batch, w
					add(fmt.Sprintf("generalized-dice/%v/batch=%v/%v", a, batch, w), l, channelsOf(a)...)
				}
			}
		}
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"generalized_dice": func(o goldenOptions, c int) afl.Loss {
			l := afl.NewGeneralizedDice()
			l.Options, l.Activation = o.shared(true), o.activation()
			l.Weighting = map[string]afl.ClassWeighting{"square": afl.WeightSquare, "simple": afl.WeightSimple, "uniform": afl.WeightUniform}[o.WeightType]
			l.Batch, l.SmoothNr, l.SmoothDr = o.Batch, o.SmoothNr, o.SmoothDr
			return l
		},
	},
}, func(r *definition, l afl.GeneralizedDice) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, false, l.Batch)
	var values []float64
	for g := range I {
		num, den := l.SmoothNr, l.SmoothDr
		for k := range I[g] {
			v := map[afl.ClassWeighting]float64{afl.WeightSquare: 1 / G[g][k] / G[g][k], afl.WeightSimple: 1 / G[g][k], afl.WeightUniform: 1}[l.Weighting]
			v *= r.weight(l.Options, r.first(l.Options)+k)
			num += 2 * v * I[g][k]
			den += v * (P[g][k] + G[g][k])
		}
		values = append(values, 1-num/den)
	}
	return total(values, l.Reduction)
})
