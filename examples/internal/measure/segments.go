package measure

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// Case compares a case's logits, float32 1×K×X×Y×Z, with its label as a dataset.Sample
// holds it. The spacing is in millimeters. If the scheme is binary, the measures are those
// of [Logits]. Otherwise they are those of each class or region, and the values are their
// means.
func Case(scheme segment.Scheme, logits, label *tensor.Dense, spacing [3]float64, rule afl.PredictionRule, extent Extent) (outcome.Values, []outcome.SegmentValues, error) {
	if scheme.Kind == segment.Binary {
		values, err := Logits(logits, label, spacing, rule, extent)
		return values, nil, err
	}
	fail := func(err error) (outcome.Values, []outcome.SegmentValues, error) { return outcome.NoValues(), nil, err }
	segments := make([]outcome.SegmentValues, len(scheme.Segments))
	for i, s := range scheme.Segments {
		segments[i] = outcome.SegmentValues{Name: s.Name, Values: outcome.NoValues()}
	}
	for m, loss := range map[outcome.Measure]afl.Dice{outcome.SoftDice: afl.NewDice(), outcome.SoftIoU: afl.NewIoU()} {
		soft, err := softOverlaps(scheme, loss, logits, label)
		if err != nil {
			return fail(err)
		}
		for i := range segments {
			segments[i].Values[m] = outcome.Number(soft[i])
		}
	}
	if err := setSegmentCalibration(scheme, segments, logits, label); err != nil {
		return fail(err)
	}
	counts, err := afl.CountLogits(rule, logits, label, afl.IgnoreIndex{})
	if err != nil {
		return fail(err)
	}
	first := len(counts[0]) - len(segments) // 1 with a background, which is class 0
	for i := range segments {
		setOverlaps(&segments[i].Values, counts[0][first+i])
	}
	if extent == Overlaps {
		return outcome.MeanOfSegments(segments), segments, nil
	}
	predicted, err := afl.Predict(rule, logits)
	if err != nil {
		return fail(err)
	}
	for i := range segments {
		prediction, err := maskOf(scheme, predicted, i)
		if err != nil {
			return fail(err)
		}
		reference, err := maskOf(scheme, label, i)
		if err != nil {
			return fail(err)
		}
		if err := setShapes(&segments[i].Values, prediction, reference, spacing); err != nil {
			return fail(err)
		}
	}
	return outcome.MeanOfSegments(segments), segments, nil
}

// softOverlaps returns the soft Dice or IoU of each class or region.
func softOverlaps(scheme segment.Scheme, loss afl.Dice, logits, label *tensor.Dense) ([]float64, error) {
	loss.Reduction = afl.ReduceNone
	if scheme.Kind == segment.Classes {
		loss.Activation, loss.ExcludeBackground = afl.Softmax, true
	}
	v, err := loss.Eval(logits, label, nil)
	if err != nil {
		return nil, err
	}
	values, ok := v.Data().([]float64)
	if !ok || len(values) != len(scheme.Segments) {
		return nil, fmt.Errorf("measure: the logits of shape %v have no channel for each of %v", []int(logits.Shape()), scheme)
	}
	overlaps := make([]float64, len(values))
	for i, l := range values {
		overlaps[i] = 1 - l
	}
	return overlaps, nil
}

// setSegmentCalibration sets the calibration of each class or region, of the softmax over the
// classes or of the region's sigmoid.
func setSegmentCalibration(scheme segment.Scheme, segments []outcome.SegmentValues, logits, label *tensor.Dense) error {
	values, ok := logits.Data().([]float32)
	labels, labeled := label.Data().([]uint8)
	channels := scheme.Channels()
	n := len(values) / channels
	maps, want := 1, "uint8 classes"
	if scheme.Kind == segment.Regions {
		maps, want = channels, fmt.Sprintf("uint8 maps of %d regions", channels)
	}
	if !ok || !labeled || n*channels != len(values) || n*maps != len(labels) {
		return fmt.Errorf("measure: the logits are %v of shape %v and the label %v of shape %v, want %s and float32 logits of %d channels", logits.Dtype(), logits.Shape(), label.Dtype(), label.Shape(), want, channels)
	}
	for s := range segments {
		if scheme.Kind == segment.Regions {
			own, mask := values[s*n:(s+1)*n], labels[s*n:(s+1)*n]
			setCalibration(&segments[s].Values, n, func(i int) float64 { return sigmoid(float64(own[i])) }, func(i int) bool { return mask[i] != 0 })
			continue
		}
		setCalibration(&segments[s].Values, n, classProbability(values, channels, s+1), func(i int) bool { return int(labels[i]) == s+1 })
	}
	return nil
}

// maskOf returns the mask of a class or region, X×Y×Z, of class indices 1×X×Y×Z or of the
// regions' maps 1×R×X×Y×Z.
func maskOf(scheme segment.Scheme, labels *tensor.Dense, index int) (*tensor.Dense, error) {
	if scheme.Kind == segment.Classes {
		return afl.ClassMask(labels, 3, 0, index+1)
	}
	shape := labels.Shape()[2:].Clone()
	n := shape.TotalSize()
	maps, ok := labels.Data().([]uint8)
	if !ok || len(maps) != n*len(scheme.Segments) {
		return nil, fmt.Errorf("measure: the label has type %v and shape %v, want uint8 maps of %d regions", labels.Dtype(), []int(labels.Shape()), len(scheme.Segments))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(maps[index*n:(index+1)*n:(index+1)*n])), nil
}

// LabelMaps compares a written label map with the reference, both with one channel and on
// one grid: the foreground if the scheme is binary, or else each class or region. The soft
// measures are undefined.
func LabelMaps(scheme segment.Scheme, prediction, reference *volume.Volume) (outcome.Values, []outcome.SegmentValues, error) {
	if scheme.Kind == segment.Binary {
		foreground := func(label int) bool { return label != 0 }
		values, err := Masks(volumeMask(prediction, foreground), volumeMask(reference, foreground), prediction.Spacing())
		return values, nil, err
	}
	var segments []outcome.SegmentValues
	for _, s := range scheme.Segments {
		values, err := Masks(volumeMask(prediction, s.Has), volumeMask(reference, s.Has), prediction.Spacing())
		if err != nil {
			return outcome.NoValues(), nil, err
		}
		segments = append(segments, outcome.SegmentValues{Name: s.Name, Values: values})
	}
	return outcome.MeanOfSegments(segments), segments, nil
}

// volumeMask returns the voxels whose label is in a set as 1 and the others as 0.
func volumeMask(v *volume.Volume, in func(label int) bool) *tensor.Dense {
	values := make([]uint8, len(v.Data))
	for i, x := range v.Data {
		if in(int(x)) {
			values[i] = 1
		}
	}
	return tensor.New(tensor.WithShape(v.Dims[0], v.Dims[1], v.Dims[2]), tensor.WithBacking(values))
}
