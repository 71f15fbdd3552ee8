package losstest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// targets checks that all ways to write a label mean the same.
func (s suite) targets(t *testing.T) {
	cover := s.cover()
	for _, v := range variants() {
		for _, c := range v.channels {
			shape := []int{2, c, 5, 7}
			call := Call{Logits: RandomLogits(tensor.Float64, shape, 1), Target: RandomLabels(shape, max(c, 2), 2)}
			labels := call.Target
			y := labels.Data().([]uint8)
			channel := append([]int{2, 1}, shape[2:]...)
			same := map[string]*tensor.Dense{
				"N×1×space": tensor.New(tensor.WithShape(channel...), tensor.WithBacking(y)),
				"int8":      convert[int8](labels), "int16": convert[int16](labels), "uint16": convert[uint16](labels),
				"int32": convert[int32](labels), "uint32": convert[uint32](labels), "int64": convert[int64](labels),
				"uint64": convert[uint64](labels), "int": convert[int](labels), "uint": convert[uint](labels),
				"float32": convert[float32](labels), "float64": convert[float64](labels),
				"one-hot": OneHot(tensor.Float32, labels, shape),
			}
			if c <= 2 {
				same["bool"] = isOne(labels)
			}
			for name := range same {
				if !cover.needs(v.kind()+name, fmt.Sprint(v.kind(), c)) {
					delete(same, name)
				}
			}
			if len(same) == 0 {
				continue
			}
			want, wantGrad := s.grad(t, v.name, v.loss, call)
			for name, target := range same {
				what := v.name + ": " + name
				got, grad := s.grad(t, what, v.loss, Call{Logits: call.Logits, Target: target})
				// Sums over maps and over indices may round differently.
				assert.InDelta(t, want, got, 1e-13*math.Max(1, math.Abs(want)), what)
				assert.InDeltaSlice(t, wantGrad.Data(), grad.Data(), 1e-13, what)
			}
		}
	}
}

// boolTargets: a bool mask means what the same mask of bytes means.
func (s suite) boolTargets(t *testing.T) {
	shape := []int{1, 2, 5, 7}
	logits, labels := RandomLogits(tensor.Float64, shape, 1), RandomLabels(shape, 2, 1)
	mask := isOne(labels)
	cover := s.cover()
	for _, ignore := range []afl.IgnoreIndex{{}, afl.Ignore(0), afl.Ignore(1), afl.Ignore(255)} {
		for _, v := range variants() {
			if !slices.Contains(v.channels, 2) || !cover.needs(v.kind()+ignore.String()) {
				continue
			}
			l := setOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = ignore })
			what := fmt.Sprintf("%s ignoring %v", v.name, ignore)
			want, wantGrad := s.grad(t, what, l, Call{Logits: logits, Target: labels})
			got, grad := s.grad(t, what, l, Call{Logits: logits, Target: mask})
			sameBits(t, what, want, got, wantGrad, grad)
		}
	}
}

// wideLabels: labels that do not fit an int64 are neither the ignored −1 nor a
// class, and foreground where labels are binarized.
func (s suite) wideLabels(t *testing.T) {
	logits := RandomLogits(tensor.Float64, []int{1, 2, 1, 2}, 1)
	wide := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]uint64{0, math.MaxUint64}))
	ce := afl.NewCrossEntropy()
	ce.IgnoreIndex = afl.Ignore(-1)
	_, _, err := s.Eval(t, ce, Call{Logits: logits, Target: wide})
	assert.ErrorContains(t, err, "voxel 1 is 18446744073709551615")
	l := afl.NewAdaptiveFocal()
	want := s.value(t, "bytes", l, Call{Logits: logits, Target: Bytes([]int{1, 1, 2}, func(i int) uint8 { return uint8(i) })})
	got := s.value(t, "uint64", l, Call{Logits: logits, Target: wide})
	assert.Equal(t, want, got)
	infinite := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]float64{0, math.Inf(1)}))
	_, _, err = s.Eval(t, l, Call{Logits: logits, Target: infinite})
	assert.ErrorContains(t, err, "voxel 1 is +Inf")
}

// softMapSlack: values a rounding error outside [0,1] are read as 0 and 1.
func (s suite) softMapSlack(t *testing.T) {
	shape := []int{1, 2, 3, 4}
	logits := RandomLogits(tensor.Float64, shape, 1)
	maps := func(slack float64) Call {
		return Call{Logits: logits, Target: Floats(tensor.Float64, shape, func(i int) float64 { return float64(i%2)*(1+2*slack) - slack })}
	}
	for _, name := range []string{"ce", "fl", "dice", "generalized-dice"} {
		l := named(t, name)
		assert.Equal(t, s.value(t, name, l, maps(0)), s.value(t, name, l, maps(5e-6)), name)
		_, _, err := s.Eval(t, l, maps(5e-5))
		assert.ErrorContains(t, err, "want a value in [0,1]", name)
	}
}

// ignoredIndexOfAnyType: an ignore index that no uint8 can hold means the same
// as one that it can.
func (s suite) ignoredIndexOfAnyType(t *testing.T) {
	cover := s.cover()
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, c := range []int{1, 2, 3} {
			shape := []int{2, c, 5, 6, 7}
			logits, labels := RandomLogits(dt, shape, 1), RandomLabels(shape, max(c, 2), 1)
			ignoreEvery(3, labels)
			wide := convert[int64](labels)
			for i, v := range labels.Data().([]uint8) {
				if v == 255 {
					wide.Data().([]int64)[i] = -100
				}
			}
			for _, v := range variants() {
				if c != v.channels[len(v.channels)-1] || !cover.needs(fmt.Sprint(v.kind(), dt, c)) {
					continue
				}
				ignore := func(index int64) afl.Loss {
					return setOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(index) })
				}
				want, wantGrad := s.grad(t, v.name, ignore(255), Call{Logits: logits, Target: labels})
				got, grad := s.grad(t, v.name, ignore(-100), Call{Logits: logits, Target: wide})
				sameBits(t, v.name, want, got, wantGrad, grad)
			}
		}
	}
}

// zeroWeights: where no label has a weight the cross-entropy is 0.
func (s suite) zeroWeights(t *testing.T) {
	call := Call{Logits: RandomLogits(tensor.Float64, []int{1, 3, 4, 5}, 1), Target: Bytes([]int{1, 4, 5}, func(int) uint8 { return 0 })}
	ce := afl.NewCrossEntropy()
	ce.ExcludeBackground = true
	value, grad := s.grad(t, "ce", ce, call)
	assert.Zero(t, value)
	for _, g := range Numbers(t, grad) {
		assert.Zero(t, g)
	}
}

// allIgnored: a batch in which nothing counts.
func (s suite) allIgnored(t *testing.T) {
	shape := []int{2, 2, 3, 4}
	call := Call{Logits: RandomLogits(tensor.Float32, shape, 1), Target: Bytes(PerVoxel(shape), func(int) uint8 { return 255 })}
	for _, v := range variants() {
		if !slices.Contains(v.channels, 2) {
			continue
		}
		value, grad := s.grad(t, v.name, setOptions(v.loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }), call)
		if v.meanOfNothingIsNaN() {
			assert.True(t, math.IsNaN(value), "%s: %v", v.name, value) // as in PyTorch
		} else {
			assert.InDelta(t, 0, value, 1e-12, v.name)
		}
		for _, g := range Numbers(t, grad) {
			if g != 0 {
				t.Fatalf("%s: a gradient is %v, want 0", v.name, g)
			}
		}
	}
}
