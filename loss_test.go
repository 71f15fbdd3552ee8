package afl_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func floats(dt tensor.Dtype, shape []int, at func(i int) float64) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	if dt == tensor.Float32 {
		b := make([]float32, n)
		for i := range b {
			b[i] = float32(at(i))
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
	}
	b := make([]float64, n)
	for i := range b {
		b[i] = at(i)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

func bytes(shape []int, at func(i int) uint8) *tensor.Dense {
	n := 1
	for _, s := range shape {
		n *= s
	}
	b := make([]uint8, n)
	for i := range b {
		b[i] = at(i)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

func perVoxel(shape []int) []int { return append([]int{shape[0]}, shape[2:]...) }

// randomLogits and randomLabels are seeded by the shape and a salt.
func randomLogits(dt tensor.Dtype, shape []int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 1))
	return floats(dt, shape, func(int) float64 { return 2 * r.NormFloat64() })
}

func randomLabels(shape []int, classes int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 2))
	return bytes(perVoxel(shape), func(int) uint8 { return uint8(r.IntN(classes)) })
}

// oneHot spreads class indices over channels.
func oneHot(labels *tensor.Dense, shape []int) *tensor.Dense {
	y := labels.Data().([]uint8)
	c, v := shape[1], len(y)/shape[0]
	return floats(tensor.Float32, shape, func(i int) float64 {
		n, ch, k := i/v/c, i/v%c, i%v
		class := uint8(ch)
		if c == 1 {
			class = 1
		}
		if y[n*v+k] == class {
			return 1
		}
		return 0
	})
}

func softMaps(shape []int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 3))
	return floats(tensor.Float64, shape, func(int) float64 { return r.Float64() })
}

// variant is a loss with options, and the channel counts it takes.
type variant struct {
	name     string
	loss     afl.Loss
	channels []int
}

