package afl_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

type diceCELoss = afl.Compound[afl.CrossEntropy, afl.Dice]

// foreignEngine is an engine that no backend knows.
type foreignEngine struct{ tensor.StdEng }

// TestRefusals: bad input gives an error that names the argument, what it was
// and what was expected. What tensors must not hold is tested by losstest.
func TestRefusals(t *testing.T) {
	shape := []int{2, 3, 4, 5}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 3, 1)
	transposed := func(d *tensor.Dense) *tensor.Dense {
		c := d.Clone().(*tensor.Dense)
		require.NoError(t, c.T())
		return c
	}
	sliced, err := losstest.RandomLogits(tensor.Float32, []int{2, 3, 4, 10}, 1).Slice(nil, nil, nil, tensor.S(0, 5))
	require.NoError(t, err)
	colMajor := tensor.New(tensor.WithShape(shape...), tensor.AsFortran(make([]float32, 120)))
	masked := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32), tensor.WithBacking(make([]float32, 120), make([]bool, 120)))
	foreign := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32), tensor.WithEngine(foreignEngine{}))
	f32 := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	}
	shared := f32(shape...)
	head := tensor.New(tensor.WithShape(losstest.PerVoxel(shape)...), tensor.WithBacking(shared.Data().([]float32)[:40]))
	focal := func(set func(*afl.Focal)) afl.Loss { l := afl.NewFocal(); set(&l); return l }
	dice := func(set func(*afl.Dice)) afl.Loss { l := afl.NewDice(); set(&l); return l }
	adaptive := func(set func(*afl.AdaptiveFocal)) afl.Loss { l := afl.NewAdaptiveFocal(); set(&l); return l }
	tversky := func(set func(*afl.Tversky)) afl.Loss { l := afl.NewTversky(); set(&l); return l }
	diceCE := func(set func(*diceCELoss)) afl.Loss { l := afl.NewDiceCE(); set(&l); return l }
	binary := losstest.RandomLabels(shape, 2, 1)
	ce := func(set func(*afl.CrossEntropy)) afl.Loss { l := afl.NewCrossEntropy(); set(&l); return l }

	cases := map[string]struct {
		loss                 afl.Loss
		logits, target, grad *tensor.Dense
		opts                 []afl.EvalOption
		argument, got, want  string
	}{
		"nil logits":             {logits: nil, target: target, argument: "logits", got: "nil", want: "a tensor"},
		"nil target":             {logits: logits, target: nil, argument: "target", got: "nil", want: "a tensor"},
		"integer logits":         {logits: tensor.New(tensor.Of(tensor.Int), tensor.WithShape(shape...)), target: target, argument: "type of logits", got: "int", want: "float32"},
		"three axes":             {logits: f32(3, 4, 5), target: target, argument: "shape of logits", got: "(3, 4, 5)", want: "N×C×H×W"},
		"target of other space":  {logits: logits, target: losstest.RandomLabels([]int{2, 3, 4, 6}, 3, 1), argument: "shape of target", got: "(2, 4, 6)", want: "(2, 4, 5)"},
		"target of other batch":  {logits: logits, target: losstest.RandomLabels([]int{1, 3, 4, 5}, 3, 1), argument: "shape of target", got: "(1, 4, 5)"},
		"complex target":         {logits: logits, target: tensor.New(tensor.Of(tensor.Complex64), tensor.WithShape(2, 4, 5)), argument: "type of target", got: "complex64"},
		"ignore index with maps": {loss: focal(func(l *afl.Focal) { l.IgnoreIndex = afl.Ignore(255) }), logits: logits, target: losstest.Floats(tensor.Float32, shape, func(int) float64 { return 1 }), argument: "IgnoreIndex", got: "255"},
		"transposed logits":      {logits: transposed(losstest.RandomLogits(tensor.Float32, []int{5, 4, 3, 2}, 1)), target: target, argument: "layout of logits"},
		"view of logits":         {logits: sliced.(*tensor.Dense), target: target, argument: "layout of logits", want: "contiguous"},
		"column-major logits":    {logits: colMajor, target: target, argument: "layout of logits"},
		"masked logits":          {logits: masked, target: target, argument: "logits", got: "a masked tensor"},
		"foreign engine":         {logits: foreign, target: target, argument: "engine of logits", got: "foreignEngine"},
		"foreign grad":           {logits: logits, target: target, grad: foreign, argument: "engine of grad", got: "foreignEngine"},
		"grad of other shape":    {logits: logits, target: target, grad: f32(2, 3, 5, 4), argument: "shape of grad", got: "(2, 3, 5, 4)", want: "(2, 3, 4, 5)"},
		"grad of other type":     {logits: logits, target: target, grad: losstest.RandomLogits(tensor.Float64, shape, 1), argument: "type of grad", got: "float64"},
		"grad is logits":         {logits: logits, target: target, grad: logits, argument: "grad", got: "in the memory of logits"},
		"grad is upstream": {loss: focal(func(l *afl.Focal) { l.Reduction = afl.ReduceNone }), logits: logits, target: target, grad: shared,
			opts: []afl.EvalOption{afl.WithUpstream(shared)}, argument: "grad", got: "in the memory of upstream"},
		"grad is voxel weight": {logits: logits, target: target, grad: shared, opts: []afl.EvalOption{afl.WithVoxelWeight(head)},
			argument: "grad", got: "in the memory of voxel weight"},
		"grad is target": {logits: logits, target: shared, grad: shared, argument: "grad", got: "in the memory of target"},
		"nil option":     {logits: logits, target: target, opts: []afl.EvalOption{nil}, argument: "opts[0]", got: "nil", want: "an EvalOption"},
		"no samples": {logits: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(0, 3, 4, 5)), target: target,
			argument: "shape of logits", got: "(0, 3, 4, 5)", want: "no axis of size 0"},
		"voxel weight shape":     {logits: logits, target: target, opts: []afl.EvalOption{afl.WithVoxelWeight(f32(2, 5, 4))}, argument: "shape of voxel weight", got: "(2, 5, 4)"},
		"upstream with mean":     {logits: logits, target: target, opts: []afl.EvalOption{afl.WithUpstream(f32(2, 3, 4, 5))}, argument: "upstream", want: "Reduction none"},
		"upstream shape":         {loss: focal(func(l *afl.Focal) { l.Reduction = afl.ReduceNone }), logits: logits, target: target, opts: []afl.EvalOption{afl.WithUpstream(f32(2, 1, 4, 5))}, argument: "shape of upstream", got: "(2, 1, 4, 5)"},
		"negative gamma":         {loss: focal(func(l *afl.Focal) { l.Gamma = []float64{-1} }), logits: logits, target: target, argument: "Gamma[0]", got: "-1", want: "at least 0"},
		"infinite gamma":         {loss: focal(func(l *afl.Focal) { l.Gamma = []float64{math.Inf(1)} }), logits: logits, target: target, argument: "Gamma[0]", got: "+Inf"},
		"alpha above 1":          {loss: focal(func(l *afl.Focal) { l.Alpha = []float64{1.2} }), logits: logits, target: target, argument: "Alpha[0]", got: "1.2", want: "from 0 to 1"},
		"weight of wrong length": {loss: focal(func(l *afl.Focal) { l.Weight = []float64{1, 2} }), logits: logits, target: target, argument: "length of Weight", got: "2", want: "1 or 3"},
		"negative weight":        {loss: focal(func(l *afl.Focal) { l.Weight = []float64{1, -2, 1} }), logits: logits, target: target, argument: "Weight[1]", got: "-2"},
		"identity focal":         {loss: focal(func(l *afl.Focal) { l.Activation = afl.Identity }), logits: logits, target: target, argument: "Activation", got: "identity"},
		"unknown reduction":      {loss: focal(func(l *afl.Focal) { l.Reduction = 77 }), logits: logits, target: target, argument: "Reduction", got: "Reduction(77)"},
		"voxel mean of Dice":     {loss: dice(func(l *afl.Dice) { l.Reduction = afl.ReduceVoxelMean }), logits: logits, target: target, argument: "Reduction", got: "voxel-mean"},
		"negative smoothing":     {loss: dice(func(l *afl.Dice) { l.SmoothDr = -1 }), logits: logits, target: target, argument: "SmoothDr", got: "-1"},
		"negative Tversky alpha": {loss: tversky(func(l *afl.Tversky) { l.Alpha = -1 }), logits: logits, target: target, argument: "Alpha", got: "-1"},
		"label smoothing":        {loss: ce(func(l *afl.CrossEntropy) { l.LabelSmoothing = 2 }), logits: logits, target: target, argument: "LabelSmoothing", got: "2"},
		"pos weight of softmax":  {loss: ce(func(l *afl.CrossEntropy) { l.PosWeight = []float64{2} }), logits: logits, target: target, argument: "PosWeight"},
		"released A-FL, C = 3":   {loss: afl.NewAdaptiveFocal(), logits: logits, target: target, argument: "channels of logits", got: "3", want: "2"},
		"paper A-FL, C = 3":      {loss: afl.NewAdaptiveFocalPaper(), logits: logits, target: target, argument: "channels of logits", got: "3"},
		"unknown form":           {loss: adaptive(func(l *afl.AdaptiveFocal) { l.Form = 9 }), logits: logits, target: target, argument: "Form", got: "Form(9)"},
		"DiceCE without reduction": {loss: diceCE(func(l *diceCELoss) {
			l.Pointwise.Reduction, l.Overlap.Reduction = afl.ReduceNone, afl.ReduceNone
		}), logits: logits, target: target, argument: "Pointwise.Reduction and Overlap.Reduction", got: "none and none", want: "no elements by channel"},
		"half a reduction": {loss: diceCE(func(l *diceCELoss) { l.Overlap.Reduction = afl.ReduceNone }),
			logits: logits, target: target, argument: "Pointwise.Reduction and Overlap.Reduction", got: "mean and none", want: "none for both or for neither"},
		"unknown reduction of a term": {loss: diceCE(func(l *diceCELoss) { l.Overlap.Reduction = 9 }),
			logits: logits, target: target, argument: "Reduction", got: "Reduction(9)"},
		"two ignore indices": {loss: diceCE(func(l *diceCELoss) { l.Pointwise.IgnoreIndex = afl.Ignore(255) }),
			logits: logits, target: target, argument: "Pointwise.IgnoreIndex and Overlap.IgnoreIndex", got: "255 and none", want: "the same"},
		"lambda": {loss: diceCE(func(l *diceCELoss) { l.LambdaPointwise = math.NaN() }),
			logits: logits, target: target, argument: "LambdaPointwise", got: "NaN"},
		"softmax of one channel, CE":   {loss: afl.NewCrossEntropy(), logits: f32(2, 1, 4, 5), target: binary, argument: "Activation", got: "softmax of one channel", want: "sigmoid"},
		"softmax of one channel, Dice": {loss: dice(func(l *afl.Dice) { l.Activation = afl.Softmax }), logits: f32(2, 1, 4, 5), target: binary, argument: "Activation", got: "softmax of one channel"},
		"no gamma":                     {loss: focal(func(l *afl.Focal) { l.Gamma = nil }), logits: logits, target: target, argument: "Gamma", got: "empty", want: "each of the 3 included ones"},
		"gamma of wrong length":        {loss: focal(func(l *afl.Focal) { l.Gamma = []float64{1, 2} }), logits: logits, target: target, argument: "length of Gamma", got: "2", want: "1 or 3"},
		"stats of one sample": {loss: afl.NewAdaptiveFocalMulticlass(), logits: logits, target: target, opts: []afl.EvalOption{afl.WithStats(afl.LabelStats{})},
			argument: "number of WithStats", got: "1", want: "2, one for each sample"},
		"stats without voxels": {loss: afl.NewAdaptiveFocalMulticlass(), logits: logits, target: target,
			opts:     []afl.EvalOption{afl.WithStats(afl.LabelStats{Classes: make([]afl.LabelStats, 2)}, afl.LabelStats{Classes: make([]afl.LabelStats, 2)})},
			argument: "WithStats[0].Voxels", got: "0", want: "at least 1"},
		"stats without classes": {loss: afl.NewAdaptiveFocalMulticlass(), logits: logits, target: target,
			opts:     []afl.EvalOption{afl.WithStats(afl.LabelStats{Voxels: 9}, afl.LabelStats{Voxels: 9})},
			argument: "length of WithStats[0].Classes", got: "0", want: "2, one for each class above 0"},
		"Tversky of nothing": {loss: tversky(func(l *afl.Tversky) { l.Alpha, l.Beta = 0, 0 }), logits: logits, target: target,
			argument: "Alpha and Beta", got: "0 and 0", want: "above 0"},
		"compound of nothing": {loss: diceCE(func(l *diceCELoss) { l.LambdaPointwise, l.LambdaOverlap = 0, 0 }),
			logits: logits, target: target, argument: "LambdaPointwise and LambdaOverlap", got: "0 and 0"},
		"focal Tversky of exponent 0": {loss: func() afl.Loss { l := afl.NewFocalTversky(); l.Gamma = []float64{0}; return l }(),
			logits: logits, target: target, argument: "Gamma[0]", got: "0", want: "above 0"},
		"empty sum":           {loss: afl.NewSum(), logits: logits, target: target, argument: "Terms", got: "empty"},
		"sum of nil":          {loss: afl.NewSum(afl.Term{Weight: 1}), logits: logits, target: target, argument: "Terms[0].Loss", got: "nil"},
		"sum by 0":            {loss: afl.NewSum(afl.Term{Loss: afl.NewDice()}), logits: logits, target: target, argument: "Terms[0].Weight", got: "0", want: "other than 0"},
		"index without Set":   {loss: dice(func(l *afl.Dice) { l.IgnoreIndex.Index = 255 }), logits: logits, target: target, argument: "IgnoreIndex", got: "index 255 without Set", want: "made by Ignore"},
		"no stats":            {loss: afl.NewAdaptiveFocalMulticlass(), logits: logits, target: target, opts: []afl.EvalOption{afl.WithStats([]afl.LabelStats(nil)...)}, argument: "number of WithStats", got: "0"},
		"sum by NaN":          {loss: afl.NewSum(afl.Term{Weight: math.NaN(), Loss: afl.NewDice()}), logits: logits, target: target, argument: "Terms[0].Weight", got: "NaN"},
		"sum of elements":     {loss: afl.NewSum(afl.Term{Weight: 1, Loss: focal(func(l *afl.Focal) { l.Reduction = afl.ReduceNone })}), logits: logits, target: target, argument: "Reduction"},
		"upstream of a sum":   {loss: afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewDice()}), logits: logits, target: target, opts: []afl.EvalOption{afl.WithUpstream(shared)}, argument: "upstream"},
		"compound by literal": {loss: afl.Compound[afl.Focal, afl.Dice]{Pointwise: afl.NewFocal(), Overlap: afl.NewDice()}, logits: logits, target: target, argument: "loss", want: "NewCompound"},
		"term by literal":     {loss: afl.NewCompound(afl.Focal{}, afl.NewDice()), logits: logits, target: target, argument: "loss", got: "afl.Focal literal", want: "NewFocal"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := c.loss
			if l == nil {
				l = afl.NewCrossEntropy()
			}
			grad := c.grad
			_, err := l.Eval(c.logits, c.target, grad, c.opts...)
			var refused *afl.ArgumentError
			require.True(t, errors.As(err, &refused), "error %v", err)
			assert.Contains(t, refused.Argument, c.argument)
			assert.Contains(t, refused.Got, c.got)
			assert.Contains(t, refused.Want, c.want)
			assert.NotEmpty(t, refused.Want)
		})
	}
}

