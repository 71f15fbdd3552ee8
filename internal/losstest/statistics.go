package losstest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// goldenSmoothness compares the statistics of label images with reference
// numbers.
func (s suite) goldenSmoothness(t *testing.T, cases []GoldenCase) {
	count := 0
	for _, c := range cases {
		if c.Kind != "smoothness" {
			continue
		}
		count++
		var want struct {
			Smoothness float64 `json:"smoothness"`
			Foreground int     `json:"foreground"`
			Voxels     int     `json:"voxels"`
			GammaVa    float64 `json:"gamma_va"`
			AlphaVa    float64 `json:"alpha_va"`
			Gamma      float64 `json:"gamma_adaptive"`
			Nonzero    int     `json:"nonzero_gradient_voxels"`
			Boundary   float64 `json:"mean_over_nonzero_gradient_voxels"`
		}
		require.NoError(t, json.Unmarshal(c.Expected, &want))
		got, err := s.StatsOf(t, Dense(t, c.Read(t).Tensors["mask"], tensor.Uint8))
		require.NoError(t, err)
		assert.Equal(t, want.Foreground, got.Foreground, c.Name)
		assert.Equal(t, want.Voxels, got.Voxels, c.Name)
		assert.Equal(t, want.Nonzero, got.BoundaryVoxels, c.Name)
		Near(t, c.Name, []float64{want.GammaVa, want.AlphaVa, want.Smoothness, want.Gamma, want.Boundary},
			[]float64{got.GammaVa, got.AlphaVa, got.GammaMSa, got.Gamma(), got.Boundary}, goldenStatistics)
	}
	LogCounts(t, "cases", map[string]int{"smoothness": count})
}

var goldenStatistics = Tolerance{Relative: 1e-12, Absolute: 1e-15}

// goldenParameters compares the parameters of A-FL with reference numbers.
func (s suite) goldenParameters(t *testing.T, cases []GoldenCase) {
	count := 0
	for _, c := range cases {
		if c.Kind != "afl" {
			continue
		}
		count++
		var want struct {
			GammaVa  []float64   `json:"gamma_va"`
			GammaMSa []float64   `json:"gamma_msa"`
			Gamma    []float64   `json:"gamma"`
			AlphaVa  []float64   `json:"alpha_va"`
			Weights  [][]float64 `json:"channel_weights"`
		}
		require.NoError(t, json.Unmarshal(c.Expected, &want))
		f := c.Read(t)
		l := c.loss(t).(afl.AdaptiveFocal)
		got, err := s.Parameters(t, l, Dense(t, f.Tensors["logits"], tensor.Float32), Dense(t, f.Tensors["target"], tensor.Uint8))
		require.NoError(t, err)
		require.Len(t, got, f.Tensors["logits"].Shape[0], c.Name)
		at := func(list []float64, n int) float64 { return list[min(n, len(list)-1)] }
		for n, p := range got {
			Near(t, c.Name, []float64{at(want.GammaVa, n), at(want.GammaMSa, n), at(want.Gamma, n), at(want.AlphaVa, n)},
				[]float64{p.GammaVa, p.GammaMSa, p.Gamma[0], p.AlphaVa}, goldenStatistics)
			if c.Options.Form == "released" {
				Near(t, c.Name, want.Weights[min(n, len(want.Weights)-1)], p.Positive, goldenStatistics)
				assert.Equal(t, p.Positive, p.Negative)
			}
		}
	}
	LogCounts(t, "cases", map[string]int{"afl parameters": count})
}

// GradientMagnitude is numpy.gradient's definition, written out voxel by voxel:
// the magnitude at every voxel of a mask of a shape.
func GradientMagnitude(mask []float64, shape []int) []float64 {
	out := make([]float64, len(mask))
	for i := range mask {
		stride, sum := 1, 0.0
		for a := len(shape) - 1; a >= 0; a-- {
			at := i / stride % shape[a]
			d := 0.0
			switch {
			case shape[a] == 1:
			case at == 0:
				d = mask[i+stride] - mask[i]
			case at == shape[a]-1:
				d = mask[i] - mask[i-stride]
			default:
				d = (mask[i+stride] - mask[i-stride]) / 2
			}
			sum += d * d
			stride *= shape[a]
		}
		out[i] = math.Sqrt(sum)
	}
	return out
}

