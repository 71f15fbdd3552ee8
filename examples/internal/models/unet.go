package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// Norm selects the normalization of a network that offers a choice.
type Norm string

const (
	// BatchNorm has a scale, a shift and running statistics.
	BatchNorm Norm = "batch"
	// InstanceNorm has no parameters and no running statistics.
	InstanceNorm Norm = "instance"
)

// UNet is the residual U-Net of Kerfoot et al. (2018) as in MONAI's class UNet, with two
// residual units per level and PReLU with one slope per layer.
//
// The encoder of level i is a residual unit of two 3×3×3 convolutions of width Channels[i],
// the first of them strided. The decoder concatenates the level's skip (first) and the
// output of the levels below, and applies a transposed convolution, norm and PReLU, and a
// residual unit of one convolution. Its width is that of the level above or, at the top, the
// number of logits; there the last convolution has neither norm nor activation.
//
// Every axis of a volume must be a multiple of the product of its strides.
type UNet struct {
	// Channels are the widths of the levels, from the finest to the coarsest.
	Channels []int `json:"channels"`
	// Strides are the strides along X, Y, Z between two levels; one fewer than Channels.
	Strides [][3]int `json:"strides"`
	// Norm is the normalization.
	Norm Norm `json:"norm"`
}

// NewUNet returns the settings of MONAI's tutorials: widths 16, 32, 64, 128, 256, stride 2
// on every axis between all levels, batch norm.
func NewUNet() UNet {
	return UNet{Channels: []int{16, 32, 64, 128, 256}, Strides: halvings(4), Norm: BatchNorm}
}

// Name implements Architecture.
func (UNet) Name() string { return "unet" }

// Multiple implements Architecture.
func (u UNet) Multiple() [3]int { return product(u.Strides) }

func (u UNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkLevels(u.Channels, u.Strides); err != nil {
		return nil, err
	}
	if u.Norm != BatchNorm && u.Norm != InstanceNorm {
		return nil, fmt.Errorf("setting Norm is %q, want %q or %q", u.Norm, BatchNorm, InstanceNorm)
	}
	return (&unetBuilder{b, u}).level("model.", 0, in, out), nil
}

// unetLevel is a level together with all levels below it.
type unetLevel struct {
	down  nn.Layer
	below *unetLevel // nil at the coarsest level, where up is nil too
	up    nn.Layer
}

// Forward implements nn.Layer.
func (l *unetLevel) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	skip, err := l.down.Forward(t, x)
	if err != nil || l.below == nil {
		return skip, err
	}
	low, err := l.below.Forward(t, skip)
	if err != nil {
		return nn.Var{}, err
	}
	return join(t, skip, low, l.up)
}

// unetBuilder creates the layers of a UNet in state_dict order.
type unetBuilder struct {
	*nn.Builder
	UNet
}

// level returns level i with input width in and output width out.
func (u *unetBuilder) level(prefix string, i, in, out int) *unetLevel {
	c := u.Channels
	if i == len(c)-1 {
		return &unetLevel{down: u.residualUnit(prefix, in, c[i], cube(1), 2, false)}
	}
	stride := u.Strides[i]
	l := &unetLevel{down: u.residualUnit(prefix+"0", in, c[i], stride, 2, false)}
	below, fromBelow := prefix+"1.submodule.", c[i]
	if i+1 == len(c)-1 {
		below, fromBelow = prefix+"1.submodule", c[i+1]
	}
	l.below = u.level(below, i+1, c[i], c[i])
	l.up = u.upStep(prefix+"2", c[i]+fromBelow, out, stride, i == 0)
	return l
}

// residualUnit returns a residual sum of convolutions, each with norm and PReLU, and of a
// side path: a convolution that matches stride and width or, if neither changes, the
// identity.
func (u *unetBuilder) residualUnit(name string, in, out int, stride [3]int, convs int, lastPlain bool) nn.Layer {
	var r residual
	width, s := in, stride
	for k := range convs {
		unit := fmt.Sprintf("%s.conv.unit%d", name, k)
		r.main = append(r.main, conv(u.Builder, unit+".conv", width, out, 3, s, true))
		if !lastPlain || k < convs-1 {
			r.main = append(r.main, u.normAndPReLU(unit, out)...)
		}
		width, s = out, cube(1)
	}
	switch {
	case stride != cube(1):
		r.side = conv(u.Builder, name+".residual", in, out, 3, stride, true)
	case in != out:
		r.side = conv(u.Builder, name+".residual", in, out, 1, cube(1), true)
	}
	return r
}

// upStep returns a transposed convolution that undoes the stride, norm and PReLU, and a
// residual unit of one convolution.
func (u *unetBuilder) upStep(name string, in, out int, stride [3]int, last bool) nn.Layer {
	seq := nn.Sequence{upConv(u.Builder, name+".0.conv", in, out, stride, true)}
	seq = append(seq, u.normAndPReLU(name+".0", out)...)
	return append(seq, u.residualUnit(name+".1", out, out, cube(1), 1, last))
}

func (u *unetBuilder) normAndPReLU(name string, channels int) []nn.Layer {
	var norm nn.Layer = nn.InstanceNorm{}
	if u.Norm == BatchNorm {
		norm = u.BatchNorm(name+".adn.N", channels)
	}
	return []nn.Layer{norm, u.PReLU(name+".adn.A", 1)}
}
