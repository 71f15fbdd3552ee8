package nntest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// poolCase is a pooling of 2 samples with 3 channels.
type poolCase struct {
	size [3]int
	spec nn.PoolSpec
}

func (c poolCase) String() string {
	return fmt.Sprintf("%v,k%v,s%v,p%v", c.size, c.spec.Kernel, c.spec.Stride, c.spec.Padding)
}

func (c poolCase) shape() []int { return []int{2, 3, c.size[0], c.size[1], c.size[2]} }

var poolCases = []poolCase{
	{[3]int{1, 1, 1}, nn.PoolSpec{Kernel: [3]int{1, 1, 1}}},
	{[3]int{5, 4, 7}, nn.PoolSpec{Kernel: [3]int{2, 2, 2}}},
	{[3]int{5, 6, 7}, nn.PoolSpec{Kernel: [3]int{3, 3, 3}, Stride: [3]int{2, 2, 2}, Padding: [3]int{1, 1, 1}}},
	{[3]int{9, 5, 4}, nn.PoolSpec{Kernel: [3]int{3, 3, 3}, Stride: [3]int{4, 2, 1}, Padding: [3]int{1, 1, 1}}},
	{[3]int{6, 3, 1}, nn.PoolSpec{Kernel: [3]int{4, 1, 2}, Stride: [3]int{1, 3, 2}, Padding: [3]int{2, 0, 1}}},
}

// definition returns the largest value of every window and its position: the first of the
// largest values in row-major order.
func (c poolCase) definition(x []float64) (values []float64, at []int) {
	spec, _ := c.spec.Normalized()
	out, _ := spec.OutputSize(c.size)
	voxels := c.size[0] * c.size[1] * c.size[2]
	for plane := range len(x) / voxels {
		each(out, func(o [3]int) {
			best, where := math.Inf(-1), -1
			each(spec.Kernel, func(a [3]int) {
				var p [3]int
				for axis := range 3 {
					p[axis] = o[axis]*spec.Stride[axis] + a[axis] - spec.Padding[axis]
					if p[axis] < 0 || p[axis] >= c.size[axis] {
						return
					}
				}
				i := plane*voxels + (p[0]*c.size[1]+p[1])*c.size[2] + p[2]
				if x[i] > best || where < 0 {
					best, where = x[i], i
				}
			})
			values, at = append(values, best), append(at, where)
		})
	}
	return values, at
}

// pools compares poolings with their definition, on values with many ties that are all below
// zero, so that padding with zeros would be detected.
func (s suite) pools(t *testing.T) {
	for _, c := range poolCases {
		t.Run(c.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(11, 12))
			x := make([]float64, elements(c.shape()))
			for i := range x {
				x[i] = -1 - float64(rng.IntN(3))
			}
			x[0] = math.Inf(-1)
			y, pullback, err := s.MaxPool3D(s.array(t, x, c.shape()...), c.spec)
			require.NoError(t, err)
			values, at := c.definition(x)
			require.Equal(t, values, s.values(t, y))

			g := normal(rng, len(values))
			grads, err := pullback(s.array(t, g, y.Shape()...), allNeeded(1))
			require.NoError(t, err)
			want := make([]float64, len(x))
			for o, i := range at {
				want[i] += g[o]
			}
			tolY, _ := s.tolerance()
			s.requireClose(t, want, grads[0], tolY, "gradient")
		})
		s.EndStep()
	}
}

// resizeCase is a resize of 2 samples with 3 channels.
type resizeCase struct{ from, to [3]int }

func (c resizeCase) String() string { return fmt.Sprintf("%v to %v", c.from, c.to) }

func (c resizeCase) shape() []int { return []int{2, 3, c.from[0], c.from[1], c.from[2]} }

var resizeCases = []resizeCase{
	{[3]int{1, 1, 1}, [3]int{1, 1, 1}},
	{[3]int{3, 4, 2}, [3]int{6, 8, 4}},
	{[3]int{1, 2, 1}, [3]int{3, 1, 2}},
	{[3]int{5, 3, 7}, [3]int{4, 7, 3}},
	{[3]int{4, 5, 2}, [3]int{4, 5, 6}},
}

var resizeModes = []nn.ResizeMode{nn.Nearest, nn.Linear, nn.LinearAligned}

// weight returns the weight of voxel i of an axis of n in voxel d of an axis of m: a hat
// function of half-width one around the source position, which is clamped to the volume.
func weight(mode nn.ResizeMode, i, n, d, m int) float64 {
	var position float64
	switch {
	case mode == nn.Nearest:
		position = float64(d * n / m)
	case mode == nn.Linear:
		position = (float64(d)+0.5)*float64(n)/float64(m) - 0.5
	case m > 1:
		position = float64(d) * float64(n-1) / float64(m-1)
	}
	position = min(max(position, 0), float64(n-1))
	return max(0, 1-math.Abs(position-float64(i)))
}

// resizes compares resizing with its definition, a sum over all voxels. Because it is linear,
// its gradient is compared with the definition of the adjoint.
func (s suite) resizes(t *testing.T) {
	for _, mode := range resizeModes {
		for _, c := range resizeCases {
			t.Run(fmt.Sprintf("%v/%v", mode, c), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(13, 14))
				definition := func(x []float64) (y []float64) {
					voxels := elements(c.shape()[2:])
					for plane := range 6 {
						each(c.to, func(d [3]int) {
							var sum float64
							i := plane * voxels
							each(c.from, func(p [3]int) {
								w := 1.0
								for axis := range 3 {
									w *= weight(mode, p[axis], c.from[axis], d[axis], c.to[axis])
								}
								sum += w * x[i]
								i++
							})
							y = append(y, sum)
						})
					}
					return y
				}
				x := normal(rng, elements(c.shape()))
				y, pullback, err := s.Resize(s.array(t, x, c.shape()...), c.to, mode)
				require.NoError(t, err)
				require.Equal(t, []int{2, 3, c.to[0], c.to[1], c.to[2]}, y.Shape())
				tolY, tolG := s.tolerance()
				s.requireClose(t, definition(x), y, tolY, "y")

				g, dx := normal(rng, elements(y.Shape())), normal(rng, len(x))
				grads, err := pullback(s.array(t, g, y.Shape()...), allNeeded(1))
				require.NoError(t, err)
				requireAdjoint(t, g, definition(dx), dx, s.values(t, grads[0]), tolG)
			})
			s.EndStep()
		}
	}
}