// setOptions returns a loss with its shared options changed.
func setOptions(l afl.Loss, set func(*afl.Options)) afl.Loss {
	switch x := l.(type) {
	case afl.CrossEntropy:
		set(&x.Options)
		return x
	case afl.Focal:
		set(&x.Options)
		if len(x.Alpha) == 3 && !x.IncludeBackground {
			x.Alpha = x.Alpha[1:] // of the channels that take part
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

// TestGradient compares every loss's analytic gradient with central differences
// of its value, under every shared option, in 2-D and 3-D.
func TestGradient(t *testing.T) {
	shapes := [][]int{{2, 0, 3, 5}, {2, 0, 2, 3, 3}}
	checks := 0
	for _, v := range variants() {
		for _, c := range v.channels {
			for s, shape := range shapes {
				shape = slices.Clone(shape)
				shape[1] = c
				for _, o := range sharedOptions(v, c) {
					target, opts, _ := o.arguments(shape)
					name := fmt.Sprintf("%s/C=%d/%dD/%s", v.name, c, 2+s, o.name)
					checks++
					if !gradientCheck(t, name, setOptions(v.loss, o.set), shape, target, opts) {
						return
					}
				}
			}
		}
	}
	t.Logf("%d combinations of loss, option and shape", checks)
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

type sharedOption struct {
	name        string
	target      string
	voxelWeight bool
	set         func(*afl.Options)
}

// arguments returns a target and the optional arguments that go with the option.
func (o sharedOption) arguments(shape []int) (target *tensor.Dense, opts []afl.EvalOption, weight *tensor.Dense) {
	target = randomLabels(shape, max(shape[1], 2), 7)
	switch o.target {
	case "ignored":
		// More of them in the first sample than in the others.
		for i, y := 0, target.Data().([]uint8); i < len(y); i++ {
			if i%4 == 0 || i < len(y)/5 {
				y[i] = 255
			}
		}
	case "soft":
		target = softMaps(shape, 8)
	}
	if o.voxelWeight {
		r := rand.New(rand.NewPCG(9, 9))
		weight = floats(tensor.Float32, perVoxel(shape), func(i int) float64 { return float64(i%3) * r.Float64() })
		opts = append(opts, afl.WithVoxelWeight(weight))
	}
	return target, opts, weight
}

func sharedOptions(v variant, c int) []sharedOption {
	none := func(*afl.Options) {}
	out := []sharedOption{
		{name: "mean", set: none},
		{name: "sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSum }},
		{name: "spatial-mean-sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSpatialMeanSum }},
		{name: "weight", set: func(o *afl.Options) { o.Weight = []float64{0.3, 1.9, 0.7, 1.2}[:c] }},
		{name: "no-background", set: func(o *afl.Options) { o.IncludeBackground = false }},
		{name: "weight-no-background", set: func(o *afl.Options) {
			o.IncludeBackground = false
			o.Weight = []float64{0.3, 1.9, 0.7, 1.2}[:c]
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
	return out
}

// gradientCheck compares with fourth-order central differences.
func gradientCheck(t *testing.T, name string, l afl.Loss, shape []int, target *tensor.Dense, opts []afl.EvalOption) bool {
	logits := randomLogits(tensor.Float64, shape, 5)
	if takesProbabilities(l) {
		r := rand.New(rand.NewPCG(6, 6))
		logits = floats(tensor.Float64, shape, func(int) float64 { return 0.05 + 0.9*r.Float64() })
	}
	_, grad, err := afl.Grad(l, logits, target, opts...)
	if !assert.NoError(t, err, name) {
		return false
	}
	g := grad.Data().([]float64)
	x := logits.Data().([]float64)
	largest := 0.0
	for _, v := range g {
		largest = max(largest, math.Abs(v))
	}
	const h = 1e-3
	at := func(i int, d float64) float64 {
		old := x[i]
		defer func() { x[i] = old }()
		x[i] += d
		v, err := afl.Value(l, logits, target, opts...)
		require.NoError(t, err, name)
		return v
	}
	for i := 0; i < len(x); i += 1 + len(x)/12 {
		numeric := (8*(at(i, h)-at(i, -h)) - (at(i, 2*h) - at(i, -2*h))) / (12 * h)
		if !assert.InDelta(t, numeric, g[i], 1e-9*math.Max(1, largest)+1e-7*largest, "%s: entry %d of the gradient", name, i) {
			return false
		}
	}
	return true
}

// TestUpstream checks the un-reduced losses: their elements add up to the sum,
// and the pullback is linear in the upstream gradient.
func TestUpstream(t *testing.T) {
	for _, v := range variants() {
		if _, ok := v.loss.(afl.DiceCE); ok {
			continue
		}
		for _, c := range v.channels {
			shape := []int{2, c, 9, 11, 4} // two tiles a sample
			logits, target := randomLogits(tensor.Float64, shape, 1), randomLabels(shape, max(c, 2), 1)
			none := setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
			value, err := none.Eval(logits, target, nil)
			require.NoError(t, err, v.name)
			r := rand.New(rand.NewPCG(4, 4))
			u := floats(tensor.Float64, value.Shape(), func(int) float64 { return r.NormFloat64() })
			grad := floats(tensor.Float64, shape, func(int) float64 { return math.NaN() })
			_, err = none.Eval(logits, target, grad, afl.WithUpstream(u))
			require.NoError(t, err, v.name)

			x, g := logits.Data().([]float64), grad.Data().([]float64)
			objective := func() float64 {
				value, err := none.Eval(logits, target, nil)
				require.NoError(t, err)
				total := 0.0
				for i, e := range numbers(t, value) {
					total += e * numbers(t, u)[i]
				}
				return total
			}
			for i := 0; i < len(x); i += 1 + len(x)/5 {
				const h = 1e-4
				old := x[i]
				x[i] = old + h
				hi := objective()
				x[i] = old - h
				lo := objective()
				x[i] = old
				assert.InDelta(t, (hi-lo)/(2*h), g[i], 1e-6, "%s: entry %d", v.name, i)
			}
			if _, ok := v.loss.(afl.DiceFocal); ok {
				continue // its groups are broadcast over the elements
			}
			sum, err := afl.Value(setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceSum }), logits, target)
			require.NoError(t, err)
			total := 0.0
			for _, e := range numbers(t, value) {
				total += e
			}
			assert.InDelta(t, sum, total, 1e-12*math.Max(1, math.Abs(sum)), v.name)
		}
	}
}

// TestDiceFocalElements: without reduction each Dice group is added to all the
// focal elements of its channel.
func TestDiceFocalElements(t *testing.T) {
	shape := []int{2, 3, 5, 7, 9}
	const v = 5 * 7 * 9
	logits, target := randomLogits(tensor.Float64, shape, 1), randomLabels(shape, 3, 1)
	for _, batch := range []bool{false, true} {
		for _, background := range []bool{false, true} {
			l := afl.NewDiceFocal()
			l.Reduction, l.Batch, l.IncludeBackground, l.LambdaDice, l.LambdaFocal = afl.ReduceNone, batch, background, 0.3, 1.7
			focal := afl.NewFocal()
			focal.Options = l.Options
			got, err := l.Eval(logits, target, nil)
			require.NoError(t, err)
			groups, err := l.Dice.Eval(logits, target, nil)
			require.NoError(t, err)
			elements, err := focal.Eval(logits, target, nil)
			require.NoError(t, err)
			kept := groups.Shape().TotalSize() / map[bool]int{false: 2, true: 1}[batch]
			require.Equal(t, []int{2, kept, 5, 7, 9}, []int(got.Shape()))
			for i, e := range numbers(t, elements) {
				group := i / v
				if batch {
					group %= kept
				}
				require.InDelta(t, 0.3*numbers(t, groups)[group]+1.7*e, numbers(t, got)[i], 1e-13, "batch %v, background %v, element %d", batch, background, i)
			}
		}
	}
}

// TestBoolTargets: a bool mask means what the same mask of bytes means.
func TestBoolTargets(t *testing.T) {
	shape := []int{1, 2, 5, 7}
	logits, labels := randomLogits(tensor.Float64, shape, 1), randomLabels(shape, 2, 1)
	mask := make([]bool, 35)
	for i, y := range labels.Data().([]uint8) {
		mask[i] = y == 1
	}
	target := tensor.New(tensor.WithShape(1, 5, 7), tensor.WithBacking(mask))
	for _, ignore := range []afl.IgnoreIndex{{}, afl.Ignore(0), afl.Ignore(1), afl.Ignore(255)} {
		for _, v := range variants() {
			if !slices.Contains(v.channels, 2) {
				continue
			}
			l := setOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = ignore })
			want, wantGrad, err := afl.Grad(l, logits, labels)
			require.NoError(t, err)
			got, grad, err := afl.Grad(l, logits, target)
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%s ignoring %v", v.name, ignore)
			require.Equal(t, wantGrad.Data(), grad.Data(), "%s ignoring %v", v.name, ignore)
		}
	}
}

// TestWideLabels: labels that do not fit an int64 are neither the ignored −1 nor
// a class, and foreground where labels are binarised.
func TestWideLabels(t *testing.T) {
	logits := randomLogits(tensor.Float64, []int{1, 2, 1, 2}, 1)
	wide := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]uint64{0, math.MaxUint64}))
	ce := afl.NewCrossEntropy()
	ce.IgnoreIndex = afl.Ignore(-1)
	_, err := afl.Value(ce, logits, wide)
	assert.ErrorContains(t, err, "voxel 1 is 18446744073709551615")
	want, err := afl.Value(afl.NewAdaptiveFocal(), logits, bytes([]int{1, 1, 2}, func(i int) uint8 { return uint8(i) }))
	require.NoError(t, err)
	got, err := afl.Value(afl.NewAdaptiveFocal(), logits, wide)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	_, err = afl.Value(afl.NewAdaptiveFocal(), logits, tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]float64{0, math.Inf(1)})))
	assert.ErrorContains(t, err, "voxel 1 is +Inf")
}

