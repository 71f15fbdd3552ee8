package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// R2UNet is the recurrent residual U-Net of Alom et al. (2018) in 3-D, which is what the
// paper's name RRUNet refers to. (The paper's released code has [PlainUNet] instead, whose
// upward steps, pooling and head this network shares.)
//
// A recurrent layer computes
//
//	h₀ = f(W·x + b),   h_k = f(W·(x + h_{k−1}) + b)
//
// for k up to Steps, where f is a batch norm followed by ReLU that all steps share, and
// returns the last h. A unit is p + RCL(RCL(p)), where p is a 1×1×1 convolution of the
// unit's input and RCL is a recurrent layer.
//
// Every axis of a volume must be a multiple of 2^(levels−1).
type R2UNet struct {
	// Channels are the widths of the levels, from the finest to the coarsest.
	Channels []int `json:"channels"`
	// Steps is the number of times that the recurrence is applied after h₀; t in the
	// paper.
	Steps int `json:"steps"`
	// Untied gives the recurrence a separate kernel without a bias:
	// h_k = f(W·x + b + R·h_{k−1}), which is exactly the published formula. Tied kernels,
	// R = W, give the published number of parameters.
	Untied bool `json:"untied"`
}

// NewR2UNet returns the published widths 64, 128, 256, 512, 1024 and two steps,
// with tied kernels.
func NewR2UNet() R2UNet { return R2UNet{Channels: []int{64, 128, 256, 512, 1024}, Steps: 2} }

// NewR2UNetUntied returns the settings of [NewR2UNet] with untied kernels.
func NewR2UNetUntied() R2UNet {
	r := NewR2UNet()
	r.Untied = true
	return r
}

// Name implements Architecture. It returns "r2unet" or "r2unet_untied".
func (r R2UNet) Name() string {
	if r.Untied {
		return "r2unet_untied"
	}
	return "r2unet"
}

// Multiple implements Architecture.
func (r R2UNet) Multiple() [3]int { return product(halvings(len(r.Channels) - 1)) }

func (r R2UNet) decoderWidths() []int { return coarseFirst(r.Channels[1 : len(r.Channels)-1]) }

func (r R2UNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkChannels(r.Channels); err != nil {
		return nil, err
	}
	if err := checkAtLeast("Steps", r.Steps, 1); err != nil {
		return nil, err
	}
	n := &pooledUNet{}
	for i, c := range r.Channels {
		n.down = append(n.down, r.unit(b, fmt.Sprintf("enc.%d", i), in, c))
		in = c
	}
	ups := len(r.Channels) - 1
	for i := range ups {
		name := fmt.Sprintf("up.%d", i)
		n.upsample = append(n.upsample, doubleSize(b, name+".conv", name+".norm", r.Channels[ups-i], r.Channels[ups-i-1]))
	}
	for i := range ups {
		c := r.Channels[ups-i-1]
		n.up = append(n.up, r.unit(b, fmt.Sprintf("dec.%d", i), 2*c, c))
	}
	n.head = conv(b, "head", r.Channels[0], out, 1, cube(1), true)
	return n, nil
}

// unit returns a projection followed by a residual block of two recurrent layers.
func (r R2UNet) unit(b *nn.Builder, name string, in, out int) nn.Layer {
	return nn.Sequence{
		conv(b, name+".proj", in, out, 1, cube(1), true),
		residual{main: nn.Sequence{r.recurrent(b, name+".rcl1", out), r.recurrent(b, name+".rcl2", out)}},
	}
}

func (r R2UNet) recurrent(b *nn.Builder, name string, width int) nn.Layer {
	forward := conv(b, name+".forward_conv", width, width, 3, cube(1), true)
	var back nn.Layer
	if r.Untied {
		back = conv(b, name+".recurrent_conv", width, width, 3, cube(1), false)
	}
	f := nn.Sequence{b.BatchNorm(name+".norm", width), nn.ReLU}
	// step returns W·x + b plus the recurrent term.
	step := func(t *nn.Tape, x, fromInput, h nn.Var) (nn.Var, error) {
		if r.Untied {
			y, err := back.Forward(t, h)
			if err != nil {
				return nn.Var{}, err
			}
			sum, err := nn.Add(t, fromInput, y)
			t.Done(y)
			return sum, err
		}
		sum, err := nn.Add(t, x, h)
		if err != nil {
			return nn.Var{}, err
		}
		y, err := forward.Forward(t, sum)
		t.Done(sum)
		return y, err
	}
	return layerFunc(func(t *nn.Tape, x nn.Var) (nn.Var, error) {
		fromInput, err := forward.Forward(t, x)
		if err != nil {
			return nn.Var{}, err
		}
		h, err := f.Forward(t, fromInput)
		if err != nil {
			return nn.Var{}, err
		}
		for range r.Steps {
			y, err := step(t, x, fromInput, h)
			if err != nil {
				return nn.Var{}, err
			}
			t.Done(h)
			if h, err = f.Forward(t, y); err != nil {
				return nn.Var{}, err
			}
			t.Done(y)
		}
		t.Done(fromInput)
		return h, nil
	})
}
