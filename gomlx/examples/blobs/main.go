// Command blobs trains a small network of GoMLX with A-FL to find bright discs in noisy
// images, on GoMLX's pure-Go backend, and prints the Dice of images that it has not seen.
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/gomlx/gomlx/backends"
	"github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"
	"github.com/gomlx/gomlx/pkg/ml/context"
	"github.com/gomlx/gomlx/pkg/ml/layers"
	"github.com/gomlx/gomlx/pkg/ml/layers/activations"
	"github.com/gomlx/gomlx/pkg/ml/train"
	"github.com/gomlx/gomlx/pkg/ml/train/optimizers"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/gomlx"
)

const (
	batchSize     = 4
	height, width = 40, 48
	radius        = 2 // of the neighborhood that the network sees of a pixel
)

func main() {
	if _, err := run(os.Stdout, 4, 15); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run trains for rounds of steps, and prints and returns the Dice after each.
func run(w io.Writer, rounds, steps int) ([]float64, error) {
	backend, err := simplego.New("")
	if err != nil {
		return nil, err
	}
	defer backend.Finalize()
	ctx := context.New()
	if err := ctx.SetRNGStateFromSeed(1); err != nil {
		return nil, err
	}
	ctx.SetParam(optimizers.ParamLearningRate, 0.01)
	loss := gomlx.Loss(afl.NewAdaptiveFocal(), images.ChannelsLast)
	trainer := train.NewTrainer(backend, ctx, network, loss, optimizers.Adam().Done(), nil, nil)
	loop := train.NewLoop(trainer)

	training := &phantom{rand.New(rand.NewPCG(1, 1))}
	pixels, label := (&phantom{rand.New(rand.NewPCG(2, 2))}).batch()
	var all []float64
	for range rounds {
		if _, err := loop.RunSteps(training, steps); err != nil {
			return nil, err
		}
		dice, err := evaluate(backend, ctx, pixels, label)
		if err != nil {
			return nil, err
		}
		all = append(all, dice)
		fmt.Fprintf(w, "after %d steps: Dice %.2f\n", loop.LoopStep, dice)
	}
	return all, nil
}

// network returns the logits of background and disc: a convolution of 5×5 pixels and two
// of one pixel. It is written as dense layers of each pixel's neighborhood, as the pure-Go
// backend of GoMLX 0.26 does not differentiate convolutions.
func network(ctx *context.Context, _ any, inputs []*Node) []*Node {
	h := neighborhoods(inputs[0])
	h = activations.Relu(layers.Dense(ctx.In("first"), h, true, 16))
	h = activations.Relu(layers.Dense(ctx.In("second"), h, true, 16))
	return []*Node{layers.Dense(ctx.In("logits"), h, true, 2)}
}

// neighborhoods returns the pixels around each pixel as its channels, 0 outside the image.
func neighborhoods(x *Node) *Node {
	var shifted []*Node
	for dy := -radius; dy <= radius; dy++ {
		for dx := -radius; dx <= radius; dx++ {
			shifted = append(shifted, shift(shift(x, 1, dy), 2, dx))
		}
	}
	return Concatenate(shifted, -1)
}

// shift moves an image along an axis.
func shift(x *Node, axis, by int) *Node {
	n := x.Shape().Dimensions[axis]
	switch {
	case by > 0:
		zeros := ZerosLike(SliceAxis(x, axis, AxisRange(0, by)))
		return Concatenate([]*Node{zeros, SliceAxis(x, axis, AxisRange(0, n-by))}, axis)
	case by < 0:
		zeros := ZerosLike(SliceAxis(x, axis, AxisRange(0, -by)))
		return Concatenate([]*Node{SliceAxis(x, axis, AxisRange(-by, n)), zeros}, axis)
	}
	return x
}

// evaluate returns the mean Dice of the disc over the images of a batch.
func evaluate(backend backends.Backend, ctx *context.Context, pixels []float32, label []uint8) (float64, error) {
	exec, err := context.NewExec(backend, ctx.Reuse(), func(ctx *context.Context, x *Node) *Node {
		logits := network(ctx, nil, []*Node{x})[0]
		return TransposeAllAxes(logits, 0, 3, 1, 2) // channels first, as package afl reads them
	})
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	out, err := exec.Exec1(tensors.FromFlatDataAndDimensions(pixels, batchSize, height, width, 1))
	if err != nil {
		return 0, err
	}
	flat, err := tensors.CopyFlatData[float32](out)
	if err != nil {
		return 0, err
	}
	logits := tensor.New(tensor.WithShape(batchSize, 2, height, width), tensor.WithBacking(flat))
	target := tensor.New(tensor.WithShape(batchSize, height, width), tensor.WithBacking(label))
	counts, err := afl.CountLogits(afl.Argmax, logits, target, afl.IgnoreIndex{})
	if err != nil {
		return 0, err
	}
	return counts.Foreground().Mean(afl.Confusion.Dice), nil
}

// phantom is a data set of images with a bright disc each.
type phantom struct{ random *rand.Rand }

var _ train.Dataset = (*phantom)(nil)

// Name implements [train.Dataset].
func (*phantom) Name() string { return "phantom" }

// Reset implements [train.Dataset]. The images never end.
func (*phantom) Reset() {}

// Yield implements [train.Dataset].
func (p *phantom) Yield() (spec any, inputs, labels []*tensors.Tensor, err error) {
	pixels, label := p.batch()
	return nil, []*tensors.Tensor{tensors.FromFlatDataAndDimensions(pixels, batchSize, height, width, 1)},
		[]*tensors.Tensor{tensors.FromFlatDataAndDimensions(label, batchSize, height, width)}, nil
}

// batch returns noisy images and their labels.
func (p *phantom) batch() (pixels []float32, label []uint8) {
	pixels, label = make([]float32, batchSize*height*width), make([]uint8, batchSize*height*width)
	for n := range batchSize {
		r := 4 + 4*p.random.Float64()
		cy, cx := r+(height-2*r)*p.random.Float64(), r+(width-2*r)*p.random.Float64()
		for y := range height {
			for x := range width {
				i := (n*height+y)*width + x
				dy, dx := float64(y)-cy, float64(x)-cx
				if dy*dy+dx*dx < r*r {
					label[i] = 1
				}
				pixels[i] = float32(label[i]) + 0.7*float32(p.random.NormFloat64())
			}
		}
	}
	return pixels, label
}
