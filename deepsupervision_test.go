package afl_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// nearest brings images of a shape to another by the definition of the doc comment.
func nearest[T any](src []T, outer int, from, to []int) []T {
	count := func(shape []int) int {
		n := 1
		for _, s := range shape {
			n *= s
		}
		return n
	}
	var out []T
	for n := range outer {
		for i := range count(to) {
			at, rest, stride := n*count(from), i, 1
			for a := len(to) - 1; a >= 0; a-- {
				at += rest % to[a] * from[a] / to[a] * stride
				rest /= to[a]
				stride *= from[a]
			}
			out = append(out, src[at])
		}
	}
	return out
}

// TestDeepSupervision: the weighted mean of the loss of each output against the
// label at its resolution, in 2-D and 3-D, for indices and maps.
func TestDeepSupervision(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, spaces := range [][][]int{
		{{13, 9}, {7, 5}, {3, 2}, {1, 1}},
		{{8, 9, 5}, {4, 5, 3}, {8, 2, 10}},
	} {
		full := append([]int{2, 3}, spaces[0]...)
		target := losstest.RandomLabels(full, 3, 1)
		maps := losstest.Floats(tensor.Float64, full, func(int) float64 { return r.Float64() })
		weight := losstest.Floats(tensor.Float32, losstest.PerVoxel(full), func(int) float64 { return r.Float64() })
		given := []float64{3, 0, 1, 0.5}
		for _, weights := range [][]float64{nil, given[:len(spaces)]} {
			for _, dense := range []bool{false, true} {
				name := fmt.Sprintf("%v, weights %v, dense %v", spaces, weights, dense)
				label, l := target, afl.Loss(afl.NewDiceCE())
				if dense {
					label, l = maps, afl.NewDiceFocal()
				}
				var outputs []*tensor.Dense
				want, norm := 0.0, 0.0
				var wantGrads []*tensor.Dense
				var factors []float64
				for i, space := range spaces {
					shape := append([]int{2, 3}, space...)
					logits := losstest.RandomLogits(tensor.Float64, shape, uint64(i))
					outputs = append(outputs, logits)
					var y *tensor.Dense
					if dense {
						y = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(nearest(maps.Data().([]float64), 6, spaces[0], space)))
					} else {
						y = tensor.New(tensor.WithShape(losstest.PerVoxel(shape)...), tensor.WithBacking(nearest(target.Data().([]uint8), 2, spaces[0], space)))
					}
					m := tensor.New(tensor.WithShape(losstest.PerVoxel(shape)...), tensor.WithBacking(nearest(weight.Data().([]float32), 2, spaces[0], space)))
					v, g, err := afl.Grad(l, logits, y, afl.WithVoxelWeight(m))
					require.NoError(t, err, name)
					w := 1.0
					for range i {
						w /= 2
					}
					if weights != nil {
						w = weights[i]
					}
					want, norm = want+w*v, norm+w
					wantGrads, factors = append(wantGrads, g), append(factors, w)
				}
				d := afl.NewDeepSupervision(l)
				d.Weights = weights
				before := slices.Clone(label.Shape())
				v, grads, err := d.Grad(outputs, label, afl.WithVoxelWeight(weight))
				require.NoError(t, err, name)
				assert.InDelta(t, want/norm, v, 1e-14, name)
				require.Len(t, grads, len(outputs))
				for i, g := range grads {
					scaled := losstest.Numbers(t, wantGrads[i])
					for k := range scaled {
						scaled[k] *= factors[i] / norm
					}
					assert.InDeltaSlice(t, scaled, losstest.Numbers(t, g), 1e-15, name)
				}
				alone, err := d.Value(outputs, label, afl.WithVoxelWeight(weight))
				require.NoError(t, err)
				assert.Equal(t, v, alone)
				assert.Equal(t, before, slices.Clone(label.Shape()))
			}
		}
	}
}

// TestDeepSupervisionLabelTypes: labels of every type are resampled alike.
func TestDeepSupervisionLabelTypes(t *testing.T) {
	bytes := losstest.RandomLabels([]int{1, 2, 7, 6}, 2, 1)
	outputs := []*tensor.Dense{losstest.RandomLogits(tensor.Float32, []int{1, 2, 7, 6}, 1), losstest.RandomLogits(tensor.Float32, []int{1, 2, 4, 3}, 1)}
	d := afl.NewDeepSupervision(afl.NewDice())
	want, err := d.Value(outputs, bytes)
	require.NoError(t, err)
	y := bytes.Data().([]uint8)
	for _, label := range []any{
		as[int8](y), as[int16](y), as[uint16](y), as[int32](y), as[uint32](y), as[int64](y), as[uint64](y), as[int](y), as[uint](y), as[float32](y), as[float64](y),
		slices.Collect(func(yield func(bool) bool) {
			for _, v := range y {
				if !yield(v == 1) {
					return
				}
			}
		}),
	} {
		for _, shape := range [][]int{{1, 7, 6}, {1, 1, 7, 6}} {
			got, err := d.Value(outputs, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(label)))
			require.NoError(t, err, "%T", label)
			assert.Equal(t, want, got, "%T", label)
		}
	}
}

