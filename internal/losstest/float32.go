package losstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// float32 compares every loss on float32 logits with float64 ones of the same
// values, at sizes around those that the kernels work in.
func (s suite) float32(t *testing.T) {
	var sizes []int
	for n := 1; n <= 70; n++ {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, 255, 257, 1023, 1025, 3001)
	brief := s.Traits.Brief
	if brief {
		sizes = []int{1, 17, 64, 70, 1025}
	}
	worst := 0.0
	cover := s.cover()
	for k, v := range variants() {
		for _, c := range v.channels {
			if takesProbabilities(v.loss, c) {
				continue
			}
			for i := range sizes {
				n := sizes[(i+k)%len(sizes)]
				if !brief && (i+k)%len(sizes)%5 != len(v.name)%5 && n < 1023 { // a fifth of the sizes for each loss
					continue
				}
				if !cover.needs(v.name, v.kind()+fmt.Sprint(c), v.kind()+fmt.Sprint(n)+"voxels") {
					continue
				}
				shape := []int{2, c, 1, n}
				call := Call{Logits: RandomLogits(tensor.Float32, shape, uint64(n)), Target: RandomLabels(shape, max(c, 2), uint64(n))}
				l := v.loss
				if n%2 == 0 {
					ignoreEvery(3, call.Target)
					l = setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
				}
				name := fmt.Sprintf("%s, C=%d, %d voxels", v.name, c, n)
				want, wantGrad := s.grad(t, name, l, Call{Logits: widen(t, call.Logits), Target: call.Target})
				got, grad := s.grad(t, name, l, call)
				s.requireSameValue(t, name, got, s.value(t, name, l, call))
				Near(t, name, []float64{want}, []float64{got}, s.Traits.Float32.Value)
				Near(t, name, Numbers(t, wantGrad), Numbers(t, grad), s.Traits.Float32.Gradient)
				if n > 1000 && want != 0 {
					worst = max(worst, math.Abs(got-want)/math.Abs(want))
				}
				// Other types of labels take the same way.
				other, otherGrad := s.grad(t, name, l, Call{Logits: call.Logits, Target: convert[int64](call.Target)})
				sameBits(t, name, got, other, grad, otherGrad)
			}
		}
	}
	t.Logf("largest relative error of a value over more than 1000 voxels: %.2g", worst)
}

// requireSameValue compares a value with that of the same call without gradient.
func (s suite) requireSameValue(t *testing.T, name string, value, alone float64) {
	t.Helper()
	if s.Traits.ValueVaries {
		Near(t, name+": without gradient", []float64{value}, []float64{alone}, s.Traits.Float32.Value)
		return
	}
	assert.Equal(t, math.Float64bits(value), math.Float64bits(alone), "%s: the value depends on the gradient", name)
}

// float32Sum: a sum over millions of voxels keeps its accuracy.
func (s suite) float32Sum(t *testing.T) {
	shape := []int{1, 2, 3, 1 << 10, 1 << 10}
	if s.Traits.Brief {
		shape = []int{1, 2, 3, 40, 45}
	}
	call := Call{Logits: RandomLogits(tensor.Float32, shape, 1), Target: RandomLabels(shape, 2, 1)}
	wide := Call{Logits: widen(t, call.Logits), Target: call.Target}
	for _, name := range afl.PaperNames() {
		l := named(t, name)
		want, got := s.value(t, name, l, wide), s.value(t, name, l, call)
		assert.InEpsilon(t, want, got, 1e-6, name)
		t.Logf("%s: relative error %.1e", name, math.Abs(got-want)/want)
	}
}

// float32Excluded: a class label out of range is named, and logits that take no
// part may hold anything.
func (s suite) float32Excluded(t *testing.T) {
	shape := []int{1, 2, 7, 300}
	call := Call{Logits: RandomLogits(tensor.Float32, shape, 1), Target: RandomLabels(shape, 2, 1), WantGrad: true}
	call.Target.Data().([]uint8)[1333] = 2
	_, _, err := s.Eval(t, afl.NewDice(), call)
	assert.ErrorContains(t, err, "voxel 1333 is 2")
	x := call.Logits.Data().([]float32)
	x[1333], x[1333+7*300] = float32(math.NaN()), float32(math.Inf(1))
	for _, name := range afl.PaperNames() {
		l := setOptions(named(t, name), func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(2) })
		value, grad := s.grad(t, name, l, call)
		requireFinite(t, name, value, grad)
		g := grad.Data().([]float32)
		assert.Zero(t, g[1333])
		assert.Zero(t, g[1333+7*300])
	}
}

// half compares every loss on half precision logits with float64 ones of the
// same values.
func (s suite) half(t *testing.T) {
	if len(s.Traits.Half) == 0 {
		t.Skipf("%s takes no half precision logits", s.Name())
	}
	for _, h := range s.Traits.Half {
		for k, v := range variants() {
			for i, n := range []int{1, 3, 17, 64, 255, 4099} {
				if s.Traits.Brief && i != k%6 {
					continue
				}
				c := v.channels[(i+k)%len(v.channels)]
				shape := []int{2, c, 1, n}
				logits := RandomLogits(tensor.Float32, shape, uint64(n))
				if takesProbabilities(v.loss, c) {
					logits = probabilities(tensor.Float32, shape, uint64(n))
				}
				h.round(logits)
				call := Call{Logits: logits, Target: RandomLabels(shape, max(c, 2), uint64(n)), Half: h}
				name := fmt.Sprintf("%v, %s, C=%d, %d voxels", h, v.name, c, n)
				want, wantGrad := s.grad(t, name, v.loss, Call{Logits: widen(t, logits), Target: call.Target})
				got, grad := s.grad(t, name, v.loss, call)
				Near(t, name, []float64{want}, []float64{got}, s.Traits.Float32.Value)
				Near(t, name, Numbers(t, wantGrad), Numbers(t, grad), s.Traits.Float32.Gradient.plus(h.tolerance()))

				// The gradient of un-reduced elements, which are of the type too.
				if !v.hasElements() {
					continue
				}
				none := setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
				wide := s.elements(t, name, none, Call{Logits: widen(t, logits), Target: call.Target})
				call.WantGrad = true
				elements, grad, err := s.Eval(t, none, call)
				require.NoError(t, err, name)
				Near(t, name, Numbers(t, wide), Numbers(t, elements), s.Traits.Float32.Value.plus(h.tolerance()))
				for _, g := range Numbers(t, grad) {
					require.False(t, math.IsNaN(g), name)
				}
			}
		}
	}
}

// round replaces logits by the nearest values of the type.
func (h Half) round(logits *tensor.Dense) {
	x := logits.Data().([]float32)
	for i, v := range x {
		x[i] = float32(h.Round(float64(v)))
	}
}