// TestZeroWeights: where no label has a weight the cross-entropy is 0.
func TestZeroWeights(t *testing.T) {
	shape := []int{1, 3, 4, 5}
	logits, labels := randomLogits(tensor.Float64, shape, 1), bytes([]int{1, 4, 5}, func(int) uint8 { return 0 })
	ce := afl.NewCrossEntropy()
	ce.IncludeBackground = false
	value, grad, err := afl.Grad(ce, logits, labels)
	require.NoError(t, err)
	assert.Zero(t, value)
	for _, g := range numbers(t, grad) {
		assert.Zero(t, g)
	}
}

// TestSoftMapSlack: values a rounding error outside [0,1] are read as 0 and 1.
func TestSoftMapSlack(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits := randomLogits(tensor.Float64, shape, 1)
	maps := func(slack float64) *tensor.Dense {
		return floats(tensor.Float64, shape, func(i int) float64 { return float64(i%2)*(1+2*slack) - slack })
	}
	for _, name := range []string{"ce", "fl", "dice", "generalized-dice"} {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		want, err := afl.Value(l, logits, maps(0))
		require.NoError(t, err)
		got, err := afl.Value(l, logits, maps(5e-6))
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
		_, err = afl.Value(l, logits, maps(5e-5))
		assert.ErrorContains(t, err, "want a value in [0,1]", name)
	}
}