func as[T int8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | int | uint | float32 | float64](y []uint8) []T {
	out := make([]T, len(y))
	for i, v := range y {
		out[i] = T(v)
	}
	return out
}

func TestDeepSupervisionRefuses(t *testing.T) {
	shape := []int{1, 2, 4, 6}
	logits, target := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	small := losstest.RandomLogits(tensor.Float32, []int{1, 2, 2, 3}, 1)
	outputs := []*tensor.Dense{logits, small}
	none := afl.NewFocal()
	none.Reduction = afl.ReduceNone
	for name, c := range map[string]struct {
		d       afl.DeepSupervision
		outputs []*tensor.Dense
		target  *tensor.Dense
		opts    []afl.EvalOption
		want    string
	}{
		"no outputs":    {afl.NewDeepSupervision(afl.NewDice()), nil, target, nil, "afl: outputs is empty"},
		"no loss":       {afl.DeepSupervision{}, outputs, target, nil, "afl: Loss is nil"},
		"no target":     {afl.NewDeepSupervision(afl.NewDice()), outputs, nil, nil, "afl: target (output 0) is nil"},
		"nil output":    {afl.NewDeepSupervision(afl.NewDice()), []*tensor.Dense{logits, nil}, target, nil, "afl: logits (output 1) is nil"},
		"weights":       {afl.DeepSupervision{Loss: afl.NewDice(), Weights: []float64{1}}, outputs, target, nil, "afl: length of Weights is 1, want 2"},
		"bad weight":    {afl.DeepSupervision{Loss: afl.NewDice(), Weights: []float64{1, -1}}, outputs, target, nil, "afl: Weights[1] is -1"},
		"zero weights":  {afl.DeepSupervision{Loss: afl.NewDice(), Weights: []float64{0, 0}}, outputs, target, nil, "afl: sum of Weights is 0"},
		"unreduced":     {afl.NewDeepSupervision(none), outputs, target, nil, "afl: Reduction (output 0) is"},
		"bad label":     {afl.NewDeepSupervision(afl.NewDice()), outputs, losstest.Bytes([]int{1, 4, 6}, func(i int) uint8 { return uint8(i % 3) }), nil, "afl: target at sample 0, voxel 2 (output 0) is 2"},
		"label of axes": {afl.NewDeepSupervision(afl.NewDice()), outputs, losstest.Bytes([]int{4, 6}, func(int) uint8 { return 0 }), nil, "afl: shape of target (output 0)"},
		"nil option":    {afl.NewDeepSupervision(afl.NewDice()), outputs, target, []afl.EvalOption{nil}, "afl: opts[0] is nil"},
	} {
		_, err := c.d.Value(c.outputs, c.target, c.opts...)
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, name)
		assert.ErrorContains(t, err, c.want, name)
		_, grads, err := c.d.Grad(c.outputs, c.target, c.opts...)
		assert.Error(t, err, name)
		assert.Nil(t, grads, name)
	}
	d := afl.NewDeepSupervision(afl.NewDice())
	_, err := d.GradInto(outputs, target, []*tensor.Dense{nil})
	assert.ErrorContains(t, err, "length of grads is 1, want 2")
	grad := losstest.NaNs(tensor.Float32, shape...)
	_, err = d.GradInto([]*tensor.Dense{logits, losstest.RandomLogits(tensor.Float32, shape, 2)}, target, []*tensor.Dense{grad, grad})
	assert.ErrorContains(t, err, "grads[0] is in the memory of grads[1]")
	_, err = d.GradInto([]*tensor.Dense{logits, small}, target, []*tensor.Dense{nil, small})
	assert.ErrorContains(t, err, "grads[1] is in the memory of outputs[1]")

	// An output of weight 0 is not evaluated.
	d.Weights = []float64{1, 0}
	nan := losstest.NaNs(tensor.Float32, 1, 2, 2, 3)
	grads := []*tensor.Dense{grad, losstest.NaNs(tensor.Float32, 1, 2, 2, 3)}
	want, err := afl.Value(afl.NewDice(), logits, target)
	require.NoError(t, err)
	got, err := d.GradInto([]*tensor.Dense{logits, nan}, target, grads)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Equal(t, make([]float64, 12), losstest.Numbers(t, grads[1]))
}
