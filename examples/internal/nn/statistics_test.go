package nn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// TestKeptStatistics compares running statistics that are updated pass by pass with those that
// are updated from kept statistics, in float64, where both have the same bits, and in float32.
func TestKeptStatistics(t *testing.T) {
	for _, dtype := range []nn.DType{nn.Float64, nn.Float32} {
		b := open(t, dtype)
		norms := make([]*nn.BatchNorm, 2)
		for i := range norms {
			build := nn.NewBuilder(b, 7)
			norms[i] = build.BatchNorm("n", 3)
			require.NoError(t, build.Initialize())
		}
		direct, kept := norms[0], norms[1]
		var passes []nn.Statistics
		for pass := range uint64(4) {
			r := rand.New(rand.NewPCG(pass, 0))
			values := make([]float64, 2*3*5*3*2)
			for i := range values {
				values[i] = 3 + 2*r.NormFloat64()
			}
			x, err := b.FromHost(tensor.New(tensor.WithShape(2, 3, 5, 3, 2), tensor.WithBacking(values)), nn.Step)
			require.NoError(t, err)
			var outputs [2][]float64
			for i, n := range norms {
				tape := nn.NewTape(b, nn.Training, 1)
				if n == kept {
					tape.KeepStatistics()
				}
				y, err := n.Forward(tape, tape.Input(x))
				require.NoError(t, err)
				if pass%2 == 0 { // a layer that is used twice in a pass
					y, err = n.Forward(tape, y)
					require.NoError(t, err)
				}
				outputs[i] = get(t, b, y.Array())
				found, err := tape.Statistics()
				require.NoError(t, err)
				if n == direct {
					assert.Empty(t, found)
				}
				passes = append(passes, found...)
			}
			assert.Equal(t, outputs[0], outputs[1])
			assert.Equal(t, []float64{0, 0, 0}, get(t, b, kept.RunningMean.Value), "unchanged")
			assert.Zero(t, kept.Batches.Count)
			b.EndStep()
		}
		require.NoError(t, nn.UpdateStatistics(b, passes))
		assert.Equal(t, int64(6), kept.Batches.Count)
		assert.Equal(t, direct.Batches.Count, kept.Batches.Count)
		for _, pair := range [][2]*nn.Buffer{{direct.RunningMean, kept.RunningMean}, {direct.RunningVar, kept.RunningVar}} {
			want, got := get(t, b, pair[0].Value), get(t, b, pair[1].Value)
			if dtype == nn.Float64 {
				assert.Equal(t, want, got)
			} else {
				assert.InDeltaSlice(t, want, got, 4*math.Pow(2, -22))
			}
		}
		err := nn.UpdateStatistics(b, []nn.Statistics{{Norm: kept, Mean: []float64{1}, Var: []float64{1, 2, 3}}})
		assert.EqualError(t, err, "nn: 1 statistics for n.running_mean, want 3")
	}
}
