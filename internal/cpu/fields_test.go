package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// hostBatch returns a batch of logits of a type, labels and weights, some of which are 0.
func hostBatch(dt tensor.Dtype, channels, voxels int, spread float64) *plan.Batch {
	const n = 2
	r := rand.New(rand.NewPCG(uint64(channels), uint64(voxels)))
	y, w := make([]uint8, n*voxels), make([]float32, n*voxels)
	for i := range y {
		y[i], w[i] = uint8(r.IntN(max(channels, 2))), float32(r.IntN(3))
	}
	logits := tensor.New(tensor.WithShape(n, channels, voxels), tensor.Of(dt))
	for i := range n * channels * voxels {
		v := spread * r.NormFloat64()
		switch x := logits.Data().(type) {
		case []float32:
			x[i] = float32(v)
		case []float64:
			x[i] = float64(float32(v))
		}
	}
	return &plan.Batch{N: n, C: channels, V: voxels, Space: [3]int{voxels, 1, 1}, Logits: logits,
		Target:      plan.Target{Tensor: tensor.New(tensor.WithBacking(y)), Argument: "target"},
		VoxelWeight: tensor.New(tensor.WithBacking(w))}
}

// logitOf returns the logit whose sigmoid is the probability of a channel of a voxel.
func logitOf(b *plan.Batch, activation plan.Activation, n, c, i int) float64 {
	x := make([]float64, 1)
	logit := func(c int) float64 {
		ReadFloats(b.Logits.Data(), (n*b.C+c)*b.V+i, x)
		return x[0]
	}
	z := logit(c)
	if activation == plan.Softmax {
		z -= logit(1 - c)
	}
	return z
}

// probabilities returns p and q of a channel of a voxel of a batch of hostBatch.
func probabilities(b *plan.Batch, activation plan.Activation, n, c, i int) (p, q float64) {
	if activation == plan.Softmax && b.C > 2 {
		own, others := 0.0, 0.0
		x, largest := make([]float64, b.C), math.Inf(-1)
		for o := range x {
			ReadFloats(b.Logits.Data(), (n*b.C+o)*b.V+i, x[o:o+1])
			largest = max(largest, x[o])
		}
		for o, v := range x {
			if e := math.Exp(v - largest); o == c {
				own = e
			} else {
				others += e
			}
		}
		return own / (own + others), others / (own + others)
	}
	z := logitOf(b, activation, n, c, i)
	return 1 / (1 + math.Exp(-z)), 1 / (1 + math.Exp(z))
}

// isClass reports whether a label is of the class of a channel, that of a single one being 1.
func isClass(b *plan.Batch, label uint8, channel int) bool {
	if b.C == 1 {
		return label == 1
	}
	return int(label) == channel
}

// requireNear compares to a relative tolerance, and to an absolute one that is this of scale.
func requireNear(t *testing.T, want, got []float64, tolerance, scale float64, context ...any) {
	t.Helper()
	require.Len(t, got, len(want))
	for i, v := range want {
		if !(math.Abs(v-got[i]) <= tolerance*(math.Abs(v)+scale)) {
			require.Equal(t, v, got[i], "number %d; %v", i, context)
		}
	}
}

// requirePass compares the sums and the gradient of a pass with their definition.
func requirePass(t *testing.T, dt tensor.Dtype, wantSums, sums, wantGrad, grad []float64, what string) {
	t.Helper()
	tolerance := map[tensor.Dtype]float64{tensor.Float32: 4e-6, tensor.Float64: 1e-12}[dt]
	requireNear(t, wantSums, sums, tolerance, 1e-3, what)
	requireNear(t, wantGrad, grad, tolerance, 1, what)
}

func floatsOf(d *tensor.Dense) []float64 {
	out := make([]float64, d.Shape().TotalSize())
	ReadFloats(d.Data(), 0, out)
	return out
}

