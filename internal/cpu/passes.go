package cpu

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Reduce implements [plan.Kernels].
func (k Backend) Reduce(b *plan.Batch, p *plan.Plan, upstream, scratch *tensor.Dense) (*plan.Sums, error) {
	return k.pass(b, p, &plan.Output{Grad: scratch, Upstream: upstream}, true, nil)
}

// Gradient implements [plan.Kernels].
func (k Backend) Gradient(b *plan.Batch, p *plan.Plan, out *plan.Output) (*plan.Sums, error) {
	return k.pass(b, p, out, false, nil)
}

// pass reads the batch once. With sums set it computes the sums of the values and of
// the overlap term, and may cache intermediates in out.Grad; otherwise it writes
// what out asks for. Unless it is nil, then is called after each chunk.
func (k Backend) pass(in *plan.Batch, p *plan.Plan, out *plan.Output, sums bool, then func(ch chunk, s *scratch) error) (*plan.Sums, error) {
	b, kernels := open(in), k.kernels()
	fast := newFloat32Pass(b, kernels, p, out, sums)
	var narrow *rowPass[float32]
	if _, isFloat32 := b.logits.([]float32); isFloat32 && (fast == nil || fast.maps != nil || fast.weight != nil) {
		narrow = newRowPass(b, kernels, &kernels.rows32, p, out, sums)
	}
	wide := sync.OnceValue(func() *rowPass[float64] { return newRowPass(b, kernels, &kernels.rows64, p, out, sums) })
	width := 1 + 4*b.C
	// Begin with what the first pass read last: it is still in the cache.
	order := parallel.Order(p.Overlap != nil && !sums)
	one := func(ch chunk, acc []float64, s *scratch) error {
		if fast != nil {
			if ok, err := fast.chunk(ch, acc, &s.strip); err != nil || ok {
				return err
			}
			clear(acc)
		}
		if narrow != nil {
			if ok, err := narrow.chunk(ch, acc, &s.rows32); err != nil || ok {
				return err
			}
			clear(acc)
		}
		// Float64, or beyond the range of float32.
		_, err := wide().chunk(ch, acc, &s.rows64)
		return err
	}
	total, err := sumChunks(b.N, b.V, width, order, func(ch chunk, acc []float64, s *scratch) error {
		if err := one(ch, acc, s); err != nil || then == nil {
			return err
		}
		return then(ch, s)
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
