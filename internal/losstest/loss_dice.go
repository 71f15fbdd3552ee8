package losstest

import (
	"fmt"

	"github.com/x/afl"
)

// overlapActivations are those of an overlap loss.
var overlapActivations = []afl.Activation{afl.Sigmoid, afl.Softmax, afl.SoftmaxMONAI, afl.Identity}

var _ = register(descriptor{
	variants: func(add adder) {
		for _, a := range overlapActivations {
			for _, batch := range []bool{false, true} {
				for _, squared := range []bool{false, true} {
					for _, jaccard := range []bool{false, true} {
						l := afl.NewDice()
						l.Activation, l.Batch, l.SquaredPred, l.Jaccard = a, batch, squared, jaccard
						add(fmt.Sprintf("dice/%v/batch=%v/squared=%v/jaccard=%v", a, batch, squared, jaccard), l, channelsOf(a)...)
					}
				}
			}
		}
		single := afl.NewDice()
		single.SingleChannelWeight = true
		add("dice/single-channel-weight", single)
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"dice": func(o goldenOptions, c int) afl.Loss { return goldenDice(o) },
		"iou":  func(o goldenOptions, c int) afl.Loss { return goldenDice(o) },
	},
}, func(r *definition, l afl.Dice) float64 {
	return r.dice(l, func(f float64) float64 { return f })
})

// dice is the Dice loss with a function of each group's value.
func (r *definition) dice(l afl.Dice, of func(f float64) float64) float64 {
	I, P, G := r.overlap(l.Options, l.Activation, l.SquaredPred, l.Batch)
	var values []float64
	for g := range I {
		for k := range I[g] {
			den := P[g][k] + G[g][k]
			if l.Jaccard {
				den = 2 * (den - I[g][k])
			}
			values = append(values, r.weight(l.Options, r.first(l.Options)+k)*of(1-(2*I[g][k]+l.SmoothNr)/(den+l.SmoothDr)))
		}
	}
	return total(values, l.Reduction)
}

// overlap sums p·t, p and t (or squares) by group.
func (r *definition) overlap(o afl.Options, a afl.Activation, squared, batch bool) (I, P, G [][]float64) {
	first := r.first(o)
	groups := r.n
	if batch {
		groups = 1
	}
	for _, s := range []*[][]float64{&I, &P, &G} {
		for range groups {
			*s = append(*s, make([]float64, r.c-first))
		}
	}
	r.elements(first, func(n, c, i int) float64 { return 1 }, func(n, c, i int, m float64) {
		p, t := r.x[n][c][i], r.t[n][c][i]
		switch {
		case a == afl.Sigmoid:
			p = sigmoid(p)
		case a != afl.Identity && r.c > 1:
			p = r.softmax(n, 0, i)[c]
		}
		g := n % groups
		I[g][c-first] += m * p * t
		if squared {
			p, t = p*p, t*t
		}
		P[g][c-first] += m * p
		G[g][c-first] += m * t
	})
	return I, P, G
}

// total reduces the groups' values.
func total(values []float64, how afl.Reduction) float64 {
	sum := 0.0
	for _, f := range values {
		sum += f
	}
	if how == afl.ReduceMean {
		sum /= float64(len(values))
	}
	return sum
}

func goldenDice(o goldenOptions) afl.Dice {
	l := afl.NewDice()
	l.Options, l.Activation, l.SquaredPred, l.Jaccard = o.shared(false), o.activation(), o.SquaredPred, o.Jaccard
	l.Batch, l.SmoothNr, l.SmoothDr = o.Batch, o.SmoothNr, o.SmoothDr
	return l
}