// TestTargets checks that all ways to write a label mean the same.
func TestTargets(t *testing.T) {
	for _, v := range variants() {
		for _, c := range v.channels {
			shape := []int{2, c, 5, 7}
			logits, labels := randomLogits(tensor.Float64, shape, 1), randomLabels(shape, max(c, 2), 2)
			y := labels.Data().([]uint8)
			want, wantGrad, err := afl.Grad(v.loss, logits, labels)
			require.NoError(t, err, v.name)
			channel := append([]int{2, 1}, shape[2:]...)
			same := map[string]*tensor.Dense{
				"N×1×space": tensor.New(tensor.WithShape(channel...), tensor.WithBacking(y)),
				"int8":      convert[int8](labels), "int16": convert[int16](labels), "uint16": convert[uint16](labels),
				"int32": convert[int32](labels), "uint32": convert[uint32](labels), "int64": convert[int64](labels),
				"uint64": convert[uint64](labels), "int": convert[int](labels), "uint": convert[uint](labels),
				"float32": convert[float32](labels), "float64": convert[float64](labels),
				"one-hot": oneHot(labels, shape),
			}
			if c <= 2 {
				b := make([]bool, len(y))
				for i := range y {
					b[i] = y[i] == 1
				}
				same["bool"] = tensor.New(tensor.WithShape(labels.Shape()...), tensor.WithBacking(b))
			}
			for name, target := range same {
				got, grad, err := afl.Grad(v.loss, logits, target)
				require.NoError(t, err, "%s: %s", v.name, name)
				// Sums over maps and over indices may round differently.
				assert.InDelta(t, want, got, 1e-13*math.Max(1, math.Abs(want)), "%s: %s", v.name, name)
				assert.InDeltaSlice(t, wantGrad.Data(), grad.Data(), 1e-13, "%s: %s", v.name, name)
			}
		}
	}
}

func convert[T int8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | int | uint | float32 | float64](labels *tensor.Dense) *tensor.Dense {
	y := labels.Data().([]uint8)
	out := make([]T, len(y))
	for i := range y {
		out[i] = T(y[i])
	}
	return tensor.New(tensor.WithShape(labels.Shape()...), tensor.WithBacking(out))
}

