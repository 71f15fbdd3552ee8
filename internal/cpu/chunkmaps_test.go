package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// TestHardMaps: maps of zeros and ones give the bits that class indices give, whatever
// their type, and where one chunk of them is soft, or a voxel is in two maps by softmax,
// that chunk has the result of the row kernels.
func TestHardMaps(t *testing.T) {
	const n, v = 2, 64*tileVoxels + 3*tileVoxels + 77
	for _, c := range []int{1, 2, 3} {
		for i, activation := range []plan.Activation{plan.Sigmoid, plan.Softmax} {
			if c == 1 && activation == plan.Softmax {
				continue
			}
			what := fmt.Sprintf("%d channels, activation %d", c, activation)
			b, p, out := rowCall(tensor.Float32, c, v, activation, activation, uint64(i))
			b.VoxelWeight, out.Elements, out.Upstream, out.Offset = nil, nil, nil, nil
			r := rand.New(rand.NewPCG(uint64(c), 5))
			labels, bytes, bools, floats := make([]uint8, n*v), make([]uint8, n*c*v), make([]bool, n*c*v), make([]float32, n*c*v)
			for i := range labels {
				labels[i] = uint8(r.IntN(max(c, 2)))
				channel := int(labels[i])
				if c == 1 {
					channel--
				}
				if channel >= 0 {
					at := (i/v*c+channel)*v + i%v
					bytes[at], bools[at], floats[at] = 1, true, 1
				}
			}
			run := func(target any, dense bool) (sums, gradient *plan.Sums, grad []float32) {
				shape := []int{n, c, v}
				if !dense {
					shape = []int{n, v}
				}
				b.Target = plan.Target{Dense: dense, Argument: "target", Tensor: tensor.New(tensor.WithShape(shape...), tensor.WithBacking(target))}
				out.Reduced = false
				sums, err := Backend{}.Reduce(b, p, nil, out.Grad)
				require.NoError(t, err, what)
				out.Reduced = true
				gradient, err = Backend{}.Gradient(b, p, out)
				require.NoError(t, err, what)
				return sums, gradient, append([]float32(nil), out.Grad.Data().([]float32)...)
			}
			sums, gradient, grad := run(labels, false)
			for _, target := range []any{bytes, bools, floats} {
				s, g, d := run(target, true)
				require.Equal(t, sums, s, "%T, %s", target, what)
				require.Equal(t, gradient, g, "%T, %s", target, what)
				require.Equal(t, grad, d, "%T, %s", target, what)
			}
			soft := append([]float32(nil), floats...)
			if i == 0 {
				soft[v-1] = 0.25
			} else {
				soft[v-1], soft[2*v-1] = 1, 1
			}
			wide := make([]float64, len(soft))
			for i, x := range soft {
				wide[i] = float64(x)
			}
			_, _, want := run(wide, true) // by row kernels throughout
			_, _, got := run(soft, true)
			from := v - 77
			for ch := range c {
				row := want[ch*v:][:v]
				require.Equal(t, row[from:], got[ch*v:][from:v], what)
				require.InDeltaSlice(t, row, got[ch*v:][:v], 1e-6, what)
			}
		}
	}
}
