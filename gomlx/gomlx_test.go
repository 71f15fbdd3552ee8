package gomlx

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/pkg/core/dtypes"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

func TestGolden(t *testing.T) {
	t.Chdir("..") // the reference numbers are those of the module above
	losstest.Golden(t, runner{channels: images.ChannelsFirst})
}

func TestCompare(t *testing.T) {
	for _, channels := range []images.ChannelsAxisConfig{images.ChannelsFirst, images.ChannelsLast} {
		t.Run(channels.String(), func(t *testing.T) {
			losstest.Compare(t, losstest.CPU{}, runner{brief: true, channels: channels})
		})
	}
}

func named(t testing.TB, name string) afl.Loss {
	t.Helper()
	l, err := afl.ByName(name)
	require.NoError(t, err)
	return l
}

// closeTo requires value and gradient of GoMLX to be those of afl for the same numbers in
// float64.
func closeTo(t *testing.T, what string, r runner, l afl.Loss, c losstest.Call, tolerance float64) {
	t.Helper()
	c.WantGrad = true
	exact := c
	x := losstest.Numbers(t, c.Logits)
	exact.Logits = losstest.Floats(tensor.Float64, c.Logits.Shape(), func(i int) float64 { return x[i] })
	want, wantGrad, err := losstest.CPU{}.Eval(t, l, exact)
	require.NoError(t, err, what)
	got, grad, err := r.Eval(t, l, c)
	require.NoError(t, err, what)
	losstest.Near(t, what+": value", losstest.Numbers(t, want), losstest.Numbers(t, got), losstest.Tolerance{Relative: tolerance})
	losstest.Near(t, what+": gradient", losstest.Numbers(t, wantGrad), losstest.Numbers(t, grad), losstest.Tolerance{Largest: tolerance})
}

// TestAccuracy: rounding is all that GoMLX's results differ by, also over many voxels.
func TestAccuracy(t *testing.T) {
	for _, name := range afl.Names() {
		for _, test := range []struct {
			dt        tensor.Dtype
			shape     []int
			tolerance float64
		}{
			{tensor.Float64, []int{2, 2, 13, 17}, 1e-14}, {tensor.Float64, []int{3, 2, 7, 5, 9}, 1e-14},
			{tensor.Float32, []int{2, 2, 13, 17}, 3e-7}, {tensor.Float32, []int{1, 2, 41, 63, 59}, 3e-7},
		} {
			call := losstest.Call{Logits: losstest.RandomLogits(test.dt, test.shape, 5), Target: losstest.RandomLabels(test.shape, 2, 6)}
			closeTo(t, fmt.Sprint(name, " ", test.shape, " ", test.dt), runner{channels: images.ChannelsLast}, named(t, name), call, test.tolerance)
		}
	}
}

// TestMasksAndLogitsAtTheirLimits: labels of one class, in one sample or all, under logits
// that no probability can tell from certainty.
func TestMasksAndLogitsAtTheirLimits(t *testing.T) {
	shape := []int{2, 2, 5, 1, 3}
	for _, labels := range map[string]func(i int) uint8{
		"empty": func(int) uint8 { return 0 }, "full": func(int) uint8 { return 1 },
		"one": func(i int) uint8 { return uint8(i / 15) },
	} {
		for _, scale := range []float64{0, 1, 1e4} {
			logits := losstest.Floats(tensor.Float64, shape, func(i int) float64 { return scale * float64(i%5-2) / 2 })
			for _, name := range afl.Names() {
				call := losstest.Call{Logits: logits, Target: losstest.Bytes(losstest.PerVoxel(shape), labels)}
				closeTo(t, fmt.Sprint(name, " ", scale), runner{}, named(t, name), call, 2e-14)
			}
		}
	}
}

// evaluate returns a loss and its gradient with respect to the logits, as float64.
func evaluate(t *testing.T, l afl.Loss, channels images.ChannelsAxisConfig, logits *tensors.Tensor, labels ...*tensors.Tensor) (value []float64, grad []float64) {
	t.Helper()
	inputs := []any{logits}
	for _, y := range labels {
		inputs = append(inputs, y)
	}
	exec := MustNewExec(backend, func(in []*Node) []*Node {
		v := Loss(l, channels)(in[1:], in[:1])
		return []*Node{ConvertDType(v, dtypes.Float64), ConvertDType(Gradient(ReduceAllSum(v), in[0])[0], dtypes.Float64)}
	})
	defer exec.Finalize()
	out := exec.MustExec(inputs...)
	return tensors.MustCopyFlatData[float64](out[0]), tensors.MustCopyFlatData[float64](out[1])
}

