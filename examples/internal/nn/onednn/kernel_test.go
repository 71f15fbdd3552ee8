//go:build onednn

package onednn

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// TestConvertedKernel uses one kernel twice per step, with updates between the steps. The
// backward passes share one copy of the kernel, which must follow the update.
func TestConvertedKernel(t *testing.T) {
	input := func(t *testing.T, b nn.Backend) []float32 {
		var all []float32
		w, err := b.FromHost(tensor.New(tensor.WithShape(16, 16, 3, 3, 3), tensor.WithBacking(ramp(16*16*27))), nn.Kept)
		require.NoError(t, err)
		for range 2 {
			x, err := b.FromHost(tensor.New(tensor.WithShape(1, 16, 3, 4, 5), tensor.WithBacking(ramp(16*60))), nn.Step)
			require.NoError(t, err)
			spec := nn.ConvSpec{Padding: [3]int{1, 1, 1}, Stride: [3]int{2, 1, 1}}
			y0, back0, err := b.Conv3D(x, w, nil, spec)
			require.NoError(t, err)
			y1, back1, err := b.Conv3D(x, w, nil, spec)
			require.NoError(t, err)
			g0, err := back0(y0, []bool{true, false, false})
			require.NoError(t, err)
			g1, err := back1(y1, []bool{true, true, false})
			require.NoError(t, err)
			for _, g := range []nn.Array{g0[0], g1[0]} {
				host := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(g.Shape()...))
				require.NoError(t, b.ToHost(g, host))
				all = append(all, host.Data().([]float32)...)
			}
			require.NoError(t, b.SGDStep(w, g1[1], nil, true, nn.SGDSpec{LearningRate: 0.01}))
			b.EndStep()
		}
		return all
	}
	fast, err := New(nn.Float32, Config{Profile: true})
	require.NoError(t, err)
	exact, err := portable.New(nn.Float32)
	require.NoError(t, err)
	got := input(t, fast)
	copies := 0
	for _, e := range Profile(fast) {
		if e.Op == "Conv3D backward kernel" {
			copies += e.Calls
		}
	}
	assert.Equal(t, 2, copies, "one copy per step")
	want := input(t, exact)
	require.Len(t, got, len(want))
	for i := range want {
		require.InDelta(t, want[i], got[i], 1e-3, "value %d", i)
	}
}

// ramp returns n different values in [−1, 1).
func ramp(n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i*7919%2003)/1001.5 - 1
	}
	return values
}
