package models

import "github.com/x/afl/examples/internal/nn"

// MRRN is the paper's released version of the multiple resolution residually connected
// network of Jiang et al. (2019), reduced to one residual stream, one pooling and one unit
// that combines both.
//
// A convolution with batch norm and ReLU computes Width feature maps; three units add
// another such convolution to their own input, which gives r. r is pooled to half the size
// and concatenated with itself, once with dropout and once without. The result passes
// through two convolutions with batch norm and ReLU and a 1×1×1 convolution, is upsampled
// trilinearly and added to r. A 1×1×1 convolution computes the logits. All convolutions
// have a bias.
//
// Every axis of a volume must be even.
type MRRN struct {
	// Width is the width of the residual stream.
	Width int `json:"width"`
	// Dropout is the probability with which a channel is dropped in training.
	Dropout float64 `json:"dropout"`
}

// NewMRRN returns the released settings: width 32, dropout 0.5.
func NewMRRN() MRRN { return MRRN{Width: 32, Dropout: 0.5} }

// Name implements Architecture.
func (MRRN) Name() string { return "mrrn" }

// Multiple implements Architecture.
func (MRRN) Multiple() [3]int { return cube(2) }

func (m MRRN) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := checkAtLeast("Width", m.Width, 1); err != nil {
		return nil, err
	}
	if err := checkProbability("Dropout", m.Dropout); err != nil {
		return nil, err
	}
	w := m.Width
	unit := func(name string, in int) nn.Sequence {
		return nn.Sequence{conv(b, name+".conv1", in, w, 3, cube(1), true), b.BatchNorm(name+".norm1", w), nn.ReLU}
	}
	seq := unit("CNN_block1", in)
	for _, name := range []string{"RU1.unit", "RU2.unit", "RU3.unit"} {
		seq = append(seq, residual{main: unit(name, w)})
	}
	join := func(t *nn.Tape, pooled nn.Var) (nn.Var, error) {
		dropped, err := nn.Dropout3D{Probability: m.Dropout}.Forward(t, pooled)
		if err != nil {
			return nn.Var{}, err
		}
		return nn.Concat(t, dropped, pooled)
	}
	return append(seq,
		residual{main: nn.Sequence{
			halve, layerFunc(join),
			conv(b, "FRRU1.cnn_block.0", 2*w, 2*w, 3, cube(1), true), b.BatchNorm("FRRU1.cnn_block.1", 2*w), nn.ReLU,
			conv(b, "FRRU1.cnn_block.3", 2*w, 2*w, 3, cube(1), true), b.BatchNorm("FRRU1.cnn_block.4", 2*w), nn.ReLU,
			conv(b, "FRRU1.channel_adjust", 2*w, w, 1, cube(1), true),
			nn.Upsample{Factor: cube(2), Mode: nn.Linear},
		}},
		conv(b, "out_conv", w, out, 1, cube(1), true),
	), nil
}
