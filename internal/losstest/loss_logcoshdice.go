package losstest

import (
	"fmt"
	"math"

	"github.com/x/afl"
)

var _ = register(descriptor{
	variants: func(add adder) {
		for _, a := range overlapActivations {
			for _, batch := range []bool{false, true} {
				l := afl.NewLogCoshDice()
				l.Activation, l.Batch, l.Jaccard, l.SquaredPred = a, batch, !batch, a == afl.Softmax
				add(fmt.Sprintf("log-cosh-dice/%v/batch=%v", a, batch), l, channelsOf(a)...)
			}
		}
	},
}, func(r *definition, l afl.LogCoshDice) float64 {
	return r.dice(l.Dice, func(f float64) float64 { return math.Log(math.Cosh(f)) })
})
