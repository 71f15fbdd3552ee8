package models

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// RegUNet is the image registration network of Hu et al. (2018) as in MONAI's class RegUNet:
// a U-Net of residual blocks whose logits are averaged over several levels.
//
// Level d has width Width·2^d. A block is a convolution and a residual pair of convolutions,
// each with batch norm and ReLU. The decoder adds the skip to the upsampled features. Each
// of the selected levels computes logits by a convolution, which are resized to the volume
// by nearest neighbor. No convolution has a bias.
//
// Every axis of a volume must be a multiple of 2^Depth.
type RegUNet struct {
	// Width is the width of level 0.
	Width int `json:"width"`
	// Depth is the number of times that the size is halved.
	Depth int `json:"depth"`
	// Levels are the levels whose logits are averaged, from 0 (full size) to Depth. The
	// decoder ends at the smallest of them. With Depth alone, MONAI's default, there is no
	// decoder, and the logits are constant over cubes of 2^Depth voxels.
	Levels []int `json:"levels"`
	// ConcatSkip concatenates the upsampled features (first) and the skip along the
	// channels instead of adding them.
	ConcatSkip bool `json:"concat_skip"`
	// StridedDown halves the size by strided convolutions instead of max pooling.
	StridedDown bool `json:"strided_down"`
	// Kernels are the sizes of the encoder's cubic kernels, odd, one for each level from 0
	// to Depth, or one for all. Empty means 3, which those of the decoder always are.
	Kernels []int `json:"kernels"`
	// HeadActivation follows the convolution that computes the logits of a level; empty
	// means none. A loss that takes logits wants none.
	HeadActivation Activation `json:"head_activation"`
	// ZeroHead initializes that convolution with zeros.
	ZeroHead bool `json:"zero_head"`
}

// NewRegUNet returns width 16, depth 3, and all levels. The paper does not state its
// settings; with depth 4 the network would not accept the 24 slices of its PI-CAI volumes.
func NewRegUNet() RegUNet { return RegUNet{Width: 16, Depth: 3, Levels: []int{0, 1, 2, 3}} }

// Name implements Architecture.
func (RegUNet) Name() string { return "regunet" }

// Multiple implements Architecture.
func (r RegUNet) Multiple() [3]int { return product(halvings(r.Depth)) }

func (r RegUNet) check() error {
	if err := checkAtLeast("Width", r.Width, 1); err != nil {
		return err
	}
	if r.Depth < 1 || r.Depth > 16 {
		return fmt.Errorf("setting Depth is %d, want 1 to 16", r.Depth)
	}
	if len(r.Levels) == 0 {
		return fmt.Errorf("setting Levels is empty, want at least one level from 0 to %d", r.Depth)
	}
	for i, l := range r.Levels {
		if l < 0 || l > r.Depth || slices.Contains(r.Levels[:i], l) {
			return fmt.Errorf("setting Levels is %v, want distinct numbers from 0 to %d", r.Levels, r.Depth)
		}
	}
	if n := len(r.Kernels); n > 1 && n != r.Depth+1 {
		return fmt.Errorf("setting Kernels has %d entries, want %d, one for each level, or one for all", n, r.Depth+1)
	}
	for i, k := range r.Kernels {
		if k < 1 || k%2 == 0 {
			return fmt.Errorf("setting Kernels[%d] is %d, want an odd number", i, k)
		}
	}
	if r.HeadActivation != "" {
		return r.HeadActivation.check("HeadActivation")
	}
	return nil
}

// kernel returns the size of the encoder's kernels of a level.
func (r RegUNet) kernel(level int) int {
	if len(r.Kernels) == 0 {
		return 3
	}
	return r.Kernels[min(level, len(r.Kernels)-1)]
}

