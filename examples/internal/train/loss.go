package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/nn"
)

// lossOf computes the loss of a sample and its gradient with respect to each output of the
// network. With deep supervision there are several, for which it is that of
// [afl.DeepSupervision],
//
//	L = Σ_i w_i·Loss(outputs[i], label at the resolution of outputs[i]),   w_i = 2⁻ⁱ/Σ_k 2⁻ᵏ.
//
// The padding around the scan is left out at every resolution. An output of such a low
// resolution that none of its voxels has a label in the scan adds nothing.
//
// The value is read later. The error of a value that is not finite is a divergence.
func (t *trainer) lossOf(ys []nn.Array, s *input) (value nn.LateNumber, gys []nn.Array, err error) {
	sum := 2 - math.Ldexp(1, 1-len(ys))
	ofEpoch := t.job.lossOfEpoch(t.key.Loss, t.loss, t.state.Epoch)
	var values []nn.LateNumber
	for i, y := range ys {
		loss := ofEpoch
		if len(ys) > 1 {
			loss = afl.NewSum(afl.Term{Weight: math.Ldexp(1, -i) / sum, Loss: ofEpoch})
		}
		v, gy, err := t.lossAt(loss, y, s)
		if err != nil {
			return nil, nil, t.lossError(s, err)
		}
		values = append(values, v)
		gys = append(gys, gy)
	}
	return func() (float64, error) {
		value := 0.0
		for _, late := range values {
			v, err := late()
			if err != nil {
				return 0, t.lossError(s, err)
			}
			value += v
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return 0, &divergence{what: fmt.Sprintf("the training loss is %v", value)}
		}
		return value, nil
	}, gys, nil
}

// lossError returns an error of a loss with the names of loss and case, or a divergence if the
// logits are not finite.
func (t *trainer) lossError(s *input, err error) error {
	var bad *nn.NonFiniteError
	if errors.As(err, &bad) {
		return t.nonFinite(s.Sample, bad.Value)
	}
	return fmt.Errorf("train: loss %s of case %s: %w", t.key.Loss, s.ID, err)
}

// lossAt is lossOf for one output.
func (t *trainer) lossAt(loss afl.Loss, y nn.Array, s *input) (nn.LateNumber, nn.Array, error) {
	box, label, ok := s.labelAt(y.Shape())
	if !ok {
		gy, err := t.job.Backend.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...)), nn.Step)
		return func() (float64, error) { return 0, nil }, gy, err
	}
	return nn.EvalLoss(t.job.Backend, y, box, label, func(logits, label, grad *tensor.Dense) (*tensor.Dense, error) {
		return loss.Eval(logits, label, grad, s.stats...)
	})
}

// labelAt returns the label of a sample at the resolution of an output of shape 1×C×X×Y×Z,
// without padding, and the part of the output that it covers. Along each axis, voxel j of m
// has the label of voxel ⌊j·n/m⌋ of n, PyTorch's "nearest". It returns false if there is no
// such voxel in the scan.
func (s *input) labelAt(shape []int) (box nn.Box, label *tensor.Dense, ok bool) {
	full := s.Label.Shape()
	lead, size := full[:len(full)-3], full[len(full)-3:]
	if slices.Equal(size, shape[2:]) {
		return s.box, s.label, true
	}
	var at [3][]int // the label's voxels along each axis
	for axis, m := range shape[2:] {
		n, start := size[axis], s.Scan.Start[axis]
		for j := range m {
			voxel := j * n / m
			if voxel < start || voxel >= start+s.Scan.Size[axis] {
				continue
			}
			if at[axis] == nil {
				box.Start[axis] = j
			}
			at[axis] = append(at[axis], voxel)
		}
		if box.Size[axis] = len(at[axis]); box.Size[axis] == 0 {
			return box, nil, false
		}
	}
	src := s.Label.Data().([]uint8)
	var dst []uint8
	for m := range lead.TotalSize() {
		for _, x := range at[0] {
			for _, y := range at[1] {
				row := ((m*size[0]+x)*size[1] + y) * size[2]
				for _, z := range at[2] {
					dst = append(dst, src[row+z])
				}
			}
		}
	}
	return box, tensor.New(tensor.WithShape(slices.Concat(lead, box.Size[:])...), tensor.WithBacking(dst)), true
}
