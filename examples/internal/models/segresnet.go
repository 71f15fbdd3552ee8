package models

import (
	"fmt"

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
	if s.Groups < 1 || s.Width%s.Groups != 0 {
		return fmt.Errorf("setting Groups is %d, want a divisor of Width, %d", s.Groups, s.Width)
	}
	return checkProbability("Dropout", s.Dropout)
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
		n.upsample = append(n.upsample, nn.Sequence{
			conv(b, fmt.Sprintf("up_samples.%d.0.conv", i), width(last-i), width(last-i-1), 1, cube(1), false),
			nn.Upsample{Factor: cube(2), Mode: nn.Linear},
		})
	}
	n.head = nn.Sequence{
		b.GroupNorm("conv_final.0", s.Groups, s.Width), nn.ReLU,
		conv(b, "conv_final.2.conv", s.Width, out, 1, cube(1), true),
	}
	return n, nil
}

// block returns a residual block. In the state_dict the norms precede both convolutions.
func (s SegResNet) block(b *nn.Builder, name string, width int) nn.Layer {
	norm1, norm2 := b.GroupNorm(name+".norm1", s.Groups, width), b.GroupNorm(name+".norm2", s.Groups, width)
	conv1 := conv(b, name+".conv1.conv", width, width, 3, cube(1), false)
	conv2 := conv(b, name+".conv2.conv", width, width, 3, cube(1), false)
	return residual{main: nn.Sequence{norm1, nn.ReLU, conv1, norm2, nn.ReLU, conv2}}
}

// segResNet holds the layers; those of the decoder start at the coarsest level.
type segResNet struct {
	down, upsample, up []nn.Layer
	head               nn.Layer
}

// Forward implements nn.Layer.
func (n *segResNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	var skips []nn.Var
	for _, level := range n.down {
		var err error
		if x, err = level.Forward(t, x); err != nil {
			return nn.Var{}, err
		}
		skips = append(skips, x)
	}
	for i := range n.up {
		y, err := n.upsample[i].Forward(t, x)
		if err != nil {
			return nn.Var{}, err
		}
		t.Done(x)
		if x, err = addAndApply(t, y, skips[len(skips)-2-i], n.up[i]); err != nil {
			return nn.Var{}, err
		}
	}
	return n.head.Forward(t, x)
}