func (r RegUNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	width := func(level int) int { return r.Width << level }
	n := &regUNet{concat: r.ConcatSkip, levels: r.Levels, heads: make([]nn.Layer, len(r.Levels))}
	for d := range r.Depth {
		from := in
		if d > 0 {
			from = width(d - 1)
		}
		n.down = append(n.down, regBlock(b, fmt.Sprintf("encode_convs.%d", d), from, width(d), r.kernel(d)))
	}
	for d := range r.Depth {
		var halving nn.Layer = halve
		if r.StridedDown {
			name := fmt.Sprintf("encode_pools.%d.layer", d)
			halving = nn.Sequence{
				b.HeNormal(conv(b, name+".conv", width(d), width(d), 2, cube(2), false), nn.FanIn),
				b.BatchNorm(name+".adn.N", width(d)), nn.ReLU,
			}
		}
		n.halve = append(n.halve, halving)
	}
	n.bottom = regBlock(b, "bottom_block", width(r.Depth-1), width(r.Depth), r.kernel(r.Depth))
	last := slices.Min(r.Levels)
	for d := r.Depth - 1; d >= last; d-- {
		name := fmt.Sprintf("decode_deconvs.%d", r.Depth-1-d)
		n.upsample = append(n.upsample, nn.Sequence{
			upConv(b, name+".conv", width(d+1), width(d), cube(3), cube(2), false),
			b.BatchNorm(name+".adn.N", width(d)), nn.ReLU,
		})
	}
	for d := r.Depth - 1; d >= last; d-- {
		from := width(d)
		if r.ConcatSkip {
			from *= 2
		}
		n.up = append(n.up, regBlock(b, fmt.Sprintf("decode_convs.%d", r.Depth-1-d), from, width(d), 3))
	}
	for i, l := range r.Levels {
		name := fmt.Sprintf("output_block.layers.%d", i)
		head := conv(b, name+".conv", width(l), out, 3, cube(1), false)
		if r.ZeroHead {
			b.Zero(head)
		} else {
			b.HeNormal(head, nn.FanIn)
		}
		n.heads[i] = head
		if r.HeadActivation != "" {
			n.heads[i] = append(nn.Sequence{head}, sequence(r.HeadActivation.layer(b, name+".adn.A", out))...)
		}
	}
	return n, nil
}

// regBlock returns a convolution and a residual pair of convolutions. In the state_dict the
// norms follow both convolutions of the pair.
func regBlock(b *nn.Builder, name string, in, out, kernel int) nn.Layer {
	first := nn.Sequence{
		b.HeNormal(conv(b, name+".0.conv", in, out, kernel, cube(1), false), nn.FanIn),
		b.BatchNorm(name+".0.adn.N", out), nn.ReLU,
	}
	conv0 := conv(b, name+".1.layers.0.conv", out, out, kernel, cube(1), false)
	conv1 := conv(b, name+".1.layers.1.conv", out, out, kernel, cube(1), false)
	norm0, norm1 := b.BatchNorm(name+".1.norms.0", out), b.BatchNorm(name+".1.norms.1", out)
	return append(first, residual{main: nn.Sequence{conv0, norm0, nn.ReLU, conv1, norm1}}, nn.ReLU)
}

// regUNet holds the layers; those of the decoder start at the coarsest level.
type regUNet struct {
	down, halve  []nn.Layer
	bottom       nn.Layer
	upsample, up []nn.Layer
	concat       bool
	levels       []int
	heads        []nn.Layer
}

// Forward implements nn.Layer.
func (n *regUNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	maps := make([]nn.Var, len(n.down)+1) // by level: the skips, replaced by the decoder's outputs
	y := x
	var err error
	for d := range n.down {
		if maps[d], err = n.down[d].Forward(t, y); err != nil {
			return nn.Var{}, err
		}
		if d > 0 {
			t.Done(y)
		}
		if y, err = n.halve[d].Forward(t, maps[d]); err != nil {
			return nn.Var{}, err
		}
	}
	depth := len(n.down)
	if maps[depth], err = n.bottom.Forward(t, y); err != nil {
		return nn.Var{}, err
	}
	for i := range n.up {
		d := depth - 1 - i
		if y, err = n.upsample[i].Forward(t, maps[d+1]); err != nil {
			return nn.Var{}, err
		}
		if n.concat {
			maps[d], err = join(t, y, maps[d], n.up[i])
		} else {
			maps[d], err = addAndApply(t, y, maps[d], n.up[i])
		}
		if err != nil {
			return nn.Var{}, err
		}
	}
	return n.head(t, maps, [3]int(x.Shape()[2:]))
}

// head averages the logits of the selected levels at the size of the volume.
func (n *regUNet) head(t *nn.Tape, maps []nn.Var, size [3]int) (nn.Var, error) {
	logits := make([]nn.Var, len(n.levels))
	for i, l := range n.levels {
		y, err := n.heads[i].Forward(t, maps[l])
		if err != nil {
			return nn.Var{}, err
		}
		if logits[i] = y; l > 0 {
			if logits[i], err = nn.Resize(t, y, size, nn.Nearest); err != nil {
				return nn.Var{}, err
			}
		}
	}
	if len(logits) == 1 {
		return logits[0], nil
	}
	return nn.Mean(t, logits...)
}