// MaskShapes are shapes of label images with every kind of border: axes of size
// 1, 2 and of more than a vector register or a block holds.
func MaskShapes() [][]int {
	return [][]int{{1, 1}, {1, 9}, {9, 1}, {2, 2}, {1, 1, 1}, {3, 1, 300}, {5, 7, 2}, {2, 300, 3}, {4, 5, 259}}
}

// statisticsByDefinition compares the statistics of label images of several
// classes with their definition.
func (s suite) statisticsByDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, shape := range MaskShapes() {
		label := Bytes(shape, func(int) uint8 { return uint8(r.IntN(3)) })
		mask := make([]float64, product(shape))
		foreground, total, boundary := 0, 0.0, 0
		for i, y := range label.Data().([]uint8) {
			if y != 0 {
				mask[i] = 1
				foreground++
			}
		}
		for _, g := range GradientMagnitude(mask, shape) {
			total += g
			if g != 0 {
				boundary++
			}
		}
		st, err := s.StatsOf(t, label)
		require.NoError(t, err)
		n := float64(len(mask))
		assert.Equal(t, len(mask), st.Voxels, "shape %v", shape)
		assert.Equal(t, foreground, st.Foreground, "shape %v", shape)
		assert.Equal(t, boundary, st.BoundaryVoxels, "shape %v", shape)
		assert.InDelta(t, total/n, st.GammaMSa, 1e-14, "shape %v", shape)
		assert.InDelta(t, float64(foreground)/n, st.GammaVa, 1e-14, "shape %v", shape)
		assert.InDelta(t, total/max(1, float64(boundary)), st.Boundary, 1e-14, "shape %v", shape)
	}
}

// softMapStatistics: a soft map's statistics are those of its foreground map.
func (s suite) softMapStatistics(t *testing.T) {
	shape := []int{2, 3, 4, 5, 6}
	maps := softMaps(shape, 11)
	y := maps.Data().([]float64)
	params, err := s.Parameters(t, afl.NewAdaptiveFocalMulticlass(), RandomLogits(tensor.Float64, shape, 1), maps)
	require.NoError(t, err)
	require.Len(t, params, 2)
	const v = 4 * 5 * 6
	for n, p := range params {
		foreground := make([]float64, v)
		for i := range foreground {
			foreground[i] = math.Max(y[(n*3+1)*v+i], y[(n*3+2)*v+i])
		}
		mean := func(s []float64) float64 {
			total := 0.0
			for _, x := range s {
				total += x
			}
			return total / v
		}
		assert.InDelta(t, mean(foreground), p.GammaVa, 1e-13)
		assert.InDelta(t, mean(GradientMagnitude(foreground, shape[2:])), p.GammaMSa, 1e-13)
		for c := 1; c < 3; c++ {
			own := y[(n*3+c)*v : (n*3+c+1)*v]
			assert.InDelta(t, mean(own)+mean(GradientMagnitude(own, shape[2:])), p.Gamma[c], 1e-13)
			assert.InDelta(t, 1-mean(own), p.Positive[c], 1e-13)
		}
	}
}