// sameResults requires two evaluations to agree to rounding.
func sameResults(t *testing.T, what string, want, wantGrad, got, grad []float64) {
	t.Helper()
	losstest.Near(t, what+": value", want, got, losstest.Tolerance{Relative: 1e-14})
	losstest.Near(t, what+": gradient", wantGrad, grad, losstest.Tolerance{Largest: 1e-14})
}

// TestMasks: a mask does what an ignore index does, in every shape, for indices and maps,
// and with an ignore index.
func TestMasks(t *testing.T) {
	shape := []int{2, 2, 3, 5}
	x := losstest.RandomLogits(tensor.Float64, shape, 1).Data().([]float64)
	y := losstest.RandomLabels(shape, 2, 1).Data().([]uint8)
	logits := tensors.FromFlatDataAndDimensions(x, shape...)
	ignored, partly := slices.Clone(y), slices.Clone(y)
	mask, rest := make([]bool, len(y)), make([]bool, len(y))
	maps := make([]float32, len(x))
	spoiled := slices.Clone(x)
	for i := range y {
		mask[i], rest[i] = i%3 != 0, i%6 != 0
		n, v := i/15, i%15
		maps[(2*n+int(y[i]))*15+v] = 1
		if !mask[i] {
			ignored[i] = 255
			if rest[i] {
				partly[i] = 255
			}
			spoiled[2*n*15+v], spoiled[(2*n+1)*15+v] = math.NaN(), math.NaN()
		}
	}
	per := losstest.PerVoxel(shape)
	channel := []int{2, 1, 3, 5}
	bytes := func(y []uint8) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(y, per...) }
	voxels := tensors.FromFlatDataAndDimensions(mask, per...)
	for _, name := range afl.Names() {
		l := named(t, name)
		ignoring, err := afl.SetOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
		require.NoError(t, err)
		want, wantGrad := evaluate(t, ignoring, images.ChannelsFirst, logits, bytes(ignored))
		check := func(what string, l afl.Loss, labels ...*tensors.Tensor) {
			t.Helper()
			got, grad := evaluate(t, l, images.ChannelsFirst, logits, labels...)
			sameResults(t, name+": "+what, want, wantGrad, got, grad)
		}
		check("mask", l, bytes(y), voxels)
		check("mask with a channel axis", l, bytes(y), tensors.FromFlatDataAndDimensions(mask, channel...))
		check("mask and ignored index", ignoring, bytes(partly), tensors.FromFlatDataAndDimensions(rest, per...))
		if name != "ce" && name != "dice-ce" { // whose mean over maps is another
			check("mask and maps", l, tensors.FromFlatDataAndDimensions(maps, shape...), voxels)
		}
		got, grad := evaluate(t, l, images.ChannelsFirst, tensors.FromFlatDataAndDimensions(spoiled, shape...), bytes(y), voxels)
		sameResults(t, name+": NaN under the mask", want, wantGrad, got, grad)

		// One entry for each sample.
		half := slices.Concat(make([]bool, 15), slices.Repeat([]bool{true}, 15))
		want, wantGrad = evaluate(t, l, images.ChannelsFirst, logits, bytes(y), tensors.FromFlatDataAndDimensions(half, per...))
		check("mask of samples", l, bytes(y), tensors.FromFlatDataAndDimensions([]bool{false, true}, 2))
	}
}

