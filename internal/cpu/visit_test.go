package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// visitBatch returns logits of every size and labels, some of them ignored.
func visitBatch(channels int) *plan.Batch {
	const n, voxels = 2, 1000
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float64, n*channels*voxels)
	for i := range x {
		x[i] = r.NormFloat64() * math.Exp(4*r.Float64())
	}
	y := make([]uint8, n*voxels)
	for i := range y {
		if y[i] = uint8(r.IntN(max(channels, 2))); r.IntN(20) == 0 {
			y[i] = 255
		}
	}
	return &plan.Batch{N: n, C: channels, V: voxels, Space: [3]int{voxels, 1, 1},
		Logits: tensor.New(tensor.WithShape(n, channels, voxels), tensor.WithBacking(x)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(n, voxels), tensor.WithBacking(y)), Argument: "target", Ignore: 255, HasIgnore: true}}
}

// TestVisit checks what a visit hands out: probabilities and complements to full relative
// precision, the gradient by the chain rule, and the same bits on every tier.
func TestVisit(t *testing.T) {
	for _, c := range []struct {
		activation plan.Activation
		channels   int
	}{{plan.Sigmoid, 1}, {plan.Sigmoid, 3}, {plan.Softmax, 2}, {plan.Softmax, 4}, {plan.None, 2}} {
		b := visitBatch(c.channels)
		x, y := b.Logits.Data().([]float64), b.Target.Tensor.Data().([]uint8)
		logit := func(n, ch, i int) float64 { return x[(n*b.C+ch)*b.V+i] }
		near := func(want, got float64) {
			if math.Abs(want) > 1e-290 { // smaller ones have fewer digits
				assert.InEpsilon(t, want, got, 1e-14)
			}
		}
		var first []float64
		for _, tier := range Tiers() {
			k, err := New(tier)
			require.NoError(t, err)
			grad := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(b.Logits.Shape()...))
			v := Visit{Batch: b, Activation: c.activation, Targets: true, Sums: 2, Grad: grad}
			v.Do = func(tile *Tile, sums []float64) error {
				for ch := range tile.P {
					for i, w := range tile.Weight {
						if w == 0 {
							assert.Equal(t, int32(ignored), tile.Class[i])
							continue
						}
						at := tile.Lo + i
						own := logit(tile.Sample, ch, at)
						p, q := own, 1-own
						switch c.activation {
						case plan.Sigmoid:
							p, q = 1/(1+math.Exp(-own)), 1/(1+math.Exp(own))
						case plan.Softmax:
							others := 0.0
							for o := range tile.P {
								if o != ch {
									others += math.Exp(logit(tile.Sample, o, at) - own)
								}
							}
							p, q = 1/(1+others), 1/(1+1/others)
						}
						near(p, tile.P[ch][i])
						near(q, tile.Q[ch][i])
						hit := 0.0
						if class := int(y[tile.Sample*b.V+at]); class == ch+max(0, 2-len(tile.P)) {
							hit = 1
						}
						assert.Equal(t, hit, tile.Target[ch][i])
						tile.Pull[ch][i] = float64(ch+1) * tile.Factor[ch][i] // of Σ (ch+1)·p
						sums[0] += tile.P[ch][i]
						sums[1]++
					}
				}
				return nil
			}
			sums, err := k.Visit(&v)
			require.NoError(t, err)
			all := append(sums, grad.Data().([]float64)...)
			if first == nil {
				first = all
				for n := range b.N {
					for i := range b.V {
						if y[n*b.V+i] == 255 {
							assert.Zero(t, grad.Data().([]float64)[n*b.C*b.V+i])
						}
					}
				}
			}
			require.Equal(t, first, all, tier)
		}
	}
}

// TestPower compares powers with math.Pow.
func TestPower(t *testing.T) {
	xs := []float64{0, 5e-324, 1e-310, 1e-299, 1e-100, 0.3, 0.5, 0.999999, 1, 1.0000001, 2, 7.5, 1e4, 1e100, math.MaxFloat64, math.Inf(1)}
	for _, e := range []float64{0.3, 0.5, 0.75, 1, 1.4, 2} {
		for _, x := range xs {
			got, want := Power(x, e), math.Pow(x, e)
			if x < 1e-300 && e != 1 {
				want = 0
			}
			if math.IsInf(want, 1) || want == 0 || want < 1e-290 {
				assert.InDelta(t, want, got, 1e-290, "%v to the power %v", x, e)
			} else {
				assert.InEpsilon(t, want, got, 5e-13, "%v to the power %v", x, e)
			}
		}
		assert.True(t, math.IsNaN(Power(math.NaN(), e)))
	}
}
