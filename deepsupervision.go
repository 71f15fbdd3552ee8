package afl

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/plan"
)

// DeepSupervision evaluates a loss on several outputs of a network, of which the
// first has the label's resolution and the others mostly lower ones,
//
//	L = Σ_i w_i · Loss(outputs[i], label at the resolution of outputs[i]) / Σ_i w_i.
//
// The label, and a voxel weight where there is one, is brought to each output by
// nearest neighbor: along each axis voxel j of n takes voxel ⌊j·m/n⌋ of m, which is
// PyTorch's "nearest". It is not a Loss, as it takes several logits. nnU-Net (whose lowest resolution has weight 0) and MONAI's
// DeepSupervisionLoss (which does not divide by Σ w) do the same.
//
// Outputs are those of Eval, all of one engine. On a GPU they have to be of the
// label's resolution, since labels are resampled in Go memory only; evaluate Loss
// on each output with a label of its own there. [ReduceNone] and an upstream
// gradient are refused.
type DeepSupervision struct {
	Loss Loss
	// Weights holds a w_i for each output, finite and at least 0, not all 0; nil
	// means 1, ½, ¼, … An output of weight 0 is not evaluated, and its gradient is 0.
	Weights []float64
}

// NewDeepSupervision returns a deep supervision by l with weights 1, ½, ¼, …
func NewDeepSupervision(l Loss) DeepSupervision { return DeepSupervision{Loss: l} }

// Value returns the loss as a number.
func (d DeepSupervision) Value(outputs []*tensor.Dense, target *tensor.Dense, opts ...EvalOption) (float64, error) {
	return d.GradInto(outputs, target, nil, opts...)
}

// Grad returns the loss as a number and its gradient with respect to each output,
// in new tensors of their shapes, types and engines.
func (d DeepSupervision) Grad(outputs []*tensor.Dense, target *tensor.Dense, opts ...EvalOption) (value float64, grads []*tensor.Dense, err error) {
	grads = make([]*tensor.Dense, len(outputs))
	defer func() {
		if err == nil {
			return
		}
		for _, g := range grads {
			if g != nil {
				err = errors.Join(err, release(g))
			}
		}
		grads = nil
	}()
	for i, output := range outputs {
		backend, err := checkLogits(output)
		if err != nil {
			return 0, grads, nameOutput(i, err)
		}
		if grads[i], err = backend.NewTensor(output, output.Shape()...); err != nil {
			return 0, grads, public(err)
		}
	}
	value, err = d.GradInto(outputs, target, grads, opts...)
	return value, grads, err
}

// GradInto returns the loss as a number and stores its gradient with respect to
// each output in grads, which is nil or holds a tensor of the shape, type and
// engine of each output. After an error their contents are unspecified.
func (d DeepSupervision) GradInto(outputs []*tensor.Dense, target *tensor.Dense, grads []*tensor.Dense, opts ...EvalOption) (float64, error) {
	cfg, err := NewEvalConfig(opts...)
	if err != nil {
		return 0, err
	}
	if err := checkLoss("Loss", d.Loss); err != nil {
		return 0, err
	}
	if grads != nil && len(grads) != len(outputs) {
		return 0, refuse("length of grads", len(grads), "%d, one for each output", len(outputs))
	}
	weights, err := d.weights(len(outputs))
	if err != nil {
		return 0, err
	}
	for i, output := range outputs {
		if _, err := checkLogits(output); err != nil {
			return 0, nameOutput(i, err)
		}
	}
	if err := checkDistinct(outputs, grads, target, cfg.VoxelWeight); err != nil {
		return 0, err
	}
	total := 0.0
	for i, output := range outputs {
		if weights[i] == 0 {
			if grads == nil || grads[i] == nil {
				continue
			}
			if err := clearGradient(output, grads[i]); err != nil {
				return 0, nameOutput(i, err)
			}
			continue
		}
		label, err := resampleNearest("target", target, output)
		if err != nil {
			return 0, nameOutput(i, err)
		}
		given := opts
		if cfg.VoxelWeight != nil {
			w, err := resampleNearest("voxel weight", cfg.VoxelWeight, output)
			if err != nil {
				return 0, nameOutput(i, err)
			}
			given = append(slices.Clone(opts), WithVoxelWeight(w))
		}
		var grad *tensor.Dense
		if grads != nil {
			grad = grads[i]
		}
		v, err := GradInto(NewSum(Term{weights[i], d.Loss}), output, label, grad, given...)
		if err != nil {
			return 0, nameOutput(i, err)
		}
		total += v
	}
	return total, nil
}

