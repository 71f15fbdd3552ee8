package nntest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// convCase is a convolution that is deliberately unlike those of networks: odd sizes,
// different settings on every axis, sizes that are not multiples of the stride, padding
// larger than the kernel, and also numbers of channels that fill vectors.
type convCase struct {
	batch, in, out int
	size, kernel   [3]int
	spec           nn.ConvSpec
}

func (c convCase) String() string {
	return fmt.Sprintf("%dx%d-%d,%v,k%v,s%v,p%v,d%v,op%v", c.batch, c.in, c.out, c.size, c.kernel,
		c.spec.Stride, c.spec.Padding, c.spec.Dilation, c.spec.OutputPadding)
}

// convCases returns n cases, of which some are fixed and the others random. Random transposed
// convolutions also have output padding.
func convCases(rng *rand.Rand, transposed bool, n int) []convCase {
	cases := []convCase{
		{1, 1, 1, [3]int{1, 1, 1}, [3]int{1, 1, 1}, nn.ConvSpec{}},
		{2, 3, 9, [3]int{5, 7, 3}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}},
		{1, 5, 17, [3]int{9, 7, 11}, [3]int{3, 3, 3}, nn.ConvSpec{Stride: [3]int{2, 2, 2}, Padding: [3]int{1, 1, 1}}},
		{1, 2, 3, [3]int{4, 5, 60}, [3]int{1, 1, 1}, nn.ConvSpec{Stride: [3]int{1, 2, 3}}},
		{1, 2, 2, [3]int{5, 5, 7}, [3]int{1, 2, 3}, nn.ConvSpec{Padding: [3]int{4, 2, 3}, Stride: [3]int{3, 1, 2}}},
		{2, 4, 2, [3]int{6, 5, 4}, [3]int{2, 3, 2}, nn.ConvSpec{Dilation: [3]int{3, 2, 1}, Stride: [3]int{2, 3, 2}, Padding: [3]int{1, 2, 0}}},
		{1, 20, 40, [3]int{3, 4, 3}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}},
		{1, 3, 8, [3]int{7, 18, 22}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}},
		{1, 16, 16, [3]int{1, 1, 1}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}},
		{2, 16, 32, [3]int{5, 4, 3}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{0, 1, 2}}},
		{1, 16, 16, [3]int{6, 3, 5}, [3]int{5, 5, 5}, nn.ConvSpec{Padding: [3]int{2, 3, 1}}},
		{1, 48, 16, [3]int{6, 9, 14}, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{3, 0, 1}}},
	}
	for len(cases) < n {
		c := convCase{batch: 1 + rng.IntN(2), in: 1 + rng.IntN(5), out: 1 + rng.IntN(9)}
		for a := range 3 {
			c.size[a], c.kernel[a] = 1+rng.IntN(8), 1+rng.IntN(4)
			c.spec.Stride[a], c.spec.Padding[a], c.spec.Dilation[a] = 1+rng.IntN(4), rng.IntN(4), 1+rng.IntN(3)
			if transposed {
				c.spec.OutputPadding[a] = rng.IntN(max(c.spec.Stride[a], c.spec.Dilation[a]))
			}
		}
		if _, err := c.outputSize(transposed); err == nil {
			cases = append(cases, c)
		}
	}
	return cases
}

func (c convCase) outputSize(transposed bool) ([3]int, error) {
	spec, err := c.spec.Normalized()
	if err != nil {
		return [3]int{}, err
	}
	if transposed {
		return spec.TransposedSize(c.size, c.kernel)
	}
	return spec.OutputSize(c.size, c.kernel)
}

// shapes returns the shapes of x, weight and bias.
func (c convCase) shapes(transposed bool) [][]int {
	weight := []int{c.out, c.in, c.kernel[0], c.kernel[1], c.kernel[2]}
	if transposed {
		weight[0], weight[1] = c.in, c.out
	}
	return [][]int{{c.batch, c.in, c.size[0], c.size[1], c.size[2]}, weight, {c.out}}
}

