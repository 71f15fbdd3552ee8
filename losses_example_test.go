package afl_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func ExampleNewAdaptiveFocal() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float32{2, 1, -1, -2, 0, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 0, 1}))
	loss := afl.NewAdaptiveFocal()
	loss.Smoothness = afl.SmoothnessBoundary // γ does not shrink with the tumor's share
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.041262
}

func ExampleNewAdaptiveFocalPaper() {
	// One channel: the logit of the tumor.
	logits := tensor.New(tensor.WithShape(1, 1, 1, 4), tensor.WithBacking([]float32{-2, -1, 0, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 0, 0, 1}))
	value, err := afl.Value(afl.NewAdaptiveFocalPaper(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.142269
}

func ExampleNewAdaptiveFocalBalanced() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 4), tensor.WithBacking([]float32{-2, -1, 0, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 0, 0, 1}))
	loss := afl.NewAdaptiveFocalBalanced()
	params, err := loss.Parameters(logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("tumor voxels times %.2f, others times %.2f: %.6f\n", params[0].Positive[0], params[0].Negative[0], value)
	// Output: tumor voxels times 0.75, others times 0.25: 0.064656
}

func ExampleNewAdaptiveFocalMulticlass() {
	// Background, edema and tumor core.
	logits := tensor.New(tensor.WithShape(1, 3, 1, 4), tensor.WithBacking([]float32{
		3, 1, 0, 0,
		0, 1, 2, 0,
		0, 0, 0, 1,
	}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 1, 1, 2}))
	loss := afl.NewAdaptiveFocalMulticlass()
	params, err := loss.Parameters(logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("γ by class %.3f: %.6f\n", params[0].Gamma, value)
	// Output: γ by class [1.125 1.250 0.625]: 0.040087
}

func ExampleNewFocal() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-3, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewFocal()
	loss.Gamma, loss.Alpha = []float64{2.5}, []float64{0.75} // positives weigh 3 times as much
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.030791
}

func ExampleNewCrossEntropy() {
	logits := tensor.New(tensor.WithShape(1, 3, 1, 2), tensor.WithBacking([]float64{2, 0, 0, 1, 0, 0}))
	target := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]uint8{0, 2}))
	loss := afl.NewCrossEntropy()
	loss.LabelSmoothing, loss.Weight = 0.1, []float64{0.5, 1, 2}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 1.310404
}

func ExampleNewBinaryCrossEntropy() {
	// Overlapping classes: a map for each channel.
	logits := tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking([]float64{2, -1, 1, 0}))
	target := tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking([]float64{1, 0, 1, 1}))
	loss := afl.NewBinaryCrossEntropy()
	loss.PosWeight = []float64{1, 3}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.864854
}

func ExampleNewDice() {
	logits := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{-3, -2, 1, 4}))
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{0, 0, 1, 1}))
	loss := afl.NewDice()
	squared, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	loss.SquaredPred = false // MONAI's default
	plain, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %.6f\n", squared, plain)
	// Output: 0.025350 0.116905
}

func ExampleNewIoU() {
	logits := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{-3, -2, 1, 4}))
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{0, 0, 1, 1}))
	value, err := afl.Value(afl.NewIoU(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.049446
}

func ExampleNewGeneralizedDice() {
	logits := tensor.New(tensor.WithShape(1, 3, 1, 4), tensor.WithBacking([]float64{
		3, 2, 2, 0,
		0, 1, 0, 0,
		0, 0, 0, 1,
	}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 0, 0, 2})) // no voxel of class 1
	loss := afl.NewGeneralizedDice()
	loss.Activation, loss.Weighting = afl.Softmax, afl.WeightSimple
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.363558
}

func ExampleNewTversky() {
	logits := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{-3, -2, 1, 4}))
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{0, 0, 1, 1}))
	loss := afl.NewTversky()
	loss.Alpha, loss.Beta = 0.3, 0.7 // what is missed counts more than what is invented
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.127723
}

func ExampleNewFocalTversky() {
	logits := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{-3, -2, 1, 4}))
	target := tensor.New(tensor.WithShape(1, 2, 2), tensor.WithBacking([]uint8{0, 0, 1, 1}))
	loss := afl.NewFocalTversky()
	loss.Gamma = []float64{0.75} // 1/γ of its authors, with their γ = 4/3
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.213650
}

func ExampleNewDiceCE() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, -2, -1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewDiceCE()
	loss.Overlap.Batch = true // fields of the terms are options too
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.500691
}

func ExampleNewDiceFocal() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, -2, -1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewDiceFocal()
	loss.LambdaPointwise = 20 // the focal term is small
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 1.628940
}

func ExampleNewDiceAdaptiveFocal() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, -2, -1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	value, err := afl.Value(afl.NewDiceAdaptiveFocal(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.375128
}

func ExampleNewCompound() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, -2, -1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewCompound(afl.NewAdaptiveFocal(), afl.NewTversky())
	loss.LambdaOverlap = 0.5
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.219819
}

func ExampleNewSum() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, -2, -1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewSum(
		afl.Term{Weight: 1, Loss: afl.NewDice()},
		afl.Term{Weight: 0.5, Loss: afl.NewIoU()},
		afl.Term{Weight: 0.1, Loss: afl.NewCrossEntropy()},
	)
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.303605
}

func ExampleNewDeepSupervision() {
	// A network's outputs at full and at half resolution.
	full := tensor.New(tensor.WithShape(1, 1, 2, 4), tensor.WithBacking([]float64{-2, -1, 1, 2, -2, -2, 0, 1}))
	half := tensor.New(tensor.WithShape(1, 1, 1, 2), tensor.WithBacking([]float64{-1, 1}))
	target := tensor.New(tensor.WithShape(1, 2, 4), tensor.WithBacking([]uint8{0, 0, 1, 1, 0, 0, 1, 1}))
	value, grads, err := afl.NewDeepSupervision(afl.NewDice()).Grad([]*tensor.Dense{full, half}, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f, gradient of the second output %.4f\n", value, grads[1].Data())
	// Output: 0.086248, gradient of the second output [0.0200 -0.0273]
}
