package detection_test

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/detection"
)

// From the probabilities of a network to the scores of a data set.
func Example() {
	maps := map[string][]float64{
		"found":  {0, 0.9, 0.8, 0, 0, 0, 0, 0},
		"missed": {0, 0, 0, 0, 0, 0.3, 0.3, 0},
		"benign": {0.2, 0.2, 0, 0, 0, 0, 0, 0},
	}
	labels := map[string][]uint8{
		"found":  {0, 1, 1, 0, 0, 0, 0, 0},
		"missed": {0, 1, 1, 0, 0, 0, 0, 0},
		"benign": {0, 0, 0, 0, 0, 0, 0, 0},
	}
	var cases []detection.Case
	for _, name := range []string{"found", "missed", "benign"} {
		probabilities := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking(maps[name]))
		candidates, err := detection.Extraction{MinVoxels: 2}.Candidates(probabilities)
		if err != nil {
			fmt.Println(err)
			return
		}
		label := tensor.New(tensor.WithShape(2, 4), tensor.WithBacking(labels[name]))
		c, err := detection.Matching{}.Case(name, candidates.Map, label)
		if err != nil {
			fmt.Println(err)
			return
		}
		cases = append(cases, c)
	}
	set, err := detection.NewSet(cases, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ap, err := set.AveragePrecision()
	if err != nil {
		fmt.Println(err)
		return
	}
	score, err := set.Score()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("AUROC %.2f, average precision %.2f, score %.2f\n", set.AUROC(), ap, score)
	// Output: AUROC 1.00, average precision 0.50, score 0.75
}

func ExampleExtraction_Candidates() {
	probabilities := tensor.New(tensor.WithShape(2, 6), tensor.WithBacking([]float32{
		0.9, 0.6, 0.1, 0, 0.5, 0.4,
		0.5, 0.1, 0, 0, 0.3, 0,
	}))
	for _, e := range []detection.Extraction{
		{Method: detection.DynamicFast, MinVoxels: 2},
		{Method: detection.Dynamic, MinVoxels: 2},
		{Method: detection.Static, Threshold: 0.45, MinVoxels: 2},
	} {
		candidates, err := e.Candidates(probabilities)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: confidences %.1f, labels %v\n", e.Method, candidates.Confidences, candidates.Labels.Data())
	}
	// Output:
	// dynamic-fast: confidences [0.9 0.5], labels [1 1 0 0 2 2 1 0 0 0 0 0]
	// dynamic: confidences [0.9 0.5], labels [1 1 0 0 2 2 1 0 0 0 2 0]
	// static: confidences [0.9], labels [1 1 0 0 0 0 1 0 0 0 0 0]
}

func ExampleMatching_Case() {
	detectionMap := tensor.New(tensor.WithShape(2, 6), tensor.WithBacking([]float32{
		0.9, 0.9, 0, 0, 0.5, 0.5,
		0, 0, 0, 0, 0, 0,
	}))
	label := tensor.New(tensor.WithShape(2, 6), tensor.WithBacking([]bool{
		true, true, false, false, false, false,
		true, false, false, true, false, false,
	}))
	c, err := detection.Matching{MinOverlap: 0.5}.Case("patient 1", detectionMap, label)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("confidence %.1f, with lesions: %v\n", c.Confidence, c.Positive())
	for _, e := range c.Entries {
		fmt.Printf("lesion %-5v confidence %.1f, overlap %.2f\n", e.Lesion, e.Confidence, e.Overlap)
	}
	// Output:
	// confidence 0.9, with lesions: true
	// lesion true  confidence 0.9, overlap 0.67
	// lesion true  confidence 0.0, overlap 0.00
	// lesion false confidence 0.5, overlap 0.00
}

// Every curve and score of a data set.
func ExampleNewSet() {
	set, err := detection.NewSet([]detection.Case{
		{Name: "a", Confidence: 0.9, Entries: []detection.Entry{{Lesion: true, Confidence: 0.9, Overlap: 0.6}}},
		{Name: "b", Confidence: 0.4, Entries: []detection.Entry{{Lesion: true}, {Confidence: 0.4}}},
		{Name: "c", Confidence: 0.2, Entries: []detection.Entry{{Confidence: 0.2}}},
		{Name: "d"},
	}, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Cases(), "cases,", set.Lesions(), "lesions")
	curve, err := set.PrecisionRecall()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("precision and recall %.2f\n", curve)
	fmt.Printf("ROC %.2f, area %.2f\n", set.ROC(), set.AUROC())
	fmt.Printf("FROC %.2f\n", set.FROC())
	fmt.Printf("FROC of picai_eval %.2f\n", set.FROCOfPICAIEval())
	fmt.Printf("sensitivity at ½ false positive a case %.2f\n", set.SensitivityAt(0.5))
	interval, err := set.Bootstrap((*detection.Set).AveragePrecision, 200, 0.95, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("average precision from %.2f to %.2f\n", interval.Lower, interval.Upper)
	// Output:
	// 4 cases, 2 lesions
	// precision and recall [{0.90 1.00 0.50} {0.40 0.50 0.50} {0.20 0.33 0.50} {0.00 0.00 1.00}]
	// ROC [{+Inf 0.00 0.00} {0.90 0.50 0.00} {0.40 1.00 0.00} {0.20 1.00 0.50} {0.00 1.00 1.00}], area 1.00
	// FROC [{0.90 0.50 0.00} {0.40 0.50 0.25} {0.20 0.50 0.50}]
	// FROC of picai_eval [{0.90 0.50 0.00} {0.40 0.50 0.25} {0.20 0.50 0.50} {0.00 0.50 +Inf}]
	// sensitivity at ½ false positive a case 0.50
	// average precision from 0.00 to 1.00
}

func ExampleBootstrapMean() {
	// Two trainings, of which the second finds the lesion of case b.
	var sets []*detection.Set
	for _, confidence := range []float64{0, 0.7} {
		set, err := detection.NewSet([]detection.Case{
			{Name: "a", Confidence: 0.9, Entries: []detection.Entry{{Lesion: true, Confidence: 0.9}}},
			{Name: "b", Confidence: confidence, Entries: []detection.Entry{{Lesion: true, Confidence: confidence}}},
			{Name: "c", Confidence: 0.2, Entries: []detection.Entry{{Confidence: 0.2}}},
		}, nil, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		sets = append(sets, set)
	}
	interval, err := detection.BootstrapMean(sets, (*detection.Set).AveragePrecision, 200, 0.9, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("mean average precision from %.2f to %.2f\n", interval.Lower, interval.Upper)
	// Output: mean average precision from 0.50 to 1.00
}

func ExamplePermutationTest() {
	baseline := []float64{0.61, 0.64, 0.60, 0.66, 0.62}
	alternative := []float64{0.65, 0.67, 0.63, 0.70, 0.66}
	p, err := detection.PermutationTest(baseline, alternative, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("p = %.4f\n", p)
	// Output: p = 0.0317
}
