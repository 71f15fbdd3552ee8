package losstest

import (
	"math"

	"github.com/x/afl"
)

var _ = register(descriptor{
	pointwise:          true,
	meanOfNothingIsNaN: func(l afl.Loss) bool { return l.(afl.CrossEntropy).Activation != afl.Sigmoid },
	variants: func(add adder) {
		ce := afl.NewCrossEntropy()
		add("ce", ce, fromTwo)
		ce.LabelSmoothing = 0.2
		add("ce/smoothing", ce, fromTwo)
		ce.Activation = afl.SoftmaxMONAI
		add("ce/smoothing/monai", ce)
		bce := afl.NewBinaryCrossEntropy()
		add("bce", bce)
		bce.PosWeight = []float64{1.75}
		add("bce/pos-weight", bce)
	},
	compared: func(add adder) {
		bce := afl.NewBinaryCrossEntropy()
		bce.PosWeight = []float64{0.5, 1.75, 3}
		add("bce/pos-weight-per-class", bce, 3)
		smoothing := afl.NewCrossEntropy()
		smoothing.LabelSmoothing = 1
		add("ce/smoothing=1", smoothing, fromTwo)
	},
	golden: map[string]func(o goldenOptions, c int) afl.Loss{
		"ce":  func(o goldenOptions, c int) afl.Loss { return goldenCrossEntropy(o) },
		"bce": func(o goldenOptions, c int) afl.Loss { return goldenBinaryCrossEntropy(o) },
	},
}, func(r *definition, l afl.CrossEntropy) float64 {
	first := r.first(l.Options)
	sum := 0.0
	if l.Activation == afl.Sigmoid {
		r.elements(first, func(n, c, i int) float64 {
			t, p := r.t[n][c][i], sigmoid(r.x[n][c][i])
			return r.weight(l.Options, c) * (-weightOf(l.PosWeight, c-first)*t*math.Log(p) - (1-t)*math.Log(1-p))
		}, func(_, _, _ int, e float64) { sum += e })
		if l.Reduction == afl.ReduceSpatialMeanSum {
			return sum
		}
		return r.reduce(sum, l.Reduction, r.c-first)
	}
	r.elements(first, func(n, c, i int) float64 {
		t := (1-l.LabelSmoothing)*r.t[n][c][i] + l.LabelSmoothing/float64(r.c)
		return -r.weight(l.Options, c) * t * math.Log(r.softmax(n, 0, i)[c])
	}, func(_, _, _ int, e float64) { sum += e })
	switch {
	case l.Reduction == afl.ReduceMean && !r.dense:
		weights := 0.0
		for n := range r.n {
			for i, y := range r.class[n] {
				if r.c == 1 {
					y = 0 // the only class has every label
				}
				if r.valid[n][i] && y >= first {
					weights += r.weight(l.Options, y)
				}
			}
		}
		return sum / weights
	case l.Reduction == afl.ReduceMean, l.Reduction == afl.ReduceVoxelMean:
		return sum / r.validVoxels()
	}
	return sum
})

func goldenCrossEntropy(o goldenOptions) afl.CrossEntropy {
	l := afl.NewCrossEntropy()
	l.Options, l.LabelSmoothing, l.Activation = o.shared(true), o.LabelSmoothing, afl.SoftmaxMONAI
	return l
}

func goldenBinaryCrossEntropy(o goldenOptions) afl.CrossEntropy {
	l := afl.NewBinaryCrossEntropy()
	l.Options, l.PosWeight = o.shared(true), o.PosWeight
	return l
}
