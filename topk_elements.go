package afl

import (
	"math"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// evalElements evaluates a loss by elements: those of all voxels are computed, with their
// gradients.
func (m *topkScratch[T]) evalElements(s *topkSum) (value float64, overflow bool, err error) {
	n := s.batch.N * s.batch.V
	class := []uint8(nil) // if none is ignored
	if s.batch.Target.HasIgnore {
		m.class = cpu.Grow(m.class, n)
		if err := s.kernels.ClassBytes(m.class, &s.batch); err != nil {
			return 0, false, public(err)
		}
		class = m.class
	}
	m.elements = cpu.Grow(m.elements, n)
	out := &plan.Output{Grad: s.grad, Elements: tensor.New(tensor.WithShape(s.batch.N, s.batch.V), tensor.WithBacking(m.elements))}
	if _, err := s.kernels.Gradient(&s.batch, s.described.Plan(&s.batch, nil), out); err != nil {
		return 0, false, public(err)
	}
	low, high := m.window(s, func(voxels []int, dst []T) (n int) {
		for _, at := range voxels {
			if class == nil || class[at] != kernel.NoClass {
				dst[n] = m.elements[at]
				n++
			}
		}
		return n
	})
	for {
		var above int
		value, above = m.list(s, class, low, high)
		if above <= s.selected && m.selector.Largest(s.selected-above, m.listed, low, high) {
			break
		}
		low, high = narrowed(low, high, above > s.selected)
	}
	for _, list := range m.listed {
		for _, it := range list {
			value += float64(it.Value)
		}
	}
	if unsafe.Sizeof(T(0)) == 4 && value > math.MaxFloat32 {
		for _, e := range m.elements {
			if e > math.MaxFloat32 {
				return 0, true, nil
			}
		}
	}
	if s.grad != nil {
		m.clearGradient(s, high)
	}
	return value / float64(s.count), false, nil
}

// topkPart is the number of voxels of a part of the elements, one list each.
const topkPart = 1 << 13

// eachTopkPart calls f, concurrently, for the parts [lo,hi) of the voxels of all samples.
func (s *topkSum) eachTopkPart(f func(part, lo, hi int)) {
	per := (s.batch.V + topkPart - 1) / topkPart
	parallel.Each(s.batch.N*per, func(i int) {
		lo := i/per*s.batch.V + i%per*topkPart
		f(i, lo, min(lo+topkPart, (i/per+1)*s.batch.V))
	})
}

// list returns the sum of the elements above high and their number. It lists those from low to
// high that are not ignored.
func (m *topkScratch[T]) list(s *topkSum, class []uint8, low, high T) (sum float64, above int) {
	parts := s.batch.N * ((s.batch.V + topkPart - 1) / topkPart)
	m.listed = slices.Grow(m.listed[:0], parts)[:parts]
	sums, counts := make([]float64, parts), make([]int, parts)
	s.eachTopkPart(func(part, lo, hi int) {
		var found [topkPart + 3]uint16
		sum, above, n := listAbove(s.kernels, m.elements[lo:hi], low, high, found[:])
		list := m.listed[part][:0]
		for _, i := range found[:n] {
			if at := lo + int(i); class == nil || class[at] != kernel.NoClass {
				list = append(list, selection.Item[T]{Value: m.elements[at], At: uint32(at)})
			}
		}
		m.listed[part], sums[part], counts[part] = list, sum, above
	})
	for part := range parts {
		sum += sums[part]
		above += counts[part]
	}
	return sum, above
}

// listAbove is [cpu.Backend.ListAbove].
func listAbove[T float32 | float64](kernels cpu.Backend, e []T, low, high T, found []uint16) (sum float64, above, listed int) {
	if narrow, ok := any(e).([]float32); ok {
		return kernels.ListAbove(narrow, float32(low), float32(high), found)
	}
	for i, v := range e {
		switch {
		case v > high:
			sum += float64(v)
			above++
		case !(v < low):
			found[listed] = uint16(i)
			listed++
		}
	}
	return sum, above, listed
}

// clearGradient clears the gradient of the voxels whose element is neither above a limit nor
// listed, and scales that of the others. It overwrites the elements.
func (m *topkScratch[T]) clearGradient(s *topkSum, high T) {
	g, voxels, c := s.grad.Data().([]T), s.batch.V, s.batch.C
	scale := T(s.cfg.GradScale / float64(s.count))
	noneAbove := math.IsInf(float64(high), 1)
	if noneAbove {
		high = 0
	}
	s.eachTopkPart(func(part, lo, hi int) {
		before := lo / voxels * (c - 1) * voxels
		e := m.elements[lo:hi]
		if noneAbove {
			clear(e)
		}
		for _, it := range m.listed[part] {
			e[int(it.At)-lo] = T(math.Inf(1)) // above
		}
		for ch := range c {
			cpu.KeepAbove(s.kernels, g[before+ch*voxels+lo:][:hi-lo], e, high, scale)
		}
	})
}
