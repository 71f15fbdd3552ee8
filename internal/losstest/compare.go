package losstest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// compareFloat64 is how far float64 results of two backends may lie apart: they
// add in different orders.
var compareFloat64 = Accuracy{
	Value:    Tolerance{Relative: 1e-12, Absolute: 1e-13},
	Gradient: Tolerance{Relative: 1e-11, Largest: 1e-12, Absolute: 1e-16},
}

// cancelled is what may be left of a float32 gradient whose terms cancel.
const cancelled = 1e-12

// compareShapes have few and many voxels, even and odd numbers of them, more
// than two chunks of work a sample, and more channels than a kernel keeps at
// hand.
func compareShapes() [][]int {
	return [][]int{
		{1, 2, 1, 1}, {3, 1, 1, 1, 1}, {2, 3, 1, 2}, {1, 4, 2, 2, 1},
		{1, 2, 15, 17}, {3, 3, 5, 17, 3}, {2, 1, 256, 1}, {1, 2, 257, 1}, {3, 6, 1, 257},
		{2, 2, 11, 31, 3}, {1, 5, 33, 31}, {1, 1, 1, 4099}, {2, 3, 4099, 1, 1},
		{2, 2, 90, 100}, {3, 1, 9, 25, 40}, {2, 4, 20, 21, 22}, {1, 2, 64, 64},
		{2, 20, 5, 7, 9}, {1, 20, 61, 101}, {2, 17, 16, 16},
	}
}

// Compare compares a backend with another on random and on hostile input: every
// loss, with every option of its own and every one that losses share, on float32
// and float64 logits, at sizes around those that kernels work in, with all kinds
// of targets and upstream gradients. What is right for float32 logits is what
// the other backend returns for the same numbers in float64.
func Compare(t *testing.T, want, got Runner) {
	w := suite{Runner: want, Traits: want.Traits()}
	s := suite{Runner: got, Traits: got.Traits()}
	shapes := compareShapes()
	checks, cover := 0, s.cover()
	large := map[string]bool{} // shapes that a brief run had
	for i, v := range compareVariants() {
		// Every loss meets every option and every shape, each shape another option
		// with the next loss.
		for k := range len(compareOptions(v, 2)) {
			shape := slices.Clone(shapes[(k+i)%len(shapes)])
			shape[1] = v.fit(shape[1])
			if s.Traits.Brief {
				if product(shape) > briefLogits {
					shape = []int{1, shape[1], 29, 71} // still two chunks of work
				}
				if key := fmt.Sprint(shape); large[key] && product(shape) > 1000 {
					shape = []int{2, shape[1], 5, 7, 3}
				} else {
					large[key] = true
				}
			}
			o := compareOptions(v, shape[1])[k]
			hostile := (i+k)%4 == 3 && !takesProbabilities(v.loss, shape[1])
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				if !cover.needs(v.name+dt.String(), v.kind()+o.name, o.name+dt.String(), fmt.Sprint(v.kind(), shape[1]), fmt.Sprint(shape, dt), fmt.Sprint(v.kind(), hostile)) {
					continue
				}
				checks++
				name := fmt.Sprintf("%s/%v/%v/%s/hostile=%v", v.name, shape, dt, o.name, hostile)
				call := o.call(shape)
				call.Logits = compareLogits(v, dt, shape, uint64(i*100+k), hostile)
				if !s.compare(t, w, name, setOptions(v.loss, o.set), call, o.upstream) {
					return
				}
			}
		}
	}
	t.Logf("%d combinations of loss, option, shape and type: %s against %s", checks, got.Name(), want.Name())
}

// compareLogits returns random logits, every third of them hostile where asked.
func compareLogits(v variant, dt tensor.Dtype, shape []int, salt uint64, hostile bool) *tensor.Dense {
	if takesProbabilities(v.loss, shape[1]) {
		return probabilities(dt, shape, salt)
	}
	extremes := []float64{0, math.Copysign(0, -1), 1e-45, -1e-30, 17, -40, 88.8, -88.8, 104, -104, 710, -746, 1e4, -1e4}
	r := rand.New(rand.NewPCG(salt, 4))
	return Floats(dt, shape, func(int) float64 {
		x := 2 * r.NormFloat64()
		if hostile && r.IntN(3) == 0 {
			x = extremes[r.IntN(len(extremes))]
		}
		return x
	})
}