// TestIgnoreEqualsCrop checks that ignored voxels might as well not be there.
func TestIgnoreEqualsCrop(t *testing.T) {
	const c, v, kept = 3, 12, 8
	logits := randomLogits(tensor.Float64, []int{1, c, 1, v}, 1)
	labels := randomLabels([]int{1, c, 1, v}, c, 1)
	x, y := logits.Data().([]float64), labels.Data().([]uint8)
	for i := kept; i < v; i++ {
		y[i] = 255
		for ch := range c {
			x[ch*v+i] = math.NaN() // must not be read
		}
	}
	cropLogits := floats(tensor.Float64, []int{1, c, 1, kept}, func(i int) float64 { return x[i/kept*v+i%kept] })
	cropLabels := bytes([]int{1, 1, kept}, func(i int) uint8 { return y[i] })
	for _, vr := range variants() {
		if !slices.Contains(vr.channels, c) {
			continue
		}
		if _, ok := vr.loss.(afl.AdaptiveFocal); ok {
			continue // its mask has a boundary towards ignored voxels
		}
		for _, r := range []afl.Reduction{afl.ReduceMean, afl.ReduceSum} {
			ignoring := setOptions(vr.loss, func(o *afl.Options) { o.Reduction, o.IgnoreIndex = r, afl.Ignore(255) })
			plain := setOptions(vr.loss, func(o *afl.Options) { o.Reduction = r })
			want, wantGrad, err := afl.Grad(plain, cropLogits, cropLabels)
			require.NoError(t, err)
			got, gotGrad, err := afl.Grad(ignoring, logits, labels)
			require.NoError(t, err)
			assert.InDelta(t, want, got, 1e-13*math.Max(1, want), vr.name)
			for i, g := range gotGrad.Data().([]float64) {
				if i%v >= kept {
					assert.Zero(t, g, vr.name)
				} else {
					assert.InDelta(t, wantGrad.Data().([]float64)[i/v*kept+i%v], g, 1e-13, vr.name)
				}
			}
		}
	}
}

// TestRelations checks how the losses relate to each other.
func TestRelations(t *testing.T) {
	equal := func(name string, a, b afl.Loss, shape []int, scale float64) {
		t.Helper()
		logits, target := randomLogits(tensor.Float64, shape, 3), randomLabels(shape, max(2, shape[1]), 3)
		va, ga, err := afl.Grad(a, logits, target)
		require.NoError(t, err, name)
		vb, gb, err := afl.Grad(b, logits, target)
		require.NoError(t, err, name)
		assert.InDelta(t, va, scale*vb, 1e-12*math.Max(1, math.Abs(va)), name)
		for i, g := range gb.Data().([]float64) {
			require.InDelta(t, ga.Data().([]float64)[i], scale*g, 1e-12, name)
		}
	}
	three := []int{2, 3, 4, 5, 6}
	two := []int{2, 2, 9, 5}

	focal := afl.NewFocal()
	focal.Gamma = 0
	equal("focal with gamma 0 is BCE", focal, afl.NewBinaryCrossEntropy(), three, 1)
	focal.Activation, focal.Reduction = afl.Softmax, afl.ReduceVoxelMean
	equal("softmax focal with gamma 0 is CE", focal, afl.NewCrossEntropy(), three, 1)

	dice := afl.NewDice()
	dice.SquaredPred, dice.SmoothNr, dice.SmoothDr = false, 0, 0
	tv := afl.NewTversky()
	tv.SmoothNr, tv.SmoothDr = 0, 0
	equal("Tversky with alpha = beta = 1/2 is Dice", tv, dice, three, 1)
	dice.Jaccard, tv.Alpha, tv.Beta = true, 1, 1
	equal("Tversky with alpha = beta = 1 is IoU", tv, dice, three, 1)

	ft := afl.NewFocalTversky()
	ft.Gamma = 1
	equal("focal Tversky with gamma 1 is Tversky", ft, ft.Tversky, three, 1)

	for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
		for _, c := range []int{1, 2} {
			multi, paper := afl.NewAdaptiveFocalMulticlass(), afl.NewAdaptiveFocalPaper()
			multi.Activation, paper.Activation, paper.AlphaMode = a, a, afl.AlphaBalanced
			equal("multi-class A-FL of two classes is the paper's", multi, paper, []int{2, c, 9, 5}, 1)
		}
	}

	dce := afl.NewDiceCE()
	dce.LambdaDice = 0
	equal("DiceCE without Dice is CE", dce, afl.NewCrossEntropy(), three, 1)
	dce.LambdaDice, dce.LambdaCE = 2, 0
	equal("DiceCE without CE is Dice", dce, dce.Dice, three, 2)

	// A-FL with the gamma and weights of one label is a weighted focal loss.
	logits, target := randomLogits(tensor.Float64, two, 3), randomLabels(two, 2, 3)
	l := afl.NewAdaptiveFocal()
	params, err := l.Parameters(logits, target)
	require.NoError(t, err)
	f := afl.NewFocal()
	f.Gamma, f.Weight = params[0].Gamma[0], params[0].Positive
	equal("A-FL is a focal loss with its parameters", l, f, two, 1)
}