// The losses of TestNilLosses have their Eval from what they embed.
type (
	embedsPointer   struct{ *afl.Dice }
	embedsInterface struct{ afl.Loss }
	embedsTwice     struct{ embedsPointer }
)

// TestNilLosses passes nil pointers and interfaces in every place that takes a loss.
func TestNilLosses(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	for want, l := range map[string]afl.Loss{
		"nil":             nil,
		"a nil *afl.Dice": (*afl.Dice)(nil), "a nil *afl.AdaptiveFocal": (*afl.AdaptiveFocal)(nil), "a nil *afl.Sum": (*afl.Sum)(nil),
		"a nil *afl.Compound[":                                      (*afl.Compound[afl.Focal, afl.Dice])(nil),
		"a nil *afl_test.embedsInterface":                           (*embedsInterface)(nil),
		"a afl_test.embedsPointer that embeds a nil *afl.Dice":      embedsPointer{},
		"a *afl_test.embedsPointer that embeds a nil *afl.Dice":     &embedsPointer{},
		"a afl_test.embedsTwice that embeds a nil *afl.Dice":        embedsTwice{},
		"a afl_test.embedsInterface that embeds a nil afl.Loss":     embedsInterface{},
		"a afl_test.embedsInterface that embeds a nil *afl.Focal":   embedsInterface{(*afl.Focal)(nil)},
		"a afl_test.embedsInterface that embeds a nil *afl.Tversky": embedsInterface{&embedsInterface{(*afl.Tversky)(nil)}},
	} {
		for argument, evaluate := range map[string]func() error{
			"loss":          func() error { _, err := afl.Value(l, logits, target); return err },
			"loss ":         func() error { _, _, err := afl.Grad(l, logits, target); return err },
			"Terms[0].Loss": func() error { _, err := afl.NewSum(afl.Term{Weight: 1, Loss: l}).Eval(logits, target, nil); return err },
			"Terms[1].Loss": func() error {
				sum := afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewDice()}, afl.Term{Weight: 1, Loss: l})
				_, err := afl.Value(afl.NewSum(afl.Term{Weight: 1, Loss: sum}), logits, target)
				return err
			},
			"Loss":   func() error { _, err := afl.NewDeepSupervision(l).Value([]*tensor.Dense{logits}, target); return err },
			"loss  ": func() error { _, err := afl.SetOptions(l, func(*afl.Options) {}); return err },
		} {
			var refused *afl.ArgumentError
			require.ErrorAs(t, evaluate(), &refused, want)
			assert.Equal(t, strings.TrimSpace(argument), refused.Argument, want)
			assert.Contains(t, refused.Got, want)
			assert.Equal(t, "a Loss", refused.Want)
		}
	}
	// What embeds a loss that is there is one.
	for _, l := range []afl.Loss{embedsInterface{afl.NewDice()}, &embedsInterface{&embedsInterface{afl.NewDice()}}} {
		got, err := afl.Value(l, logits, target)
		require.NoError(t, err)
		want, err := afl.Value(afl.NewDice(), logits, target)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// TestNilTensors passes nil, and tensors without an engine, in every place that takes one.
func TestNilTensors(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	mask := losstest.Bytes([]int{3, 4}, func(i int) uint8 { return uint8(i % 2) })
	none := afl.IgnoreIndex{}
	for _, bad := range []*tensor.Dense{nil, new(tensor.Dense)} {
		for name, f := range map[string]func() error{
			"logits":       func() error { _, err := afl.NewDice().Eval(bad, target, nil); return err },
			"target":       func() error { _, err := afl.NewDice().Eval(logits, bad, nil); return err },
			"Value logits": func() error { _, err := afl.Value(afl.NewDice(), bad, target); return err },
			"Value target": func() error { _, err := afl.Value(afl.NewDice(), logits, bad); return err },
			"Grad":         func() error { _, _, err := afl.Grad(afl.NewDice(), bad, target); return err },
			"Sum": func() error {
				_, err := afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewDice()}).Eval(bad, target, nil)
				return err
			},
			"Parameters":    func() error { _, err := afl.NewAdaptiveFocal().Parameters(bad, target); return err },
			"Parameters of": func() error { _, err := afl.NewAdaptiveFocal().Parameters(logits, bad); return err },
			"outputs": func() error {
				_, err := afl.NewDeepSupervision(afl.NewDice()).Value([]*tensor.Dense{bad}, target)
				return err
			},
			"label": func() error {
				_, err := afl.NewDeepSupervision(afl.NewDice()).Value([]*tensor.Dense{logits}, bad)
				return err
			},
			"Grad of outputs": func() error {
				_, _, err := afl.NewDeepSupervision(afl.NewDice()).Grad([]*tensor.Dense{logits, bad}, target)
				return err
			},
			"StatsOf":          func() error { _, err := afl.StatsOf(bad, none); return err },
			"StatsOfClasses":   func() error { _, err := afl.StatsOfClasses(bad, 2, none); return err },
			"Magnitude":        func() error { _, err := afl.GradientMagnitude(bad); return err },
			"SoftDice":         func() error { _, err := afl.SoftDice(bad, target, true, none); return err },
			"SoftIoU":          func() error { _, err := afl.SoftIoU(logits, bad, true, none); return err },
			"CountLogits":      func() error { _, err := afl.CountLogits(afl.Argmax, bad, target, none); return err },
			"CountLogits of":   func() error { _, err := afl.CountLogits(afl.Argmax, logits, bad, none); return err },
			"CountLabels":      func() error { _, err := afl.CountLabels(2, bad, target, none); return err },
			"CountLabels of":   func() error { _, err := afl.CountLabels(2, target, bad, none); return err },
			"CountMasks":       func() error { _, err := afl.CountMasks(bad, target); return err },
			"CountMasks of":    func() error { _, err := afl.CountMasks(target, bad); return err },
			"Predict":          func() error { _, err := afl.Predict(afl.Argmax, bad); return err },
			"ClassMask":        func() error { _, err := afl.ClassMask(bad, 2, 0, 1); return err },
			"CheckFinite":      func() error { return afl.CheckFinite(bad) },
			"SurfaceDistances": func() error { _, err := afl.NewSurfaceDistances(mask, bad, []float64{1, 1}); return err },
			"Hausdorff":        func() error { _, err := afl.VoxelSetHausdorff(bad, mask, []float64{1, 1}); return err },
			"Components":       func() error { _, _, err := afl.Components(bad, afl.Connectivity4); return err },
			"Lesions":          func() error { _, err := afl.CompareLesions(bad, mask, afl.Connectivity4, afl.Touch()); return err },
			"Lesions of":       func() error { _, err := afl.CompareLesions(mask, bad, afl.Connectivity4, afl.Touch()); return err },
		} {
			var refused *afl.ArgumentError
			assert.NotPanics(t, func() { assert.ErrorAs(t, f(), &refused, name) }, name)
		}
	}
	// Optional tensors that are nil are as if they were not given; others are refused.
	want, err := afl.Value(afl.NewDice(), logits, target)
	require.NoError(t, err)
	got, err := afl.Value(afl.NewDice(), logits, target, afl.WithVoxelWeight(nil), afl.WithUpstream(nil))
	require.NoError(t, err)
	assert.Equal(t, want, got)
	bad := new(tensor.Dense)
	unreduced := afl.NewFocal()
	unreduced.Reduction = afl.ReduceNone
	_, err = afl.Value(afl.NewDice(), logits, target, afl.WithVoxelWeight(bad))
	assert.ErrorContains(t, err, "engine of voxel weight is")
	_, err = unreduced.Eval(logits, target, nil, afl.WithUpstream(bad))
	assert.ErrorContains(t, err, "engine of upstream is")
	_, err = afl.GradInto(afl.NewDice(), logits, target, bad)
	assert.ErrorContains(t, err, "engine of grad is")
}