// TestWeights: voxel weights of any float type and shape, before and after a mask.
func TestWeights(t *testing.T) {
	shape := []int{2, 3, 5, 2} // channels last
	x := losstest.RandomLogits(tensor.Float64, shape, 1).Data().([]float64)
	logits := tensors.FromFlatDataAndDimensions(x, shape...)
	y := tensors.FromFlatDataAndDimensions(losstest.RandomLabels([]int{2, 2, 3, 5}, 2, 1).Data().([]uint8), 2, 3, 5)
	w, w32, mask := make([]float64, 30), make([]float32, 30), make([]bool, 30)
	spoiled := slices.Clone(x)
	for i := range w {
		w32[i], mask[i] = float32(i%4)/2, i%5 != 1
		w[i] = float64(w32[i])
		if w[i] == 0 {
			spoiled[2*i], spoiled[2*i+1] = math.NaN(), math.Inf(1)
		}
	}
	weights, masked := tensors.FromFlatDataAndDimensions(w, 2, 3, 5), tensors.FromFlatDataAndDimensions(mask, 2, 3, 5, 1)
	for _, name := range afl.Names() {
		l := named(t, name)
		want, wantGrad := evaluate(t, l, images.ChannelsLast, logits, y, weights, masked)
		got, grad := evaluate(t, l, images.ChannelsLast, logits, y, masked, tensors.FromFlatDataAndDimensions(w32, 2, 3, 5, 1))
		sameResults(t, name, want, wantGrad, got, grad)
		got, grad = evaluate(t, l, images.ChannelsLast, tensors.FromFlatDataAndDimensions(spoiled, shape...), y, weights, masked)
		sameResults(t, name+": NaN where the weight is 0", want, wantGrad, got, grad)

		want, wantGrad = evaluate(t, l, images.ChannelsLast, logits, y, tensors.FromFlatDataAndDimensions(slices.Concat(slices.Repeat([]float64{0.5}, 15), slices.Repeat([]float64{2}, 15)), 2, 3, 5))
		got, grad = evaluate(t, l, images.ChannelsLast, logits, y, tensors.FromFlatDataAndDimensions([]float32{0.5, 2}, 2))
		sameResults(t, name+": weights of samples", want, wantGrad, got, grad)
	}
}

// TestNothingCounts: where no voxel counts the loss is 0, or NaN where PyTorch's is, and
// the gradient 0.
func TestNothingCounts(t *testing.T) {
	shape := []int{1, 2, 3, 5}
	logits := tensors.FromFlatDataAndDimensions(losstest.RandomLogits(tensor.Float64, shape, 1).Data().([]float64), shape...)
	y := tensors.FromFlatDataAndDimensions(make([]int32, 15), 1, 3, 5)
	none := tensors.FromFlatDataAndDimensions([]bool{false}, 1)
	for _, name := range afl.Names() {
		value, grad := evaluate(t, named(t, name), images.ChannelsFirst, logits, y, none)
		if name == "ce" || name == "dice-ce" {
			assert.True(t, math.IsNaN(value[0]), name)
		} else {
			assert.InDelta(t, 0, value[0], 1e-12, name)
		}
		assert.Equal(t, make([]float64, len(grad)), grad, name)
	}
}

// TestSum: a sum is the weighted sum of its terms, also in sums.
func TestSum(t *testing.T) {
	shape := []int{2, 2, 3, 5}
	dice := afl.NewDice()
	dice.IgnoreIndex = afl.Ignore(0)
	l := afl.NewSum(
		afl.Term{Weight: 0.5, Loss: afl.NewSum(afl.Term{Weight: 3, Loss: dice}, afl.Term{Weight: -0.25, Loss: afl.NewFocal()})},
		afl.Term{Weight: 1, Loss: afl.NewAdaptiveFocal()},
	)
	call := losstest.Call{Logits: losstest.RandomLogits(tensor.Float64, shape, 1), Target: losstest.RandomLabels(shape, 2, 2)}
	closeTo(t, "sum", runner{}, l, call, 1e-14)
}

// TestHalf: logits of a half precision type are what they are in float32.
func TestHalf(t *testing.T) {
	shape := []int{2, 2, 3, 5}
	x := losstest.Floats(tensor.Float32, shape, func(i int) float64 { return float64(i%17-8) / 8 })
	y := tensors.FromFlatDataAndDimensions(losstest.RandomLabels(shape, 2, 2).Data().([]uint8), losstest.PerVoxel(shape)...)
	exec := MustNewExec(backend, func(in []*Node) []*Node {
		half := ConvertDType(in[0], dtypes.BFloat16)
		single, double := Loss(afl.NewDiceCE(), images.ChannelsFirst)(in[1:], in[:1]), Loss(afl.NewDiceCE(), images.ChannelsFirst)(in[1:], []*Node{half})
		g := Gradient(double, half)[0]
		if g.DType() != dtypes.BFloat16 {
			panic(fmt.Errorf("the gradient is %s", g.DType()))
		}
		return []*Node{single, double, Gradient(single, in[0])[0], ConvertDType(g, dtypes.Float32)}
	})
	defer exec.Finalize()
	out := exec.MustExec(tensors.FromFlatDataAndDimensions(x.Data().([]float32), shape...), y)
	assert.Equal(t, tensors.ToScalar[float32](out[0]), tensors.ToScalar[float32](out[1]))
	want, got := tensors.MustCopyFlatData[float32](out[2]), tensors.MustCopyFlatData[float32](out[3])
	for i := range want {
		assert.InEpsilon(t, want[i], got[i], 1.0/128) // the backend rounds toward 0
	}
}