// onAllTiers calls f with the backend of every instruction set, on one thread and on several, and
// compares what it returns bit by bit.
func onAllTiers(t *testing.T, f func(k Backend) (sums, grad []float64)) (sums, grad []float64) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, tier := range Tiers() {
		k, err := New(tier)
		require.NoError(t, err)
		for _, threads := range []int{1, 3} {
			runtime.GOMAXPROCS(threads)
			s, g := f(k)
			if i == 0 && threads == 1 {
				sums, grad = s, g
				continue
			}
			require.Equal(t, sums, s, "%s on %d threads", tier, threads)
			require.Equal(t, grad, g, "%s on %d threads", tier, threads)
		}
	}
	return sums, grad
}

// TestFields compares with the definition, with every type of logits and fields.
func TestFields(t *testing.T) {
	for _, c := range []struct {
		activation plan.Activation
		channels   int
		list       []int
	}{{plan.Sigmoid, 1, []int{0}}, {plan.Sigmoid, 3, []int{2, 0}}, {plan.Softmax, 2, []int{1}}, {plan.Softmax, 2, []int{0, 1}}, {plan.Softmax, 4, []int{3, 0, 2}}} {
		for _, voxels := range []int{1, 700, 1600} {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				b := hostBatch(dt, c.channels, voxels, 3)
				k, weights := len(c.list), floatsOf(b.VoxelWeight)
				r := rand.New(rand.NewPCG(3, 4))
				squares, second := make([]float32, b.N*k*voxels), make([]float64, b.N*k*voxels)
				for i := range squares {
					squares[i], second[i] = float32(r.IntN(200)-100), float64(float32(10*r.Float64()))
				}
				scale := make([]float64, b.N*k)
				for i := range scale {
					scale[i] = 0.1 + r.Float64()
				}
				for _, form := range []string{"field", "signed", "square"} {
					what := fmt.Sprintf("%s, %+v, %d voxels, %v", form, c, voxels, dt)
					want, gradient := make([]float64, b.N*k), make([]float64, b.N*b.C*voxels)
					for group := range want {
						n, ch := group/k, c.list[group%k]
						for i := range voxels {
							w, a := weights[n*voxels+i], float64(squares[group*voxels+i])
							p, q := probabilities(b, c.activation, n, ch, i)
							label := b.Target.Tensor.Data().([]uint8)[n*voxels+i]
							y := oneIf(isClass(b, label, ch))
							element, d := a*p, a
							switch form {
							case "signed":
								distance := math.Sqrt(math.Abs(a))
								if a < 0 {
									distance = 0.5 - distance
								}
								element, d = distance*p, distance
							case "square":
								a = math.Abs(a) + second[group*voxels+i]
								miss := p*(1-y) - q*y
								element, d = a*miss*miss, a*miss
							}
							want[group] += w * element
							d *= w * scale[group] * p
							gradient[(n*b.C+ch)*voxels+i] += d * q
							for other := range b.C {
								if other != ch && c.activation == plan.Softmax {
									p, _ := probabilities(b, c.activation, n, other, i)
									gradient[(n*b.C+other)*voxels+i] -= d * p
								}
							}
						}
					}
					sums, grad := onAllTiers(t, func(backend Backend) ([]float64, []float64) {
						grad := tensor.New(tensor.WithShape(b.N, b.C, voxels), tensor.Of(dt))
						require.NoError(t, grad.Memset(map[tensor.Dtype]any{tensor.Float32: float32(7), tensor.Float64: 7.0}[dt]))
						sums, err := backend.Fields(&Fields{Batch: b, Activation: c.activation, Channels: c.list, Square: form == "square",
							A: squares, B: second, Signed: form == "signed", Inside: 0.5, Scale: scale, Grad: grad})
						require.NoError(t, err)
						without, err := backend.Fields(&Fields{Batch: b, Activation: c.activation, Channels: c.list, Square: form == "square",
							A: squares, B: second, Signed: form == "signed", Inside: 0.5, Scale: scale})
						require.NoError(t, err)
						require.Equal(t, sums, without)
						return sums, floatsOf(grad)
					})
					tolerance := map[tensor.Dtype]float64{tensor.Float32: 2e-6, tensor.Float64: 1e-13}[dt]
					requireNear(t, want, sums, tolerance, 100*float64(voxels), what)
					requireNear(t, gradient, grad, tolerance, 1, what)
				}
			}
		}
	}
}