// TestWeightMapEqualsRepetition: in a sum, weight 2 counts a voxel twice and
// weight 0 not at all.
func TestWeightMapEqualsRepetition(t *testing.T) {
	const v = 6
	shape, doubled := []int{1, 2, 1, v}, []int{1, 2, 1, 2 * v}
	logits, labels := randomLogits(tensor.Float64, shape, 1), randomLabels(shape, 2, 1)
	x, y := logits.Data().([]float64), labels.Data().([]uint8)
	twice := floats(tensor.Float64, doubled, func(i int) float64 { return x[i/(2*v)*v+i%v] })
	twiceLabels := bytes([]int{1, 1, 2 * v}, func(i int) uint8 { return y[i%v] })
	weight := floats(tensor.Float64, []int{1, 1, v}, func(i int) float64 { return 2 })
	for _, vr := range variants() {
		if _, ok := vr.loss.(afl.AdaptiveFocal); ok || !slices.Contains(vr.channels, 2) {
			continue
		}
		l := setOptions(vr.loss, func(o *afl.Options) { o.Reduction = afl.ReduceSum })
		want, err := afl.Value(l, twice, twiceLabels)
		require.NoError(t, err)
		got, err := afl.Value(l, logits, labels, afl.WithVoxelWeight(weight))
		require.NoError(t, err)
		assert.InDelta(t, want, got, 1e-12*math.Max(1, math.Abs(want)), vr.name)
	}
}

// TestHostileLogits: finite for every finite logit, for both labels, for empty
// and full masks.
func TestHostileLogits(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 5e-324, 1e-30, 1, -1, 17, 40, 88.8, -88.8, 104, 710, -746, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	n := len(hostile)
	for _, vr := range variants() {
		if !slices.Contains(vr.channels, 2) || takesProbabilities(vr.loss) {
			continue
		}
		for name, label := range map[string]func(i int) uint8{
			"empty": func(int) uint8 { return 0 }, "full": func(int) uint8 { return 1 },
			"mixed": func(i int) uint8 { return uint8(i % 2) },
		} {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				logits := floats(dt, []int{1, 2, n, n}, func(i int) float64 {
					if i < n*n {
						return hostile[i/n]
					}
					return hostile[i%n]
				})
				value, grad, err := afl.Grad(vr.loss, logits, bytes([]int{1, n, n}, label))
				require.NoError(t, err)
				require.False(t, math.IsNaN(value) || math.IsInf(value, 0), "%s, %s mask: value %v", vr.name, name, value)
				for i, g := range numbers(t, grad) {
					require.False(t, math.IsNaN(g) || math.IsInf(g, 0), "%s, %s mask: gradient %d is %v", vr.name, name, i, g)
				}
			}
		}
	}
}

// TestWithoutSmoothing: overlap losses without smoothing terms are finite for
// empty masks and probabilities down to 0, through all subnormal sums.
func TestWithoutSmoothing(t *testing.T) {
	for _, v := range variants() {
		var l afl.Loss
		switch x := v.loss.(type) {
		case afl.Dice:
			x.SmoothNr, x.SmoothDr = 0, 0
			l = x
		case afl.GeneralizedDice:
			x.SmoothNr, x.SmoothDr = 0, 0
			l = x
		case afl.Tversky:
			x.SmoothNr, x.SmoothDr = 0, 0
			l = x
		case afl.FocalTversky:
			x.SmoothNr, x.SmoothDr = 0, 0
			l = x
		default:
			continue
		}
		if takesProbabilities(l) {
			continue
		}
		for _, label := range []uint8{0, 1} {
			for x := 0.0; x > -800; x -= 0.5 {
				for _, c := range []int{1, 2} {
					logits := floats(tensor.Float64, []int{1, c, 2, 3}, func(i int) float64 { return x * float64(1-2*(i/6)) })
					value, grad, err := afl.Grad(l, logits, bytes([]int{1, 2, 3}, func(int) uint8 { return label }))
					require.NoError(t, err)
					for _, g := range append(numbers(t, grad), value) {
						require.False(t, math.IsNaN(g) || math.IsInf(g, 0), "%s, label %d, logits %v, C=%d: %v", v.name, label, x, c, g)
					}
				}
			}
		}
	}
}

