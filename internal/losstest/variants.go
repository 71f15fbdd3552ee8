package losstest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// variant is a loss with options.
type variant struct {
	name string
	loss afl.Loss
	// channels are the channel counts it is tested with.
	channels []int
}

// kind is the type of the loss, in messages and keys.
func (v variant) kind() string { return fmt.Sprintf("%T", v.loss) }

// fit returns the channel count c if the loss takes it, or else one that it does.
func (v variant) fit(c int) int {
	any := true
	switch l := v.loss.(type) {
	case afl.AdaptiveFocal:
		any = l.Form == afl.FormMulticlass
	case afl.Focal:
		any = len(l.Alpha) < 2
	case afl.CrossEntropy:
		any = len(l.PosWeight) < 2
	}
	if any {
		return c
	}
	return v.channels[c%len(v.channels)]
}

// setOptions returns a loss with its shared options changed.
func setOptions(l afl.Loss, set func(*afl.Options)) afl.Loss {
	switch x := l.(type) {
	case afl.CrossEntropy:
		set(&x.Options)
		if len(x.PosWeight) == 3 && !x.IncludeBackground {
			x.PosWeight = x.PosWeight[1:] // of the channels that take part
		}
		return x
	case afl.Focal:
		set(&x.Options)
		if len(x.Alpha) == 3 && !x.IncludeBackground {
			x.Alpha = x.Alpha[1:]
		}
		return x
	case afl.AdaptiveFocal:
		set(&x.Options)
		return x
	case afl.Dice:
		set(&x.Options)
		return x
	case afl.GeneralizedDice:
		set(&x.Options)
		return x
	case afl.Tversky:
		set(&x.Options)
		return x
	case afl.FocalTversky:
		set(&x.Options)
		return x
	case afl.DiceCE:
		set(&x.Options)
		return x
	case afl.DiceFocal:
		set(&x.Options)
		return x
	}
	panic(fmt.Sprintf("no options in %T", l))
}

// variants lists every loss with every option of its own.
func variants() []variant {
	var out []variant
	add := func(name string, l afl.Loss, channels ...int) {
		if channels == nil {
			channels = []int{1, 2, 3}
		}
		out = append(out, variant{name, l, channels})
	}
	ce := afl.NewCrossEntropy()
	add("ce", ce)
	ce.LabelSmoothing = 0.2
	add("ce/smoothing", ce)
	bce := afl.NewBinaryCrossEntropy()
	add("bce", bce)
	bce.PosWeight = []float64{1.75}
	add("bce/pos-weight", bce)
	for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
		for _, gamma := range []float64{0, 0.3, 1, 2, 3.7} {
			for _, alpha := range [][]float64{nil, {0.3}} {
				l := afl.NewFocal()
				l.Activation, l.Gamma, l.Alpha = a, gamma, alpha
				add(fmt.Sprintf("focal/%v/gamma=%v/alpha=%v", a, gamma, alpha), l)
			}
		}
		perClass := afl.NewFocal()
		perClass.Activation, perClass.Alpha = a, []float64{0.2, 0.5, 0.9}
		add(fmt.Sprintf("focal/%v/alpha-per-class", a), perClass, 3)
	}
	drop := afl.NewFocal()
	drop.Activation, drop.SoftmaxAfterDrop = afl.Softmax, true
	add("focal/softmax/after-drop", drop)
	add("afl", afl.NewAdaptiveFocal(), 2)
	for _, stats := range []afl.StatsMode{afl.StatsReleased, afl.StatsPooled, afl.StatsPerSample} {
		for _, smooth := range []afl.Smoothness{afl.SmoothnessWholeImage, afl.SmoothnessBoundary} {
			l := afl.NewAdaptiveFocal()
			l.Stats, l.Smoothness = stats, smooth
			add(fmt.Sprintf("afl/%v/%v", stats, smooth), l, 2)
			for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
				for _, alpha := range []afl.AlphaMode{afl.AlphaScalar, afl.AlphaBalanced} {
					l := l
					l.Form, l.Activation, l.AlphaMode = afl.FormPaper, a, alpha
					add(fmt.Sprintf("afl/paper/%v/%v/%v/%v", a, alpha, stats, smooth), l, 1, 2)
				}
				l := l
				l.Form, l.Activation = afl.FormMulticlass, a
				add(fmt.Sprintf("afl/multiclass/%v/%v/%v", a, stats, smooth), l, 1, 2, 3, 4)
			}
		}
	}
	for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax, afl.Identity} {
		for _, batch := range []bool{false, true} {
			for _, squared := range []bool{false, true} {
				for _, jaccard := range []bool{false, true} {
					l := afl.NewDice()
					l.Activation, l.Batch, l.SquaredPred, l.Jaccard = a, batch, squared, jaccard
					add(fmt.Sprintf("dice/%v/batch=%v/squared=%v/jaccard=%v", a, batch, squared, jaccard), l)
				}
			}
			for _, w := range []afl.ClassWeighting{afl.WeightSquare, afl.WeightSimple, afl.WeightUniform} {
				l := afl.NewGeneralizedDice()
				l.Activation, l.Batch, l.Weighting = a, batch, w
				add(fmt.Sprintf("generalized-dice/%v/batch=%v/%v", a, batch, w), l)
			}
			t := afl.NewTversky()
			t.Activation, t.Batch, t.Alpha, t.Beta = a, batch, 0.3, 0.8
			add(fmt.Sprintf("tversky/%v/batch=%v", a, batch), t)
			ft := afl.NewFocalTversky()
			ft.Activation, ft.Batch = a, batch
			add(fmt.Sprintf("focal-tversky/%v/batch=%v", a, batch), ft)
		}
	}
	dce := afl.NewDiceCE()
	add("dice-ce", dce)
	dce.LambdaDice, dce.LambdaCE, dce.Activation = 0.4, 1.7, afl.Sigmoid
	add("dice-ce/lambda", dce)
	df := afl.NewDiceFocal()
	add("dice-focal", df)
	df.FocalActivation, df.Activation, df.LambdaDice, df.LambdaFocal = afl.Softmax, afl.Softmax, 0.4, 1.7
	df.Alpha = []float64{0.3}
	add("dice-focal/softmax", df)
	return out
}

