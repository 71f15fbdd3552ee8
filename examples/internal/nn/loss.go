package nn

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
)

// LossFunc computes a loss of logits and a label and stores its gradient with respect to the
// logits in every element of grad. logits and grad are contiguous, have the shape
// N×C×box and the same type and engine, on which label lies too: memory of Go, or of a
// device whose engine the losses of package afl accept. The function must not change logits
// or label, and the tensors are valid only until it returns.
type LossFunc func(logits, label, grad *tensor.Dense) error

// LossRunner is implemented by a [Backend] that runs losses where its arrays are, without a
// copy in memory that belongs to the caller.
type LossRunner interface {
	// RunLoss does what the function RunLoss does.
	RunLoss(y Array, inside Box, label *tensor.Dense, loss LossFunc) (Array, error)
}

// RunLoss calls loss on the part of y (N×C×X×Y×Z) that is inside a box, which is the same in
// every sample. It returns the gradient of the loss with respect to y, a Step array, which is
// 0 outside the box. label is the host's and has whatever shape the loss takes; a backend in
// the memory of a device copies it there.
//
// A value of y that is NaN or infinite, also outside the box, is a [*NonFiniteError], and loss
// is not called. An error of loss is returned as it is.
//
// A backend that is a [LossRunner] does this itself. For any other, y is copied to the host and
// the gradient back.
func RunLoss(b Backend, y Array, inside Box, label *tensor.Dense, loss LossFunc) (Array, error) {
	if r, ok := b.(LossRunner); ok {
		return r.RunLoss(y, inside, label, loss)
	}
	if y == nil {
		return nil, fmt.Errorf("nn: RunLoss: y is nil")
	}
	if err := inside.Check(y.Shape()); err != nil {
		return nil, fmt.Errorf("nn: RunLoss: %w", err)
	}
	if y.DType() == Float64 {
		return runLossOnHost[float64](b, y, inside, label, loss)
	}
	return runLossOnHost[float32](b, y, inside, label, loss)
}

func runLossOnHost[T float32 | float64](b Backend, y Array, inside Box, label *tensor.Dense, loss LossFunc) (Array, error) {
	shape := slices.Clone(y.Shape())
	logits, grad := make([]T, Elements(shape)), make([]T, Elements(shape))
	if err := b.ToHost(y, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(logits))); err != nil {
		return nil, err
	}
	if err := LossOf(logits, grad, make([]T, LossScratch(shape, inside)), shape, inside, label, loss); err != nil {
		return nil, err
	}
	return b.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(grad)), Step)
}

// LossOf is [RunLoss] on row-major values in memory that Go can access, for implementations of
// [LossRunner]. It stores the gradient in grad, of the length of values. scratch has
// [LossScratch] elements.
func LossOf[T float32 | float64](values, grad, scratch []T, shape []int, inside Box, label *tensor.Dense, loss LossFunc) error {
	if v, found := FirstNonFinite(values); found {
		return &NonFiniteError{float64(v)}
	}
	part := []int{shape[0], shape[1], inside.Size[0], inside.Size[1], inside.Size[2]}
	dense := func(values []T) *tensor.Dense {
		return tensor.New(tensor.WithShape(part...), tensor.WithBacking(values))
	}
	if inside.Whole(shape) {
		return loss(dense(values), label, dense(grad))
	}
	n := len(scratch) / 2
	logits, gradient := scratch[:n:n], scratch[n:]
	Crop(logits, values, shape, inside)
	if err := loss(dense(logits), label, dense(gradient)); err != nil {
		return err
	}
	Pad(grad, gradient, shape, inside)
	return nil
}

// LossScratch returns the number of elements of scratch memory that [LossOf] needs.
func LossScratch(shape []int, inside Box) int {
	if inside.Whole(shape) {
		return 0
	}
	return 2 * shape[0] * shape[1] * Elements(inside.Size[:])
}

// NonFiniteError reports that the output of a network contains NaN or infinity.
type NonFiniteError struct {
	// Value is the first such value in row-major order.
	Value float64
}

// Error implements error.
func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("the network's output contains %v", e.Value)
}

// FirstNonFinite returns the first value that is NaN or infinite, and whether there is one.
func FirstNonFinite[T float32 | float64](values []T) (T, bool) {
	const chunk = 1 << 16
	first := make([]int, (len(values)+chunk-1)/chunk)
	parallel.Do(len(first), func() func(int) {
		return func(c int) {
			first[c] = -1
			from := c * chunk
			for i, v := range values[from:min(len(values), from+chunk)] {
				if v-v != 0 {
					first[c] = from + i
					return
				}
			}
		}
	})
	for _, i := range first {
		if i >= 0 {
			return values[i], true
		}
	}
	return 0, false
}
