package afl_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// lesionImage returns the logits of two channels, and the labels, of an image of 4×5 pixels
// with a lesion of four pixels and one of a single pixel, which the logits miss.
func lesionImage() (logits, target *tensor.Dense) {
	labels := []uint8{
		0, 0, 0, 0, 0,
		0, 1, 1, 0, 0,
		0, 1, 1, 0, 0,
		0, 0, 0, 0, 1,
	}
	x := make([]float32, 2*len(labels))
	for i := range labels {
		x[len(labels)+i] = -2
		if labels[i] == 1 && i < 15 {
			x[len(labels)+i] = 1
		}
	}
	return tensor.New(tensor.WithShape(1, 2, 4, 5), tensor.WithBacking(x)),
		tensor.New(tensor.WithShape(1, 4, 5), tensor.WithBacking(labels))
}

func ExampleNewUnifiedFocal() {
	logits, target := lesionImage()
	loss := afl.NewUnifiedFocal()
	loss.Delta = 0.7 // missed lesions cost more
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.249760
}

func ExampleNewBoundary() {
	logits, target := lesionImage()
	boundary := afl.NewBoundary()
	boundary.Spacing = []float64{1.5, 0.5} // mm
	dice := afl.NewDice()
	dice.Activation = afl.Softmax
	// As in the paper, the weight of the boundary grows from epoch to epoch.
	for epoch := 1; epoch <= 3; epoch++ {
		loss := afl.NewSum(afl.Term{Weight: 1, Loss: dice}, afl.Term{Weight: 0.01 * float64(epoch), Loss: boundary})
		value, err := afl.Value(loss, logits, target)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("epoch %d: %.6f\n", epoch, value)
	}
	// Output:
	// epoch 1: 0.111596
	// epoch 2: 0.113343
	// epoch 3: 0.115090
}

func ExampleWithDistanceMap() {
	// The distances of a label are the same in every step.
	logits, target := lesionImage()
	loss := afl.NewBoundary()
	distances, err := loss.DistanceMap(logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(distances.Shape())
	value, err := afl.Value(loss, logits, target, afl.WithDistanceMap(distances))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output:
	// (1, 1, 4, 5)
	// 0.110136
}

func ExampleNewHausdorffDT() {
	logits, target := lesionImage()
	loss := afl.NewHausdorffDT()
	distances, err := loss.DistanceMap(logits, target) // of channel 1
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := afl.Value(loss, logits, target, afl.WithDistanceMap(distances))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.300038
}

func ExampleNewLogHausdorffDT() {
	logits, target := lesionImage()
	loss := afl.NewLogHausdorffDT()
	loss.Alpha = 1
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.166972
}

func ExampleNewLovaszSoftmax() {
	logits, target := lesionImage()
	loss := afl.NewLovaszSoftmax()
	loss.Channels = []int{1} // the lesion alone
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.391313
}

func ExampleNewLovaszHinge() {
	// One channel: the logit of the lesion.
	logits := tensor.New(tensor.WithShape(1, 1, 1, 4), tensor.WithBacking([]float32{-2, -0.5, 0.25, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 0, 1, 1}))
	value, grad, err := afl.Grad(afl.NewLovaszHinge(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %.2f\n", value, grad.Data())
	// Output: 0.458333 [0.00 0.17 -0.50 0.00]
}

func ExampleNewTopKCrossEntropy() {
	logits, target := lesionImage()
	loss := afl.NewTopKCrossEntropy() // two of the twenty pixels
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	mean, err := afl.Value(afl.NewCrossEntropy(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f, mean of all %.6f\n", value, mean)
	// Output: 1.220095, mean of all 0.264195
}

func ExampleNewLogCoshDice() {
	logits, target := lesionImage()
	loss := afl.NewLogCoshDice()
	loss.Activation, loss.ExcludeBackground = afl.Softmax, true
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.070846
}

func ExampleNewExponentialLogarithmic() {
	logits, target := lesionImage()
	loss := afl.NewExponentialLogarithmic()
	// Of the background and the lesion, by their frequencies in the training set.
	loss.Weight = []float64{1.01, 7.1}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.896239
}

func ExampleNewBlob() {
	// The missed lesion of one pixel counts as much as the other.
	logits, target := lesionImage()
	for _, beta := range []float64{0, 1} {
		loss := afl.NewBlob(afl.NewDice())
		loss.Beta = beta
		value, err := afl.Value(loss, logits, target)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("β = %v: %.6f\n", beta, value)
	}
	// Output:
	// β = 0: 0.173555
	// β = 1: 0.615988
}

func ExampleSmallLesionNames() {
	fmt.Println(afl.SmallLesionNames())
	// Output: [unified-focal boundary hausdorff log-hausdorff lovasz topk-ce log-cosh-dice exponential-log blob]
}
