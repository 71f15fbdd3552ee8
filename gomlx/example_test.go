package gomlx_test

import (
	"fmt"

	"github.com/gomlx/gomlx/backends/simplego"
	. "github.com/gomlx/gomlx/pkg/core/graph"
	"github.com/gomlx/gomlx/pkg/core/tensors/images"

	"github.com/x/afl"
	"github.com/x/afl/gomlx"
)

// A-FL of one 2×2 image with a tumor of one pixel, and its gradient. Training takes the
// loss as it is: train.NewTrainer(backend, ctx, model, loss, optimizer, nil, nil).
func ExampleLoss() {
	backend, err := simplego.New("")
	if err != nil {
		fmt.Println(err)
		return
	}
	loss := gomlx.Loss(afl.NewAdaptiveFocal(), images.ChannelsFirst)
	exec := MustNewExec(backend, func(logits, target *Node) []*Node {
		value := loss([]*Node{target}, []*Node{logits})
		return []*Node{value, Gradient(value, logits)[0]}
	})
	out := exec.MustExec(
		[][][][]float32{{
			{{2, 1}, {1, -1}},   // background channel
			{{-2, -1}, {-1, 1}}, // tumor channel
		}},
		[][][]uint8{{{0, 0}, {0, 1}}},
	)
	fmt.Printf("%.6f\n%.4f\n", out[0].Value(), out[1].Value())
	// Output:
	// 0.029094
	// [[[[-0.0022 -0.0115] [-0.0115 0.0115]] [[0.0007 0.0038] [0.0038 -0.0038]]]]
}

// A mask leaves voxels out, and weights count others more: both follow the target in the
// labels, in any order.
func ExampleLoss_mask() {
	backend, err := simplego.New("")
	if err != nil {
		fmt.Println(err)
		return
	}
	loss := gomlx.Loss(afl.NewDiceFocal(), images.ChannelsLast)
	exec := MustNewExec(backend, func(logits, target, mask, weights *Node) *Node {
		return loss([]*Node{target, mask, weights}, []*Node{logits})
	})
	out := exec.MustExec(
		[][][][]float32{{{{2, -2}, {1, -1}, {-1, 3}}}},
		[][][]uint8{{{0, 0, 1}}},
		[][][]bool{{{true, false, true}}},
		[][][]float32{{{1, 1, 0.5}}},
	)
	fmt.Printf("%.6f\n", out[0].Value())
	// Output: 0.131914
}
