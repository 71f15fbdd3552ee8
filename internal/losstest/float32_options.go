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
		return OneHot(tensor.Float32, RandomLabels(shape, max(shape[1], 2), salt), shape).Data().([]float32)
	}
	return map[string]func([]int, uint64) Call{
		"soft float32": func(shape []int, salt uint64) Call { return Call{Target: clamped(soft(shape, salt, tensor.Float32))} },
		"soft float64": func(shape []int, salt uint64) Call { return Call{Target: clamped(soft(shape, salt, tensor.Float64))} },
		"one-hot float32": func(shape []int, salt uint64) Call {
			return Call{Target: OneHot(tensor.Float32, RandomLabels(shape, max(shape[1], 2), salt), shape)}
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
		"weights float32": weighted(tensor.Float32, 1),
		"weights float64": weighted(tensor.Float64, 1),
	}
}

// weighted returns class indices and weights that are small multiples of a unit.
func weighted(dt tensor.Dtype, unit float64) func([]int, uint64) Call {
	return func(shape []int, salt uint64) Call {
		r := rand.New(rand.NewPCG(salt, 9))
		return Call{Target: RandomLabels(shape, max(shape[1], 2), salt),
			VoxelWeight: Floats(dt, PerVoxel(shape), func(int) float64 { return unit * float64(r.IntN(4)) / 2 })}
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
	// Products with these leave the range of float32.
	targets["weights of 1e-25"], targets["weights of 1e25"] = weighted(tensor.Float32, 1e-25), weighted(tensor.Float64, 1e25)
	kinds := slices.Sorted(maps.Keys(targets))
	halves := append([]Half{None}, s.Traits.Half...)
	cover := s.cover()
	for k, v := range variants() {
		for _, c := range v.channels {
			if takesProbabilities(v.loss, c) {
				continue
			}
			at := k + c
			for i, kind := range kinds {
				at += i
				n, half := sizes[at%len(sizes)], halves[at%len(halves)]
				if !cover.needs(v.name, v.kind()+kind, v.kind()+fmt.Sprint(c), half.String()+kind) {
					continue
				}
				s.float32Option(t, v, c, n, half, kind, targets[kind])
			}
		}
	}
}

// float32Option compares a loss on float32 or half precision logits with the same in
// float64.
func (s suite) float32Option(t *testing.T, v variant, c, n int, half Half, kind string, of func(shape []int, salt uint64) Call) {
	shape := []int{2, c, 1, n}
	call := of(shape, uint64(n))
	call.Logits, call.WantGrad, call.Half = RandomLogits(tensor.Float32, shape, uint64(n)), true, half
	half.round(call.Logits)
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
	wide.Logits, wide.Half = widen(t, call.Logits), None
	name := fmt.Sprintf("%s, C=%d, %d voxels, %s, half precision %v", v.name, c, n, kind, half)
	gradient := s.Traits.Float32.Gradient.plus(half.tolerance())
	want, wantGrad := s.grad(t, name, v.loss, wide)
	got, grad := s.grad(t, name, v.loss, call)
	s.requireSameValue(t, name, got, s.value(t, name, v.loss, call))
	Near(t, name, []float64{want}, []float64{got}, s.Traits.Float32.Value)
	half.near(t, name, Numbers(t, wantGrad), Numbers(t, grad), gradient)
	if !v.hasElements() {
		return
	}
	none := setOptions(v.loss, func(o *afl.Options) { o.Reduction = afl.ReduceNone })
	wideElements := s.elements(t, name, none, wide)
	elements := s.elements(t, name, none, call)
	half.near(t, name+": elements", Numbers(t, wideElements), Numbers(t, elements), s.Traits.Float32.Value.plus(half.tolerance()))
	if elements.Dtype() != tensor.Float32 {
		return // of groups
	}
	r := rand.New(rand.NewPCG(uint64(n), 10))
	call.Upstream = Floats(tensor.Float32, elements.Shape(), func(int) float64 { return math.Round(16*r.NormFloat64()) / 8 })
	wide.Upstream = widen(t, call.Upstream)
	_, wantGrad, err := s.Eval(t, none, wide)
	require.NoError(t, err, name)
	_, grad, err = s.Eval(t, none, call)
	require.NoError(t, err, name)
	half.near(t, name+": with upstream", Numbers(t, wantGrad), Numbers(t, grad), gradient)
}

// manyChannels compares losses of more channels than the kernels of a backend hold at a
// time, and of more classes than a byte can name, with float64.
func (s suite) manyChannels(t *testing.T) {
	targets := float32Targets()
	for _, c := range []int{5, 33, 65} {
		for i, l := range []afl.Loss{afl.NewCrossEntropy(), afl.NewFocal(), afl.NewDice(), afl.NewDiceCE(), afl.NewDiceFocal()} {
			for j, kind := range slices.Sorted(maps.Keys(targets)) {
				if s.Traits.Brief && j%5 != (i+c)%5 {
					continue
				}
				s.float32Option(t, variant{name: fmt.Sprintf("%T", l), loss: l}, c, 70, None, kind, targets[kind])
			}
		}
	}
	wide := func(shape []int, salt uint64) Call {
		labels := RandomLabels(shape, 256, salt).Data().([]uint8)
		y := make([]uint16, len(labels))
		for i, l := range labels {
			y[i] = uint16(l) + uint16(i%2*44)
		}
		return Call{Target: tensor.New(tensor.WithShape(PerVoxel(shape)...), tensor.WithBacking(y))}
	}
	for _, l := range []afl.Loss{afl.NewDiceCE(), afl.NewFocal()} {
		s.float32Option(t, variant{name: fmt.Sprintf("%T", l), loss: l}, 300, 31, None, "300 classes", wide)
	}
}

// float32Range compares losses of logits whose elements, or the sums of them, leave the
// range of float32, among others, with float64.
func (s suite) float32Range(t *testing.T) {
	const n = 1300
	targets := float32Targets()
	for k, l := range []afl.Loss{afl.NewCrossEntropy(), afl.NewFocal(), afl.NewDiceCE(), afl.NewDiceFocal(), afl.NewAdaptiveFocal(), afl.NewTversky()} {
		for i, kind := range slices.Sorted(maps.Keys(targets)) {
			if s.Traits.Brief && i%3 != k%3 {
				continue
			}
			shape := []int{2, 2, 1, n}
			call := targets[kind](shape, uint64(k))
			call.Logits, call.WantGrad = RandomLogits(tensor.Float32, shape, uint64(k)), true
			x := call.Logits.Data().([]float32)
			for i := range 20 {
				x[97*i+5] = math.MaxFloat32 * float32(1-2*(i%2))
			}
			wide := call
			wide.Logits = widen(t, call.Logits)
			name := fmt.Sprintf("%T, %s", l, kind)
			want, wantGrad := s.grad(t, name, l, wide)
			got, grad := s.grad(t, name, l, call)
			s.requireSameValue(t, name, got, s.value(t, name, l, call))
			Near(t, name, []float64{want}, []float64{got}, s.Traits.Float32.Value)
			Near(t, name, Numbers(t, wantGrad), Numbers(t, grad), s.Traits.Float32.Gradient)
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
