package models

import (
	"cmp"
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// VNet is the network of Milletari et al. (2016) with ELU, in two versions: that of the
// paper's released code, and that of MONAI, which the former rewrites with different
// results.
//
// The input transition adds the input's channels, repeated cyclically, to a normalized
// convolution. Four down transitions halve the size by a strided convolution (kernel size
// 2), double the width and add 1, 2, 3 and 2 convolutions with kernel size 5 to their input;
// the last two have dropout. Four up transitions double the size by a transposed
// convolution, concatenate the result (first) and the skip after dropout, and add 2, 2, 1
// and 1 convolutions to the concatenation. The versions differ as follows:
//
//	                                released            MONAI
//	convolutions of up transitions  with bias           without
//	end of an up transition         sum                 ELU of the sum
//	output transition               C5, BN, C1          C5, BN, ELU, C1
//	down, with d' = dropout(d)      ops(d') + d'        ops(d') + d
//	dropout before upsampling from
//	the two deepest levels          no                  yes
//
// Both classes require that the number of input channels divides 16, so that neither
// accepts the three of PI-CAI. Repeating the channels cyclically, as here, gives the same
// result if it does and is also defined if it does not.
//
// Every axis of a volume must be a multiple of 16.
type VNet struct {
	// Width is the width of the finest level.
	Width int `json:"width"`
	// MONAI selects MONAI's version.
	MONAI bool `json:"monai"`
	// Dropout is the probability with which a channel is dropped in training.
	Dropout float64 `json:"dropout"`
	// Activation is the activation; empty means ELU. Only MONAI's version takes those with
	// parameters.
	Activation Activation `json:"activation,omitempty"`
	// Bias gives biases to the convolutions that MONAI's setting of the name does: all that
	// have none but those of the up transitions.
	Bias bool `json:"bias,omitempty"`
}

// NewVNet returns the released version: width 16, dropout 0.5.
func NewVNet() VNet { return VNet{Width: 16, Dropout: 0.5} }

// NewVNetMONAI returns MONAI's version: width 16, dropout 0.5.
func NewVNetMONAI() VNet { return VNet{Width: 16, Dropout: 0.5, MONAI: true} }

// Name implements Architecture. It returns "vnet_authors" or "vnet_monai".
func (v VNet) Name() string {
	if v.MONAI {
		return "vnet_monai"
	}
	return "vnet_authors"
}

// Multiple implements Architecture.
func (VNet) Multiple() [3]int { return cube(16) }

func (v VNet) decoderWidths() []int { return []int{16 * v.Width, 8 * v.Width, 4 * v.Width} }

func (v VNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkAtLeast("Width", v.Width, 1); err != nil {
		return nil, err
	}
	if v.Width < in {
		return nil, fmt.Errorf("setting Width is %d, want at least the %d input channels", v.Width, in)
	}
	if err := checkProbability("Dropout", v.Dropout); err != nil {
		return nil, err
	}
	v.Activation = cmp.Or(v.Activation, ELU)
	if err := v.Activation.check("Activation"); err != nil {
		return nil, err
	}
	if v.Activation.learned() && !v.MONAI {
		return nil, fmt.Errorf("setting Activation is %q, want one without parameters in the released version", v.Activation)
	}
	w := v.Width
	n := &vNet{
		in: v.inputTransition(b, in),
		down: []nn.Layer{
			v.down(b, "down_tr32", w, 1, 0),
			v.down(b, "down_tr64", 2*w, 2, 0),
			v.down(b, "down_tr128", 4*w, 3, v.Dropout),
			v.down(b, "down_tr256", 8*w, 2, v.Dropout),
		},
	}
	// Only MONAI's version has dropout before upsampling from the two deepest levels.
	var dropout float64
	if v.MONAI {
		dropout = v.Dropout
	}
	n.up = []vNetUp{
		v.up(b, "up_tr256", 16*w, 16*w, 2, dropout),
		v.up(b, "up_tr128", 16*w, 8*w, 2, dropout),
		v.up(b, "up_tr64", 8*w, 4*w, 1, 0),
		v.up(b, "up_tr32", 4*w, 2*w, 1, 0),
	}
	var activation nn.Layer
	if v.MONAI {
		activation = v.Activation.layer(b, "out_tr.act_function1", out)
	}
	n.out = sequence(
		conv(b, "out_tr.conv_block.conv", 2*w, out, 5, cube(1), v.Bias),
		b.BatchNorm("out_tr.conv_block.adn.N", out),
		activation,
		conv(b, "out_tr.conv2", out, out, 1, cube(1), true),
	)
	return n, nil
}

// inputTransition returns f(BN(conv(x)) + r), where f is the activation and r is x with its
// channels repeated.
func (v VNet) inputTransition(b *nn.Builder, in int) nn.Layer {
	activation := v.Activation.layer(b, "in_tr.act_function", v.Width)
	repeat := func(t *nn.Tape, x nn.Var) (nn.Var, error) { return nn.RepeatChannels(t, x, v.Width) }
	return sequence(
		residual{
			main: nn.Sequence{
				conv(b, "in_tr.conv_block.conv", in, v.Width, 5, cube(1), v.Bias),
				b.BatchNorm("in_tr.conv_block.adn.N", v.Width),
			},
			side: layerFunc(repeat),
		},
		activation,
	)
}

// ops returns n convolutions with kernel size 5, each with batch norm and activation.
func (v VNet) ops(b *nn.Builder, name string, width, n int, bias bool) nn.Sequence {
	var seq nn.Sequence
	for k := range n {
		op := fmt.Sprintf("%s.ops.%d", name, k)
		activation := v.Activation.layer(b, op+".act_function", width)
		if v.MONAI {
			op += ".conv_block"
		}
		seq = append(seq, sequence(conv(b, op+".conv", width, width, 5, cube(1), bias), b.BatchNorm(op+".adn.N", width), activation)...)
	}
	return seq
}

// norm returns the name of the batch norm of a transition.
func (v VNet) norm() string {
	if v.MONAI {
		return ".bn1"
	}
	return ".bn"
}

// down returns a down transition from in channels to twice as many.
func (v VNet) down(b *nn.Builder, name string, in, n int, dropout float64) nn.Layer {
	seq := nn.Sequence{conv(b, name+".down_conv", in, 2*in, 2, cube(2), v.Bias), b.BatchNorm(name+v.norm(), 2*in)}
	activation1 := v.Activation.layer(b, name+".act_function1", 2*in)
	activation2 := v.Activation.layer(b, name+".act_function2", 2*in)
	seq = append(seq, sequence(activation1)...)
	drop := nn.Dropout3D{Probability: dropout}
	r := residual{main: v.ops(b, name, 2*in, n, v.Bias)}
	if v.MONAI {
		r.main = append(nn.Sequence{drop}, r.main...)
	} else {
		seq = append(seq, drop)
	}
	return append(append(seq, r), sequence(activation2)...)
}

// vNetUp is an up transition.
type vNetUp struct {
	upsample, skip, join nn.Layer
}

// up returns an up transition from in channels to out, half of which come from the skip.
func (v VNet) up(b *nn.Builder, name string, in, out, n int, dropout float64) vNetUp {
	u := vNetUp{skip: nn.Dropout3D{Probability: v.Dropout}}
	u.upsample = sequence(
		nn.Dropout3D{Probability: dropout},
		b.ConvTranspose3D(name+".up_conv", in, out/2, cube(2), nn.ConvSpec{Stride: cube(2)}, true),
		b.BatchNorm(name+v.norm(), out/2),
		v.Activation.layer(b, name+".act_function1", out/2),
	)
	var last nn.Layer
	if v.MONAI {
		last = v.Activation.layer(b, name+".act_function2", out)
	}
	u.join = sequence(residual{main: v.ops(b, name, out, n, !v.MONAI)}, last)
	return u
}

// vNet holds the transitions; up starts at the coarsest level.
type vNet struct {
	in, out nn.Layer
	down    []nn.Layer
	up      []vNetUp
}

// Forward implements nn.Layer.
func (n *vNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, _, err := n.forwardLevels(t, x)
	return y, err
}

func (n *vNet) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	if x, err = n.in.Forward(t, x); err != nil {
		return nn.Var{}, nil, err
	}
	var skips []nn.Var
	for _, down := range n.down {
		skips = append(skips, x)
		if x, err = down.Forward(t, x); err != nil {
			return nn.Var{}, nil, err
		}
	}
	for i, up := range n.up {
		if i > 0 {
			levels = append(levels, x)
		}
		skip, err := up.skip.Forward(t, skips[len(skips)-1-i])
		if err != nil {
			return nn.Var{}, nil, err
		}
		y, err := up.upsample.Forward(t, x)
		if err != nil {
			return nn.Var{}, nil, err
		}
		t.Done(x)
		if x, err = join(t, y, skip, up.join); err != nil {
			return nn.Var{}, nil, err
		}
	}
	y, err = n.out.Forward(t, x)
	return y, levels, err
}
