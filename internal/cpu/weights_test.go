package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// TestVoxelWeights: weights of 1 give the bits of no weights, weights of float32, which
// the fused kernels take, nearly what those of float64 give, and the logits of a voxel of
// weight 0 have no effect.
func TestVoxelWeights(t *testing.T) {
	const n, v = 2, 3*stripVoxels + 77
	for _, c := range []int{1, 2} {
		for i, activation := range []plan.Activation{plan.Sigmoid, plan.Softmax} {
			for part := range 3 {
				if c == 1 && activation == plan.Softmax {
					continue
				}
				what := fmt.Sprintf("%d channels, activation %d, terms %d", c, activation, part)
				b, p, out := rowCall(tensor.Float32, c, v, activation, activation, uint64(i))
				out.Elements, out.Upstream, out.Offset = nil, nil, nil
				switch part {
				case 0:
					p.Overlap = nil
				case 1:
					p.Pointwise = nil
				}
				r := rand.New(rand.NewPCG(uint64(c), 6))
				labels, ones, narrow, wide := make([]uint8, n*v), make([]float32, n*v), make([]float32, n*v), make([]float64, n*v)
				for i := range labels {
					labels[i], ones[i] = uint8(r.IntN(2)), 1
					narrow[i] = float32(r.IntN(4)) / 3
					wide[i] = float64(narrow[i])
				}
				b.Target = plan.Target{Argument: "target", Tensor: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(labels))}
				run := func(weights any) (sums, gradient *plan.Sums, grad []float32) {
					b.VoxelWeight = nil
					if weights != nil {
						b.VoxelWeight = tensor.New(tensor.WithShape(n, v), tensor.WithBacking(weights))
					}
					out.Reduced = false
					sums, err := Backend{}.Reduce(b, p, nil, out.Grad)
					require.NoError(t, err, what)
					out.Reduced = p.Overlap != nil
					gradient, err = Backend{}.Gradient(b, p, out)
					require.NoError(t, err, what)
					return sums, gradient, append([]float32(nil), out.Grad.Data().([]float32)...)
				}
				wantSums, wantGradient, wantGrad := run(nil)
				sums, gradient, grad := run(ones)
				require.Equal(t, wantSums, sums, what)
				require.Equal(t, wantGradient, gradient, what)
				require.Equal(t, wantGrad, grad, what)

				wantSums, _, wantGrad = run(wide)
				sums, _, grad = run(narrow)
				for _, pair := range [][2][]float64{{wantSums.I, sums.I}, {wantSums.P, sums.P}, {wantSums.G, sums.G}, {{wantSums.Pointwise}, {sums.Pointwise}}} {
					assert.InDeltaSlice(t, pair[0], pair[1], 1e-5*v, what)
				}
				require.InDeltaSlice(t, wantGrad, grad, 1e-5, what)

				x := b.Logits.Data().([]float32)
				for i, w := range narrow {
					if w == 0 {
						for ch := range c {
							x[(i/v*c+ch)*v+i%v] = []float32{float32(math.NaN()), float32(math.Inf(1)), 3e38}[i%3]
						}
					}
				}
				again, _, gradAgain := run(narrow)
				require.Equal(t, sums, again, what)
				require.Equal(t, grad, gradAgain, what)
			}
		}
	}
}
