package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// PlainUNet is a U-Net of double convolutions. It is what the paper's released code contains
// for the network that the paper calls a recurrent residual U-Net. It has neither recurrence
// nor residual connections.
//
// There are five levels of widths Width·(1, 2, 4, 8, 16), with max pooling between them. An
// upward step is trilinear upsampling with aligned corners, a convolution with batch norm
// and ReLU, and a double convolution of the skip (first) and the upsampled features. A
// 1×1×1 convolution computes the logits. All convolutions have a bias.
//
// Every axis of a volume must be a multiple of 16.
type PlainUNet struct {
	// Width is the width of the finest level.
	Width int `json:"width"`
}

// NewPlainUNet returns the released width, 64.
func NewPlainUNet() PlainUNet { return PlainUNet{Width: 64} }

// Name implements Architecture.
func (PlainUNet) Name() string { return "unet3d_plain" }

// Multiple implements Architecture.
func (PlainUNet) Multiple() [3]int { return cube(16) }

func (p PlainUNet) decoderWidths() []int { return []int{8 * p.Width, 4 * p.Width, 2 * p.Width} }

func (p PlainUNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkAtLeast("Width", p.Width, 1); err != nil {
		return nil, err
	}
	const levels = 5
	width := func(level int) int { return p.Width << level }
	n := &pooledUNet{}
	for i := range levels {
		n.down = append(n.down, doubleConv(b, fmt.Sprintf("Conv%d", i+1), in, width(i)))
		in = width(i)
	}
	for i := levels - 1; i > 0; i-- {
		name := fmt.Sprintf("Up%d.up", i+1)
		n.upsample = append(n.upsample, doubleSize(b, name+".1", name+".2", width(i), width(i-1)))
		n.up = append(n.up, doubleConv(b, fmt.Sprintf("Up_conv%d", i+1), width(i), width(i-1)))
	}
	n.head = conv(b, "Final_conv", width(0), out, 1, cube(1), true)
	return n, nil
}

// doubleConv returns two convolutions, each with batch norm and ReLU.
func doubleConv(b *nn.Builder, name string, in, out int) nn.Layer {
	return nn.Sequence{
		conv(b, name+".conv.0", in, out, 3, cube(1), true), b.BatchNorm(name+".conv.1", out), nn.ReLU,
		conv(b, name+".conv.3", out, out, 3, cube(1), true), b.BatchNorm(name+".conv.4", out), nn.ReLU,
	}
}

// doubleSize returns trilinear upsampling by 2 with aligned corners and a convolution with
// batch norm and ReLU.
func doubleSize(b *nn.Builder, convName, normName string, in, out int) nn.Layer {
	return nn.Sequence{
		nn.Upsample{Factor: cube(2), Mode: nn.LinearAligned},
		conv(b, convName, in, out, 3, cube(1), true), b.BatchNorm(normName, out), nn.ReLU,
	}
}

// pooledUNet is a U-Net with max pooling whose upward steps concatenate the skip (first) and
// the upsampled features. upsample and up start at the coarsest level.
type pooledUNet struct {
	down, upsample, up []nn.Layer
	head               nn.Layer
}

// Forward implements nn.Layer.
func (n *pooledUNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, _, err := n.forwardLevels(t, x)
	return y, err
}

func (n *pooledUNet) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	var skips []nn.Var
	for i, block := range n.down {
		if i > 0 {
			skips = append(skips, x)
			if x, err = halve.Forward(t, x); err != nil {
				return nn.Var{}, nil, err
			}
		}
		y, err := block.Forward(t, x)
		if err != nil {
			return nn.Var{}, nil, err
		}
		t.Done(x, y)
		x = y
	}
	for i := range n.up {
		if i > 0 {
			levels = append(levels, x)
		}
		y, err := n.upsample[i].Forward(t, x)
		if err != nil {
			return nn.Var{}, nil, err
		}
		t.Done(x)
		if x, err = join(t, skips[len(skips)-1-i], y, n.up[i]); err != nil {
			return nn.Var{}, nil, err
		}
	}
	y, err = n.head.Forward(t, x)
	return y, levels, err
}