func TestRefusalsOfHelpers(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	_, err := afl.Value(nil, logits, target)
	assert.ErrorContains(t, err, "loss is nil")
	three := losstest.RandomLogits(tensor.Float32, []int{1, 3, 3, 4}, 1)
	_, err = afl.Value(afl.NewAdaptiveFocal(), three, target)
	assert.EqualError(t, err, "afl: channels of logits is 3, want 2 in the released form (FormMulticlass takes any number)")
	_, err = afl.Value(afl.NewAdaptiveFocalPaper(), three, target)
	assert.EqualError(t, err, "afl: channels of logits is 3, want 1 or 2 in the paper form (FormMulticlass takes any number)")
	two := afl.NewTversky()
	two.Alpha, two.Beta = 0, 0
	_, err = afl.Value(two, logits, target)
	assert.EqualError(t, err, "afl: Alpha and Beta are 0 and 0, want at least one above 0: the loss would not depend on the errors")
	_, err = afl.StatsOfClasses(losstest.Bytes([]int{2, 2}, func(int) uint8 { return 3 }), 3, afl.IgnoreIndex{})
	assert.EqualError(t, err, "afl: label at sample 0, voxel 0 is 3, want a class index from 0 to 2")
	_, err = afl.StatsOf(target, afl.IgnoreIndex{Index: 255})
	assert.ErrorContains(t, err, "IgnoreIndex is index 255 without Set")
	_, err = afl.CountLogits(afl.Argmax, logits, target, afl.IgnoreIndex{Index: 255})
	assert.ErrorContains(t, err, "IgnoreIndex is index 255 without Set")
	good, err := afl.StatsOf(losstest.Bytes([]int{4, 4}, func(i int) uint8 { return uint8(i / 8) }), afl.IgnoreIndex{})
	require.NoError(t, err)
	for name, set := range map[string]func(*afl.LabelStats){
		"Foreground": func(s *afl.LabelStats) { s.Foreground = 17 }, "GammaVa": func(s *afl.LabelStats) { s.GammaVa = 0.7 },
		"AlphaVa": func(s *afl.LabelStats) { s.AlphaVa = 7 }, "GammaMSa": func(s *afl.LabelStats) { s.GammaMSa = math.NaN() },
		"BoundaryVoxels": func(s *afl.LabelStats) { s.BoundaryVoxels = 0 }, "Boundary": func(s *afl.LabelStats) { s.Boundary = 99 },
	} {
		bad := good
		set(&bad)
		_, err := afl.Value(afl.NewAdaptiveFocal(), logits, target, afl.WithStats(bad))
		assert.ErrorContains(t, err, "WithStats[0]."+name+" is")
	}
	_, err = afl.Value(afl.NewAdaptiveFocal(), logits, target, afl.WithStats(good))
	assert.NoError(t, err)
	_, err = afl.StatsOfClasses(losstest.Bytes([]int{2, 2}, func(int) uint8 { return 0 }), 1, afl.IgnoreIndex{})
	assert.ErrorContains(t, err, "classes is 1, want at least 2")
	none := afl.NewFocal()
	none.Reduction = afl.ReduceNone
	_, err = afl.Value(none, logits, target)
	assert.ErrorContains(t, err, "Reduction is one that leaves shape")
	_, _, err = afl.Grad(none, nil, target)
	assert.ErrorContains(t, err, "logits is nil")
	_, _, err = afl.Grad(afl.NewFocal(), logits, losstest.Bytes([]int{1, 3, 4}, func(int) uint8 { return 2 }))
	assert.ErrorContains(t, err, "target at sample 0, voxel 0 is 2")
	_, err = afl.StatsOf(nil, afl.IgnoreIndex{})
	assert.ErrorContains(t, err, "label is nil")
	_, err = afl.StatsOf(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{0, 3, 0.5, 0})), afl.IgnoreIndex{})
	assert.EqualError(t, err, "afl: label at sample 0, voxel 2 is 0.5, want a whole number of at least 0")
	_, err = afl.StatsOf(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int8{0, 3, -1, 0})), afl.Ignore(-2))
	assert.EqualError(t, err, "afl: label at sample 0, voxel 2 is -1, want a whole number of at least 0, or the ignored -2")
	_, err = afl.StatsOf(logits, afl.IgnoreIndex{})
	assert.ErrorContains(t, err, "shape of label is (1, 2, 3, 4)")
	_, err = afl.GradientMagnitude(tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]int8{0, 1, -1, 0})))
	assert.ErrorContains(t, err, "label at sample 0, voxel 2 is -1")
	_, err = afl.SoftDice(nil, target, true, afl.IgnoreIndex{})
	assert.ErrorContains(t, err, "logits is nil")
}
