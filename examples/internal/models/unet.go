package models

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// UNet is the residual U-Net of Kerfoot et al. (2018) as in MONAI's class UNet. The
// published one has two residual units per level and PReLU with one slope per layer.
//
// The encoder of level i is a residual unit of ResUnits convolutions of width Channels[i],
// the first of them strided. The decoder concatenates the level's skip (first) and the
// output of the levels below, and applies a transposed convolution, norm and activation,
// and a residual unit of one convolution. Its width is that of the level above or, at the
// top, the number of logits; there the last convolution has neither norm nor activation.
// Without residual units a level has a single convolution, and its decoder only the
// transposed one.
//
// Every axis of a volume must be a multiple of the product of its strides.
type UNet struct {
	// Channels are the widths of the levels, from the finest to the coarsest.
	Channels []int `json:"channels"`
	// Strides are the strides along X, Y, Z between two levels; one fewer than Channels.
	Strides [][3]int `json:"strides"`
	// Kernel and UpKernel are the sizes of the kernels and of those of the transposed
	// convolutions, odd along each axis. Zero means 3×3×3.
	Kernel   [3]int `json:"kernel"`
	UpKernel [3]int `json:"up_kernel"`
	// ResUnits is the number of convolutions of a residual unit of the encoder; 0 means
	// single convolutions in place of residual units.
	ResUnits int `json:"res_units"`
	// Norm is the normalization.
	Norm Norm `json:"norm"`
	// Activation is the activation; empty means PReLU.
	Activation Activation `json:"activation"`
	// Order is the order of norm (N) and activation (A) behind a convolution, NA or AN, or
	// one of them to leave the other out. Empty means NA.
	Order string `json:"order"`
	// NoBias leaves out the biases of the convolutions.
	NoBias bool `json:"no_bias"`
}

// NewUNet returns the settings of MONAI's tutorials: widths 16, 32, 64, 128, 256, stride 2
// on every axis between all levels, two residual units, batch norm and PReLU.
func NewUNet() UNet {
	return UNet{
		Channels: []int{16, 32, 64, 128, 256}, Strides: halvings(4), ResUnits: 2,
		Norm: BatchNorm, Activation: PReLU, Order: "NA",
	}
}

// Name implements Architecture.
func (UNet) Name() string { return "unet" }

// Multiple implements Architecture.
func (u UNet) Multiple() [3]int { return product(u.Strides) }

func (u UNet) decoderWidths() []int { return coarseFirst(u.Channels[:len(u.Channels)-2]) }

func (u UNet) check(out int) error {
	if err := checkLevels(u.Channels, u.Strides); err != nil {
		return err
	}
	if err := checkKernel("Kernel", u.Kernel); err != nil {
		return err
	}
	if err := checkKernel("UpKernel", u.UpKernel); err != nil {
		return err
	}
	if err := checkAtLeast("ResUnits", u.ResUnits, 0); err != nil {
		return err
	}
	normed := slices.Clone(u.Channels)
	if u.ResUnits > 0 {
		normed = append(normed, out)
	}
	if err := u.Norm.check(normed...); err != nil {
		return err
	}
	if u.Activation != "" {
		if err := u.Activation.check("Activation"); err != nil {
			return err
		}
	}
	switch u.Order {
	case "", "NA", "AN", "N", "A":
		return nil
	}
	return fmt.Errorf("setting Order is %q, want NA, AN, N or A", u.Order)
}

func (u UNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := u.check(out); err != nil {
		return nil, err
	}
	u.Kernel, u.UpKernel = kernelOr3(u.Kernel), kernelOr3(u.UpKernel)
	u.Activation, u.Order = cmp.Or(u.Activation, PReLU), cmp.Or(u.Order, "NA")
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
	y, _, err := l.forwardLevels(t, x)
	return y, err
}

func (l *unetLevel) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	skip, err := l.down.Forward(t, x)
	if err != nil || l.below == nil {
		return skip, nil, err
	}
	low, levels, err := l.below.forwardLevels(t, skip)
	if err != nil {
		return nn.Var{}, nil, err
	}
	if l.below.below != nil {
		levels = append(levels, low)
	}
	y, err = join(t, skip, low, l.up)
	return y, levels, err
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
		return &unetLevel{down: u.down(prefix, in, c[i], cube(1))}
	}
	stride := u.Strides[i]
	l := &unetLevel{down: u.down(prefix+"0", in, c[i], stride)}
	below, fromBelow := prefix+"1.submodule.", c[i]
	if i+1 == len(c)-1 {
		below, fromBelow = prefix+"1.submodule", c[i+1]
	}
	l.below = u.level(below, i+1, c[i], c[i])
	l.up = u.upStep(prefix+"2", c[i]+fromBelow, out, stride, i == 0)
	return l
}

// down returns the encoder of a level.
func (u *unetBuilder) down(name string, in, out int, stride [3]int) nn.Layer {
	if u.ResUnits > 0 {
		return u.residualUnit(name, in, out, stride, u.ResUnits, false)
	}
	seq := nn.Sequence{convOf(u.Builder, name+".conv", in, out, u.Kernel, stride, !u.NoBias)}
	return append(seq, u.normAndActivation(name, out)...)
}

// residualUnit returns a residual sum of convolutions, each with norm and activation, and of
// a side path: a convolution that matches stride and width or, if neither changes, the
// identity.
func (u *unetBuilder) residualUnit(name string, in, out int, stride [3]int, convs int, lastPlain bool) nn.Layer {
	var r residual
	width, s := in, stride
	for k := range convs {
		unit := fmt.Sprintf("%s.conv.unit%d", name, k)
		r.main = append(r.main, convOf(u.Builder, unit+".conv", width, out, u.Kernel, s, !u.NoBias))
		if !lastPlain || k < convs-1 {
			r.main = append(r.main, u.normAndActivation(unit, out)...)
		}
		width, s = out, cube(1)
	}
	switch {
	case stride != cube(1):
		r.side = convOf(u.Builder, name+".residual", in, out, u.Kernel, stride, !u.NoBias)
	case in != out:
		r.side = conv(u.Builder, name+".residual", in, out, 1, cube(1), !u.NoBias)
	}
	return r
}

// upStep returns a transposed convolution that undoes the stride, norm and activation, and
// a residual unit of one convolution.
func (u *unetBuilder) upStep(name string, in, out int, stride [3]int, last bool) nn.Layer {
	first := name
	if u.ResUnits > 0 {
		first += ".0"
	}
	seq := nn.Sequence{upConv(u.Builder, first+".conv", in, out, u.UpKernel, stride, !u.NoBias)}
	if u.ResUnits > 0 {
		seq = append(seq, u.normAndActivation(first, out)...)
		return append(seq, u.residualUnit(name+".1", out, out, cube(1), 1, last))
	}
	if !last {
		seq = append(seq, u.normAndActivation(first, out)...)
	}
	return seq
}

func (u *unetBuilder) normAndActivation(name string, channels int) nn.Sequence {
	var seq nn.Sequence
	for _, part := range u.Order {
		if part == 'N' {
			seq = append(seq, sequence(u.Norm.layer(u.Builder, name+".adn.N", channels))...)
		} else {
			seq = append(seq, sequence(u.Activation.layer(u.Builder, name+".adn.A", channels))...)
		}
	}
	return seq
}
