package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// softmaxOf returns the probabilities of the channels of a voxel of a batch of hostBatch, their
// complements and the negatives of their logarithms.
func softmaxOf(b *plan.Batch, n, i int) (p, q, nll []float64) {
	x := make([]float64, b.C)
	for c := range x {
		ReadFloats(b.Logits.Data(), (n*b.C+c)*b.V+i, x[c:c+1])
	}
	p, q, nll = make([]float64, b.C), make([]float64, b.C), make([]float64, b.C)
	for c := range x {
		// The sums over the other channels, relative to this one: +Inf where p is 0.
		others, top := 0.0, x[c]
		for k := range x {
			top = max(top, x[k])
			if k != c {
				others += math.Exp(x[k] - x[c])
			}
		}
		p[c], q[c], nll[c] = 1/(1+others), 1/(1+1/others), math.Log1p(others)
		if top-x[c] > 1 {
			sum := 0.0
			for k := range x {
				sum += math.Exp(x[k] - top)
			}
			nll[c] = top - x[c] + math.Log(sum)
		}
	}
	return p, q, nll
}

// labelPowerOn returns the sums and the gradient of a pass on one backend.
func labelPowerOn(t *testing.T, k Backend, pass LabelPower) (sums, grad []float64) {
	t.Helper()
	b := pass.Batch
	all, err := k.LabelPower(&pass)
	require.NoError(t, err)
	for _, s := range all {
		sums = append(sums, s.Elements, s.TP, s.FP, s.FN)
	}
	pass.Grad = tensor.New(tensor.WithShape(b.N, b.C, b.V), tensor.Of(b.Logits.Dtype()))
	_, err = k.LabelPower(&pass)
	require.NoError(t, err)
	return sums, floatsOf(pass.Grad)
}

// TestLabelPower compares with the definition.
func TestLabelPower(t *testing.T) {
	for _, channels := range []int{3, 5} {
		for _, voxels := range []int{1, 700, 1600} {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				for _, spread := range []float64{2, 30} {
					for _, gamma := range []float64{0.3, 1, 1.4} {
						b := hostBatch(dt, channels, voxels, spread)
						if spread > 2 {
							harden(b)
						}
						pass := LabelPower{Batch: b, Factor: []float64{0.3, 1.7, 0, 0.9, 1}[:channels], Gamma: gamma, Scale: 0.2}
						for i := range b.N * channels {
							pass.Slope = append(pass.Slope, [2]float64{0.5 * float64(i-3), 1 - 0.25*float64(i)})
						}
						weights := floatsOf(b.VoxelWeight)
						want, gradient := make([]float64, b.N*channels*labelSums), make([]float64, b.N*channels*voxels)
						for n := range b.N {
							for i := range voxels {
								w, y := weights[n*voxels+i], int(b.Target.Tensor.Data().([]uint8)[n*voxels+i])
								if w == 0 {
									continue
								}
								p, q, nll := softmaxOf(b, n, i)
								m, d := pass.Factor[y], 0.0
								if nll[y] > 0 {
									d = pass.Scale * m * gamma * math.Pow(nll[y], gamma-1)
								}
								for c := range channels {
									sums := want[(n*channels+c)*labelSums:]
									if c == y {
										sums[0] += w * m * math.Pow(nll[c], gamma)
										sums[1] += w * p[c]
										sums[3] += w * q[c]
									} else {
										sums[2] += w * p[c]
									}
									// Of the elements, and of the other term by the probability of each channel.
									g := d * p[c]
									if c == y {
										g = -d * q[c]
									}
									for k := range channels {
										slope := pass.Slope[n*channels+k][0]
										if k == y {
											slope = pass.Slope[n*channels+k][1]
										}
										if k == c {
											g += slope * p[c] * q[c]
										} else {
											g -= slope * p[k] * p[c]
										}
									}
									gradient[(n*channels+c)*voxels+i] = w * g
								}
							}
						}
						sums, grad := onAllTiers(t, func(k Backend) (sums, grad []float64) { return labelPowerOn(t, k, pass) })
						requirePass(t, dt, want, sums, gradient, grad, fmt.Sprintf("%d channels of %d voxels, %v, spread %v, γ=%v", channels, voxels, dt, spread, gamma))
					}
				}
			}
		}
	}
}

// TestLabelPowerBeyondFloat32: a chunk of float32 logits that exceeds its range is computed in
// float64.
func TestLabelPowerBeyondFloat32(t *testing.T) {
	b := hostBatch(tensor.Float32, 3, 300, 1)
	b.VoxelWeight = nil
	x, y := b.Logits.Data().([]float32), b.Target.Tensor.Data().([]uint8)
	x[5], y[5] = -3e38, 0
	pass := LabelPower{Batch: b, Factor: []float64{1, 1, 1}, Gamma: 2, Slope: make([][2]float64, 2*3)}
	sums, _ := onAllTiers(t, func(k Backend) (sums, grad []float64) {
		all, err := k.LabelPower(&pass)
		require.NoError(t, err)
		return []float64{all[0].Elements, all[3].Elements}, nil
	})
	large := float64(float32(3e38))
	assert.InEpsilon(t, large*large, sums[0], 1e-12)
	assert.Less(t, sums[1], 1e4)
}