// harden makes logits of a batch hostile, not finite where a voxel has weight 0.
func harden(b *plan.Batch) {
	weights := floatsOf(b.VoxelWeight)
	none := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 3e38}
	some := []float64{0, math.Copysign(0, -1), 1e-45, 17, -17, 40, 88, -88, 104, -104, 800, -800}
	for i := range b.N * b.C * b.V {
		voxel := i/(b.C*b.V)*b.V + i%b.V
		value := some[i/3%len(some)]
		switch {
		case weights[voxel] == 0:
			value = none[i%len(none)]
		case i%3 != 0:
			continue
		}
		StoreFloats(b.Logits.Data(), i, []float64{value})
	}
}

// TestBinary compares with the definition, of two classes and of several channels that are two
// classes each.
func TestBinary(t *testing.T) {
	for _, form := range []struct {
		channels int
		each     bool
	}{{1, false}, {2, false}, {1, true}, {2, true}, {3, true}} {
		for _, voxels := range []int{1, 700, 1600} {
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				for _, spread := range []float64{2, 30} {
					for _, log := range []bool{false, true} {
						b := hostBatch(dt, form.channels, voxels, spread)
						if spread > 2 {
							harden(b)
						}
						pass := Binary{Batch: b, Log: log, Channels: form.each, Factor: [][2]float64{{0.3, 1.7}}, Gamma: [][2]float64{{0.6, 1.4}},
							Scale: 0.2, Slope: [][2]float64{{0.5, -0.25}, {-1, 2}}}
						problems := 1
						if form.each {
							problems = form.channels
							pass.Factor = [][2]float64{{0.3, 1.7}, {0, 0.9}, {1.1, 0}}[:problems]
							pass.Gamma = [][2]float64{{0.6, 1.4}, {1.4, 0.3}, {0, 2}}[:problems]
							pass.Slope = [][2]float64{{0.5, -0.25}, {-1, 2}, {0, 3}, {-0.5, 0}, {0.75, 1}, {2, -3}}[:b.N*problems]
						}
						weights := floatsOf(b.VoxelWeight)
						if log {
							for k := range pass.Gamma {
								pass.Gamma[k][0] = pass.Gamma[k][1]
							}
						}
						activation := plan.Sigmoid
						if form.channels == 2 && !form.each {
							activation = plan.Softmax
						}
						want, gradient := make([]float64, b.N*problems*binarySums), make([]float64, b.N*b.C*voxels)
						for group := range b.N * problems {
							n, k := group/problems, group%problems
							channel := form.channels - 1
							if form.each {
								channel = k
							}
							for i := range voxels {
								w, y := weights[n*voxels+i], 0
								if w == 0 {
									continue
								}
								if isClass(b, b.Target.Tensor.Data().([]uint8)[n*voxels+i], channel) {
									y = 1
								}
								p, q := probabilities(b, activation, n, channel, i)
								z := logitOf(b, activation, n, channel, i)
								hit, miss, sign := q, p, 1.0
								if y == 1 {
									z, hit, miss, sign = -z, p, q, -1
								}
								nll := max(0, z) + math.Log1p(math.Exp(-math.Abs(z)))
								gamma, m := pass.Gamma[k][y], pass.Factor[k][y]
								element, d := m*math.Pow(miss, gamma)*nll, m*math.Pow(miss, gamma)*(miss+gamma*hit*nll)
								if log {
									element, d = m*math.Pow(nll, gamma), 0
									if nll > 0 {
										d = m * gamma * math.Pow(nll, gamma-1) * miss
									}
								}
								t1 := float64(y)
								for s, v := range []float64{element, p * t1, p * (1 - t1), q * t1, q * (1 - t1)} {
									want[group*binarySums+s] += w * v
								}
								g := w * (sign*pass.Scale*d + pass.Slope[group][y]*p*q)
								gradient[(n*b.C+channel)*voxels+i] = g
								if activation == plan.Softmax {
									gradient[n*b.C*voxels+i] = -g
								}
							}
						}
						sums, grad := onAllTiers(t, func(k Backend) (sums, grad []float64) {
							first := pass
							all, err := k.Binary(&first)
							require.NoError(t, err)
							for _, s := range all {
								sums = append(sums, s.Elements, s.TP, s.FP, s.FN, s.TN)
							}
							second := pass
							second.Grad = tensor.New(tensor.WithShape(b.N, b.C, voxels), tensor.Of(dt))
							_, err = k.Binary(&second)
							require.NoError(t, err)
							return sums, floatsOf(second.Grad)
						})
						requirePass(t, dt, want, sums, gradient, grad, fmt.Sprintf("%+v of %d voxels, %v, spread %v, log=%v", form, voxels, dt, spread, log))
					}
				}
			}
		}
	}
}

