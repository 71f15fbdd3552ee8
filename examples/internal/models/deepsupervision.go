package models

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// supervised is an architecture with a decoder of several levels, whose layers are a decoder.
type supervised interface {
	Architecture
	// decoderWidths returns the widths of the outputs of the decoder's levels, from the
	// coarsest level on, without the last level, from which the logits are computed.
	decoderWidths() []int
}

// decoder is the layers of a supervised architecture.
type decoder interface {
	nn.Layer
	// forwardLevels is Forward that also returns the outputs whose widths decoderWidths
	// returns. In inference they are released.
	forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error)
}

// DeepSupervision is a network with heads for deep supervision: a 1×1×1 convolution with bias
// for each level of the decoder but the last, which computes logits at the resolution of that
// level in training. The network's own parameters have the names and initial values that they
// have without heads; those of the heads are deep_supervision.<level>.weight and .bias, where
// level 1 is the one below full resolution.
type DeepSupervision struct {
	nn.Network // without heads
	layers     decoder
	heads      *nn.Builder
	convs      []*nn.Conv3D // from the finest level
}

// NewDeepSupervision adds heads to a network made by [New] or [NewUninitialized] with the same
// configuration, backend and seed. The heads have initial values. A network whose decoder has
// no level below full resolution is an error.
func NewDeepSupervision(cfg Config, net nn.Network, backend nn.Backend, seed uint64) (*DeepSupervision, error) {
	architecture, ok := cfg.Architecture.(supervised)
	if !ok {
		var names []string
		for _, e := range entries {
			if a, ok := e.make().(supervised); ok {
				names = append(names, a.Name())
			}
		}
		return nil, fmt.Errorf("models: %s has no decoder for deep supervision, want one of %v", cfg.Name(), names)
	}
	n, ok := net.(*network)
	if !ok {
		return nil, fmt.Errorf("models: the network is a %T, want one made by New", net)
	}
	layers, ok := n.layers.(decoder)
	if !ok || n.name != cfg.Name() {
		return nil, fmt.Errorf("models: the network is %s, want %s, that of the configuration", n.name, cfg.Name())
	}
	widths := architecture.decoderWidths()
	if len(widths) == 0 {
		return nil, fmt.Errorf("models: %s: the decoder has no level below full resolution, which deep supervision needs", cfg.Name())
	}
	out := cfg.OutChannels
	if out == 0 {
		out = defaultOutChannels
	}
	d := &DeepSupervision{Network: net, layers: layers, heads: nn.NewBuilder(backend, seed)}
	for i, width := range coarseFirst(widths) { // now from the finest
		d.convs = append(d.convs, conv(d.heads, fmt.Sprintf("deep_supervision.%d", i+1), width, out, 1, cube(1), true))
	}
	if err := d.heads.Initialize(); err != nil {
		return nil, fmt.Errorf("models: %s: %w", cfg.Name(), err)
	}
	return d, nil
}

// Parameters implements nn.Network.
func (d *DeepSupervision) Parameters() []*nn.Param {
	return slices.Concat(d.Network.Parameters(), d.heads.Parameters())
}

// ForwardAll implements nn.DeeplySupervised.
func (d *DeepSupervision) ForwardAll(t *nn.Tape, x nn.Var) ([]nn.Var, error) {
	if s := x.Shape(); len(s) == 5 {
		if err := d.CheckSize([3]int(s[2:])); err != nil {
			return nil, err
		}
	}
	y, levels, err := d.layers.forwardLevels(t, x)
	if err != nil {
		return nil, err
	}
	outputs := []nn.Var{y}
	for i, head := range d.convs {
		logits, err := head.Forward(t, levels[len(levels)-1-i])
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, logits)
	}
	return outputs, nil
}

// Heads returns the number of heads.
func (d *DeepSupervision) Heads() int { return len(d.convs) }

// WithoutHeads implements nn.DeeplySupervised.
func (d *DeepSupervision) WithoutHeads() nn.Network { return d.Network }

// coarseFirst returns the values of levels in the reverse order.
func coarseFirst(levels []int) []int {
	reversed := slices.Clone(levels)
	slices.Reverse(reversed)
	return reversed
}
