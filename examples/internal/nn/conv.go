package nn

import (
	"fmt"
	"math"
)

// Conv3D is a convolution layer.
type Conv3D struct {
	// Weight has the shape Cout×Cin×kx×ky×kz, or Cin×Cout×kx×ky×kz if Transposed.
	Weight *Param
	// Bias has the shape Cout; nil for a layer without a bias.
	Bias *Param
	Spec ConvSpec
	// Transposed selects the transposed convolution.
	Transposed bool
}

// Conv3D returns a convolution from in to out channels. Its parameters are named
// name + ".weight" and, with bias, name + ".bias". Their initial values are uniform in
// ±1/√F, where F is the product of all axes of the weight except the first (PyTorch's
// default).
func (b *Builder) Conv3D(name string, in, out int, kernel [3]int, spec ConvSpec, bias bool) *Conv3D {
	return b.conv(name, out, in, out, kernel, spec, bias, false)
}

// ConvTranspose3D returns a transposed convolution from in to out channels, with names and
// initial values as for [Builder.Conv3D].
func (b *Builder) ConvTranspose3D(name string, in, out int, kernel [3]int, spec ConvSpec, bias bool) *Conv3D {
	return b.conv(name, in, out, out, kernel, spec, bias, true)
}

func (b *Builder) conv(name string, d0, d1, out int, kernel [3]int, spec ConvSpec, bias, transposed bool) *Conv3D {
	bound := 1 / math.Sqrt(float64(d1*kernel[0]*kernel[1]*kernel[2]))
	c := &Conv3D{Spec: spec, Transposed: transposed}
	c.Weight = b.param(name+".weight", b.symmetric(name+".weight", bound), d0, d1, kernel[0], kernel[1], kernel[2])
	if bias {
		c.Bias = b.param(name+".bias", b.symmetric(name+".bias", bound), out)
	}
	return c
}

// Fan selects the number of connections used by He initialization.
type Fan uint8

const (
	// FanIn counts the inputs of one output, Cin·kx·ky·kz.
	FanIn Fan = iota
	// FanOut counts the outputs of one input, Cout·kx·ky·kz.
	FanOut
)

// HeNormal redraws the kernel of a convolution created by b (not a transposed one) from the
// normal distribution with mean 0 and standard deviation √(2/fan) (He et al. 2015), and
// returns the layer. It does not change the bias.
func (b *Builder) HeNormal(c *Conv3D, fan Fan) *Conv3D {
	if b.err != nil {
		return c
	}
	shape := c.Weight.Value.Shape()
	n := shape[1]
	if fan == FanOut {
		n = shape[0]
	}
	deviation := math.Sqrt(2 / float64(n*shape[2]*shape[3]*shape[4]))
	b.redraw(c.Weight, b.gaussian(c.Weight.Name, deviation))
	return c
}

// Zero sets the initial kernel of a convolution to zeros.
func (b *Builder) Zero(c *Conv3D) {
	if b.err == nil {
		b.redraw(c.Weight, constant(0))
	}
}

// Forward applies the convolution to x.
func (c *Conv3D) Forward(t *Tape, x Var) (Var, error) {
	op := t.backend.Conv3D
	if c.Transposed {
		op = t.backend.ConvTranspose3D
	}
	w := t.Param(c.Weight)
	var bias Var
	if c.Bias != nil {
		bias = t.Param(c.Bias)
	}
	y, pullback, err := op(x.array, w.array, bias.array, c.Spec)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", c.Weight.Name, err)
	}
	return t.Record(y, pullback, x, w, bias)
}
