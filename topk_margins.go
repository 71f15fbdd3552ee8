package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// byMargin reports whether the elements are those of the softmax of two channels without
// weights, and so increase with the margin: the logit of the other class minus that of their
// own.
func (s *topkSum) byMargin() bool {
	focal := s.described.Focal
	return s.batch.C == 2 && s.batch.VoxelWeight == nil && focal.Smoothing == 0 &&
		focal.Pos[0] == 1 && focal.Pos[1] == 1 && focal.First == 0
}

// evalMargins evaluates a loss by margins. One pass computes the voxels that are certainly
// selected and lists those that may be. finite is false where a margin or the sum exceeds the
// range of float32; value is not to be used then.
func evalMargins(s *topkSum, m *topkScratch[float32]) (value float64, finite bool, err error) {
	scale := 1 / float64(s.count)
	p := s.described.Plan(&s.batch, nil)
	p.Pointwise.Scale = scale * s.cfg.GradScale // not in the sums
	pass := &cpu.Margins{Batch: &s.batch, Plan: p, Grad: s.grad, Listed: m.listed}
	pass.Low, pass.High = m.window(s, s.margins())
	for {
		sums, err := s.kernels.Margins(pass)
		m.listed = pass.Listed
		if err != nil || !sums.Finite {
			return 0, false, public(err)
		}
		value = scale * sums.Sum
		if sums.Above <= s.selected {
			if m.selector.Largest(s.selected-sums.Above, m.listed, pass.Low, pass.High) {
				rest, err := addMargins(s, m, p.Pointwise.Scale)
				return value + float64(scale*rest), true, err
			}
		}
		pass.Low, pass.High = narrowed(pass.Low, pass.High, sums.Above > s.selected)
	}
}

// margins returns a function that stores the margins of voxels that are not ignored.
func (s *topkSum) margins() func(voxels []int, dst []float32) (n int) {
	x := s.batch.Logits.Data().([]float32)
	read := s.classesAt()
	return func(voxels []int, dst []float32) (n int) {
		for i, class := range read(voxels) {
			if class == labels.Ignored {
				continue
			}
			at := voxels[i]
			at += at / s.batch.V * s.batch.V
			if dst[n] = x[at+s.batch.V] - x[at]; class == 1 {
				dst[n] = -dst[n]
			}
			n++
		}
		return n
	}
}

// classesAt returns a function that returns the classes of voxels, [labels.Ignored] where they
// are ignored.
func (s *topkSum) classesAt() func(voxels []int) []int32 {
	reader := labels.Of(s.batch.Target.Tensor.Data())
	classes := labels.Classes{Limit: int32(s.batch.Classes()), Binarize: s.batch.Target.Binarize}
	if s.batch.Target.HasIgnore {
		classes.Ignore = []int64{s.batch.Target.Ignore}
	}
	return func(voxels []int) []int32 {
		dst := make([]int32, len(voxels))
		if labels.Of(reader.Gather(voxels)).Classes(dst, 0, &classes) >= 0 {
			return nil // for the pass to refuse
		}
		return dst
	}
}

// addMargins returns the sum of the elements of the voxels listed and stores their gradients.
// An element and its derivative by the other class's logit are those of the sigmoid
// cross-entropy of the margin against class 0.
func addMargins(s *topkSum, m *topkScratch[float32], scale float64) (sum float64, err error) {
	from, n := make([]int, len(m.listed)), 0
	for i, list := range m.listed {
		from[i] = n
		n += len(list)
	}
	if n == 0 {
		return 0, nil
	}
	m.logits, m.class = cpu.Grow(m.logits, n), cpu.Grow(m.class, n)
	clear(m.class)
	for i, list := range m.listed {
		dst := m.logits[from[i]:][:len(list)]
		for j := range list {
			dst[j] = list[j].Value
		}
	}
	batch := plan.Batch{N: 1, C: 1, V: n, Space: [3]int{1, 1, n},
		Logits: tensor.New(tensor.WithShape(1, 1, n), tensor.WithBacking(m.logits)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, n), tensor.WithBacking(m.class)), Argument: "target"}}
	one := []float64{1}
	p := (&plan.Loss{Focal: &plan.Focal{Activation: plan.Sigmoid, Gamma: []float64{0}, Pos: one, Neg: one, CE: one, Scale: scale}}).Plan(&batch, nil)
	if s.grad == nil {
		sums, err := s.kernels.Reduce(&batch, p, nil, nil)
		if err != nil {
			return 0, public(err)
		}
		return sums.Pointwise, nil
	}
	m.grad = cpu.Grow(m.grad, n)
	sums, err := s.kernels.Gradient(&batch, p, &plan.Output{Grad: tensor.New(tensor.WithShape(1, 1, n), tensor.WithBacking(m.grad))})
	if err != nil {
		return 0, public(err)
	}
	g, voxels := s.grad.Data().([]float32), s.batch.V
	parallel.Each(len(m.listed), func(i int) {
		list := m.listed[i]
		if len(list) == 0 {
			return
		}
		before := int(list[0].At/2) / voxels * voxels // a list is of one sample
		for j, d := range m.grad[from[i]:][:len(list)] {
			at := int(list[j].At/2) + before
			own := math.Float32frombits(math.Float32bits(d) ^ list[j].At<<31) // −d for class 1
			// They are 0. Unlike stores alone, loads of several cache lines overlap.
			g[at] -= own
			g[at+voxels] += own
		}
	})
	return sums.Pointwise, nil
}
