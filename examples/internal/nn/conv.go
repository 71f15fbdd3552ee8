package nn

import (
	"fmt"
	"math"
)

// Conv3D is a convolution layer.
type Conv3D struct {
	// Weight has the shape Cout×Cin×kx×ky×kz, Cin×Cout×kx×ky×kz when Transposed.
	Weight *Param
	// Bias has the shape Cout; nil for a layer without.
	Bias *Param
	Spec ConvSpec
	// Transposed selects the transposed convolution.
	Transposed bool
}

// Conv3D makes a convolution in → out, called name + ".weight" and, with bias,
// name + ".bias". Both start uniform in ±1/√F, F being the product of the
// weight's axes but the first (PyTorch's default).
func (b *Builder) Conv3D(name string, in, out int, kernel [3]int, spec ConvSpec, bias bool) *Conv3D {
	return b.conv(name, out, in, out, kernel, spec, bias, false)
}

// ConvTranspose3D makes a transposed convolution in → out; names and initial
// values as for Conv3D.
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

// Fan is a number of connections that He's initialization goes by.
type Fan uint8

const (
	// FanIn counts the inputs of one output, Cin·kx·ky·kz.
	FanIn Fan = iota
	// FanOut counts the outputs of one input, Cout·kx·ky·kz.
	FanOut
)

// HeNormal draws the kernel of a convolution (not a transposed one) that b made
// anew, from the normal distribution with mean 0 and standard deviation √(2/fan)
// (He et al. 2015), and returns the layer. A bias keeps its values.
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

// Forward records the convolution of x.
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
