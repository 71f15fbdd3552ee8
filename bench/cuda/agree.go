package main

import (
	"fmt"
	"math"

	"github.com/x/afl"

	"gorgonia.org/tensor"
)

// tolerance is the relative tolerance of values and of float32 gradients.
const tolerance = 1e-5

// gradientTolerance is the tolerance of a gradient of its type: relative, and absolute
// for each number, which counts for denormals.
func (t types) gradientTolerance() (relative, absolute float64) {
	switch t.logits {
	case float16s:
		return 1.0 / (1 << 11), 1.0 / (1 << 24)
	case bfloat16s:
		return 1.0 / (1 << 8), 0
	}
	return tolerance, 0
}

// reference is a loss evaluated on the CPU.
type reference struct {
	value float64
	grad  []float32 // nil if it was not wanted
}

// onCPU evaluates a loss with the CPU backend. grad is memory for its gradient, or nil.
func onCPU(l afl.Loss, in *input, grad *tensor.Dense) (reference, error) {
	var options []afl.EvalOption
	if in.voxelWeight != nil {
		options = append(options, afl.WithVoxelWeight(in.voxelWeight))
	}
	value, err := afl.GradInto(l, in.wide, in.labels, grad, options...)
	if err != nil || grad == nil {
		return reference{value: value}, err
	}
	return reference{value, grad.Data().([]float32)}, nil
}

// agrees compares a value and, unless it is nil, a gradient with those of the CPU.
func (r reference) agrees(value float64, grad []float32, t types) error {
	if err := sameNumber("value", value, r.value, "on the CPU", tolerance); err != nil {
		return err
	}
	if r.grad == nil {
		return nil
	}
	if len(grad) != len(r.grad) {
		return fmt.Errorf("gradient of %d numbers, %d on the CPU", len(grad), len(r.grad))
	}
	relative, absolute := t.gradientTolerance()
	var apart, norm float64 // squared
	for i, want := range r.grad {
		d := float64(grad[i]) - float64(want)
		apart += d * d
		norm += float64(want) * float64(want)
	}
	apart, norm = math.Sqrt(apart), math.Sqrt(norm)
	if !(apart <= relative*norm+absolute*math.Sqrt(float64(len(grad)))) { // a NaN never passes
		return fmt.Errorf("the gradient is %g away from the CPU's, whose norm is %g", apart, norm)
	}
	return nil
}

// gradientSums are the sums of a gradient's positive and negative numbers, which are
// compared with PyTorch's.
func gradientSums(grad []float32) [2]float64 {
	var s [2]float64
	for _, g := range grad {
		if g > 0 {
			s[0] += float64(g)
		} else {
			s[1] += float64(g) // and NaNs
		}
	}
	return s
}

// agreesWithPeer compares the value and, unless the gradient is nil, its sums with
// those of PyTorch.
func agreesWithPeer(value float64, grad []float32, peers []float64, t types) error {
	names, ours := []string{"value"}, []float64{value}
	if grad != nil {
		s := gradientSums(grad)
		names, ours = append(names, "sum of the gradient's positive numbers", "sum of the gradient's negative numbers"), append(ours, s[:]...)
	}
	if len(peers) != len(ours) {
		return fmt.Errorf("%d numbers here, %d in PyTorch", len(ours), len(peers))
	}
	relative, absolute := t.gradientTolerance()
	for i, name := range names {
		bound, slack := tolerance, 0.0
		if i > 0 {
			bound, slack = relative, absolute*float64(len(grad))
		}
		if math.Abs(ours[i]-peers[i]) <= slack {
			continue
		}
		if err := sameNumber(name, ours[i], peers[i], "in PyTorch", bound); err != nil {
			return err
		}
	}
	return nil
}

func sameNumber(name string, ours, theirs float64, where string, relative float64) error {
	if !(math.Abs(ours-theirs) <= relative*math.Abs(theirs)+1e-7*relative) {
		return fmt.Errorf("%s %v here, %v %s: not the same computation", name, ours, theirs, where)
	}
	return nil
}
