package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// SegResNet is the segmentation network of Myronenko (2018) without its
// autoencoder branch, as MONAI's class SegResNet builds it.
//
// A convolution makes Width maps. Each further level begins with a strided
// convolution that doubles the width and has residual blocks in pre-activation
// order (group norm, ReLU, convolution, twice). A step up is a 1×1×1 convolution,
// trilinear enlargement by 2, the sum with the skip, and blocks. Group norm, ReLU
// and a 1×1×1 convolution, the only one with a bias, make the logits.
//
// Every axis of a volume must be a multiple of 2^(levels−1).
type SegResNet struct {
	// Width is that of the finest level.
	Width int `json:"width"`
	// BlocksDown and BlocksUp are the numbers of residual blocks per level, the
	// former from the finest, the latter, one fewer, from the coarsest.
	BlocksDown []int `json:"blocks_down"`
	BlocksUp   []int `json:"blocks_up"`
	// Groups of the group norm; a divisor of Width.
	Groups int `json:"groups"`
	// Dropout is the probability with which a channel of the first map is left out
	// in training.
	Dropout float64 `json:"dropout"`
}

// NewSegResNet returns MONAI's defaults: width 8, blocks 1, 2, 2, 4 on the way down
// and 1, 1, 1 on the way up, 8 groups, no dropout.
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
		n.enlarge = append(n.enlarge, nn.Sequence{
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

// block makes a residual block. The norms come before both convolutions in the
// state_dict.
func (s SegResNet) block(b *nn.Builder, name string, width int) nn.Layer {
	norm1, norm2 := b.GroupNorm(name+".norm1", s.Groups, width), b.GroupNorm(name+".norm2", s.Groups, width)
	conv1 := conv(b, name+".conv1.conv", width, width, 3, cube(1), false)
	conv2 := conv(b, name+".conv2.conv", width, width, 3, cube(1), false)
	return residual{main: nn.Sequence{norm1, nn.ReLU, conv1, norm2, nn.ReLU, conv2}}
}

// segResNet holds the layers; those of the way up begin at the bottom.
type segResNet struct {
	down, enlarge, up []nn.Layer
	head              nn.Layer
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
		y, err := n.enlarge[i].Forward(t, x)
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
