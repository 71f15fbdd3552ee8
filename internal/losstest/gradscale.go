package losstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// gradScale checks that a gradient scale multiplies the gradient and nothing else: of
// reduced and un-reduced losses, with and without an upstream gradient.
func (s suite) gradScale(t *testing.T) {
	const scale = 3000
	cover := s.cover()
	for k, v := range variants() {
		for i, c := range v.channels {
			if !cover.needs(v.kind(), fmt.Sprint(v.pointwise(), c)) {
				continue
			}
			dt := []tensor.Dtype{tensor.Float64, tensor.Float32}[(i+k)%2]
			shape := []int{2, c, 3, 5}
			options := sharedOptions(v, c, k+i)
			if s.Traits.Brief {
				options = options[:2]
			}
			for j, o := range options {
				name := fmt.Sprintf("%s, C=%d, %s, %v", v.name, c, o.name, dt)
				call := o.call(shape)
				call.Logits = testLogits(v.loss, dt, shape, 1)
				s.compareScaled(t, name, setOptions(v.loss, o.set), call, scale)
				if j != 0 || !v.hasElements() {
					continue
				}
				none := setOptions(v.loss, func(to *afl.Options) {
					o.set(to)
					to.Reduction = afl.ReduceNone
				})
				s.compareScaled(t, name+", un-reduced", none, call, scale)
				r := rand.New(rand.NewPCG(4, 4))
				value := s.elements(t, name, none, call)
				call.Upstream = Floats(value.Dtype(), value.Shape(), func(int) float64 { return r.NormFloat64() })
				s.compareScaled(t, name+", upstream gradient", none, call, scale)
			}
		}
	}
	for _, refused := range []float64{0x1p-61, 0x1p61, -1, math.NaN(), math.Inf(1)} {
		_, _, err := s.Eval(t, named(t, "dice"), Call{Logits: RandomLogits(tensor.Float32, []int{1, 2, 2, 2}, 1),
			Target: RandomLabels([]int{1, 2, 2, 2}, 2, 1), GradScale: refused, WantGrad: true})
		assert.ErrorContains(t, err, "gradient scale is "+fmt.Sprint(refused)+", want a number from 2⁻⁶⁰ to 2⁶⁰")
	}
}

// compareScaled compares a call with a gradient scale with the same call without one.
func (s suite) compareScaled(t *testing.T, name string, l afl.Loss, call Call, scale float64) {
	t.Helper()
	call.WantGrad = true
	want, wantGrad, err := s.Eval(t, l, call)
	require.NoError(t, err, name)
	call.GradScale = scale
	got, grad, err := s.Eval(t, l, call)
	require.NoError(t, err, name)
	tolerance := Tolerance{Relative: 1e-13, Largest: 1e-13}
	if call.Logits.Dtype() == tensor.Float32 {
		tolerance = Tolerance{Relative: 1e-5, Largest: 1e-6}
	}
	Near(t, name+": value", Numbers(t, want), Numbers(t, got), Tolerance{})
	scaled := Numbers(t, wantGrad)
	for i := range scaled {
		scaled[i] *= scale
	}
	Near(t, name+": gradient", scaled, Numbers(t, grad), tolerance)
}

// halfGradScale checks that a gradient scale keeps float16 gradients of a mean, which would
// be rounded to 0 without it. A class weight makes the elements of a small tensor as small as
// those in the mean over a volume of 160×160×64.
func (s suite) halfGradScale(t *testing.T) {
	if len(s.Traits.Half) == 0 {
		t.Skipf("%s takes no half precision logits", s.Name())
	}
	const voxels, scale = 23 * 45, 0x1p22
	shape := []int{1, 2, 23, 45}
	logits := RandomLogits(tensor.Float32, shape, 1)
	weight := float64(voxels) / (160 * 160 * 64)
	weighted := func(l afl.Loss) afl.Loss {
		return setOptions(l, func(o *afl.Options) { o.Weight = []float64{weight} })
	}
	mean := weighted(afl.NewAdaptiveFocal())
	dice := weighted(afl.NewDiceFocal())
	losses := map[string]afl.Loss{
		"a mean":                    mean,
		"a mean and an overlap":     dice,
		"a Sum":                     afl.NewSum(afl.Term{Weight: 0.5, Loss: mean}, afl.Term{Weight: 2, Loss: dice}),
		"a mean of un-reduced ones": setOptions(weighted(afl.NewFocal()), func(o *afl.Options) { o.Reduction = afl.ReduceNone }),
	}
	for _, h := range s.Traits.Half {
		h.round(logits)
		for name, l := range losses {
			name = fmt.Sprintf("%v, %s", h, name)
			call := Call{Logits: logits, Target: RandomLabels(shape, 2, 1), WantGrad: true}
			if name == fmt.Sprintf("%v, a mean of un-reduced ones", h) {
				call.Upstream = Floats(tensor.Float32, shape, func(int) float64 { return h.Round(1.0 / (2 * voxels)) })
			}
			_, want, err := s.Eval(t, l, call)
			require.NoError(t, err, name)
			call.Half = h
			_, plain, err := s.Eval(t, l, call)
			require.NoError(t, err, name)
			call.GradScale = scale
			_, grad, err := s.Eval(t, l, call)
			require.NoError(t, err, name)

			scaled := Numbers(t, want)
			for i := range scaled {
				scaled[i] *= scale
			}
			tolerance := s.Traits.Float32.Gradient.plus(h.tolerance())
			if name == fmt.Sprintf("%v, a Sum", h) {
				tolerance = tolerance.plus(h.tolerance()).plus(h.tolerance()).plus(Tolerance{Largest: h.tolerance().Relative})
			}
			h.near(t, name, scaled, Numbers(t, grad), tolerance)
			if h != Float16 {
				continue
			}
			assert.LessOrEqual(t, zeros(Numbers(t, grad)), len(scaled)/500, "%s: zeros with the scale", name)
			if name == "float16, a mean" {
				assert.Greater(t, zeros(Numbers(t, plain)), len(scaled)/4, "%s: zeros without the scale", name)
			}
		}
	}
}

func zeros(x []float64) (n int) {
	for _, v := range x {
		if v == 0 {
			n++
		}
	}
	return n
}
