package afl_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// The README's example: A-FL of one 2×2 image with a tumor of one pixel.
func Example() {
	logits := tensor.New(tensor.WithShape(1, 2, 2, 2), tensor.WithBacking([]float32{
		2, 1, 1, -1, // background channel
		-2, -1, -1, 1, // tumor channel
	}))
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{
		0, 0,
		0, 1,
	}))
	loss := afl.NewAdaptiveFocal() // fields are options: loss.Reduction = afl.ReduceSum
	value, grad, err := afl.Grad(loss, logits, target)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.6f\n%.4f\n", value, grad.Data())
	// Output:
	// 0.029094
	// [-0.0022 -0.0115 -0.0115 0.0115 0.0007 0.0038 0.0038 -0.0038]
}

func ExampleGradInto() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	grad := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 1, 1, 3))
	loss := afl.NewDice()
	for step := range 2 { // grad is reused: the loop allocates no image-sized memory
		value, err := afl.GradInto(loss, logits, target, grad)
		if err != nil {
			panic(err)
		}
		fmt.Printf("step %d: %.6f %.4f\n", step, value, grad.Data())
	}
	// Output:
	// step 0: 0.108626 [0.0304 -0.0895 -0.0146]
	// step 1: 0.108626 [0.0304 -0.0895 -0.0146]
}

func ExampleByName() {
	for _, name := range afl.PaperNames() {
		loss, err := afl.ByName(name)
		if err != nil {
			panic(err)
		}
		title, _ := afl.Title(name)
		fmt.Printf("%s: %T\n", title, loss)
	}
	// Output:
	// Tversky: afl.Tversky
	// CE: afl.CrossEntropy
	// IoU: afl.Dice
	// Dice: afl.Dice
	// Dice CE: afl.Compound[github.com/x/afl.CrossEntropy,github.com/x/afl.Dice]
	// DiceFocal: afl.Compound[github.com/x/afl.Focal,github.com/x/afl.Dice]
	// FL: afl.Focal
	// A-FL: afl.AdaptiveFocal
}

func ExampleStatsOf() {
	label := tensor.New(tensor.WithShape(4, 4), tensor.WithBacking([]uint8{
		0, 0, 0, 0,
		0, 1, 1, 0,
		0, 1, 1, 0,
		0, 0, 0, 0,
	}))
	s, err := afl.StatsOf(label, afl.IgnoreIndex{})
	if err != nil {
		panic(err)
	}
	fmt.Printf("γ_va %.4f, γ_mSa %.4f, γ %.4f\n", s.GammaVa, s.GammaMSa, s.Gamma())
	// Output:
	// γ_va 0.2500, γ_mSa 0.6768, γ 0.9268
}

func ExampleAdaptiveFocal_Parameters() {
	logits := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 4, 4))
	label := tensor.New(tensor.WithShape(1, 4, 4), tensor.WithBacking([]uint8{
		0, 0, 0, 0,
		0, 1, 1, 0,
		0, 1, 1, 0,
		0, 0, 0, 0,
	}))
	params, err := afl.NewAdaptiveFocal().Parameters(logits, label)
	if err != nil {
		panic(err)
	}
	fmt.Printf("γ %.4f, channel weights %.2f\n", params[0].Gamma[0], params[0].Positive)
	// Output:
	// γ 0.9268, channel weights [0.75 0.25]
}

func ExampleIgnore() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, 5, -1, 0, -5}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 255}))
	loss := afl.NewCrossEntropy()
	loss.IgnoreIndex = afl.Ignore(255)
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%.6f\n", value)
	// Output:
	// 0.410038
}
