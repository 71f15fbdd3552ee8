package afl

import (
	"math"
	"unsafe"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/selection"
)

// evalElements evaluates a loss by elements. One pass computes the gradients of the voxels that
// are certainly selected or may be, and lists the latter.
func (m *topkScratch[T]) evalElements(s *topkSum) (value float64, overflow bool, err error) {
	p := s.described.Plan(&s.batch, nil)
	p.Pointwise.Scale = s.cfg.GradScale / float64(s.count) // not in the elements
	pass := &cpu.Above[T]{Batch: &s.batch, Plan: p, Grad: s.grad, Listed: m.listed}
	all := T(math.Inf(1))
	if s.selected == s.valid {
		pass.High = -all // all are above
	} else {
		cpu.SampleElements(s.kernels, &m.sample, &s.batch, s.described)
		pass.Low, _, pass.High = m.sample.Window(float64(s.selected) / float64(s.valid))
	}
	least := cpu.NumberAfter[T](0)
	for {
		// Elements of 0 add nothing and have no gradient, however many they are.
		pass.Low = max(pass.Low, least)
		sums, err := cpu.PassAbove(s.kernels, pass)
		m.listed = pass.Listed
		switch {
		case err != nil:
			return 0, false, public(err)
		case sums.Finite:
		case unsafe.Sizeof(T(0)) == 4:
			return 0, true, nil
		case !(pass.Low == least && pass.High == all):
			pass.Low, pass.High = least, all // list all, of which some are infinite or NaN
			continue
		}
		if missing := s.selected - sums.Above; missing >= 0 {
			if pass.Low == least {
				missing = min(missing, m.count())
			}
			if cut, ok := m.selector.Cut(missing, m.listed, pass.Low, pass.High); ok {
				return (sums.Sum + m.take(s, cut)) / float64(s.count), false, nil
			}
		}
		pass.Low, pass.High = narrowed(pass.Low, pass.High, sums.Above > s.selected)
	}
}

// count returns the number of voxels that are listed.
func (m *topkScratch[T]) count() (n int) {
	for i := range m.listed {
		n += len(m.listed[i].Values)
	}
	return n
}

// take takes voxels that are listed. It returns the sum of their elements and clears the
// gradient of the others.
func (m *topkScratch[T]) take(s *topkSum, cut selection.Cut) (total float64) {
	var g []T
	if s.grad != nil {
		g = s.grad.Data().([]T)
	}
	c, v := s.batch.C, s.batch.V
	sums := make([]float64, len(m.listed))
	parallel.Do(len(m.listed), func() func(i int) {
		var listed []uint32
		return func(i int) {
			list := &m.listed[i]
			listed = append(listed[:0], list.At...)
			list.Take(cut, i)
			for _, e := range list.Values {
				sums[i] += float64(e)
			}
			taken, rejected := list.At, listed[:0]
			if g == nil || len(taken) == len(listed) {
				return
			}
			first := int(listed[0]) / v * (c - 1) * v // they are of one sample
			for _, at := range listed {
				if len(taken) > 0 && taken[0] == at {
					taken = taken[1:]
				} else {
					rejected = append(rejected, at)
				}
			}
			for ch := range c {
				of := g[first+ch*v:]
				for _, at := range rejected {
					of[at] -= of[at] // Unlike stores alone, loads of several cache lines overlap.
				}
			}
		}
	})
	for _, sum := range sums {
		total += sum
	}
	return total
}
