package afl_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// with returns a loss after a change.
func with[L any](l L, change func(l *L)) L {
	change(&l)
	return l
}

// TestSmallLesionRefusals: bad options and arguments of the losses for small lesions give an
// error that names them.
func TestSmallLesionRefusals(t *testing.T) {
	shape, voxels := []int{2, 2, 3, 4}, []int{2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	f32 := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	}
	three := losstest.RandomLogits(tensor.Float32, []int{2, 3, 3, 4}, 1)
	one := losstest.RandomLogits(tensor.Float32, []int{2, 1, 3, 4}, 1)
	maps := losstest.Floats(tensor.Float32, shape, func(i int) float64 { return float64(i%2) / 2 })
	foreign := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32), tensor.WithEngine(foreignEngine{}))

	type unified = afl.UnifiedFocal
	uf := func(change func(l *unified)) afl.Loss { return with(afl.NewUnifiedFocal(), change) }
	boundary := func(change func(l *afl.Boundary)) afl.Loss { return with(afl.NewBoundary(), change) }
	hausdorff := func(change func(l *afl.HausdorffDT)) afl.Loss { return with(afl.NewHausdorffDT(), change) }
	lovasz := func(change func(l *afl.Lovasz)) afl.Loss { return with(afl.NewLovaszSoftmax(), change) }
	topk := func(change func(l *afl.TopKCrossEntropy)) afl.Loss {
		return with(afl.NewTopKCrossEntropy(), change)
	}
	cosh := func(change func(l *afl.LogCoshDice)) afl.Loss { return with(afl.NewLogCoshDice(), change) }
	exponential := func(change func(l *afl.ExponentialLogarithmic)) afl.Loss {
		return with(afl.NewExponentialLogarithmic(), change)
	}
	blob := func(inner afl.Loss, change func(l *afl.Blob)) afl.Loss { return with(afl.NewBlob(inner), change) }
	none := func(*afl.Blob) {}
	nan, inf := math.NaN(), math.Inf(1)

	type refusal struct {
		loss           afl.Loss
		logits, target *tensor.Dense
		opts           []afl.EvalOption
		argument, want string
	}
	cases := []refusal{
		{loss: uf(func(l *unified) { l.Lambda = 1.5 }), argument: "Lambda", want: "from 0 to 1"},
		{loss: uf(func(l *unified) { l.Lambda = nan }), argument: "Lambda", want: "from 0 to 1"},
		{loss: uf(func(l *unified) { l.Delta = -0.1 }), argument: "Delta", want: "from 0 to 1"},
		{loss: uf(func(l *unified) { l.Gamma = 1 }), argument: "Gamma", want: "below 1"},
		{loss: uf(func(l *unified) { l.Gamma = nan }), argument: "Gamma", want: "from 0 to 1"},
		{loss: uf(func(l *unified) { l.Smooth = 0 }), argument: "Smooth", want: "above 0"},
		{loss: uf(func(l *unified) { l.Smooth = inf }), argument: "Smooth", want: "finite"},
		{loss: uf(func(l *unified) { l.Activation = afl.Identity }), argument: "Activation"},
		{loss: uf(func(l *unified) { l.Weight = []float64{1, 2} }), argument: "Weight", want: "none"},
		{loss: uf(func(l *unified) { l.ExcludeBackground = true }), argument: "ExcludeBackground", want: "false"},
		{loss: uf(func(l *unified) {}), logits: three, argument: "channels of logits", want: "1 or 2"},
		{loss: uf(func(l *unified) {}), target: losstest.Bytes(voxels, func(int) uint8 { return 2 }), argument: "target at sample 0, voxel 0"},

		{loss: boundary(func(l *afl.Boundary) { l.Channels = []int{1, 1} }), argument: "Channels[1]", want: "not listed before"},
		{loss: boundary(func(l *afl.Boundary) { l.Channels = []int{2} }), argument: "Channels[0]", want: "from 0 to 1"},
		{loss: boundary(func(l *afl.Boundary) { l.Channels = []int{-1} }), argument: "Channels[0]", want: "from 0 to 1"},
		{loss: boundary(func(l *afl.Boundary) { l.Spacing = []float64{1, 1, 1} }), argument: "length of Spacing", want: "2, one for each"},
		{loss: boundary(func(l *afl.Boundary) { l.Spacing = []float64{1, -1} }), argument: "Spacing[1]", want: "above 0"},
		{loss: boundary(func(l *afl.Boundary) { l.Spacing = []float64{nan, 1} }), argument: "Spacing[0]", want: "above 0"},
		{loss: boundary(func(l *afl.Boundary) { l.InsideOffset = -1 }), argument: "InsideOffset", want: "at least 0"},
		{loss: boundary(func(l *afl.Boundary) { l.Activation = afl.SoftmaxMONAI + 1 }), argument: "Activation"},
		{loss: boundary(func(l *afl.Boundary) { l.IgnoreIndex = afl.Ignore(255) }), argument: "IgnoreIndex", want: "none"},
		{loss: boundary(func(l *afl.Boundary) {}), opts: []afl.EvalOption{afl.WithDistanceMap(f32(2, 2, 3, 4))}, argument: "shape of distance map", want: "(2, 1, 3, 4)"},
		{loss: boundary(func(l *afl.Boundary) {}), opts: []afl.EvalOption{afl.WithDistanceMap(f32(2, 1, 4, 3))}, argument: "shape of distance map", want: "(2, 1, 3, 4)"},
		{loss: boundary(func(l *afl.Boundary) {}), opts: []afl.EvalOption{afl.WithDistanceMap(tensor.New(tensor.Of(tensor.Int), tensor.WithShape(2, 1, 3, 4)))}, argument: "type of distance map"},
		{loss: boundary(func(l *afl.Boundary) { l.Reduction = afl.ReduceNone }), opts: []afl.EvalOption{afl.WithUpstream(f32(2, 2, 3, 4))}, argument: "shape of upstream"},

		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Alpha = 0 }), argument: "Alpha", want: "above 0"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Alpha = nan }), argument: "Alpha", want: "above 0"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Alpha = inf }), argument: "Alpha", want: "finite"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Spacing = []float64{1} }), argument: "length of Spacing"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Spacing = []float64{0, 1} }), argument: "Spacing[0]"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Weight = []float64{2} }), argument: "Weight", want: "none"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.IgnoreIndex = afl.Ignore(0) }), argument: "IgnoreIndex", want: "none"},
		{loss: hausdorff(func(l *afl.HausdorffDT) {}), opts: []afl.EvalOption{afl.WithDistanceMap(f32(2, 2, 3, 4))}, argument: "shape of distance map", want: "(2, 1, 3, 4)"},
		{loss: hausdorff(func(l *afl.HausdorffDT) { l.Reduction = afl.ReduceNone }), opts: []afl.EvalOption{afl.WithUpstream(f32(2, 1, 1, 1))}, argument: "type of upstream", want: "float64"},

		{loss: lovasz(func(l *afl.Lovasz) { l.Channels = []int{1, 1} }), argument: "Channels[1]"},
		{loss: lovasz(func(l *afl.Lovasz) { l.Channels = []int{0} }), logits: one, argument: "Channels"},
		{loss: lovasz(func(l *afl.Lovasz) { l.Weight = []float64{1} }), argument: "Weight", want: "none"},
		{loss: lovasz(func(l *afl.Lovasz) {}), opts: []afl.EvalOption{afl.WithVoxelWeight(f32(2, 3, 4))}, argument: "voxel weight", want: "none"},
		{loss: afl.NewLovaszHinge(), argument: "channels of logits", want: "1 for the hinge form"},
		{loss: with(afl.NewLovaszHinge(), func(l *afl.Lovasz) { l.AllClasses = true }), logits: one, argument: "AllClasses and Channels", want: "neither with Hinge"},

		{loss: topk(func(l *afl.TopKCrossEntropy) { l.K = 0 }), argument: "K", want: "above 0 up to 100"},
		{loss: topk(func(l *afl.TopKCrossEntropy) { l.K = nan }), argument: "K", want: "above 0 up to 100"},
		{loss: topk(func(l *afl.TopKCrossEntropy) { l.K = 100.5 }), argument: "K", want: "above 0 up to 100"},
		{loss: topk(func(l *afl.TopKCrossEntropy) { l.LabelSmoothing = 2 }), argument: "LabelSmoothing"},
		{loss: topk(func(l *afl.TopKCrossEntropy) { l.Weight = []float64{1, 2, 3} }), argument: "length of Weight"},
		{loss: topk(func(l *afl.TopKCrossEntropy) {}), logits: one, argument: "Activation", want: "sigmoid"},

		{loss: cosh(func(l *afl.LogCoshDice) { l.SmoothDr = -1 }), argument: "SmoothDr"},
		{loss: cosh(func(l *afl.LogCoshDice) { l.Reduction = afl.ReduceVoxelMean }), argument: "Reduction"},

		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.LambdaDice = -1 }), argument: "LambdaDice"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.LambdaCE = inf }), argument: "LambdaCE"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.GammaDice = 0 }), argument: "GammaDice", want: "above 0"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.GammaCE = nan }), argument: "GammaCE"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.Smooth = 0 }), argument: "Smooth", want: "above 0"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.Weight = []float64{1, 2, 3} }), argument: "length of Weight"},
		{loss: exponential(func(l *afl.ExponentialLogarithmic) { l.Weight = []float64{1, -2} }), argument: "Weight[1]"},

		{loss: blob(nil, none), argument: "Loss", want: "a Loss"},
		{loss: blob((*afl.Dice)(nil), none), argument: "Loss", want: "a Loss"},
		{loss: blob(afl.Dice{}, none), argument: "loss", want: "NewDice"},
		{loss: blob(afl.NewSum(), none), argument: "Loss"},
		{loss: blob(afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewBoundary()}), none), argument: "Loss.Terms[0].Loss", want: "a CrossEntropy, Focal"},
		{loss: blob(afl.NewAdaptiveFocal(), none), argument: "channels of logits"},
		{loss: blob(afl.NewAdaptiveFocalMulticlass(), none), argument: "Activation"},
		{loss: blob(afl.NewGeneralizedDice(), none), argument: "Loss", want: "a CrossEntropy, Focal"},
		{loss: blob(with(afl.NewDice(), func(l *afl.Dice) { l.Activation = afl.Softmax }), none), argument: "Activation", want: "sigmoid"},
		{loss: blob(embedsInterface{afl.NewDice()}, none), argument: "Loss", want: "a CrossEntropy, Focal"},
		{loss: blob(afl.NewBlob(afl.NewDice()), none), argument: "Loss"},
		{loss: blob(with(afl.NewDice(), func(l *afl.Dice) { l.Weight = []float64{2} }), none), argument: "Options of Loss"},
		{loss: blob(afl.NewDice(), func(l *afl.Blob) { l.Alpha, l.Beta = 0, 0 }), argument: "Alpha and Beta"},
		{loss: blob(afl.NewDice(), func(l *afl.Blob) { l.Beta = nan }), argument: "Beta"},
		{loss: blob(afl.NewDice(), func(l *afl.Blob) { l.Mask = 9 }), argument: "Mask"},
		{loss: blob(afl.NewDice(), func(l *afl.Blob) { l.Connectivity = afl.Connectivity26 }), argument: "onnectivity"},
	}
	literals := map[string]afl.Loss{
		"NewUnifiedFocal": afl.UnifiedFocal{}, "NewBoundary": afl.Boundary{}, "NewHausdorffDT": afl.HausdorffDT{},
		"NewLovaszSoftmax": afl.Lovasz{}, "NewTopKCrossEntropy": afl.TopKCrossEntropy{}, "NewLogCoshDice": afl.LogCoshDice{},
		"NewExponentialLogarithmic": afl.ExponentialLogarithmic{}, "NewBlob": afl.Blob{Loss: afl.NewDice(), Alpha: 1},
	}
	for constructor, l := range literals {
		cases = append(cases, refusal{loss: l, argument: "loss", want: constructor})
	}
	// What no call of any of them takes.
	for _, name := range afl.SmallLesionNames() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		dense := name == "hausdorff" || name == "log-hausdorff" || name == "log-cosh-dice"
		cases = append(cases,
			refusal{loss: l, logits: f32(3, 4), argument: "shape of logits"},
			refusal{loss: l, logits: foreign, argument: "engine of logits"},
			refusal{loss: l, target: f32(2, 4, 3), argument: "shape of target"},
			refusal{loss: l, target: losstest.Bytes(voxels, func(int) uint8 { return 7 }), argument: "target at sample 0, voxel 0"},
			refusal{loss: l, opts: []afl.EvalOption{nil}, argument: "opts[0]"},
			refusal{loss: l, opts: []afl.EvalOption{afl.WithUpstream(f32(shape...))}, argument: "upstream", want: "Reduction none"},
		)
		if !dense {
			cases = append(cases, refusal{loss: l, target: maps, argument: "target at sample 0, voxel 0", want: "1 in one channel and 0 in the others, or class indices"})
		}
		for _, r := range []afl.Reduction{afl.ReduceVoxelMean, afl.ReduceSpatialMeanSum + 1} {
			bad, err := afl.SetOptions(l, func(o *afl.Options) { o.Reduction = r })
			require.NoError(t, err)
			cases = append(cases, refusal{loss: bad, argument: "Reduction"})
		}
		for _, nothing := range []string{"logits", "target"} {
			x, y := logits, target
			if nothing == "logits" {
				x = nil
			} else {
				y = nil
			}
			_, err := l.Eval(x, y, nil)
			var refused *afl.ArgumentError
			require.ErrorAs(t, err, &refused, name)
			assert.Equal(t, nothing, refused.Argument, name)
		}
		_, err = l.Eval(logits, target, logits)
		assert.ErrorContains(t, err, "grad is in the memory of logits", name)
		_, err = l.Eval(logits, target, f32(2, 2, 4, 3))
		assert.ErrorContains(t, err, "shape of grad", name)
	}
	for i, c := range cases {
		if c.logits == nil {
			c.logits = logits
		}
		if c.target == nil {
			c.target = target
		}
		_, err := c.loss.Eval(c.logits, c.target, nil, c.opts...)
		var refused *afl.ArgumentError
		if assert.ErrorAs(t, err, &refused, "case %d, %T, %s", i, c.loss, c.argument) {
			assert.Contains(t, refused.Argument, c.argument, "case %d, %T: %v", i, c.loss, err)
			assert.Contains(t, refused.Want, c.want, "case %d, %T: %v", i, c.loss, err)
			assert.NotEmpty(t, refused.Want)
		}
	}
	for _, l := range []interface {
		DistanceMap(logits, target *tensor.Dense) (*tensor.Dense, error)
	}{afl.NewBoundary(), afl.NewHausdorffDT(), afl.Boundary{}, afl.HausdorffDT{}} {
		for _, bad := range [][2]*tensor.Dense{{nil, target}, {logits, nil}, {logits, losstest.RandomLabels([]int{2, 2, 4, 4}, 2, 1)}} {
			_, err := l.DistanceMap(bad[0], bad[1])
			var refused *afl.ArgumentError
			assert.ErrorAs(t, err, &refused, "%T", l)
		}
	}
}
