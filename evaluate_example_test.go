package afl_test

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func ExampleValue() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]bool{false, true, true}))
	value, err := afl.Value(afl.NewDice(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)

	_, err = afl.Value(afl.NewDice(), logits, logits.Clone().(*tensor.Dense)) // −1 is no probability
	fmt.Println(err)
	// Output:
	// 0.108626
	// afl: target at sample 0, channel 0, voxel 0 is -1, want a value in [0,1]
}

func ExampleGrad() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	value, grad, err := afl.Grad(afl.NewFocal(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %v %.4f\n", value, grad.Shape(), grad.Data())
	// Output: 0.065916 (1, 1, 1, 3) [0.0175 -0.0994 -0.0016]
}

// An image in a matrix of gonum becomes logits of one sample and channel, and the gradient
// a matrix, without a copy. (A part of a matrix is copied first, by mat.DenseCopyOf.)
func Example_gonum() {
	image := mat.NewDense(2, 3, []float64{-2, -1, 0, -1, 1, 2})
	mask := mat.NewDense(2, 3, []float64{0, 0, 0, 0, 1, 1})

	logits := tensor.New(tensor.WithShape(1, 1, 2, 3), tensor.WithBacking(image.RawMatrix().Data))
	target := tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking(mask.RawMatrix().Data))
	_, grad, err := afl.Grad(afl.NewDice(), logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	matrix := mat.NewDense(2, 3, grad.Data().([]float64))

	fmt.Printf("%.4f\n", mat.Formatted(matrix))
	// Output:
	// ⎡ 0.0058   0.0246   0.0583⎤
	// ⎣ 0.0246  -0.0387  -0.0134⎦
}

func ExampleWithVoxelWeight() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	weight := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]float32{1, 5, 0})) // the last does not count
	value, grad, err := afl.Grad(afl.NewDice(), logits, target, afl.WithVoxelWeight(weight))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %.4f\n", value, grad.Data())
	// Output: 0.209152 [0.0132 -0.2391 -0.0000]
}

func ExampleWithUpstream() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{-1, 0, 2}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	loss := afl.NewBinaryCrossEntropy()
	loss.Reduction = afl.ReduceNone
	// The gradient of the hardest element alone, as for hard example mining.
	upstream := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float64{0, 1, 0}))
	grad := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 1, 1, 3))
	elements, err := loss.Eval(logits, target, grad, afl.WithUpstream(upstream))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n%.4f\n", elements.Data(), grad.Data())
	// Output:
	// [0.3133 0.6931 0.1269]
	// [0.0000 -0.5000 -0.0000]
}

// The gradient is scaled before it is rounded, which keeps small numbers of a float16.
func ExampleWithGradScale() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 3), tensor.WithBacking([]float32{-9, 0, 9}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 1}))
	const scale = 1 << 10
	value, grad, err := afl.Grad(afl.NewBinaryCrossEntropy(), logits, target, afl.WithGradScale(scale))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n", value)
	for _, g := range grad.Data().([]float32) { // what an optimizer does before it uses them
		fmt.Printf("%.6f from %.4f\n", g/scale, g)
	}
	// Output:
	// 0.2311
	// 0.000041 from 0.0421
	// -0.166667 from -170.6667
	// -0.000041 from -0.0421
}

// A patch takes the statistics of the whole image.
func ExampleWithStats() {
	image := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]uint8{
		0, 0, 0, 1,
		0, 0, 0, 1,
	}))
	stats, err := afl.StatsOf(image, afl.IgnoreIndex{})
	if err != nil {
		fmt.Println(err)
		return
	}
	logits := tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking([]float64{1, -1, -1, 1}))
	patch := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]uint8{0, 1}))
	own, err := afl.Value(afl.NewAdaptiveFocal(), logits, patch)
	if err != nil {
		fmt.Println(err)
		return
	}
	whole, err := afl.Value(afl.NewAdaptiveFocal(), logits, patch, afl.WithStats(stats))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f with the patch's statistics, %.6f with the image's\n", own, whole)
	// Output: 0.021846 with the patch's statistics, 0.068931 with the image's
}

// meanLogit is a loss of one's own: the mean logit, whatever the target.
type meanLogit struct{}

