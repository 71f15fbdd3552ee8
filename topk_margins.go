package afl

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
)

// byMargin reports whether the elements are those of the softmax of two channels of float32
// without weights, and so increase with the margin: the logit of the other class minus that of
// their own. It is not faster where most voxels are selected.
func (s *topkSum) byMargin() bool {
	focal := s.described.Focal
	return 4*s.selected < 3*s.valid && s.batch.Logits.Dtype() == tensor.Float32 && s.batch.C == 2 &&
		s.batch.VoxelWeight == nil && focal.Smoothing == 0 && focal.Pos[0] == 1 && focal.Pos[1] == 1 && focal.First == 0
}

// evalMargins evaluates a loss by margins. One pass takes the voxels above an estimate of the
// least one selected and lists those near it, of which a second pass takes more or fewer. finite
// is false where a margin or the sum exceeds the range of float32; value is not to be used then.
func (s *topkSum) evalMargins() (value float64, finite bool, err error) {
	m := marginMemory.Get().(*marginScratch)
	defer marginMemory.Put(m)
	scale, pass := 1/float64(s.count), &m.pass
	pass.Batch, pass.Grad, pass.Scale = &s.batch, s.grad, scale*s.cfg.GradScale
	defer func() { pass.Batch, pass.Grad = nil, nil }()
	cpu.SampleMargins(s.kernels, &m.sample, &s.batch)
	pass.Low, pass.Middle, pass.High = m.sample.Window(float64(s.selected) / float64(s.valid))
	for {
		sums, err := s.kernels.Margins(pass)
		if err != nil || !sums.Finite {
			return 0, false, public(err)
		}
		if rest, ok := s.kernels.SelectMargins(pass, s.selected-sums.Above); ok {
			return float64(scale * (sums.Sum + rest)), true, nil
		}
		pass.Low, pass.High = narrowed(pass.Low, pass.High, sums.Above > s.selected)
		pass.Middle = pass.High
	}
}

// marginScratch is the memory of an evaluation, which another uses again.
type marginScratch struct {
	sample cpu.Sample[float32]
	pass   cpu.Margins
}

var marginMemory = sync.Pool{New: func() any { return new(marginScratch) }}
