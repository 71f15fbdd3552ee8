package losstest

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// named returns a loss of the registry.
func named(t testing.TB, name string) afl.Loss {
	t.Helper()
	l, err := afl.ByName(name)
	require.NoError(t, err)
	return l
}

// ignoreEqualsCrop checks that ignored voxels might as well not be there.
func (s suite) ignoreEqualsCrop(t *testing.T) {
	const c, v, valid = 3, 12, 8
	call := Call{Logits: RandomLogits(tensor.Float64, []int{1, c, 1, v}, 1), Target: RandomLabels([]int{1, c, 1, v}, c, 1)}
	x, y := call.Logits.Data().([]float64), call.Target.Data().([]uint8)
	for i := valid; i < v; i++ {
		y[i] = 255
		for ch := range c {
			x[ch*v+i] = math.NaN() // must not be read
		}
	}
	crop := Call{
		Logits: Floats(tensor.Float64, []int{1, c, 1, valid}, func(i int) float64 { return x[i/valid*v+i%valid] }),
		Target: Bytes([]int{1, 1, valid}, func(i int) uint8 { return y[i] }),
	}
	for _, vr := range variants() {
		if !slices.Contains(vr.channels, c) {
			continue
		}
		if vr.labelStatistics() {
			continue // the mask has a boundary towards ignored voxels
		}
		for _, r := range []afl.Reduction{afl.ReduceMean, afl.ReduceSum} {
			ignoring := setOptions(vr.loss, func(o *afl.Options) { o.Reduction, o.IgnoreIndex = r, afl.Ignore(255) })
			plain := setOptions(vr.loss, func(o *afl.Options) { o.Reduction = r })
			want, wantGrad := s.grad(t, vr.name, plain, crop)
			got, gotGrad := s.grad(t, vr.name, ignoring, call)
			assert.InDelta(t, want, got, 1e-13*math.Max(1, want), vr.name)
			for i, g := range gotGrad.Data().([]float64) {
				if i%v >= valid {
					assert.Zero(t, g, vr.name)
				} else {
					assert.InDelta(t, wantGrad.Data().([]float64)[i/v*valid+i%v], g, 1e-13, vr.name)
				}
			}
		}
	}
}

// relations checks how the losses relate to each other.
func (s suite) relations(t *testing.T) {
	equal := func(name string, a, b afl.Loss, shape []int, scale float64) {
		t.Helper()
		call := Call{Logits: RandomLogits(tensor.Float64, shape, 3), Target: RandomLabels(shape, max(2, shape[1]), 3)}
		va, ga := s.grad(t, name, a, call)
		vb, gb := s.grad(t, name, b, call)
		assert.InDelta(t, va, scale*vb, 1e-12*math.Max(1, math.Abs(va)), name)
		for i, g := range gb.Data().([]float64) {
			require.InDelta(t, ga.Data().([]float64)[i], scale*g, 1e-12, name)
		}
	}
	three := []int{2, 3, 4, 5, 6}
	two := []int{2, 2, 9, 5}

	focal := afl.NewFocal()
	focal.Gamma = []float64{0}
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
	ft.Gamma = []float64{1}
	equal("focal Tversky with gamma 1 is Tversky", ft, ft.Tversky, three, 1)

	for _, a := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
		for _, c := range []int{1, 2} {
			if a == afl.Softmax && c == 1 {
				continue
			}
			multi, balanced := afl.NewAdaptiveFocalMulticlass(), afl.NewAdaptiveFocalBalanced()
			multi.Activation, balanced.Activation = a, a
			equal("multiclass A-FL of two classes is the balanced one", multi, balanced, []int{2, c, 9, 5}, 1)
		}
	}

	dce := afl.NewDiceCE()
	dce.LambdaOverlap = 0
	equal("DiceCE without Dice is CE", dce, afl.NewCrossEntropy(), three, 1)
	dce.LambdaOverlap, dce.LambdaPointwise = 2, 0
	equal("DiceCE without CE is Dice", dce, dce.Overlap, three, 2)
	dce.LambdaPointwise = 0.7
	sum := afl.NewSum(afl.Term{Weight: 0.7, Loss: dce.Pointwise}, afl.Term{Weight: 2, Loss: dce.Overlap})
	equal("a compound is the sum of its terms", dce, sum, three, 1)
	equal("also of one channel, by sigmoid", dce, afl.NewSum(afl.Term{Weight: 0.7, Loss: afl.NewBinaryCrossEntropy()},
		afl.Term{Weight: 2, Loss: diceBy(dce.Overlap, afl.Sigmoid)}), []int{2, 1, 9, 5}, 1)
	adice := afl.NewDiceAdaptiveFocal()
	equal("A-FL and Dice are one plan", adice, afl.NewSum(afl.Term{Weight: 1, Loss: adice.Pointwise}, afl.Term{Weight: 1, Loss: adice.Overlap}), two, 1)

	// A-FL with the gamma and weights of one label is a weighted focal loss.
	l := afl.NewAdaptiveFocal()
	params, err := s.Parameters(t, l, RandomLogits(tensor.Float64, two, 3), RandomLabels(two, 2, 3))
	require.NoError(t, err)
	f := afl.NewFocal()
	f.Gamma, f.Weight = params[0].Gamma[:1], params[0].Positive
	equal("A-FL is a focal loss with its parameters", l, f, two, 1)
}

