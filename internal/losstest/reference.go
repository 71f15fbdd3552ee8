package losstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// definition is a batch spread out to evaluate losses by definition: x and t by sample,
// channel and voxel, m the voxel's weight, valid false where it is ignored.
type definition struct {
	n, c, v int
	space   []int
	dense   bool
	x, t    [][][]float64
	class   [][]int
	m       [][]float64
	valid   [][]bool
}

func newDefinition(call Call) *definition {
	shape := call.Logits.Shape()
	x := call.Logits.Data().([]float64)
	r := &definition{n: shape[0], c: shape[1], space: shape[2:], v: len(x) / shape[0] / shape[1]}
	soft, isSoft := call.Target.Data().([]float64)
	r.dense = isSoft
	for n := range r.n {
		xs, ts := make([][]float64, r.c), make([][]float64, r.c)
		class, m, valid := make([]int, r.v), make([]float64, r.v), make([]bool, r.v)
		for i := range r.v {
			m[i], valid[i] = 1, true
			if call.VoxelWeight != nil {
				m[i] = float64(call.VoxelWeight.Data().([]float32)[n*r.v+i])
			}
			if !isSoft {
				class[i] = int(call.Target.Data().([]uint8)[n*r.v+i])
				valid[i] = class[i] != 255
			}
		}
		for c := range r.c {
			xs[c] = x[(n*r.c+c)*r.v:][:r.v]
			ts[c] = make([]float64, r.v)
			for i := range r.v {
				switch {
				case isSoft:
					ts[c][i] = soft[(n*r.c+c)*r.v+i]
				case class[i] == c && r.c > 1, class[i] == 1 && r.c == 1:
					ts[c][i] = 1
				}
			}
		}
		r.x, r.t, r.class, r.m, r.valid = append(r.x, xs), append(r.t, ts), append(r.class, class), append(r.m, m), append(r.valid, valid)
	}
	return r
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softmax of the channels from the first on, of one voxel.
func (r *definition) softmax(n, from, i int) []float64 {
	p, z := make([]float64, r.c), 0.0
	for c := from; c < r.c; c++ {
		p[c] = math.Exp(r.x[n][c][i])
		z += p[c]
	}
	for c := range p {
		p[c] /= z
	}
	return p
}

func weightOf(list []float64, k int) float64 {
	switch len(list) {
	case 0:
		return 1
	case 1:
		return list[0]
	}
	return list[k]
}

// elements calls add with every pointwise element that counts.
func (r *definition) elements(first int, of func(n, c, i int) float64, add func(n, c, i int, e float64)) {
	for n := range r.n {
		for c := first; c < r.c; c++ {
			for i := range r.v {
				if r.valid[n][i] && r.m[n][i] != 0 {
					add(n, c, i, r.m[n][i]*of(n, c, i))
				}
			}
		}
	}
}

func (r *definition) validVoxels() float64 {
	total := 0.0
	for n := range r.n {
		for i := range r.v {
			if r.valid[n][i] {
				total++
			}
		}
	}
	return total
}

// reduce applies a reduction of the focal family to the sum of the elements.
func (r *definition) reduce(sum float64, how afl.Reduction, channels int) float64 {
	switch how {
	case afl.ReduceMean:
		return sum / (r.validVoxels() * float64(channels))
	case afl.ReduceVoxelMean:
		return sum / r.validVoxels()
	case afl.ReduceSpatialMeanSum:
		return sum / float64(r.v)
	}
	return sum
}

func (r *definition) first(o afl.Options) int {
	if o.ExcludeBackground && r.c > 1 {
		return 1
	}
	return 0
}

// weight is the class weight of channel c.
func (r *definition) weight(o afl.Options, c int) float64 {
	first := r.first(o)
	if r.c-first == 1 && !o.SingleChannelWeight {
		return 1
	}
	return weightOf(o.Weight, c-first)
}

// reference compares every loss under every option with the slow reference, on
// images of several of the CPU's tiles.
func (s suite) reference(t *testing.T) {
	checks, cover := 0, s.cover()
	for i, v := range variants() {
		for _, c := range v.channels {
			for d, shape := range [][]int{{2, c, 23, 29}, {2, c, 7, 11, 5}} {
				for _, o := range sharedOptions(v, c, i) {
					if !cover.needs(v.name, v.kind()+o.name, fmt.Sprint(v.kind(), c), fmt.Sprint(o.name, d)) {
						continue
					}
					l := setOptions(v.loss, o.set)
					call := o.call(shape)
					call.Logits = RandomLogits(tensor.Float64, shape, 15)
					if takesProbabilities(l, c) || c == 1 {
						call.Logits = probabilities(tensor.Float64, shape, 16)
					}
					checks++
					want := newDefinition(call).value(l)
					name := fmt.Sprintf("%s/C=%d/%v/%s", v.name, c, shape[2:], o.name)
					require.InDelta(t, want, s.value(t, name, l, call), 1e-11*math.Max(1, math.Abs(want)), name)
				}
			}
		}
	}
	t.Logf("%d combinations of loss, option and shape", checks)
}
