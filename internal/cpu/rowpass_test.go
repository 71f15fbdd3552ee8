package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// rowCall is a call that row kernels compute, with both terms, of given activations.
func rowCall(dt tensor.Dtype, c, v int, pointwise, overlap plan.Activation, seed uint64) (*plan.Batch, *plan.Plan, *plan.Output) {
	r := rand.New(rand.NewPCG(seed, 1))
	floats := func(dt tensor.Dtype, n int, value func() float64) *tensor.Dense {
		if dt == tensor.Float64 {
			s := make([]float64, n)
			for i := range s {
				s[i] = value()
			}
			return tensor.New(tensor.WithBacking(s))
		}
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(value())
		}
		return tensor.New(tensor.WithBacking(s))
	}
	list := func(n int) []float64 {
		s := make([]float64, n)
		for i := range s {
			s[i] = r.Float64() + 0.1
		}
		return s
	}
	const n = 2
	b := &plan.Batch{N: n, C: c, V: v, Space: [3]int{1, 1, v},
		Logits:      floats(dt, n*c*v, func() float64 { return 4 * r.NormFloat64() }),
		Target:      plan.Target{Dense: true, Tensor: floats(tensor.Float32, n*c*v, func() float64 { return max(0, min(1, 2*r.Float64()-0.5)) })},
		VoxelWeight: floats(tensor.Float32, n*v, func() float64 { return float64(r.IntN(3)) })}
	p := &plan.Plan{
		Pointwise: &plan.Pointwise{Activation: pointwise, Gamma: list(n * c), Pos: list(n * c), Neg: list(n * c), CE: list(c), Scale: 0.3},
		Overlap:   &plan.Overlap{Activation: overlap, Squared: seed%2 == 0},
	}
	out := &plan.Output{Grad: floats(dt, n*c*v, func() float64 { return 7 }), Elements: floats(dt, n*c*v, func() float64 { return 7 }),
		Upstream: floats(dt, n*c*v, r.NormFloat64), Offset: list(n * c), CoefT: list(n * c), CoefP: list(n * c)}
	return b, p, out
}

// TestTiersAgree: the backends of all instruction sets return the same bits for losses
// that the row kernels compute.
func TestTiersAgree(t *testing.T) {
	activations := []plan.Activation{plan.Sigmoid, plan.Softmax}
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for c := 1; c <= 4; c++ {
			for _, v := range []int{1, 65, 511, 1500} {
				for i := range 6 {
					pointwise, overlap := activations[i%2], append(activations, plan.None)[i%3]
					what := fmt.Sprintf("%v, %d channels of %d voxels, activations %d and %d", dt, c, v, pointwise, overlap)
					type result struct {
						sums, gradient *plan.Sums
						out            *plan.Output
					}
					run := func(tier string) result {
						k, err := New(tier)
						require.NoError(t, err)
						b, p, out := rowCall(dt, c, v, pointwise, overlap, uint64(i))
						sums, err := k.Reduce(b, p, out.Upstream, nil)
						require.NoError(t, err)
						gradient, err := k.Gradient(b, p, out)
						require.NoError(t, err)
						return result{sums, gradient, out}
					}
					want := run("go")
					for _, tier := range Tiers() {
						got := run(tier)
						require.Equal(t, want.sums, got.sums, "%s: %s", tier, what)
						require.Equal(t, want.gradient, got.gradient, "%s: %s", tier, what)
						require.Equal(t, want.out.Grad.Data(), got.out.Grad.Data(), "%s: %s", tier, what)
						require.Equal(t, want.out.Elements.Data(), got.out.Elements.Data(), "%s: %s", tier, what)
					}
				}
			}
		}
	}
}

// TestBeyondFloat32: what float32 cannot hold is computed in float64, and by the same
// kernels as float64 logits.
func TestBeyondFloat32(t *testing.T) {
	const v = 200 // one chunk
	for _, change := range []struct {
		name   string
		chunks int // how many are affected, of two
		do     func(b *plan.Batch, p *plan.Plan)
	}{
		{"a large logit", 1, func(b *plan.Batch, _ *plan.Plan) {
			b.Logits.Data().([]float32)[70] = 3e38
			b.VoxelWeight.Data().([]float32)[70] = 100
		}},
		{"a small weight", 1, func(b *plan.Batch, _ *plan.Plan) { b.VoxelWeight.Data().([]float32)[70] = 1e-44 }},
		{"small float64 weights", 2, func(b *plan.Batch, _ *plan.Plan) {
			w := make([]float64, b.N*b.V)
			for i := range w {
				w[i] = 1e-60
			}
			b.VoxelWeight = tensor.New(tensor.WithBacking(w))
		}},
		{"a small constant", 2, func(_ *plan.Batch, p *plan.Plan) { p.Pointwise.Pos[0] = 1e-50 }},
	} {
		t.Run(change.name, func(t *testing.T) {
			b, p, out := rowCall(tensor.Float32, 2, v, plan.Sigmoid, plan.Sigmoid, 3)
			change.do(b, p)
			sums, err := Backend{}.Reduce(b, p, nil, nil)
			require.NoError(t, err)
			_, err = Backend{}.Gradient(b, p, out)
			require.NoError(t, err)

			wide := func(d *tensor.Dense) *tensor.Dense {
				s := make([]float64, d.Shape().TotalSize())
				for i, v := range d.Data().([]float32) {
					s[i] = float64(v)
				}
				return tensor.New(tensor.WithBacking(s))
			}
			wb, wout := *b, *out
			wb.Logits, wout.Upstream = wide(b.Logits), wide(out.Upstream)
			wout.Grad, wout.Elements = wide(out.Grad), wide(out.Elements)
			wantSums, err := Backend{}.Reduce(&wb, p, nil, nil)
			require.NoError(t, err)
			_, err = Backend{}.Gradient(&wb, p, &wout)
			require.NoError(t, err)
			if change.chunks == 2 {
				require.Equal(t, wantSums, sums)
			}
			affected := change.chunks * 2 * v
			for i, want := range wout.Grad.Data().([]float64)[:affected] {
				require.Equal(t, float32(want), out.Grad.Data().([]float32)[i], "gradient %d", i)
			}
			for i, want := range wout.Elements.Data().([]float64)[:affected] {
				require.Equal(t, float32(want), out.Elements.Data().([]float32)[i], "element %d", i)
			}
		})
	}
}