// givenStatistics: the statistics of the label itself change nothing when they are
// given, and those of another label count in place of them, but not in what a mean
// is divided by.
func (s suite) givenStatistics(t *testing.T) {
	cover := s.cover()
	for _, v := range variants() {
		l, ok := v.loss.(afl.AdaptiveFocal)
		if !ok {
			continue
		}
		for _, c := range v.channels {
			if !cover.needs(fmt.Sprint(l.Form, c), l.Stats.String(), l.Smoothness.String()) {
				continue
			}
			name := fmt.Sprintf("%s, C=%d", v.name, c)
			shape := []int{3, c, 5, 7, 3}
			call := Call{Logits: RandomLogits(tensor.Float64, shape, 1), Target: RandomLabels(shape, max(c, 2), 1)}
			want, wantGrad := s.grad(t, name, l, call)
			call.Stats = statsOfSamples(t, call.Target, max(c, 2), afl.IgnoreIndex{})
			got, grad := s.grad(t, name, l, call)
			assert.InDelta(t, want, got, 1e-14*math.Max(1, math.Abs(want)), name)
			assert.InDeltaSlice(t, wantGrad.Data(), grad.Data(), 1e-15, name)

			// Also where voxels are ignored.
			ignoring := setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
			some := Call{Logits: call.Logits, Target: RandomLabels(shape, max(c, 2), 5)}
			ignoreEvery(4, some.Target)
			want = s.value(t, name, ignoring, some)
			some.Stats = statsOfSamples(t, some.Target, max(c, 2), afl.Ignore(255))
			assert.InDelta(t, want, s.value(t, name, ignoring, some), 1e-14*math.Max(1, math.Abs(want)), name)

			// A patch of a larger image: the ignored voxels of a label with the
			// patch inside are divided by as ever.
			whole := RandomLabels([]int{3, c, 11, 8, 9}, max(c, 2), 2)
			call.Stats = statsOfSamples(t, whole, max(c, 2), afl.IgnoreIndex{})
			ignoreEvery(3, call.Target)
			l := setOptions(l, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }).(afl.AdaptiveFocal)
			got, grad = s.grad(t, name, l, call)
			params, err := s.Parameters(t, l, RandomLogits(tensor.Float64, []int{3, c, 11, 8, 9}, 1), whole)
			require.NoError(t, err)
			sum := 0.0
			for n, p := range params {
				f := afl.NewFocal()
				f.Gamma, f.Activation, f.Reduction, f.IgnoreIndex = p.Gamma, l.Activation, afl.ReduceNone, l.IgnoreIndex
				one := Call{Logits: sample(call.Logits, n), Target: sample(call.Target, n)}
				space := 5 * 7 * 3
				y := one.Target.Data().([]uint8)
				for i, e := range Numbers(t, s.elements(t, name, f, one)) {
					factor := p.Negative[i/space]
					class := i / space
					if c == 1 {
						class = 1
					}
					if int(y[i%space]) == class {
						factor = p.Positive[i/space]
					}
					sum += factor * e
				}
			}
			valid := 0.0
			for _, y := range call.Target.Data().([]uint8) {
				if y != 255 {
					valid++
				}
			}
			assert.InDelta(t, sum/valid/float64(c), got, 1e-13, name)
			for _, g := range Numbers(t, grad) {
				require.False(t, math.IsNaN(g), name)
			}
		}
	}
}

// statsOfSamples returns the statistics of every sample of class indices.
func statsOfSamples(t *testing.T, labels *tensor.Dense, classes int, ignore afl.IgnoreIndex) []afl.LabelStats {
	var out []afl.LabelStats
	for n := range labels.Shape()[0] {
		image := sample(labels, n)
		require.NoError(t, image.Reshape(labels.Shape()[1:]...))
		st, err := afl.StatsOfClasses(image, classes, ignore)
		require.NoError(t, err)
		out = append(out, st)
	}
	return out
}

// sample returns a copy of one sample of a batch.
func sample(t *tensor.Dense, n int) *tensor.Dense {
	shape := append([]int{1}, t.Shape()[1:]...)
	size := product(shape)
	switch x := t.Data().(type) {
	case []uint8:
		return Bytes(shape, func(i int) uint8 { return x[n*size+i] })
	case []float64:
		return Floats(tensor.Float64, shape, func(i int) float64 { return x[n*size+i] })
	}
	panic(fmt.Sprintf("losstest: no sample of %v", t.Dtype()))
}
