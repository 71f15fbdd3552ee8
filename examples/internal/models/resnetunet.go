package models

import (
	"fmt"

	"github.com/x/afl/examples/internal/nn"
)

// ResNetUNet is a U-Net with a 3-D ResNet-50 as its encoder, as in the paper's released code
// (a 3-D port of segmentation_models_pytorch).
//
// The encoder is a strided convolution with kernel size 7, batch norm and ReLU (f1), strided
// max pooling with kernel size 3, and four stages of 3, 4, 6 and 3 bottlenecks (f2 to f5),
// the last three of which begin with a stride. Five decoder blocks undo the strides in
// reverse order: nearest-neighbor upsampling, concatenation of the upsampled features
// (first) with f4, f3, f2, f1 and nothing, and two convolutions with batch norm and ReLU. A
// convolution with kernel size 3 and a bias computes the logits.
//
// Every axis of a volume must be a multiple of the product of its strides.
type ResNetUNet struct {
	// Width is the width of the first convolution; stage k, from 0, has width Width·4·2^k.
	Width int `json:"width"`
	// Strides are the strides of the first convolution, the pooling, and the second, third
	// and fourth stage.
	Strides [][3]int `json:"strides"`
	// Decoder lists the widths of the five decoder blocks, from the coarsest.
	Decoder []int `json:"decoder"`
}

// NewResNetUNet returns the released widths (64; 256, 128, 64, 32, 16) with the released
// strides for BraTS: 2 on every axis four times, then 1.
func NewResNetUNet() ResNetUNet {
	return ResNetUNet{Width: 64, Strides: append(halvings(4), cube(1)), Decoder: []int{256, 128, 64, 32, 16}}
}

// picaiStrides returns the released strides for PI-CAI volumes of 160×128×24 voxels.
func picaiStrides() [][3]int {
	return [][3]int{{2, 2, 2}, {4, 2, 1}, {2, 2, 2}, {2, 2, 1}, {1, 2, 3}}
}

// Name implements Architecture.
func (ResNetUNet) Name() string { return "unet_resnet50" }

// Multiple implements Architecture.
func (r ResNetUNet) Multiple() [3]int { return product(r.Strides) }

func (r ResNetUNet) decoderWidths() []int { return r.Decoder[:len(r.Decoder)-1] }

func (r ResNetUNet) check() error {
	if err := checkAtLeast("Width", r.Width, 1); err != nil {
		return err
	}
	if len(r.Strides) != 5 {
		return fmt.Errorf("setting Strides has %d entries, want 5", len(r.Strides))
	}
	if err := checkStrides(r.Strides); err != nil {
		return err
	}
	if len(r.Decoder) != 5 {
		return fmt.Errorf("setting Decoder has %d entries, want 5", len(r.Decoder))
	}
	for i, c := range r.Decoder {
		if err := checkAtLeast(fmt.Sprintf("Decoder[%d]", i), c, 1); err != nil {
			return err
		}
	}
	return nil
}

// bottlenecks is the number of bottlenecks in each stage of ResNet-50.
var bottlenecks = [4]int{3, 4, 6, 3}

// expansion is the ratio of the outer to the inner width of a bottleneck.
const expansion = 4

func (r ResNetUNet) build(b *nn.Builder, in, out int) (nn.Layer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	stem := conv(b, "encoder.conv1", in, r.Width, 7, r.Strides[0], false)
	if in == 3 {
		// For any other number of channels, the released code creates a new first layer,
		// which has the framework's default initial values.
		b.HeNormal(stem, nn.FanOut)
	}
	n := &resNetUNet{stages: []nn.Layer{nn.Sequence{stem, b.BatchNorm("encoder.bn1", r.Width), nn.ReLU}}}
	pool := nn.MaxPool3D{Spec: nn.PoolSpec{Kernel: cube(3), Stride: r.Strides[1], Padding: cube(1)}}
	widths := []int{r.Width} // widths of f1 to f5
	for k, blocks := range bottlenecks {
		inner, stride := r.Width<<k, cube(1)
		var stage nn.Sequence
		if k == 0 {
			stage = append(stage, pool)
		} else {
			stride = r.Strides[k+1]
		}
		from := widths[k]
		for i := range blocks {
			stage = append(stage, bottleneck(b, fmt.Sprintf("encoder.layer%d.%d", k+1, i), from, inner, stride, i == 0), nn.ReLU)
			from, stride = inner*expansion, cube(1)
		}
		n.stages, widths = append(n.stages, stage), append(widths, from)
	}
	from := widths[4]
	for i, to := range r.Decoder {
		skip := 0
		if i < 4 {
			skip = widths[3-i]
		}
		name := fmt.Sprintf("decoder.blocks.%d", i)
		n.upsample = append(n.upsample, nn.Upsample{Factor: r.Strides[4-i], Mode: nn.Nearest})
		n.decoder = append(n.decoder, nn.Sequence{
			conv(b, name+".conv1.0", from+skip, to, 3, cube(1), false), b.BatchNorm(name+".conv1.1", to), nn.ReLU,
			conv(b, name+".conv2.0", to, to, 3, cube(1), false), b.BatchNorm(name+".conv2.1", to), nn.ReLU,
		})
		from = to
	}
	n.head = conv(b, "segmentation_head.0", from, out, 3, cube(1), true)
	return n, nil
}

// bottleneck returns a residual block of three convolutions, the middle one strided. project
// adds a strided convolution to the side path.
func bottleneck(b *nn.Builder, name string, in, inner int, stride [3]int, project bool) nn.Layer {
	he := func(name string, in, out, kernel int, stride [3]int) nn.Layer {
		return b.HeNormal(conv(b, name, in, out, kernel, stride, false), nn.FanOut)
	}
	out := inner * expansion
	r := residual{main: nn.Sequence{
		he(name+".conv1", in, inner, 1, cube(1)), b.BatchNorm(name+".bn1", inner), nn.ReLU,
		he(name+".conv2", inner, inner, 3, stride), b.BatchNorm(name+".bn2", inner), nn.ReLU,
		he(name+".conv3", inner, out, 1, cube(1)), b.BatchNorm(name+".bn3", out),
	}}
	if project {
		r.side = nn.Sequence{he(name+".downsample.0", in, out, 1, stride), b.BatchNorm(name+".downsample.1", out)}
	}
	return r
}

// resNetUNet holds the layers; those of the decoder start at the coarsest level.
type resNetUNet struct {
	stages            []nn.Layer // f1 to f5
	upsample, decoder []nn.Layer
	head              nn.Layer
}

// Forward implements nn.Layer.
func (n *resNetUNet) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	y, _, err := n.forwardLevels(t, x)
	return y, err
}

func (n *resNetUNet) forwardLevels(t *nn.Tape, x nn.Var) (y nn.Var, levels []nn.Var, err error) {
	var features []nn.Var
	for _, stage := range n.stages {
		if x, err = stage.Forward(t, x); err != nil {
			return nn.Var{}, nil, err
		}
		features = append(features, x)
	}
	for i := range n.decoder {
		if i > 0 {
			levels = append(levels, x)
		}
		y, err := n.upsample[i].Forward(t, x)
		if err != nil {
			return nn.Var{}, nil, err
		}
		t.Done(x)
		if skip := len(features) - 2 - i; skip >= 0 {
			x, err = join(t, y, features[skip], n.decoder[i])
		} else {
			x, err = n.decoder[i].Forward(t, y)
			t.Done(y)
		}
		if err != nil {
			return nn.Var{}, nil, err
		}
	}
	y, err = n.head.Forward(t, x)
	return y, levels, err
}