// definition computes the operation by its definition, one product at a time: it visits every
// pair of a kernel tap and a voxel of the coarse volume, which is the result of a convolution
// or the input of a transposed one.
func (c convCase) definition(transposed bool, x, weight, bias []float64) []float64 {
	spec, _ := c.spec.Normalized()
	out, _ := c.outputSize(transposed)
	coarse, fine := out, c.size
	if transposed {
		coarse, fine = c.size, out
	}
	at := func(size [3]int, n, channels, channel int, p [3]int) int {
		return (((n*channels+channel)*size[0]+p[0])*size[1]+p[1])*size[2] + p[2]
	}
	y := make([]float64, c.batch*c.out*out[0]*out[1]*out[2])
	voxels := out[0] * out[1] * out[2]
	for i := range y {
		y[i] = bias[i/voxels%c.out]
	}
	each(coarse, func(o [3]int) {
		each(c.kernel, func(a [3]int) {
			var p [3]int
			for axis := range 3 {
				p[axis] = o[axis]*spec.Stride[axis] + a[axis]*spec.Dilation[axis] - spec.Padding[axis]
				if p[axis] < 0 || p[axis] >= fine[axis] {
					return
				}
			}
			for n := range c.batch {
				for ci := range c.in {
					for co := range c.out {
						if transposed {
							w := weight[at(c.kernel, ci, c.out, co, a)]
							y[at(fine, n, c.out, co, p)] += w * x[at(coarse, n, c.in, ci, o)]
						} else {
							w := weight[at(c.kernel, co, c.in, ci, a)]
							y[at(coarse, n, c.out, co, o)] += w * x[at(fine, n, c.in, ci, p)]
						}
					}
				}
			}
		})
	})
	return y
}

func each(size [3]int, f func(p [3]int)) {
	for x := range size[0] {
		for y := range size[1] {
			for z := range size[2] {
				f([3]int{x, y, z})
			}
		}
	}
}

// definitions compares convolutions with their definition, and their gradients with the
// definition of a gradient: a convolution is linear in x and in the weights, so
// ⟨g, conv(dx, w)⟩ = ⟨gx, dx⟩ for any dx, and likewise for the weights.
func (s suite) definitions(t *testing.T) {
	for _, transposed := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(3, 4))
		op := s.Conv3D
		if transposed {
			op = s.ConvTranspose3D
		}
		for _, c := range convCases(rng, transposed, 40) {
			t.Run(fmt.Sprintf("transposed=%v/%v", transposed, c), func(t *testing.T) {
				shapes := c.shapes(transposed)
				x, w, bias := normal(rng, elements(shapes[0])), normal(rng, elements(shapes[1])), normal(rng, c.out)
				y, pullback, err := op(s.array(t, x, shapes[0]...), s.array(t, w, shapes[1]...), s.array(t, bias, c.out), c.spec)
				require.NoError(t, err)
				tolY, tolG := s.tolerance()
				s.requireClose(t, c.definition(transposed, x, w, bias), y, tolY, "y")

				g := normal(rng, elements(y.Shape()))
				grads, err := pullback(s.array(t, g, y.Shape()...), allNeeded(3))
				require.NoError(t, err)
				none := make([]float64, c.out)
				dx, dw := normal(rng, len(x)), normal(rng, len(w))
				requireAdjoint(t, g, c.definition(transposed, dx, w, none), dx, s.values(t, grads[0]), tolG)
				requireAdjoint(t, g, c.definition(transposed, x, dw, none), dw, s.values(t, grads[1]), tolG)
				sum := make([]float64, c.out)
				voxels := elements(y.Shape()[2:])
				for i, v := range g {
					sum[i/voxels%c.out] += v
				}
				s.requireClose(t, sum, grads[2], tolG, "gradient of the bias")
			})
			s.EndStep()
		}
	}
}

// requireAdjoint requires ⟨a, b⟩ = ⟨c, d⟩ up to the tolerance, relative to the sum of the
// magnitudes of the products a·b.
func requireAdjoint(t *testing.T, a, b, c, d []float64, tolerance float64) {
	t.Helper()
	dot := func(a, b []float64) (sum, size float64) {
		require.Len(t, b, len(a))
		for i := range a {
			sum += a[i] * b[i]
			size += max(a[i]*b[i], -a[i]*b[i])
		}
		return sum, size
	}
	left, size := dot(a, b)
	right, _ := dot(c, d)
	require.InDelta(t, left, right, tolerance*size+1e-300)
}
