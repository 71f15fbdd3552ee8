package afl_test

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func ExampleCountLogits() {
	// One sample, two channels, a 2×3 image.
	logits := tensor.New(tensor.WithShape(1, 2, 2, 3), tensor.WithBacking([]float32{
		2, 1, 0, -1, 3, 1, // background
		-1, 2, 1, 4, 0, 0, // lesion
	}))
	target := tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking([]uint8{
		0, 1, 1,
		1, 1, 0,
	}))
	counts, err := afl.CountLogits(afl.Argmax, logits, target, afl.IgnoreIndex{})
	if err != nil {
		fmt.Println(err)
		return
	}
	lesion := counts[0][1]
	fmt.Printf("%+v\n", lesion)
	fmt.Printf("Dice %.3f, sensitivity %.2f\n", lesion.Dice(), lesion.Sensitivity())
	fmt.Printf("mean Dice without the background %.3f\n", counts.Foreground().Mean(afl.Confusion.Dice))
	// Output:
	// {TP:3 FP:0 TN:2 FN:1}
	// Dice 0.857, sensitivity 0.75
	// mean Dice without the background 0.857
}

func ExampleNewSurfaceDistances() {
	mask := func(v ...uint8) *tensor.Dense {
		return tensor.New(tensor.WithShape(3, 5), tensor.WithBacking(v))
	}
	prediction := mask(
		0, 1, 1, 0, 0,
		0, 1, 1, 0, 0,
		0, 0, 0, 0, 0,
	)
	target := mask(
		0, 1, 1, 1, 1,
		0, 1, 1, 1, 1,
		0, 0, 0, 0, 0,
	)
	d, err := afl.NewSurfaceDistances(prediction, target, []float64{3, 0.5}) // mm
	if err != nil {
		fmt.Println(err)
		return
	}
	dice, err := d.SurfaceDice(0.5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("Hausdorff %.2f mm, average %.2f mm, surface Dice at 0.5 mm %.3f\n", d.Hausdorff(), d.Average(), dice)
	// Output: Hausdorff 1.00 mm, average 0.25 mm, surface Dice at 0.5 mm 0.833
}

// The classes of a batch are measured one by one.
func ExampleClassMask() {
	prediction := tensor.New(tensor.WithShape(2, 2, 3), tensor.WithBacking([]uint8{1, 1, 0, 0, 0, 2, 1, 0, 0, 0, 2, 2}))
	target := tensor.New(tensor.WithShape(2, 2, 3), tensor.WithBacking([]uint8{1, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 2}))
	distances := make([][]float64, 2)
	for n := range distances {
		for class := 1; class <= 2; class++ {
			p, err := afl.ClassMask(prediction, 2, n, class)
			if err != nil {
				fmt.Println(err)
				return
			}
			t, err := afl.ClassMask(target, 2, n, class)
			if err != nil {
				fmt.Println(err)
				return
			}
			d, err := afl.NewSurfaceDistances(p, t, nil)
			if err != nil {
				fmt.Println(err)
				return
			}
			distances[n] = append(distances[n], d.Hausdorff())
		}
	}
	fmt.Println(distances, afl.MeanIgnoringNaN(distances))
	// Output: [[1 0] [0 1]] 0.5
}

func ExamplePredict() {
	logits := tensor.New(tensor.WithShape(1, 3, 2, 2), tensor.WithBacking([]float64{
		1, 0, 0, 5,
		0, 2, 0, 1,
		0, 1, 3, 2,
	}))
	labels, err := afl.Predict(afl.Argmax, logits)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(labels.Shape(), labels.Data())
	// Output: (1, 2, 2) [0 1 2 0]
}

func ExampleCompareLesions() {
	prediction := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]bool{
		true, false, false, false, false, false,
		false, true, false, false, false, false,
		false, false, false, false, true, true,
	}))
	target := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]bool{
		false, false, false, false, true, false,
		true, true, false, false, false, false,
		false, false, false, false, false, false,
	}))
	for _, criterion := range []afl.LesionCriterion{afl.Touch(), afl.MinIoU(0.1), afl.MinDice(0.6)} {
		lesions, err := afl.CompareLesions(prediction, target, afl.Connectivity8, criterion)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: found %d, missed %d, invented %d, F1 %.2f\n", criterion, lesions.TP, lesions.FN, lesions.FP, lesions.F1())
	}
	// Output:
	// touch: found 1, missed 1, invented 1, F1 0.50
	// IoU ≥ 0.1: found 1, missed 1, invented 1, F1 0.50
	// Dice ≥ 0.6: found 0, missed 2, invented 2, F1 0.00
}