// TestBinaryBeyondFloat32: a chunk of float32 logits that exceeds its range is computed in
// float64.
func TestBinaryBeyondFloat32(t *testing.T) {
	b := hostBatch(tensor.Float32, 1, 300, 1)
	b.VoxelWeight = nil
	x, y := b.Logits.Data().([]float32), b.Target.Tensor.Data().([]uint8)
	x[5], y[5] = -3e38, 1
	pass := Binary{Batch: b, Log: true, Factor: [][2]float64{{1, 1}}, Gamma: [][2]float64{{2, 2}}}
	sums, _ := onAllTiers(t, func(k Backend) (sums, grad []float64) {
		all, err := k.Binary(&pass)
		require.NoError(t, err)
		return []float64{all[0].Elements, all[1].Elements}, nil
	})
	large := float64(float32(3e38))
	assert.InEpsilon(t, large*large, sums[0], 1e-12)
	assert.Less(t, sums[1], 1e4)
}

// TestMasks compares masks of targets and predictions with the definition.
func TestMasks(t *testing.T) {
	for _, voxels := range []int{1, 63, 700, 1600} {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			for _, c := range []struct {
				activation plan.Activation
				channels   int
				list       []int
			}{{plan.Sigmoid, 1, []int{0}}, {plan.Sigmoid, 3, []int{2, 0}}, {plan.Softmax, 2, []int{0, 1}}, {plan.Softmax, 5, []int{4, 0, 1}}, {plan.None, 2, []int{1}}} {
				b := hostBatch(dt, c.channels, voxels, 1)
				onAllTiers(t, func(k Backend) (sums, grad []float64) {
					predicted, err := k.PredictionMasks(b, c.activation, c.list)
					require.NoError(t, err)
					target, err := k.TargetMasks(b, c.list)
					require.NoError(t, err)
					x, w := floatsOf(b.Logits), floatsOf(b.VoxelWeight)
					for group := range b.N * len(c.list) {
						n, ch := group/len(c.list), c.list[group%len(c.list)]
						for i := range 64 * len(target.At(group)) {
							bit := func(m *Masks) bool { return m.At(group)[i/64]>>(i%64)&1 == 1 }
							if i >= voxels {
								require.False(t, bit(predicted) || bit(target), "beyond the voxels")
								continue
							}
							above := x[(n*b.C+ch)*voxels+i]
							switch {
							case c.activation == plan.Softmax && c.channels > 2:
								p, q := probabilities(b, c.activation, n, ch, i)
								above = p - q
							case c.activation == plan.Softmax:
								above -= x[(n*b.C+1-ch)*voxels+i]
							case c.activation == plan.None:
								above -= 0.5
							}
							label := b.Target.Tensor.Data().([]uint8)[n*voxels+i]
							require.Equal(t, above > 0 && w[n*voxels+i] > 0, bit(predicted), "%+v, voxel %d", c, i)
							require.Equal(t, isClass(b, label, ch), bit(target), "%+v, voxel %d", c, i)
						}
					}
					return nil, nil
				})
			}
		}
	}
}
