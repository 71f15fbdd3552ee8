package nntest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/nn"
)

// Losses tests only the losses of a backend; Run tests them too.
func Losses(t *testing.T, b nn.Backend) { suite{b}.losses(t) }

// losses compares losses that run where the backend's arrays are, and those that nn copies to
// the host, with the same losses on values of the test.
func (s suite) losses(t *testing.T) {
	for _, shape := range [][]int{{1, 2, 7, 5, 3}, {1, 1, 4, 3, 5}, {2, 3, 3, 5, 7}, {1, 5, 1, 1, 1}, {1, 2, 33, 17, 9}} {
		for _, inside := range boxes(shape) {
			t.Run(fmt.Sprintf("%v in %v", inside, shape), func(t *testing.T) {
				x := s.array(t, normal(rand.New(rand.NewPCG(3, 3)), elements(shape)), shape...)
				s.compareLoss(t, x, inside)
				y, _, err := s.Activate(x, nn.ELU)
				require.NoError(t, err)
				s.compareLoss(t, y, inside)
				s.EndStep()
			})
		}
	}
	t.Run("non-finite", s.nonFiniteLogits)
	t.Run("errors", s.lossErrors)
}

// boxes returns the whole of a volume, and parts with padding at the beginning, at the end and
// at both.
func boxes(shape []int) []nn.Box {
	size := [3]int(shape[2:])
	all := []nn.Box{{Size: size}}
	if size == [3]int{1, 1, 1} {
		return all
	}
	return append(all,
		nn.Box{Start: [3]int{1, 0, 0}, Size: [3]int{size[0] - 1, size[1], size[2]}},
		nn.Box{Size: [3]int{size[0], size[1], size[2] - 1}},
		nn.Box{Start: [3]int{1, 1, 1}, Size: [3]int{size[0] - 2, size[1] - 2, 1}})
}

func (s suite) compareLoss(t *testing.T, y nn.Array, inside nn.Box) {
	shape := y.Shape()
	part := []int{shape[0], shape[1], inside.Size[0], inside.Size[1], inside.Size[2]}
	labels := make([]uint8, elements(part)/part[1])
	for i := range labels {
		labels[i] = uint8(i * 7 % 5 / 3)
	}
	label := tensor.New(tensor.WithShape(part[0], part[2], part[3], part[4]), tensor.WithBacking(labels))
	loss := afl.Loss(afl.NewDiceCE())
	if part[1] == 1 {
		loss = afl.NewBinaryCrossEntropy()
	}

	values := s.values(t, y)
	logits := make([]float64, elements(part))
	nn.Crop(logits, values, shape, inside)
	want, grad, err := afl.Grad(loss, tensor.New(tensor.WithShape(part...), tensor.WithBacking(logits)), label)
	require.NoError(t, err)
	full := make([]float64, len(values))
	nn.Pad(full, grad.Data().([]float64), shape, inside)
	sum := make([]float64, len(values))
	for i := range sum {
		sum[i] = full[i] + values[i]
	}

	tolerance, _ := s.tolerance()
	plain := struct{ nn.Backend }{s.Backend}                      // hides that it is an nn.LossRunner
	for _, b := range []nn.Backend{s.Backend, s.Backend, plain} { // the second time in memory that is used again
		var got float64
		gy, err := nn.RunLoss(b, y, inside, label, func(logits, label, grad *tensor.Dense) (err error) {
			assert.Equal(t, tensor.Shape(part), logits.Shape())
			assert.Equal(t, tensor.Shape(part), grad.Shape())
			got, err = afl.GradInto(loss, logits, label, grad)
			return err
		})
		require.NoError(t, err)
		assert.Equal(t, shape, gy.Shape())
		assert.InEpsilon(t, want, got, tolerance)
		s.requireClose(t, full, gy, tolerance, "gradient")
		total, _, err := s.Add(gy, y)
		require.NoError(t, err)
		s.requireClose(t, sum, total, tolerance, "the gradient as an operand")
		assert.Equal(t, values, s.values(t, y), "the logits are unchanged")
		s.Release(gy)
	}
}

// nonFiniteLogits checks that a value that is not finite is found, also in the padding, before
// the loss is called.
func (s suite) nonFiniteLogits(t *testing.T) {
	shape := []int{1, 2, 5, 4, 3}
	inside := nn.Box{Start: [3]int{1, 0, 0}, Size: [3]int{4, 4, 3}}
	for _, at := range []int{0, 12, 100, elements(shape) - 1} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			x := normal(rand.New(rand.NewPCG(3, 3)), elements(shape))
			x[at] = bad
			_, err := nn.RunLoss(s.Backend, s.array(t, x, shape...), inside, nil, func(_, _, _ *tensor.Dense) error {
				t.Error("the loss is called")
				return nil
			})
			var failed *nn.NonFiniteError
			require.ErrorAs(t, err, &failed, "%v at %d", bad, at)
			assert.Equal(t, fmt.Sprint(bad), fmt.Sprint(failed.Value))
			assert.ErrorContains(t, err, fmt.Sprintf("the network's output contains %v", bad))
		}
	}
	s.EndStep()
}

func (s suite) lossErrors(t *testing.T) {
	none := func(_, _, _ *tensor.Dense) error { return nil }
	y, flat := s.array(t, make([]float64, 48), 1, 2, 2, 3, 4), s.array(t, make([]float64, 6), 6)
	run := func(y nn.Array, inside nn.Box, loss nn.LossFunc) error {
		_, err := nn.RunLoss(s.Backend, y, inside, nil, loss)
		return err
	}
	whole := nn.Box{Size: [3]int{2, 3, 4}}
	assert.ErrorContains(t, run(nil, whole, none), "y is nil")
	assert.ErrorContains(t, run(flat, whole, none), "want N×C×X×Y×Z")
	for _, bad := range []nn.Box{
		{}, {Size: [3]int{2, 3, 5}}, {Start: [3]int{0, 0, 1}, Size: [3]int{2, 3, 4}},
		{Start: [3]int{-1, 0, 0}, Size: [3]int{2, 3, 4}}, {Start: [3]int{math.MaxInt, 0, 0}, Size: [3]int{2, 3, 4}},
	} {
		assert.ErrorContains(t, run(y, bad, none), "is not inside a volume")
	}
	failed := errors.New("no loss today")
	assert.Equal(t, failed, run(y, whole, func(_, _, _ *tensor.Dense) error { return failed }))
	s.EndStep()
	assert.ErrorContains(t, run(y, whole, none), "end of its step")
}
