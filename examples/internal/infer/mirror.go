package infer

import (
	"context"
	"fmt"
	"math/bits"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// Mirrored predicts an image in every combination of mirrored axes and returns the logits of
// each on the image's own grid: one pass without axes, eight for all three. The first pass is
// that of [Plan.Logits]. Mirroring suits a network that was trained on flipped images. axes
// are numbered from 0 for X. If progress is not nil, it is called after each window with the
// number of windows done, of Plan.Count in each pass.
func (p *Plan) Mirrored(ctx context.Context, b nn.Backend, net nn.Network, image *tensor.Dense, axes []int, progress func(done int)) ([]Pass, error) {
	for i, axis := range axes {
		if axis < 0 || axis > 2 || i > 0 && axis <= axes[i-1] {
			return nil, fmt.Errorf("infer: axes are %v, want 0, 1 or 2 in ascending order", axes)
		}
	}
	var passes []Pass
	for combination := range uint(1) << len(axes) {
		var flip [3]bool
		for i, axis := range axes {
			flip[axis] = combination>>i&1 == 1
		}
		done := len(passes) * p.Count
		mirrored := image
		if bits.OnesCount(combination) > 0 {
			mirrored = flipped(image, flip)
		}
		logits, err := p.Logits(ctx, b, net, mirrored, func(n int) {
			if progress != nil {
				progress(done + n)
			}
		})
		if err != nil {
			return nil, err
		}
		if bits.OnesCount(combination) > 0 {
			logits = flipped(logits, flip)
		}
		passes = append(passes, logits)
	}
	return passes, nil
}

// flipped returns a copy of t, float32 1×C×X×Y×Z, with axes reversed.
func flipped(t *tensor.Dense, flip [3]bool) *tensor.Dense {
	shape := t.Shape()
	src := t.Data().([]float32)
	dst := make([]float32, len(src))
	at := func(axis, i int) int {
		if flip[axis] {
			return shape[2+axis] - 1 - i
		}
		return i
	}
	o := 0
	for c := range shape[1] {
		for x := range shape[2] {
			for y := range shape[3] {
				row := src[((c*shape[2]+at(0, x))*shape[3]+at(1, y))*shape[4]:][:shape[4]]
				for z := range row {
					dst[o] = row[at(2, z)]
					o++
				}
			}
		}
	}
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(dst))
}
