package models

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// SegResNet is the segmentation network of Myronenko (2018) without its autoencoder branch,
// as in MONAI's class SegResNet.
//
// A convolution computes Width feature maps. Each further level begins with a strided
// convolution that doubles the width. All levels have residual blocks in pre-activation
// order (group norm, ReLU, convolution, twice). An upward step is a 1×1×1 convolution,
// trilinear upsampling by 2, addition of the skip, and blocks. Group norm, ReLU and a 1×1×1
// convolution, the only one with a bias, compute the logits.
//
// Every axis of a volume must be a multiple of 2^(levels−1).
type SegResNet struct {
	// Width is the width of the finest level.
	Width int `json:"width"`
	// BlocksDown and BlocksUp are the numbers of residual blocks per level of the encoder,
	// from the finest, and of the decoder, from the coarsest. BlocksUp has one entry fewer.
	BlocksDown []int `json:"blocks_down"`
	BlocksUp   []int `json:"blocks_up"`
	// Groups is the number of groups of the group norms, a divisor of Width.
	Groups int `json:"groups"`
	// Norm replaces the group norms of that many groups; empty means these.
	Norm Norm `json:"norm,omitempty"`
	// Activation is the activation, of those without parameters; empty means ReLU.
	Activation Activation `json:"activation,omitempty"`
	// Deconv upsamples by a transposed convolution with kernel size and stride 2 instead of
	// trilinearly.
	Deconv bool `json:"deconv,omitempty"`
	// Dropout is the probability with which a channel of the first convolution is dropped
	// in training.
	Dropout float64 `json:"dropout"`
}

// NewSegResNet returns MONAI's defaults: width 8, blocks 1, 2, 2, 4 in the encoder and
// 1, 1, 1 in the decoder, 8 groups, no dropout.
func NewSegResNet() SegResNet {
	return SegResNet{Width: 8, BlocksDown: []int{1, 2, 2, 4}, BlocksUp: []int{1, 1, 1}, Groups: 8}
}

// Name implements Architecture.
func (SegResNet) Name() string { return "segresnet" }

// Multiple implements Architecture.
func (s SegResNet) Multiple() [3]int { return product(halvings(len(s.BlocksDown) - 1)) }

func (s SegResNet) decoderWidths() []int {
	var widths []int
	for level := len(s.BlocksUp) - 1; level > 0; level-- {
		widths = append(widths, s.Width<<level)
	}
	return widths
}

func (s SegResNet) check() error {
	if err := checkAtLeast("Width", s.Width, 1); err != nil {
		return err
	}
	if len(s.BlocksDown) < 1 || len(s.BlocksDown) > 16 {
		return fmt.Errorf("setting BlocksDown has %d entries, want 1 to 16", len(s.BlocksDown))
	}
	if len(s.BlocksUp) != len(s.BlocksDown)-1 {
		return fmt.Errorf("setting BlocksUp has %d entries, want %d, one fewer than BlocksDown", len(s.BlocksUp), len(s.BlocksDown)-1)
	}
	for i, n := range s.BlocksDown {
		if err := checkAtLeast(fmt.Sprintf("BlocksDown[%d]", i), n, 1); err != nil {
			return err
		}
	}
	for i, n := range s.BlocksUp {
		if err := checkAtLeast(fmt.Sprintf("BlocksUp[%d]", i), n, 1); err != nil {
			return err
		}
	}
	if s.Norm == "" && (s.Groups < 1 || s.Width%s.Groups != 0) {
		return fmt.Errorf("setting Groups is %d, want a divisor of Width, %d", s.Groups, s.Width)
	}
	if err := s.norm().check(s.Width); err != nil {
		return err
	}
	if err := s.activation().check("Activation"); err != nil {
		return err
	}
	if s.Activation.learned() {
		return fmt.Errorf("setting Activation is %q, want one without parameters, which MONAI shares between layers here", s.Activation)
	}
	return checkProbability("Dropout", s.Dropout)
}

func (s SegResNet) norm() Norm {
	if s.Norm == "" {
		return Norm(fmt.Sprintf("%s%d", groupNorm, s.Groups))
	}
	return s.Norm
}

func (s SegResNet) activation() Activation { return cmp.Or(s.Activation, ReLU) }

// normAndActivation returns both with the name and the width of the norm.
func (s SegResNet) normAndActivation(b *nn.Builder, name string, width int) nn.Sequence {
	return sequence(s.norm().layer(b, name, width), s.activation().layer(b, "", width))
}

func (s SegResNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	width := func(level int) int { return s.Width << level }
	first := nn.Sequence{conv(b, "convInit.conv", in, s.Width, 3, cube(1), false), nn.Dropout3D{Probability: s.Dropout}}
	n := &segResNet{}
	for i, blocks := range s.BlocksDown {
		level, name := first, fmt.Sprintf("down_layers.%d", i)
		if i > 0 {
			level = nn.Sequence{conv(b, name+".0.conv", width(i-1), width(i), 3, cube(2), false)}
		}
		for k := range blocks {
			level = append(level, s.block(b, fmt.Sprintf("%s.%d", name, k+1), width(i)))
		}
		n.down = append(n.down, level)
	}
	last := len(s.BlocksUp)
	for i, blocks := range s.BlocksUp {
		var level nn.Sequence
		for k := range blocks {
			level = append(level, s.block(b, fmt.Sprintf("up_layers.%d.%d", i, k), width(last-i-1)))
		}
		n.up = append(n.up, level)
	}
	for i := range s.BlocksUp {
		w := width(last - i - 1)
		upsample := nn.Sequence{conv(b, fmt.Sprintf("up_samples.%d.0.conv", i), 2*w, w, 1, cube(1), false)}
		if s.Deconv {
			name := fmt.Sprintf("up_samples.%d.1.deconv", i)
			upsample = append(upsample, b.ConvTranspose3D(name, w, w, cube(2), nn.ConvSpec{Stride: cube(2)}, true))
		} else {
			upsample = append(upsample, nn.Upsample{Factor: cube(2), Mode: nn.Linear})
		}
		n.upsample = append(n.upsample, upsample)
	}
	n.head = append(s.normAndActivation(b, "conv_final.0", s.Width), conv(b, "conv_final.2.conv", s.Width, out, 1, cube(1), true))
	return n, nil
}

// block returns a residual block. In the state_dict the norms precede both convolutions.
func (s SegResNet) block(b *nn.Builder, name string, width int) nn.Layer {
	norm1, norm2 := s.normAndActivation(b, name+".norm1", width), s.normAndActivation(b, name+".norm2", width)
	conv1 := conv(b, name+".conv1.conv", width, width, 3, cube(1), false)
	conv2 := conv(b, name+".conv2.conv", width, width, 3, cube(1), false)
	return residual{main: slices.Concat(norm1, nn.Sequence{conv1}, norm2, nn.Sequence{conv2})}
}

// segResNet holds the layers; those of the decoder start at the coarsest level.
type segResNet struct {
	down, upsample, up []nn.Layer
	head               nn.Layer
}

// Forward implements nn.Layer.
func (n *segResNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, _, err := n.forwardLevels(t, x)
	return y, err
}

func (n *segResNet) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	var skips []nn.Var
	for _, level := range n.down {
		if x, err = level.Forward(t, x); err != nil {
			return nn.Var{}, nil, err
		}
		skips = append(skips, x)
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
		if x, err = addAndApply(t, y, skips[len(skips)-2-i], n.up[i]); err != nil {
			return nn.Var{}, nil, err
		}
	}
	y, err = n.head.Forward(t, x)
	return y, levels, err
}