// sum: the weighted sum of losses, in the types that logits have.
func (s suite) sum(t *testing.T) {
	shape := []int{2, 2, 7, 9, 5}
	weights := []float64{0.75, -2, 3}
	losses := []afl.Loss{afl.NewDice(), afl.NewFocal(), afl.NewDiceCE()}
	sum := afl.NewSum()
	for i, l := range losses {
		sum.Terms = append(sum.Terms, afl.Term{Weight: weights[i], Loss: l})
	}
	for _, h := range append([]Half{None}, s.Traits.Half...) {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			if h != None && dt != tensor.Float32 {
				continue
			}
			call := Call{Logits: RandomLogits(dt, shape, 3), Target: RandomLabels(shape, 2, 3), Half: h}
			if h != None {
				h.round(call.Logits)
			}
			name := fmt.Sprint(h, dt)
			want, wantGrad := 0.0, make([]float64, 2*2*7*9*5)
			for i, l := range losses {
				v, g := s.grad(t, name, l, call)
				want += weights[i] * v
				for k, x := range Numbers(t, g) {
					wantGrad[k] += weights[i] * x
				}
			}
			got, grad := s.grad(t, name, sum, call)
			assert.InDelta(t, want, got, 1e-13, name)
			tol := Tolerance{Largest: 1e-15, Absolute: 1e-17}
			if dt == tensor.Float32 {
				tol = Tolerance{Largest: 3e-7}
			}
			if h != None {
				tol.Largest += 4 * h.tolerance().Relative
			}
			Near(t, name, wantGrad, Numbers(t, grad), tol)
			assert.Equal(t, got, s.value(t, name, sum, call), name)
		}
	}
	_, _, err := s.Eval(t, sum, Call{Logits: RandomLogits(tensor.Float32, shape, 3), Target: RandomLabels(shape, 3, 3), WantGrad: true})
	assert.ErrorContains(t, err, "want a class index from 0 to 1")
}

// diceBy returns a Dice loss with another activation.
func diceBy(l afl.Dice, a afl.Activation) afl.Dice {
	l.Activation = a
	return l
}

// weightMapEqualsRepetition: in a sum, weight 2 counts a voxel twice and weight
// 0 not at all.
func (s suite) weightMapEqualsRepetition(t *testing.T) {
	const v = 6
	shape, doubled := []int{1, 2, 1, v}, []int{1, 2, 1, 2 * v}
	call := Call{Logits: RandomLogits(tensor.Float64, shape, 1), Target: RandomLabels(shape, 2, 1)}
	x, y := call.Logits.Data().([]float64), call.Target.Data().([]uint8)
	twice := Call{
		Logits: Floats(tensor.Float64, doubled, func(i int) float64 { return x[i/(2*v)*v+i%v] }),
		Target: Bytes([]int{1, 1, 2 * v}, func(i int) uint8 { return y[i%v] }),
	}
	half := Call{
		Logits: Floats(tensor.Float64, []int{1, 2, 1, v / 2}, func(i int) float64 { return x[i/(v/2)*v+i%(v/2)] }),
		Target: Bytes([]int{1, 1, v / 2}, func(i int) uint8 { return y[i] }),
	}
	for _, vr := range variants() {
		if vr.labelStatistics() || !slices.Contains(vr.channels, 2) {
			continue
		}
		l := setOptions(vr.loss, func(o *afl.Options) { o.Reduction = afl.ReduceSum })
		call.VoxelWeight = Floats(tensor.Float64, []int{1, 1, v}, func(int) float64 { return 2 })
		want := s.value(t, vr.name, l, twice)
		assert.InDelta(t, want, s.value(t, vr.name, l, call), 1e-12*math.Max(1, math.Abs(want)), vr.name)
		call.VoxelWeight = Floats(tensor.Float64, []int{1, 1, v}, func(i int) float64 { return float64(1 - i/(v/2)) })
		want = s.value(t, vr.name, l, half)
		assert.InDelta(t, want, s.value(t, vr.name, l, call), 1e-12*math.Max(1, math.Abs(want)), vr.name)
	}
}

// determinism: the same bits every time, for any number of threads.
func (s suite) determinism(t *testing.T) {
	shape := []int{2, 3, 41, 37, 29}
	if s.Traits.Brief {
		shape = []int{2, 3, 17, 16, 19}
	}
	call := Call{Logits: RandomLogits(tensor.Float32, shape, 1), Target: RandomLabels(shape, 3, 1)}
	losses := []afl.Loss{
		afl.NewCrossEntropy(), afl.NewFocal(), afl.NewAdaptiveFocalMulticlass(), afl.NewDice(),
		afl.NewDiceCE(), afl.NewDiceFocal(), afl.NewGeneralizedDice(), afl.NewTversky(),
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, l := range losses {
		what := variant{loss: l}.kind()
		runtime.GOMAXPROCS(1)
		want, wantGrad := s.grad(t, what, l, call)
		for i := range max(3, s.Traits.Repeats) {
			runtime.GOMAXPROCS([]int{2, 3, 7}[i%3])
			got, grad := s.grad(t, what, l, call)
			sameBits(t, what, want, got, wantGrad, grad)
		}
	}
}
