package losstest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// float32Targets are the ways in which a target, or a weight, is not plain class
// indices. Each returns the arguments for float32 logits of a shape.
func float32Targets() map[string]func(shape []int, salt uint64) Call {
	soft := func(shape []int, salt uint64, dt tensor.Dtype) *tensor.Dense {
		x := softMaps(shape, salt).Data().([]float64)
		// float32 holds these exactly; a third are 0 or 1.
		return Floats(dt, shape, func(i int) float64 { return math.Round(x[i]*12-2) / 8 * float64(1-i%2/2) })
	}
	clamped := func(m *tensor.Dense) *tensor.Dense {
		switch x := m.Data().(type) {
		case []float32:
			for i, v := range x {
				x[i] = max(0, min(v, 1))
			}
		case []float64:
			for i, v := range x {
				x[i] = max(0, min(v, 1))
			}
		}
		return m
	}
	hard := func(shape []int, salt uint64) []float32 {
		return oneHot(RandomLabels(shape, max(shape[1], 2), salt), shape).Data().([]float32)
	}
	weighted := func(dt tensor.Dtype) func([]int, uint64) Call {
		return func(shape []int, salt uint64) Call {
			r := rand.New(rand.NewPCG(salt, 9))
			return Call{Target: RandomLabels(shape, max(shape[1], 2), salt),
				VoxelWeight: Floats(dt, PerVoxel(shape), func(int) float64 { return float64(r.IntN(4)) / 2 })}
		}
	}
	return map[string]func([]int, uint64) Call{
		"soft float32": func(shape []int, salt uint64) Call { return Call{Target: clamped(soft(shape, salt, tensor.Float32))} },
		"soft float64": func(shape []int, salt uint64) Call { return Call{Target: clamped(soft(shape, salt, tensor.Float64))} },
		"one-hot float32": func(shape []int, salt uint64) Call {
			return Call{Target: oneHot(RandomLabels(shape, max(shape[1], 2), salt), shape)}
		},
		"one-hot uint8": func(shape []int, salt uint64) Call {
			x := hard(shape, salt)
			return Call{Target: Bytes(shape, func(i int) uint8 { return uint8(x[i]) })}
		},
		"one-hot bool": func(shape []int, salt uint64) Call {
			x := hard(shape, salt)
			mask := make([]bool, len(x))
			for i := range x {
				mask[i] = x[i] == 1
			}
			return Call{Target: tensor.New(tensor.WithShape(shape...), tensor.WithBacking(mask))}
		},
		"weights float32": weighted(tensor.Float32),
		"weights float64": weighted(tensor.Float64),
	}
}

// float32Options compares every loss on float32 logits with float64 ones of the same
// values, for maps of every kind and voxel weights, reduced and not. Logits of voxels
// without weight are NaN.
func (s suite) float32Options(t *testing.T) {
	sizes := []int{1, 63, 130, 515, 1100}
	if s.Traits.Brief {
		sizes = []int{1, 130, 515}
	}
	targets := float32Targets()
	kinds := slices.Sorted(maps.Keys(targets))
	cover := s.cover()
	for k, v := range variants() {
		for _, c := range v.channels {
			if takesProbabilities(v.loss, c) {
				continue
			}
			at := k + c
			for i, kind := range kinds {
				at += i
				n := sizes[at%len(sizes)]
				if !cover.needs(v.name, v.kind()+kind, v.kind()+fmt.Sprint(c)) {
					continue
				}
				shape := []int{2, c, 1, n}
				call := targets[kind](shape, uint64(n))
				call.Logits, call.WantGrad = RandomLogits(tensor.Float32, shape, uint64(n)), true
				if call.VoxelWeight != nil {
					for i, w := range Numbers(t, call.VoxelWeight) {
						if w == 0 {
							for ch := range c {
								call.Logits.Data().([]float32)[(i/n*c+ch)*n+i%n] = float32(math.NaN())
							}
						}
					}
				}
				wide := call
				wide.Logits = widen(t, call.Logits)
				name := fmt.Sprintf("%s, C=%d, %d voxels, %s", v.name, c, n, kind)
				want, wantGrad := s.grad(t, name, v.loss, wide)
				got, grad := s.grad(t, name, v.loss, call)
				s.requireSameValue(t, name, got, s.value(t, name, v.loss, call))
				Near(t, name, []float64{want}, []float64{got}, s.Traits.Float32.Value)
				Near(t, name, Numbers(t, wantGrad), Numbers(t, grad), s.Traits.Float32.Gradient)
				if !v.hasElements() {
					continue
				}
				none := setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
				wideElements := s.elements(t, name, none, wide)
				elements := s.elements(t, name, none, call)
				Near(t, name+": elements", Numbers(t, wideElements), Numbers(t, elements), s.Traits.Float32.Value)
				if elements.Dtype() != tensor.Float32 {
					continue // of groups
				}
				r := rand.New(rand.NewPCG(uint64(n), 10))
				call.Upstream = Floats(tensor.Float32, elements.Shape(), func(int) float64 { return math.Round(16*r.NormFloat64()) / 8 })
				wide.Upstream = widen(t, call.Upstream)
				_, wantGrad, err := s.Eval(t, none, wide)
				require.NoError(t, err, name)
				_, grad, err = s.Eval(t, none, call)
				require.NoError(t, err, name)
				Near(t, name+": with upstream", Numbers(t, wantGrad), Numbers(t, grad), s.Traits.Float32.Gradient)
			}
		}
	}
}

// hostileTargets: finite for every finite logit, with maps of every kind and voxel
// weights.
func (s suite) hostileTargets(t *testing.T) {
	hostile := []float64{0, math.Copysign(0, -1), 1e-45, 1, -1, 17, 40, 88.8, -88.8, 104, 1e4, -1e4, 1e30, -1e30, math.MaxFloat32, -math.MaxFloat32}
	n := len(hostile)
	targets := float32Targets()
	cover := s.cover()
	for k, v := range variants() {
		// Next to perfect agreement, which these logits reach, the slope of focal Tversky
		// has no bound.
		if _, unbounded := v.loss.(afl.FocalTversky); unbounded {
			continue
		}
		for i, kind := range slices.Sorted(maps.Keys(targets)) {
			c := v.channels[(i+k)%len(v.channels)]
			if takesProbabilities(v.loss, c) {
				continue
			}
			for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				if !cover.needs(v.name, v.kind()+kind+dt.String()) {
					continue
				}
				shape := []int{1, c, n, n}
				call := targets[kind](shape, uint64(k))
				call.Logits = Floats(dt, shape, func(i int) float64 {
					x := hostile[i%n]
					if i/(n*n)%2 == 0 {
						x = hostile[i/n%n]
					}
					if math.Abs(x) == math.MaxFloat32 && dt == tensor.Float64 {
						x = math.Copysign(1e300, x)
					}
					return x
				})
				what := fmt.Sprintf("%s, C=%d, %s, %v", v.name, c, kind, dt)
				value, grad := s.grad(t, what, v.loss, call)
				requireFinite(t, what, value, grad)
			}
		}
	}
}
