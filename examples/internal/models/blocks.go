package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// layerFunc is a layer that is not a plain sequence of layers.
type layerFunc func(t *nn.Tape, x nn.Var) (nn.Var, error)

// Forward calls f.
func (f layerFunc) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) { return f(t, x) }

// cube returns n for every axis.
func cube(n int) [3]int { return [3]int{n, n, n} }

// conv returns a convolution with a cubic kernel and the padding that preserves the size
// at stride 1 for odd kernels.
func conv(b *nn.Builder, name string, in, out, kernel int, stride [3]int, bias bool) *nn.Conv3D {
	return convOf(b, name, in, out, cube(kernel), stride, bias)
}

// convOf is conv with a kernel of any odd size.
func convOf(b *nn.Builder, name string, in, out int, kernel, stride [3]int, bias bool) *nn.Conv3D {
	return b.Conv3D(name, in, out, kernel, nn.ConvSpec{Stride: stride, Padding: half(kernel)}, bias)
}

// upConv returns a transposed convolution with an odd kernel that multiplies the size by
// the stride.
func upConv(b *nn.Builder, name string, in, out int, kernel, stride [3]int, bias bool) *nn.Conv3D {
	spec := nn.ConvSpec{Stride: stride, Padding: half(kernel)}
	for axis, s := range stride {
		spec.OutputPadding[axis] = s - 1
	}
	return b.ConvTranspose3D(name, in, out, kernel, spec, bias)
}

// half returns the padding that preserves the size for odd kernels.
func half(kernel [3]int) [3]int {
	return [3]int{(kernel[0] - 1) / 2, (kernel[1] - 1) / 2, (kernel[2] - 1) / 2}
}

// kernelOr3 returns the setting of a kernel size, of which zero means 3×3×3.
func kernelOr3(kernel [3]int) [3]int {
	if kernel == [3]int{} {
		return cube(3)
	}
	return kernel
}

// checkKernel checks the setting of a kernel size.
func checkKernel(name string, kernel [3]int) error {
	for _, k := range kernelOr3(kernel) {
		if k < 1 || k%2 == 0 {
			return fmt.Errorf("setting %s is %v, want odd numbers, or zeros for 3×3×3", name, kernel)
		}
	}
	return nil
}

// halve is max pooling with kernel size and stride 2.
var halve = nn.MaxPool3D{Spec: nn.PoolSpec{Kernel: cube(2)}}

// residual adds a main path and a side path; a nil side path is the identity.
type residual struct {
	main nn.Sequence
	side nn.Layer
}

// Forward implements nn.Layer.
func (r residual) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, err := r.main.Forward(t, x)
	if err != nil {
		return nn.Var{}, err
	}
	side := x
	if r.side != nil {
		if side, err = r.side.Forward(t, x); err != nil {
			return nn.Var{}, err
		}
	}
	sum, err := nn.Add(t, y, side)
	t.Done(y, x)
	t.Done(side, x, y)
	return sum, err
}

// join applies a layer to a and b concatenated along the channels. Nothing else may use a
// or b afterward.
func join(t *nn.Tape, a, b nn.Var, layer nn.Layer) (nn.Var, error) {
	joined, err := nn.Concat(t, a, b)
	return applyToBoth(t, a, b, joined, err, layer)
}

// addAndApply applies a layer to the sum of a and b. Nothing else may use a or b
// afterward.
func addAndApply(t *nn.Tape, a, b nn.Var, layer nn.Layer) (nn.Var, error) {
	sum, err := nn.Add(t, a, b)
	return applyToBoth(t, a, b, sum, err, layer)
}

func applyToBoth(t *nn.Tape, a, b, both nn.Var, err error, layer nn.Layer) (nn.Var, error) {
	if err != nil {
		return nn.Var{}, err
	}
	t.Done(a)
	t.Done(b)
	y, err := layer.Forward(t, both)
	t.Done(both, y)
	return y, err
}

// sequence returns the layers that are not nil.
func sequence(layers ...nn.Layer) nn.Sequence {
	var s nn.Sequence
	for _, l := range layers {
		if l != nil {
			s = append(s, l)
		}
	}
	return s
}

// checkLevels checks the widths and strides of a network's levels.
func checkLevels(channels []int, strides [][3]int) error {
	if err := checkChannels(channels); err != nil {
		return err
	}
	if len(strides) != len(channels)-1 {
		return fmt.Errorf("setting Strides has %d entries, want %d, one fewer than Channels", len(strides), len(channels)-1)
	}
	return checkStrides(strides)
}

func checkChannels(channels []int) error {
	if len(channels) < 2 {
		return fmt.Errorf("setting Channels has %d entries, want at least 2 levels", len(channels))
	}
	for i, c := range channels {
		if err := checkAtLeast(fmt.Sprintf("Channels[%d]", i), c, 1); err != nil {
			return err
		}
	}
	return nil
}

func checkStrides(strides [][3]int) error {
	for i, s := range strides {
		if s[0] < 1 || s[1] < 1 || s[2] < 1 {
			return fmt.Errorf("setting Strides[%d] is %v, want at least 1 on every axis", i, s)
		}
	}
	return nil
}

func checkAtLeast(name string, value, least int) error {
	if value < least {
		return fmt.Errorf("setting %s is %d, want at least %d", name, value, least)
	}
	return nil
}

func checkProbability(name string, p float64) error {
	if !(p >= 0 && p < 1) {
		return fmt.Errorf("setting %s is %v, want a number in [0, 1)", name, p)
	}
	return nil
}

// product multiplies strides axis by axis.
func product(strides [][3]int) [3]int {
	p := cube(1)
	for _, s := range strides {
		for axis := range p {
			p[axis] *= s[axis]
		}
	}
	return p
}

// halvings returns n strides of 2.
func halvings(n int) [][3]int {
	strides := make([][3]int, n)
	for i := range strides {
		strides[i] = cube(2)
	}
	return strides
}
