package losstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// gradient compares every loss's analytic gradient with central differences of
// its value, under every shared option, in 2-D and 3-D.
func (s suite) gradient(t *testing.T) {
	shapes := [][]int{{2, 0, 3, 5}, {2, 0, 2, 3, 3}}
	checks, cover := 0, s.cover()
	for i, v := range variants() {
		for _, c := range v.channels {
			for d, shape := range shapes {
				shape = slices.Clone(shape)
				shape[1] = c
				for _, o := range sharedOptions(v, c, i) {
					if !cover.needs(v.name, v.kind()+o.name, fmt.Sprint(v.kind(), c), fmt.Sprint(o.name, d)) {
						continue
					}
					name := fmt.Sprintf("%s/C=%d/%dD/%s", v.name, c, 2+d, o.name)
					checks++
					if !s.gradientCheck(t, name, setOptions(v.loss, o.set), shape, o.call(shape)) {
						return
					}
				}
			}
		}
	}
	t.Logf("%d combinations of loss, option and shape", checks)
}

// gradientCheck compares with fourth-order central differences.
func (s suite) gradientCheck(t *testing.T, name string, l afl.Loss, shape []int, call Call) bool {
	call.Logits = testLogits(l, tensor.Float64, shape, 5)
	_, grad := s.grad(t, name, l, call)
	g := grad.Data().([]float64)
	x := call.Logits.Data().([]float64)
	largest := 0.0
	for _, v := range g {
		largest = max(largest, math.Abs(v))
	}
	const h = 1e-3
	at := func(i int, d float64) float64 {
		old := x[i]
		defer func() { x[i] = old }()
		x[i] += d
		return s.value(t, name, l, call)
	}
	entries := 12
	if s.Traits.Brief {
		entries = 3
	}
	for i := 0; i < len(x); i += 1 + len(x)/entries {
		numeric := (8*(at(i, h)-at(i, -h)) - (at(i, 2*h) - at(i, -2*h))) / (12 * h)
		if !assert.InDelta(t, numeric, g[i], 1e-9*math.Max(1, largest)+1e-7*largest, "%s: entry %d of the gradient", name, i) {
			return false
		}
	}
	return true
}

// upstream checks the un-reduced losses: their elements add up to the sum, and
// the pullback is linear in the upstream gradient.
func (s suite) upstream(t *testing.T) {
	space, entries := []int{9, 11, 4}, 5 // two of the CPU's tiles a sample
	if s.Traits.Brief {
		space, entries = []int{3, 5, 4}, 2
	}
	cover := s.cover()
	for _, v := range variants() {
		if !v.hasElements() {
			continue
		}
		for _, c := range v.channels {
			if !cover.needs(v.name, fmt.Sprint(v.kind(), c)) {
				continue
			}
			shape := append([]int{2, c}, space...)
			call := Call{Logits: testLogits(v.loss, tensor.Float64, shape, 1), Target: RandomLabels(shape, max(c, 2), 1)}
			none := setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
			value := s.elements(t, v.name, none, call)
			r := rand.New(rand.NewPCG(4, 4))
			u := Floats(tensor.Float64, value.Shape(), func(int) float64 { return r.NormFloat64() })
			_, grad, err := s.Eval(t, none, Call{Logits: call.Logits, Target: call.Target, Upstream: u, WantGrad: true})
			require.NoError(t, err, v.name)

			x, g := call.Logits.Data().([]float64), grad.Data().([]float64)
			objective := func() float64 {
				total := 0.0
				for i, e := range Numbers(t, s.elements(t, v.name, none, call)) {
					total += e * Numbers(t, u)[i]
				}
				return total
			}
			for i := 0; i < len(x); i += 1 + len(x)/entries {
				const h = 1e-4
				old := x[i]
				x[i] = old + h
				hi := objective()
				x[i] = old - h
				lo := objective()
				x[i] = old
				assert.InDelta(t, (hi-lo)/(2*h), g[i], 1e-6, "%s: entry %d", v.name, i)
			}
			if v.pointwise() && !v.takesVoxelMean() {
				continue // a compound's groups are broadcast over the elements
			}
			sum := s.value(t, v.name, setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceSum }), call)
			total := 0.0
			for _, e := range Numbers(t, value) {
				total += e
			}
			assert.InDelta(t, sum, total, 1e-12*math.Max(1, math.Abs(sum)), v.name)
		}
	}
}

// compoundElements: without reduction each group of the overlap term is added to all
// elements of its channel.
func (s suite) compoundElements(t *testing.T) {
	shape := []int{2, 3, 5, 7, 9}
	const v = 5 * 7 * 9
	call := Call{Logits: RandomLogits(tensor.Float64, shape, 1), Target: RandomLabels(shape, 3, 1)}
	for _, batch := range []bool{false, true} {
		for _, exclude := range []bool{false, true} {
			l := afl.NewDiceFocal()
			l.Overlap.Batch, l.LambdaOverlap, l.LambdaPointwise = batch, 0.3, 1.7
			for _, o := range []*afl.Options{&l.Pointwise.Options, &l.Overlap.Options} {
				o.Reduction, o.ExcludeBackground = afl.ReduceNone, exclude
			}
			got := s.elements(t, "DiceFocal", l, call)
			groups := s.elements(t, "Dice", l.Overlap, call)
			elements := s.elements(t, "focal", l.Pointwise, call)
			channels := groups.Shape().TotalSize() / map[bool]int{false: 2, true: 1}[batch]
			require.Equal(t, []int{2, channels, 5, 7, 9}, []int(got.Shape()))
			for i, e := range Numbers(t, elements) {
				group := i / v
				if batch {
					group %= channels
				}
				require.InDelta(t, 0.3*Numbers(t, groups)[group]+1.7*e, Numbers(t, got)[i], 1e-13, "batch %v, exclude background %v, element %d", batch, exclude, i)
			}
		}
	}
}