// TestAllIgnored: a batch in which nothing counts.
func TestAllIgnored(t *testing.T) {
	shape := []int{2, 2, 3, 4}
	logits := randomLogits(tensor.Float32, shape, 1)
	labels := bytes(perVoxel(shape), func(int) uint8 { return 255 })
	for _, vr := range variants() {
		if !slices.Contains(vr.channels, 2) {
			continue
		}
		l := setOptions(vr.loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
		value, grad, err := afl.Grad(l, logits, labels)
		require.NoError(t, err)
		isCE := false
		switch x := vr.loss.(type) {
		case afl.CrossEntropy:
			isCE = x.Activation == afl.Softmax
		case afl.DiceCE:
			isCE = true
		}
		if isCE {
			assert.True(t, math.IsNaN(value), "%s: %v", vr.name, value) // as in PyTorch
		} else {
			assert.InDelta(t, 0, value, 1e-12, vr.name)
		}
		for _, g := range numbers(t, grad) {
			require.Zero(t, g, vr.name)
		}
	}
}

// TestDeterminism: the same bits for any number of threads.
func TestDeterminism(t *testing.T) {
	shape := []int{2, 3, 41, 37, 29}
	logits, labels := randomLogits(tensor.Float32, shape, 1), randomLabels(shape, 3, 1)
	multi := afl.NewAdaptiveFocalMulticlass()
	losses := []afl.Loss{afl.NewCrossEntropy(), afl.NewFocal(), multi, afl.NewDice(), afl.NewDiceCE(), afl.NewDiceFocal(), afl.NewGeneralizedDice(), afl.NewTversky()}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, l := range losses {
		runtime.GOMAXPROCS(1)
		want, wantGrad, err := afl.Grad(l, logits, labels)
		require.NoError(t, err)
		for _, procs := range []int{2, 3, 7} {
			runtime.GOMAXPROCS(procs)
			got, grad, err := afl.Grad(l, logits, labels)
			require.NoError(t, err)
			require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%T with %d threads", l, procs)
			require.Equal(t, wantGrad.Data(), grad.Data(), "%T with %d threads", l, procs)
		}
	}
}

// TestAllocation: with a gradient to reuse, a call's memory does not grow with
// the image.
func TestAllocation(t *testing.T) {
	allocated := func(l afl.Loss, side int) float64 {
		shape := []int{1, 2, side, side, side}
		logits, labels := randomLogits(tensor.Float32, shape, 1), randomLabels(shape, 2, 1)
		grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		// The least of several calls: a garbage collection, and the race detector
		// at random, empty the pools of the workers' buffers.
		least := math.Inf(1)
		for range 12 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := afl.GradInto(l, logits, labels, grad)
			require.NoError(t, err)
			runtime.ReadMemStats(&after)
			least = min(least, float64(after.TotalAlloc-before.TotalAlloc))
		}
		return least
	}
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		small, large := allocated(l, 24), allocated(l, 48)
		// The larger image has 194 KB more labels and 1.5 MB more logits.
		assert.Less(t, large-small, 20e3, "%s allocates %.0f bytes a call at 24³ and %.0f at 48³", name, small, large)
	}
}

func TestRegistry(t *testing.T) {
	assert.Equal(t, []string{"tversky", "ce", "iou", "dice", "dice-ce", "dice-focal", "fl", "afl"}, afl.PaperNames())
	for _, n := range afl.Names() {
		l, err := afl.ByName(n)
		require.NoError(t, err)
		shape := []int{1, 2, 3, 4}
		_, err = afl.Value(l, randomLogits(tensor.Float32, shape, 1), randomLabels(shape, 2, 1))
		assert.NoError(t, err, n)
		title, err := afl.Title(n)
		assert.NoError(t, err)
		assert.NotEmpty(t, title)
	}
	_, err := afl.ByName("hinge")
	assert.ErrorContains(t, err, `"hinge"`)
	assert.ErrorContains(t, err, "dice-focal")
}
