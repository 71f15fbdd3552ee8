package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// UNet is the residual U-Net of Kerfoot et al. (2018) as MONAI's class UNet
// builds it, with two residual units per level.
//
// Defaults: Channels 16, 32, 64, 128, 256; stride 2 on every axis between all
// of them; batch norm; PReLU with one slope per layer. Every axis of a volume
// must be a multiple of the product of its strides (16 by default).
//
// Level i goes down to Channels[i] with a residual unit of two convolutions
// (three by three by three), the first of them strided. Its way up joins the
// level's skip (first) with what comes from below and applies a transposed
// convolution, norm and PReLU, and a residual unit of one convolution, down to
// the width of the level above, which is OutChannels at the top; there the last
// convolution has neither norm nor activation.
type UNet struct {
	*nn.Builder
	level    *unetLevel
	multiple [3]int
}

// unetLevel is one level and all below it.
type unetLevel struct {
	down  nn.Layer
	below *unetLevel // nil at the bottom, which has no way up either
	up    nn.Layer
}

func newUNet(b *nn.Builder, cfg Config) (nn.Network, error) {
	if cfg.Channels == nil && cfg.Strides == nil {
		cfg.Channels = []int{16, 32, 64, 128, 256}
		cfg.Strides = [][3]int{{2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}}
	}
	if err := checkLevels(cfg); err != nil {
		return nil, err
	}
	u := &unetBuilder{Builder: b, cfg: cfg}
	return &UNet{Builder: b, level: u.level("model.", 0, cfg.InChannels, cfg.OutChannels), multiple: product(cfg.Strides)}, nil
}

// CheckSize implements nn.Network.
func (u *UNet) CheckSize(spatial [3]int) error {
	return nn.CheckMultiple("unet", spatial, u.multiple)
}

// Forward implements nn.Network.
func (u *UNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	if s := x.Shape(); len(s) == 5 {
		if err := u.CheckSize([3]int(s[2:])); err != nil {
			return nn.Var{}, err
		}
	}
	return u.level.forward(t, x)
}

func (l *unetLevel) forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	skip, err := l.down.Forward(t, x)
	if err != nil || l.below == nil {
		return skip, err
	}
	low, err := l.below.forward(t, skip)
	if err != nil {
		return nn.Var{}, err
	}
	joined, err := nn.Concat(t, skip, low)
	if err != nil {
		return nn.Var{}, err
	}
	return l.up.Forward(t, joined)
}

// unetBuilder makes a UNet's layers in state_dict order.
type unetBuilder struct {
	*nn.Builder
	cfg Config
}

// level makes level i, whose input has the given width and whose way up returns
// the width out.
func (u *unetBuilder) level(prefix string, i, in, out int) *unetLevel {
	c := u.cfg.Channels
	if i == len(c)-1 {
		return &unetLevel{down: u.residualUnit(prefix, in, c[i], [3]int{1, 1, 1}, 2, false)}
	}
	stride := u.cfg.Strides[i]
	l := &unetLevel{down: u.residualUnit(prefix+"0", in, c[i], stride, 2, false)}
	below, fromBelow := prefix+"1.submodule.", c[i]
	if i+1 == len(c)-1 {
		below, fromBelow = prefix+"1.submodule", c[i+1]
	}
	l.below = u.level(below, i+1, c[i], c[i])
	l.up = u.upStep(prefix+"2", c[i]+fromBelow, out, stride, i == 0)
	return l
}

// residualUnit makes a chain of convolutions, each with norm and PReLU, beside
// a convolution that matches stride and width; where neither changes the
// input itself is added.
func (u *unetBuilder) residualUnit(name string, in, out int, stride [3]int, convs int, lastPlain bool) nn.Layer {
	var r residual
	width, s := in, stride
	for k := range convs {
		unit := fmt.Sprintf("%s.conv.unit%d", name, k)
		spec := nn.ConvSpec{Stride: s, Padding: [3]int{1, 1, 1}}
		r.main = append(r.main, u.Conv3D(unit+".conv", width, out, [3]int{3, 3, 3}, spec, true))
		if !lastPlain || k < convs-1 {
			r.main = append(r.main, u.normAndPReLU(unit, out)...)
		}
		width, s = out, [3]int{1, 1, 1}
	}
	switch {
	case stride != [3]int{1, 1, 1}:
		r.side = u.Conv3D(name+".residual", in, out, [3]int{3, 3, 3}, nn.ConvSpec{Stride: stride, Padding: [3]int{1, 1, 1}}, true)
	case in != out:
		r.side = u.Conv3D(name+".residual", in, out, [3]int{1, 1, 1}, nn.ConvSpec{}, true)
	}
	return r
}

// upStep makes a transposed convolution that undoes the stride, norm and
// PReLU, and a residual unit of one convolution.
func (u *unetBuilder) upStep(name string, in, out int, stride [3]int, last bool) nn.Layer {
	spec := nn.ConvSpec{Stride: stride, Padding: [3]int{1, 1, 1}}
	for axis, s := range stride {
		spec.OutputPadding[axis] = s - 1
	}
	seq := nn.Sequence{u.ConvTranspose3D(name+".0.conv", in, out, [3]int{3, 3, 3}, spec, true)}
	seq = append(seq, u.normAndPReLU(name+".0", out)...)
	return append(seq, u.residualUnit(name+".1", out, out, [3]int{1, 1, 1}, 1, last))
}

func (u *unetBuilder) normAndPReLU(name string, channels int) []nn.Layer {
	return []nn.Layer{normLayer(u.Builder, u.cfg.Norm, name+".adn.N", channels), u.PReLU(name+".adn.A", 1)}
}

// residual adds a main path and a side path; a nil side is the input itself.
type residual struct {
	main nn.Sequence
	side nn.Layer
}

// Forward records both paths and their sum.
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
	return nn.Add(t, y, side)
}
