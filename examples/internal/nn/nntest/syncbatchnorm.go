package nntest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// syncBatchNorm compares synchronized batch norms, each sample on a tape of its own, with batch
// norms of the whole batch.
func (s suite) syncBatchNorm(t *testing.T) {
	for _, c := range []struct {
		samples, channels int
		size              [3]int
		mean              float64
	}{
		{3, 5, [3]int{4, 3, 5}, 0}, {2, 1, [3]int{1, 1, 7}, 3}, {9, 6, [3]int{1, 1, 1}, -1}, {1, 3, [3]int{2, 3, 1}, 0}, {2, 16, [3]int{6, 5, 4}, 100},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, uint64(c.samples)))
			each := c.channels * elements(c.size[:])
			shape := func(n int) []int { return []int{n, c.channels, c.size[0], c.size[1], c.size[2]} }
			x, g := normal(rng, c.samples*each), normal(rng, c.samples*each)
			for i := range x {
				x[i] = float64(float32(x[i]*(1+float64(i/each)) + c.mean))
			}
			build := nn.NewBuilder(s.Backend, 1)
			norms := []*nn.BatchNorm{build.BatchNorm("a", c.channels), build.BatchNorm("b", c.channels)}
			require.NoError(t, build.Initialize())
			for _, p := range build.Parameters() {
				p.Value = s.kept(t, normal(rng, c.channels), c.channels)
			}
			// Two uses of the first norm, one of them before an activation.
			net := nn.Sequence{norms[0], nn.ReLU, norms[1], nn.ELU, norms[0]}
			pass := func(tape *nn.Tape, x, g nn.Array) (y, gx []float64, err error) {
				in := tape.InputWithGrad(x)
				out, err := net.Forward(tape, in)
				if err != nil {
					return nil, nil, err
				}
				y = s.values(t, out.Array())
				if err := tape.Backward(out, g); err != nil {
					return nil, nil, err
				}
				a, err := tape.Grad(in)
				if err != nil {
					return nil, nil, err
				}
				return y, s.values(t, a), nil
			}

			y, gx, err := pass(nn.NewTape(s.Backend, nn.Training, 0), s.array(t, x, shape(c.samples)...), s.array(t, g, shape(c.samples)...))
			require.NoError(t, err)
			want := [][]float64{y, gx}
			for _, p := range build.Parameters() {
				want = append(want, s.values(t, p.Grad))
			}
			for _, f := range build.Buffers() {
				if f.Value != nil {
					want = append(want, s.values(t, f.Value))
				}
			}

			build = nn.NewBuilder(s.Backend, 1)
			fresh := []*nn.BatchNorm{build.BatchNorm("a", c.channels), build.BatchNorm("b", c.channels)}
			require.NoError(t, build.Initialize())
			for i, n := range fresh {
				n.Weight.Value, n.Bias.Value = norms[i].Weight.Value, norms[i].Bias.Value
			}
			net = nn.Sequence{fresh[0], nn.ReLU, fresh[1], nn.ELU, fresh[0]}
			got := [][]float64{make([]float64, len(x)), make([]float64, len(x))}
			for range build.Parameters() {
				got = append(got, make([]float64, c.channels))
			}
			var found []nn.Statistics
			_, err = nn.SyncPasses(c.samples, func(i int, sync nn.SyncFunc) error {
				tape := nn.NewTape(s.Backend, nn.Training, 0)
				tape.SyncBatchNorm(sync)
				tape.OnGradient(func(p *nn.Param) error {
					for k, q := range build.Parameters() {
						if q == p {
							for c, v := range s.values(t, p.Grad) {
								got[2+k][c] += v
							}
						}
					}
					return nil
				})
				from, to := i*each, (i+1)*each
				y, gx, err := pass(tape, s.array(t, x[from:to], shape(1)...), s.array(t, g[from:to], shape(1)...))
				copy(got[0][from:], y)
				copy(got[1][from:], gx)
				return err
			}, func(samples []*nn.ChannelSums) (*nn.ChannelSums, error) {
				for _, other := range samples[1:] {
					samples[0].Merge(other)
				}
				if !samples[0].Backward {
					found = append(found, samples[0].Statistics())
				}
				return samples[0], nil
			})
			require.NoError(t, err)
			require.NoError(t, nn.UpdateStatistics(s.Backend, found))
			for _, f := range build.Buffers() {
				if f.Value != nil {
					got = append(got, s.values(t, f.Value))
				}
			}
			result, gradient := s.tolerance()
			for i, name := range []string{"y", "gradient of x", "gradient of a.weight", "gradient of a.bias", "gradient of b.weight", "gradient of b.bias", "a.running_mean", "a.running_var", "b.running_mean", "b.running_var"} {
				tolerance := result
				if i > 0 && i < 6 {
					tolerance = gradient
				}
				require.LessOrEqual(t, RelativeError(want[i], got[i]), tolerance, name)
			}
			require.Equal(t, 2.0, float64(fresh[0].Batches.Count))
			s.EndStep()
		})
	}
}