func ExampleTInterval() {
	dice := []float64{0.71, 0.64, 0.83, 0.59, 0.77}
	ci, err := afl.TInterval(dice, 0.95)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f (95%% confidence interval %.3f to %.3f)\n", ci.Mean, ci.Lower, ci.Upper)
	// Output: 0.708 (95% confidence interval 0.588 to 0.828)
}

func ExampleWilcoxon() {
	dice := []float64{0.71, 0.64, 0.83, 0.59, 0.77, 0.81, 0.74, 0.79}
	w, err := afl.Wilcoxon(dice, 0.7)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := w.PExact()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("statistic %v, exact p %.4f\n", w.Statistic, p)
	// Output: statistic 9, exact p 0.2500
}

func ExampleCountMasks() {
	prediction := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]uint8{0, 1, 1, 0, 1, 0}))
	target := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]bool{false, true, true, false, false, true}))
	counts, err := afl.CountMasks(prediction, target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%+v, IoU %.2f\n", counts, counts.IoU())
	// Output: {TP:2 FP:1 TN:2 FN:1}, IoU 0.50
}

func ExampleCountLabels() {
	prediction := tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking([]uint8{0, 1, 1, 2, 2, 0}))
	target := tensor.New(tensor.WithShape(1, 2, 3), tensor.WithBacking([]uint8{0, 1, 2, 2, 2, 255}))
	counts, err := afl.CountLabels(3, prediction, target, afl.Ignore(255))
	if err != nil {
		fmt.Println(err)
		return
	}
	for class, c := range counts[0] {
		fmt.Printf("class %d: %+v, Dice %.2f\n", class, c, c.Dice())
	}
	// Output:
	// class 0: {TP:1 FP:0 TN:4 FN:0}, Dice 1.00
	// class 1: {TP:1 FP:1 TN:3 FN:0}, Dice 0.67
	// class 2: {TP:2 FP:0 TN:2 FN:1}, Dice 0.80
}

// Every metric of a mask.
func ExampleConfusion() {
	c := afl.Confusion{TP: 60, FP: 10, TN: 900, FN: 30}
	for _, metric := range []struct {
		name string
		of   func(afl.Confusion) float64
	}{
		{"Dice", afl.Confusion.Dice},
		{"IoU", afl.Confusion.IoU},
		{"sensitivity", afl.Confusion.Sensitivity},
		{"specificity", afl.Confusion.Specificity},
		{"precision", afl.Confusion.Precision},
		{"negative predictive value", afl.Confusion.NegativePredictiveValue},
		{"false positive rate", afl.Confusion.FalsePositiveRate},
		{"false negative rate", afl.Confusion.FalseNegativeRate},
		{"false discovery rate", afl.Confusion.FalseDiscoveryRate},
		{"false omission rate", afl.Confusion.FalseOmissionRate},
		{"accuracy", afl.Confusion.Accuracy},
		{"balanced accuracy", afl.Confusion.BalancedAccuracy},
		{"Matthews", afl.Confusion.Matthews},
		{"Fowlkes–Mallows", afl.Confusion.FowlkesMallows},
		{"informedness", afl.Confusion.Informedness},
		{"markedness", afl.Confusion.Markedness},
		{"prevalence threshold", afl.Confusion.PrevalenceThreshold},
	} {
		fmt.Printf("%s %.4f\n", metric.name, metric.of(c))
	}
	// Where the target is empty, the metrics of overlap are NaN or, on request, a number.
	empty := afl.Confusion{TN: 1000}
	missed := empty.Add(afl.Confusion{FP: 5})
	fmt.Println(empty.Dice(), empty.DiceEmptyOK(), empty.IoUEmptyOK(), missed.DiceEmptyOK())
	// Output:
	// Dice 0.7500
	// IoU 0.6000
	// sensitivity 0.6667
	// specificity 0.9890
	// precision 0.8571
	// negative predictive value 0.9677
	// false positive rate 0.0110
	// false negative rate 0.3333
	// false discovery rate 0.1429
	// false omission rate 0.0323
	// accuracy 0.9600
	// balanced accuracy 0.8278
	// Matthews 0.7354
	// Fowlkes–Mallows 0.7559
	// informedness 0.6557
	// markedness 0.8249
	// prevalence threshold 0.1138
	// NaN 1 1 0
}