// weights returns a weight for each of n outputs, of sum 1.
func (d DeepSupervision) weights(n int) ([]float64, error) {
	if n == 0 {
		return nil, refuse("outputs", "empty", "at least one output")
	}
	if d.Weights != nil && len(d.Weights) != n {
		return nil, refuse("length of Weights", len(d.Weights), "%d, one for each output", n)
	}
	w, sum := make([]float64, n), 0.0
	for i := range w {
		w[i] = math.Ldexp(1, -i)
		if d.Weights != nil {
			w[i] = d.Weights[i]
			if err := checkNumber(fmt.Sprintf("Weights[%d]", i), w[i], math.Inf(1)); err != nil {
				return nil, err
			}
		}
		sum += w[i]
	}
	if sum == 0 || math.IsInf(sum, 0) {
		return nil, refuse("sum of Weights", sum, "a finite number above 0")
	}
	for i := range w {
		w[i] /= sum
	}
	return w, nil
}

// checkDistinct refuses gradients that share memory with each other or with what is
// still to be read.
func checkDistinct(outputs, grads []*tensor.Dense, target, weight *tensor.Dense) error {
	for i, g := range grads {
		if g == nil {
			continue
		}
		name := fmt.Sprintf("grads[%d]", i)
		for k := range outputs {
			if k != i && grads[k] != nil && overlaps(g, grads[k]) {
				return refuse(name, fmt.Sprintf("in the memory of grads[%d]", k), "memory of its own")
			}
			if overlaps(g, outputs[k]) {
				return refuse(name, fmt.Sprintf("in the memory of outputs[%d]", k), "memory of its own")
			}
		}
		if target != nil && overlaps(g, target) {
			return refuse(name, "in the memory of target", "memory of its own")
		}
		if weight != nil && overlaps(g, weight) {
			return refuse(name, "in the memory of voxel weight", "memory of its own")
		}
	}
	return nil
}

// clearGradient sets the gradient of an output to 0.
func clearGradient(output, grad *tensor.Dense) error {
	in, err := newLogitsInput(output)
	if err != nil {
		return err
	}
	if err := in.checkGrad(grad, nil); err != nil {
		return err
	}
	grad.Engine().Memclr(grad)
	return nil
}

// nameOutput says in an [ArgumentError] which output it is about.
func nameOutput(i int, err error) error {
	var a *ArgumentError
	if errors.As(err, &a) {
		named := *a
		named.Argument = fmt.Sprintf("%s (output %d)", a.Argument, i)
		return &named
	}
	return fmt.Errorf("output %d: %w", i, err)
}

// resampleNearest brings a tensor whose last axes are spatial to those of output.
func resampleNearest(name string, t, output *tensor.Dense) (*tensor.Dense, error) {
	if t == nil {
		return nil, refuse(name, "nil", "a tensor")
	}
	space := output.Shape()[2:]
	lead := t.Dims() - len(space)
	if lead != 1 && lead != 2 {
		return nil, refuse("shape of "+name, t.Shape(), "%d spatial axes behind those of samples and channels", len(space))
	}
	from := t.Shape()[lead:]
	if slices.Equal(from, space) {
		return t, nil
	}
	if r := remote(t); r != nil {
		return nil, refuse("spatial shape of "+name, from, "%v, that of the output: labels are resampled in Go memory only", space)
	}
	if _, err := backendOf(name, t); err != nil {
		return nil, err
	}
	if slices.Contains(t.Shape(), 0) {
		return nil, refuse("shape of "+name, t.Shape(), "no axis of size 0")
	}
	if err := checkLayout(name, t, plan.LabelTypes...); err != nil {
		return nil, err
	}
	shape := append(slices.Clone(t.Shape()[:lead]), space...)
	at := nearest(product(t.Shape()[:lead]), from, space)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(labels.Of(t.Data()).Gather(at)), tensor.WithEngine(t.Engine())), nil
}

// nearest returns for every voxel of outer images of shape to, in row-major order, the
// index of its nearest neighbor in images of shape from.
func nearest(outer int, from, to []int) []int {
	// offset[a][j] is that of voxel j along axis a.
	offset := make([][]int, len(to))
	stride := 1
	for a := len(to) - 1; a >= 0; a-- {
		offset[a] = make([]int, to[a])
		for j := range offset[a] {
			offset[a][j] = j * from[a] / to[a] * stride
		}
		stride *= from[a]
	}
	if len(offset) == 2 {
		offset = append([][]int{{0}}, offset...) // an image is one slice
	}
	at := make([]int, 0, outer*product(to))
	for n := range outer {
		for _, x := range offset[0] {
			for _, y := range offset[1] {
				for _, z := range offset[2] {
					at = append(at, n*stride+x+y+z)
				}
			}
		}
	}
	return at
}