// Eval implements [afl.Loss].
func (meanLogit) Eval(logits, _, grad *tensor.Dense, opts ...afl.EvalOption) (*tensor.Dense, error) {
	config, err := afl.NewEvalConfig(opts...)
	if err != nil {
		return nil, err
	}
	if config.VoxelWeight != nil || config.Upstream != nil {
		return nil, fmt.Errorf("the mean logit takes neither voxel weights nor an upstream gradient")
	}
	x := logits.Data().([]float64)
	sum := 0.0
	for _, v := range x {
		sum += v / float64(len(x))
	}
	if grad != nil {
		for i := range x {
			grad.Data().([]float64)[i] = 1 / float64(len(x))
		}
	}
	return tensor.New(tensor.FromScalar(sum)), nil
}

func ExampleNewEvalConfig() {
	logits := tensor.New(tensor.WithShape(1, 1, 1, 4), tensor.WithBacking([]float64{-1, 0, 2, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 4), tensor.WithBacking([]uint8{0, 1, 1, 1}))
	loss := afl.NewSum(afl.Term{Weight: 1, Loss: afl.NewDice()}, afl.Term{Weight: 0.01, Loss: meanLogit{}})
	value, grad, err := afl.Grad(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f %.4f\n", value, grad.Data())
	// Output: 0.093259 [0.0233 -0.0562 -0.0064 -0.0258]
}

func ExampleSetOptions() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{1, 0, 5, -1, 0, -5}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 1, 255}))
	loss, err := afl.ByName("dice-ce")
	if err != nil {
		fmt.Println(err)
		return
	}
	loss, err = afl.SetOptions(loss, func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) })
	if err != nil {
		fmt.Println(err)
		return
	}
	value, err := afl.Value(loss, logits, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.6f\n", value)
	// Output: 0.731283
}

func ExampleCheckFinite() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking([]float32{0, 1, 2, float32(math.NaN())}))
	fmt.Println(afl.CheckFinite(logits))
	// Output: afl: logits at sample 0, channel 1, voxel 1 is NaN, want a finite number
}

func ExampleNames() {
	fmt.Println(afl.Names())
	// Output: [tversky ce iou dice dice-ce dice-focal fl afl afl-paper afl-balanced afl-multiclass dice-afl bce generalized-dice focal-tversky]
}

func ExamplePaperNames() {
	fmt.Println(afl.PaperNames())
	// Output: [tversky ce iou dice dice-ce dice-focal fl afl]
}

func ExampleTitle() {
	title, err := afl.Title("dice-focal")
	fmt.Println(title, err)
	// Output: DiceFocal <nil>
}

func ExampleCanonicalName() {
	fmt.Println(afl.CanonicalName("Jaccard loss"))
	fmt.Println(afl.CanonicalName("tversk"))
	// Output:
	// iou <nil>
	//  afl: name of the loss is "tversk", want one of tversky, ce, iou, dice, dice-ce, dice-focal, fl, afl, afl-paper, afl-balanced, afl-multiclass, dice-afl, bce, generalized-dice, focal-tversky, unified-focal, boundary, hausdorff, log-hausdorff, lovasz, topk-ce, log-cosh-dice, exponential-log, blob; did you mean tversky?
}

func ExampleStatsOfClasses() {
	label := tensor.New(tensor.WithShape(4, 4), tensor.WithBacking([]uint8{
		0, 0, 0, 0,
		0, 1, 1, 0,
		0, 1, 2, 0,
		0, 0, 0, 0,
	}))
	s, err := afl.StatsOfClasses(label, 3, afl.IgnoreIndex{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("foreground: γ %.4f\n", s.Gamma())
	for i, class := range s.Classes {
		fmt.Printf("class %d: %d voxels, γ %.4f\n", i+1, class.Foreground, class.Gamma())
	}
	// Output:
	// foreground: γ 0.9268
	// class 1: 3 voxels, γ 0.7134
	// class 2: 1 voxels, γ 0.2500
}

func ExampleGradientMagnitude() {
	label := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]uint8{
		0, 0, 0, 0,
		0, 1, 1, 0,
		0, 0, 0, 0,
	}))
	magnitude, err := afl.GradientMagnitude(label)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.2f\n", magnitude.Data())
	// Output: [0.00 1.00 1.00 0.00 1.00 0.50 0.50 1.00 0.00 1.00 1.00 0.00]
}
