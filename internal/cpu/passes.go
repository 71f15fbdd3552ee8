package cpu

import (
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Reduce implements [plan.Kernels].
func (k Backend) Reduce(b *plan.Batch, p *plan.Plan, upstream, scratch *tensor.Dense) (*plan.Sums, error) {
	return k.pass(b, p, &plan.Output{Grad: scratch, Upstream: upstream}, true)
}

// Gradient implements [plan.Kernels].
func (k Backend) Gradient(b *plan.Batch, p *plan.Plan, out *plan.Output) (*plan.Sums, error) {
	return k.pass(b, p, out, false)
}

// pass reads the batch once. With sums set it computes the sums of the values and of
// the overlap term, and may cache intermediates in out.Grad; otherwise it writes
// what out asks for.
func (k Backend) pass(in *plan.Batch, p *plan.Plan, out *plan.Output, sums bool) (*plan.Sums, error) {
	b := open(in)
	var grad, elements, upstream any
	if out.Grad != nil && !sums {
		grad = out.Grad.Data()
	}
	if out.Elements != nil {
		elements = out.Elements.Data()
	}
	if out.Upstream != nil {
		upstream = out.Upstream.Data()
	}
	var first int // first channel that has elements
	var perVoxel bool
	if p.Pointwise != nil {
		first, perVoxel = p.Pointwise.First, p.Pointwise.PerVoxel
	}
	// elementsAt is the index of the element of channel c at voxel lo.
	elementsAt := func(n, c, lo int) int {
		if perVoxel {
			return n*b.V + lo
		}
		return (n*(b.C-first)+c-first)*b.V + lo
	}

	fast := newFloat32Pass(b, k.kernels(), p, out, sums)
	width := 1 + 4*b.C
	// Begin with what the first pass read last: it is still in the cache.
	backwards := p.Overlap != nil && !sums
	total, err := sumChunks(b.N, b.V, width, backwards, func(ch chunk, acc []float64, s *scratch) error {
		if fast != nil {
			ok, err := fast.chunk(ch, acc, &s.strip)
			if err != nil || ok {
				return err
			}
			clear(acc)
		}
		t := &s.tile
		t.reserve(b.C)
		I, P, G, U := acc[1:1+b.C], acc[1+b.C:1+2*b.C], acc[1+2*b.C:1+3*b.C], acc[1+3*b.C:]
		for lo := ch.lo; lo < ch.hi; lo += tileVoxels {
			hi := min(lo+tileVoxels, ch.hi)
			if err := t.load(b, ch.n, lo, hi); err != nil {
				return err
			}
			for c := range b.C {
				clear(t.row(t.g, c))
				fill(t.row(t.up, c), 1)
			}
			if upstream != nil {
				for c := first; c < b.C; c++ {
					row := t.row(t.up, c)
					if perVoxel {
						row = t.row(t.up, 0)
					}
					if err := widenAny(upstream, elementsAt(ch.n, c, lo), row); err != nil {
						return err
					}
				}
			}
			if p.Overlap != nil {
				t.activate(p.Overlap)
			}
			if p.Pointwise != nil {
				acc[0] += t.pointwise(p.Pointwise, ch.n, elements != nil, grad != nil)
			}
			if sums {
				if p.Overlap != nil {
					t.overlapSums(p.Overlap, I, P, G)
				}
				for c := first; c < b.C; c++ {
					U[c] += sum(t.row(t.up, c))
				}
				continue
			}
			if grad != nil {
				if out.CoefT != nil {
					t.overlapGradient(p.Overlap, ch.n, out.CoefT, out.CoefP)
				}
				for c := range b.C {
					store(grad, (ch.n*b.C+c)*b.V+lo, t.row(t.g, c))
				}
			}
			if elements != nil {
				for c := first; c < b.C; c++ {
					row := t.row(t.elements, c)
					if perVoxel {
						row = t.row(t.elements, 0)
					}
					if out.Offset != nil {
						offset := out.Offset[ch.n*b.C+c]
						for i := range row {
							row[i] += offset
						}
					}
					store(elements, elementsAt(ch.n, c, lo), row)
					if perVoxel {
						break
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &plan.Sums{
		I: make([]float64, b.N*b.C), P: make([]float64, b.N*b.C),
		G: make([]float64, b.N*b.C), Upstream: make([]float64, b.N*b.C),
	}
	for n := range b.N {
		row := total[n*width:]
		r.Pointwise += row[0]
		for k, dst := range [][]float64{r.I, r.P, r.G, r.Upstream} {
			copy(dst[n*b.C:(n+1)*b.C], row[1+k*b.C:])
		}
	}
	return r, nil
}