// Averages over the samples and classes of a batch.
func ExampleConfusions() {
	counts := afl.Confusions{ // two samples of two classes and the background
		{{TP: 80, TN: 15, FP: 3, FN: 2}, {TP: 10, TN: 85, FP: 2, FN: 3}, {TP: 0, TN: 100}},
		{{TP: 70, TN: 25, FP: 1, FN: 4}, {TP: 12, TN: 84, FP: 3, FN: 1}, {TP: 6, TN: 92, FP: 1, FN: 1}},
	}
	lesions := counts.Foreground()
	fmt.Printf("Dice %.3f\n", lesions.Values(afl.Confusion.Dice))
	fmt.Printf("mean %.3f\n", lesions.Mean(afl.Confusion.Dice))
	fmt.Printf("macro %.3f, micro %.3f, weighted %.3f\n",
		lesions.Macro(afl.Confusion.Dice), lesions.Micro(afl.Confusion.Dice), lesions.Weighted(afl.Confusion.Dice))
	fmt.Printf("class 1 of both samples %+v\n", lesions.Pooled()[0])
	scores, err := lesions.GeneralizedDiceScores(afl.WeightSquare)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("generalized Dice %.3f\n", scores)
	// Output:
	// Dice [[0.800 NaN] [0.857 0.857]]
	// mean 0.829
	// macro 0.844, micro 0.836, weighted 0.836
	// class 1 of both samples {TP:22 FP:5 TN:169 FN:4}
	// generalized Dice [0.800 0.857]
}

func ExampleFBeta() {
	f2, err := afl.FBeta(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n", f2(afl.Confusion{TP: 60, FP: 10, TN: 900, FN: 30}))
	// Output: 0.6977
}

func ExampleMeanIgnoringNaN() {
	nan := math.NaN()
	dice := [][]float64{{0.9, 0.5}, {0.8, nan}, {nan, nan}}
	fmt.Printf("%.2f\n", afl.MeanIgnoringNaN(dice))
	// Output: 0.75
}

func ExampleMONAIMean() {
	nan := math.NaN()
	fmt.Printf("%.2f %.2f\n", afl.MONAIMean([][]float64{{0.9, 0.5}, {0.8, nan}}), afl.MONAIMean([][]float64{{nan, nan}}))
	// Output: 0.75 0.00
}

func ExampleCountDefined() {
	nan := math.NaN()
	fmt.Println(afl.CountDefined([][]float64{{0.9, 0.5}, {0.8, nan}, {nan, nan}}))
	// Output: 3
}

func ExampleSoftDice() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{3, 2, -2, -3, -2, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 0, 1}))
	for _, background := range []bool{true, false} {
		dice, err := afl.SoftDice(logits, target, background, afl.IgnoreIndex{})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("background %v: %.4f\n", background, dice)
	}
	// Output:
	// background true: 0.9672
	// background false: 0.9428
}

func ExampleSoftIoU() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 3), tensor.WithBacking([]float64{3, 2, -2, -3, -2, 1}))
	target := tensor.New(tensor.WithShape(1, 1, 3), tensor.WithBacking([]uint8{0, 0, 1}))
	iou, err := afl.SoftIoU(logits, target, false, afl.IgnoreIndex{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f\n", iou)
	// Output: 0.8917
}

// Every distance between the surfaces of two masks.
func ExampleSurfaceDistances() {
	prediction := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]uint8{
		0, 1, 1, 0, 0, 0,
		0, 1, 1, 0, 0, 0,
		0, 0, 0, 0, 0, 1,
	}))
	target := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]uint8{
		0, 1, 1, 1, 0, 0,
		0, 1, 1, 1, 0, 0,
		0, 0, 0, 0, 0, 0,
	}))
	d, err := afl.NewSurfaceDistances(prediction, target, []float64{2, 1}) // mm
	if err != nil {
		fmt.Println(err)
		return
	}
	half, err := d.HausdorffPercentile(50)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("Hausdorff %.3f, 95th percentile %.3f, 50th %.3f, average %.3f\n", d.Hausdorff(), d.HD95(), half, d.Average())
	p := d.PredictionToTarget
	median, err := p.Percentile(50)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("from the prediction: %.3f, mean %.3f, largest %.3f, median %.3f\n", p.Sorted(), p.Mean(), p.Max(), median)
	// Output:
	// Hausdorff 2.828, 95th percentile 2.263, 50th 0.000, average 0.439
	// from the prediction: [0.000 0.000 0.000 0.000 2.828], mean 0.566, largest 2.828, median 0.000
}