// compare evaluates one call on both backends, with and without the gradient.
func (s suite) compare(t *testing.T, w suite, name string, l afl.Loss, call Call, upstream bool) bool {
	t.Helper()
	tol, exact := compareFloat64, call
	if call.Logits.Dtype() == tensor.Float32 {
		tol = s.Traits.Float32
		tol.Gradient.Absolute += cancelled
		exact.Logits = widen(t, call.Logits)
	}
	want := w.elements(t, name, l, exact)
	if call.Logits.Dtype() == tensor.Float32 && describe(l).pointwise {
		tol.Value.Largest += 1e-6 // an element of a compound is a sum whose terms may cancel
	}
	if upstream {
		r := rand.New(rand.NewPCG(4, 4))
		// Elements are of the logits' type, groups are float64. The numbers are
		// those of a float32, for both.
		u := Floats(want.Dtype(), want.Shape(), func(int) float64 { return float64(float32(r.NormFloat64())) })
		exact.Upstream, call.Upstream = u, u
		if describe(l).pointwise {
			call.Upstream = Floats(call.Logits.Dtype(), want.Shape(), func(i int) float64 { return u.Data().([]float64)[i] })
		}
	}
	exact.WantGrad = true
	want, wantGrad, err := w.Eval(t, l, exact)
	require.NoError(t, err, name)
	bare := call
	bare.Upstream = nil
	alone := s.elements(t, name, l, bare)
	call.WantGrad = true
	value, grad, err := s.Eval(t, l, call)
	require.NoError(t, err, name)
	require.Equal(t, want.Shape(), value.Shape(), name)
	require.True(t, call.Logits.Shape().Eq(grad.Shape()), "%s: shape of the gradient", name)
	require.Equal(t, call.Logits.Dtype(), grad.Dtype(), name)
	return Near(t, name+": value", Numbers(t, want), Numbers(t, value), tol.Value) &&
		Near(t, name+": value without gradient", Numbers(t, want), Numbers(t, alone), tol.Value) &&
		Near(t, name+": gradient", Numbers(t, wantGrad), Numbers(t, grad), tol.Gradient)
}

// compareOption is a shared option and what a comparison adds to it.
type compareOption struct {
	sharedOption
	// target writes the labels in another way; nil leaves them.
	target func(labels *tensor.Dense, shape []int) *tensor.Dense
	// upstream asks for an upstream gradient.
	upstream bool
}

// compareOptions lists the shared options of a loss of c channels, all ways to
// write a target, and what leaves the loss un-reduced.
func compareOptions(v variant, c int) []compareOption {
	var out []compareOption
	for _, o := range sharedOptions(v, c, 0) {
		out = append(out, compareOption{sharedOption: o})
	}
	plain := func(*afl.Options) {}
	written := func(name string, as func(labels *tensor.Dense, shape []int) *tensor.Dense) {
		out = append(out, compareOption{sharedOption: sharedOption{name: "target/" + name, set: plain}, target: as})
	}
	written("int8", typed(convert[int8]))
	written("int16", typed(convert[int16]))
	written("uint16", typed(convert[uint16]))
	written("int32", typed(convert[int32]))
	written("uint32", typed(convert[uint32]))
	written("int64", typed(convert[int64]))
	written("uint64", typed(convert[uint64]))
	written("float32", typed(convert[float32]))
	written("float64", typed(convert[float64]))
	written("bool", typed(isOne))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Uint8, tensor.Bool} {
		written("map/"+dt.Name(), func(labels *tensor.Dense, shape []int) *tensor.Dense { return OneHot(dt, labels, shape) })
	}
	ignoring := func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }
	out = append(out,
		compareOption{sharedOption: sharedOption{name: "ignore/uint8", target: "ignored", set: func(o *afl.Options) {
			ignoring(o)
			o.Reduction = afl.ReduceSum
		}}},
		compareOption{sharedOption: sharedOption{name: "ignore/uint16", target: "ignored", set: ignoring}, target: typed(convert[uint16])},
		compareOption{sharedOption: sharedOption{name: "ignore/float32", target: "ignored", set: ignoring}, target: typed(convert[float32])},
		compareOption{sharedOption: sharedOption{name: "ignore class 0", set: func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(0) }}},
	)
	if !v.hasElements() {
		return out
	}
	for _, upstream := range []bool{false, true} {
		name := fmt.Sprintf("none/upstream=%v", upstream)
		unreduced := func(o *afl.Options) { o.Reduction = afl.ReduceNone }
		everything := func(o *afl.Options) {
			unreduced(o)
			o.Weight, o.IgnoreIndex, o.ExcludeBackground = []float64{1.3}, afl.Ignore(255), true
		}
		out = append(out,
			compareOption{sharedOption: sharedOption{name: name, set: unreduced}, upstream: upstream},
			compareOption{sharedOption: sharedOption{name: name + "/soft", target: "soft", set: unreduced}, upstream: upstream},
			compareOption{sharedOption: sharedOption{name: name + "/everything", target: "ignored", voxelWeight: true, set: everything}, upstream: upstream},
		)
	}
	return out
}

// typed makes a way to write a target of a change of its type.
func typed(as func(labels *tensor.Dense) *tensor.Dense) func(labels *tensor.Dense, shape []int) *tensor.Dense {
	return func(labels *tensor.Dense, _ []int) *tensor.Dense { return as(labels) }
}

// call returns the arguments for logits of a shape.
func (o compareOption) call(shape []int) Call {
	c := o.sharedOption.call(shape)
	if o.target != nil {
		c.Target = o.target(c.Target, shape)
	}
	return c
}