// takesProbabilities reports whether a loss has no activation of its own.
func takesProbabilities(l afl.Loss) bool {
	switch x := l.(type) {
	case afl.Dice:
		return x.Activation == afl.Identity
	case afl.GeneralizedDice:
		return x.Activation == afl.Identity
	case afl.Tversky:
		return x.Activation == afl.Identity
	case afl.FocalTversky:
		return x.Activation == afl.Identity
	}
	return false
}

// sharedOption is a setting of what all losses share, and the arguments for it.
type sharedOption struct {
	name        string
	target      string // "ignored", "soft" or class indices
	voxelWeight bool
	set         func(*afl.Options)
}

// call returns target and voxel weight for logits of a shape.
func (o sharedOption) call(shape []int) Call {
	c := Call{Target: RandomLabels(shape, max(shape[1], 2), 7)}
	switch o.target {
	case "ignored":
		// More of them in the first sample than in the others.
		for i, y := 0, c.Target.Data().([]uint8); i < len(y); i++ {
			if i%4 == 0 || i < len(y)/5 {
				y[i] = 255
			}
		}
	case "soft":
		c.Target = softMaps(shape, 8)
	}
	if o.voxelWeight {
		r := rand.New(rand.NewPCG(9, 9))
		c.VoxelWeight = Floats(tensor.Float32, PerVoxel(shape), func(i int) float64 { return float64(i%3) * r.Float64() })
	}
	return c
}

// classWeights returns a weight for each of c channels.
func classWeights(c int) []float64 {
	w := make([]float64, c)
	for i := range w {
		w[i] = []float64{0.3, 1.9, 0.7, 1.2}[i%4]
	}
	return w
}

// sharedOptions lists the settings for a loss of c channels that reduce it to a
// number. They start with another one for every i.
func sharedOptions(v variant, c, i int) []sharedOption {
	none := func(*afl.Options) {}
	out := []sharedOption{
		{name: "mean", set: none},
		{name: "sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSum }},
		{name: "spatial-mean-sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSpatialMeanSum }},
		{name: "weight", set: func(o *afl.Options) { o.Weight = classWeights(c) }},
		{name: "no-background", set: func(o *afl.Options) { o.IncludeBackground = false }},
		{name: "weight-no-background", set: func(o *afl.Options) {
			o.IncludeBackground = false
			o.Weight = classWeights(c)
			if _, ok := v.loss.(afl.DiceCE); !ok && c > 1 {
				o.Weight = o.Weight[1:] // DiceCE alone takes those of all channels
			}
		}},
		{name: "ignore", target: "ignored", set: func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }},
		{name: "soft", target: "soft", set: none},
		{name: "voxel-weight", voxelWeight: true, set: none},
		{name: "everything", target: "ignored", voxelWeight: true, set: func(o *afl.Options) {
			o.Weight, o.IgnoreIndex, o.IncludeBackground = []float64{1.3}, afl.Ignore(255), false
		}},
	}
	switch v.loss.(type) {
	case afl.CrossEntropy, afl.Focal, afl.AdaptiveFocal:
		out = append(out, sharedOption{name: "voxel-mean", set: func(o *afl.Options) { o.Reduction = afl.ReduceVoxelMean }})
	}
	i %= len(out)
	return slices.Concat(out[i:], out[:i])
}
