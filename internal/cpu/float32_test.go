package cpu

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// TestTailIgnoresScratch runs both passes of an overlap term over a chunk that ends
// within a block, with junk in the scratch memory: the gradient must not change.
func TestTailIgnoresScratch(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		const v = 70
		x, y := make([]float32, v), make([]uint8, v)
		for i := range x {
			x[i], y[i] = float32(i%13)-6, uint8(i%2)
		}
		run := func(junk float32) []float32 {
			g := make([]float32, v)
			b := &plan.Batch{N: 1, C: 1, V: v, Space: [3]int{1, 1, v}, Logits: tensor.New(tensor.WithShape(1, 1, v), tensor.WithBacking(x)),
				Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, v), tensor.WithBacking(y))}}
			gt := tensor.New(tensor.WithShape(1, 1, v), tensor.WithBacking(g))
			one := []float64{1}
			p := &plan.Plan{Pointwise: &plan.Pointwise{Activation: plan.Sigmoid, Gamma: []float64{1.5}, Pos: one, Neg: one, CE: one, Scale: 1},
				Overlap: &plan.Overlap{Activation: plan.Sigmoid}}
			s := &stripScratch{}
			for _, out := range []*plan.Output{{Grad: gt}, {Grad: gt, Reduced: true, CoefT: one, CoefP: one}} {
				f := newFloat32Pass(open(b), &impl, p, out, !out.Reduced)
				require.NotNil(t, f)
				for i := range s.g1 {
					s.g1[i], s.x0[i], s.x1[i], s.g0[i] = junk, junk, junk, junk
				}
				ok, err := f.chunk(chunk{hi: v}, make([]float64, 5), s)
				require.NoError(t, err)
				require.True(t, ok, "junk %v", junk)
			}
			return g
		}
		want := run(0)
		for _, junk := range []float32{1e6, 1e30, float32(math.Inf(1)), float32(math.NaN())} {
			require.Equal(t, want, run(junk))
		}
	})
}