// TestRefusals: bad arguments are refused by name while the graph is built.
func TestRefusals(t *testing.T) {
	f32 := func(dims ...int) *tensors.Tensor { return tensors.FromShape(shapesOf(dtypes.Float32, dims)) }
	u8 := func(dims ...int) *tensors.Tensor { return tensors.FromShape(shapesOf(dtypes.Uint8, dims)) }
	boolean := func(dims ...int) *tensors.Tensor { return tensors.FromShape(shapesOf(dtypes.Bool, dims)) }
	dice, ignoring, weighted := afl.NewDice(), afl.NewDice(), afl.NewDice()
	ignoring.IgnoreIndex = afl.Ignore(255)
	weighted.Weight = []float64{1, 2, 3}
	logits := f32(2, 2, 3, 5)
	for _, test := range []struct {
		loss             afl.Loss
		channels         images.ChannelsAxisConfig
		in               []*tensors.Tensor
		argument, wanted string
	}{
		{dice, 7, []*tensors.Tensor{logits, u8(2, 3, 5)}, "channels", "images.ChannelsFirst or"},
		{dice, 0, []*tensors.Tensor{f32(2, 2, 3), u8(2, 3)}, "shape of predictions[0]", "2 or 3 spatial axes"},
		{dice, 0, []*tensors.Tensor{u8(2, 2, 3, 5), u8(2, 3, 5)}, "type of predictions[0]", "a float type"},
		{dice, 0, []*tensors.Tensor{logits}, "labels", "the target"},
		{dice, 0, []*tensors.Tensor{logits, u8(2, 5, 3)}, "shape of labels[0]", "[2 3 5] or [2 1 3 5] (class indices), or [2 2 3 5]"},
		{dice, 1, []*tensors.Tensor{logits, u8(2, 1, 3, 5)}, "shape of labels[0]", "[2 2 3] or [2 2 3 1] (class indices), or [2 2 3 5]"},
		{dice, 0, []*tensors.Tensor{logits, u8(2, 3, 5), u8(2, 3, 5)}, "type of labels[1]", "bool (a mask) or a float type"},
		{dice, 0, []*tensors.Tensor{logits, u8(2, 3, 5), boolean(2, 3, 5), boolean(2)}, "labels[2]", "at most one"},
		{dice, 0, []*tensors.Tensor{logits, u8(2, 3, 5), f32(2, 3, 5), boolean(3)}, "shape of labels[2]", "[2], [2 3 5] or [2 1 3 5] (mask)"},
		{dice, 0, []*tensors.Tensor{logits, u8(2, 3, 5), f32(3, 5)}, "shape of labels[1]", "(voxel weights)"},
		{nil, 0, []*tensors.Tensor{logits, u8(2, 3, 5)}, "loss", "a loss of package afl"},
		{&dice, 0, []*tensors.Tensor{logits, u8(2, 3, 5)}, "loss", "a loss of package afl, by value"},
		{afl.Dice{}, 0, []*tensors.Tensor{logits, u8(2, 3, 5)}, "loss", "NewDice"},
		{weighted, 0, []*tensors.Tensor{logits, u8(2, 3, 5)}, "length of Weight", "1 or 2"},
		{ignoring, 0, []*tensors.Tensor{logits, u8(2, 2, 3, 5)}, "IgnoreIndex", "none with a per-channel target"},
		{afl.NewAdaptiveFocal(), 1, []*tensors.Tensor{logits, u8(2, 2, 3)}, "channels of logits", "2 in the released form"},
	} {
		exec, err := NewExec(backend, func(in []*Node) *Node { return Loss(test.loss, test.channels)(in[1:], in[:1]) })
		require.NoError(t, err)
		inputs := make([]any, len(test.in))
		for i, x := range test.in {
			inputs[i] = x
		}
		_, err = exec.Exec(inputs...)
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, test.argument)
		assert.Equal(t, test.argument, refused.Argument)
		assert.Contains(t, refused.Want, test.wanted)
		exec.Finalize()
	}
	for message, predictions := range map[string][]*Node{
		"length of predictions is 0, want 1, the logits": nil,
		"length of predictions is 2, want 1, the logits": make([]*Node, 2),
		"predictions[0] is nil, want the logits":         {nil},
	} {
		assert.PanicsWithError(t, "afl: "+message, func() { Loss(dice, images.ChannelsFirst)(nil, predictions) })
	}
}