// The same over the surface's area.
func ExampleNewSurfaceElementDistances() {
	prediction := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]uint8{
		0, 1, 1, 0, 0, 0,
		0, 1, 1, 0, 0, 0,
		0, 0, 0, 0, 0, 1,
	}))
	target := tensor.New(tensor.WithShape(3, 6), tensor.WithBacking([]uint8{
		0, 1, 1, 1, 0, 0,
		0, 1, 1, 1, 0, 0,
		0, 0, 0, 0, 0, 0,
	}))
	d, err := afl.NewSurfaceElementDistances(prediction, target, []float64{2, 1}) // mm
	if err != nil {
		fmt.Println(err)
		return
	}
	dice, err := d.SurfaceDice(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	half, err := d.HausdorffPercentile(50)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("Hausdorff %.3f, 95th percentile %.3f, 50th %.3f, average %.3f, surface Dice at 1 mm %.3f\n",
		d.Hausdorff(), d.HD95(), half, d.Average(), dice)
	p := d.PredictionToTarget
	within, err := p.Within(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("from the prediction: %.3f mm of contour, of which %.3f within 1 mm\n", p.Area(), within)
	// Output:
	// Hausdorff 2.828, 95th percentile 2.828, 50th 0.000, average 0.556, surface Dice at 1 mm 0.878
	// from the prediction: 14.944 mm of contour, of which 0.776 within 1 mm
}

// A cavity in the prediction is far from the target's surface, but inside the target.
func ExampleVoxelSetHausdorff() {
	full := tensor.Ones(tensor.Uint8, 7, 7)
	hollow := full.Clone().(*tensor.Dense)
	hollow.Data().([]uint8)[24] = 0 // the center
	voxels, err := afl.VoxelSetHausdorff(hollow, full, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := afl.NewSurfaceDistances(hollow, full, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(voxels, d.Hausdorff())
	// Output: 1 2
}

func ExampleComponents() {
	mask := tensor.New(tensor.WithShape(3, 5), tensor.WithBacking([]bool{
		true, false, false, true, true,
		false, true, false, false, false,
		false, false, false, true, false,
	}))
	for _, connectivity := range []afl.Connectivity{afl.Connectivity4, afl.Connectivity8} {
		labels, count, err := afl.Components(mask, connectivity)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(count, labels.Data())
	}
	// Output:
	// 4 [1 0 0 2 2 0 3 0 0 0 0 0 0 4 0]
	// 3 [1 0 0 2 2 0 1 0 0 0 0 0 0 3 0]
}

func ExampleTouch() {
	fmt.Println(compareOneLesion(afl.Touch()))
	// Output: touch: sensitivity 1
}

func ExampleMinIoU() {
	fmt.Println(compareOneLesion(afl.MinIoU(0.25)))
	fmt.Println(compareOneLesion(afl.MinIoU(0.5)))
	// Output:
	// IoU ≥ 0.25: sensitivity 1
	// IoU ≥ 0.5: sensitivity 0
}

func ExampleMinDice() {
	fmt.Println(compareOneLesion(afl.MinDice(0.5)))
	// Output: Dice ≥ 0.5: sensitivity 0
}

// compareOneLesion compares a lesion of three pixels with one of two, one of which is both's.
func compareOneLesion(criterion afl.LesionCriterion) string {
	prediction := tensor.New(tensor.WithShape(1, 5), tensor.WithBacking([]bool{true, true, true, false, false}))
	target := tensor.New(tensor.WithShape(1, 5), tensor.WithBacking([]bool{false, false, true, true, false}))
	lesions, err := afl.CompareLesions(prediction, target, afl.Connectivity8, criterion)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v: sensitivity %v", criterion, lesions.Sensitivity())
}

func ExampleWilcoxonPaired() {
	ours := []float64{0.81, 0.77, 0.69, 0.88, 0.74, 0.90}
	theirs := []float64{0.78, 0.76, 0.71, 0.80, 0.69, 0.83}
	w, err := afl.WilcoxonPaired(ours, theirs)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := w.PExact()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("ranks of gains %v, of losses %v, exact p %.4f\n", w.RPlus, w.RMinus, p)
	// Output: ranks of gains 19, of losses 2, exact p 0.0938
}
