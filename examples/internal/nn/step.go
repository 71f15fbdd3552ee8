package nn

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// StepRunner is implemented by a [Backend] on a device that enqueues the work of a training
// step as a whole and does not wait for its results. ClipLater is called in a step only.
type StepRunner interface {
	// RunStep does what the function RunStep does.
	RunStep(step func() error) error
	// InStep reports whether a step is in progress.
	InStep() bool
	// EvalLoss does what the function EvalLoss does.
	EvalLoss(y Array, inside Box, label *tensor.Dense, loss EvalFunc) (LateNumber, Array, error)
	// ClipLater returns gradients scaled to a global norm of at most maxNorm, as ClipGradients
	// scales them, and a function that waits for the norm. bad is the index of the first gradient
	// that is not finite, −1 if all are; then no gradient is scaled.
	ClipLater(gradients []Array, maxNorm float64) (scaled []Array, norm func() (norm float64, bad int, err error), err error)
	// ResumeUpdates does what the function ResumeUpdates does.
	ResumeUpdates() error
}

// LateNumber returns a number that a device has still to compute, and waits for it. It can be
// called any number of times, by the goroutine that uses the backend.
type LateNumber func() (float64, error)

// EvalFunc is a [LossFunc] that returns the loss as a scalar without waiting for it, as the
// method Eval of the losses of package afl does.
type EvalFunc func(logits, label, grad *tensor.Dense) (value *tensor.Dense, err error)

// RunStep calls step, which computes a step of a training: gradients and the update.
//
// A [StepRunner] may enqueue the operations of step together when it returns, and repeats work
// that equals that of an earlier step as a whole. In such a step, [EvalLoss] and
// [ClipGradientsLater] do not wait for what they compute. If it turns out not to be finite, the
// device leaves parameters, the optimizers' state and running statistics as they are, in this
// step and in all that follow until [ResumeUpdates].
func RunStep(b Backend, step func() error) error {
	if r, ok := b.(StepRunner); ok {
		return r.RunStep(step)
	}
	return step()
}

// InStep reports whether a step of a [StepRunner] is in progress.
func InStep(b Backend) bool {
	r, ok := b.(StepRunner)
	return ok && r.InStep()
}

// ResumeUpdates lets steps update parameters again after one whose numbers were not finite.
func ResumeUpdates(b Backend) error {
	if r, ok := b.(StepRunner); ok {
		return r.ResumeUpdates()
	}
	return nil
}

// EvalLoss is [RunLoss] for a loss whose value is read later. In a step of a [StepRunner] the
// LateNumber returns the [*NonFiniteError] too, and loss is called in any case.
func EvalLoss(b Backend, y Array, inside Box, label *tensor.Dense, loss EvalFunc) (LateNumber, Array, error) {
	if r, ok := b.(StepRunner); ok {
		return r.EvalLoss(y, inside, label, loss)
	}
	var number float64
	g, err := RunLoss(b, y, inside, label, func(logits, label, grad *tensor.Dense) error {
		value, err := loss(logits, label, grad)
		if err == nil {
			number, err = HostNumber(value)
		}
		return err
	})
	return func() (float64, error) { return number, nil }, g, err
}

// HostNumber returns the value of a loss that was computed in the host's memory.
func HostNumber(value *tensor.Dense) (float64, error) {
	if value == nil || !value.IsNativelyAccessible() {
		return 0, errors.New("nn: EvalLoss: the value of the loss is nil or in memory that Go cannot access, want a scalar")
	}
	if value.IsScalar() {
		switch x := value.ScalarValue().(type) {
		case float64:
			return x, nil
		case float32:
			return float64(x), nil
		}
	}
	return 0, fmt.Errorf("nn: EvalLoss: the value of the loss has type %v and shape %v, want a floating-point scalar", value.Dtype(), value.Shape())
}
