package afl_test

import (
	"fmt"

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
