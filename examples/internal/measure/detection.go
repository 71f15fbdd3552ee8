package measure

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/volume"
)

// Detect finds the lesion candidates among the foreground probabilities of a case's logits,
// float32 1×2×X×Y×Z, and matches them with the lesions of its label, 1×X×Y×Z, as the PI-CAI
// challenge does. rule makes the masks of the logits.
//
// Candidates and lesions are looked for in the order of the challenge's programs, slices
// along Z of rows along Y, which decides between equals.
func Detect(extraction detection.Extraction, id string, logits, label *tensor.Dense, rule afl.PredictionRule) (*outcome.Detection, error) {
	shape := logits.Shape()
	if logits.Dtype() != tensor.Float32 || len(shape) != 5 || shape[0] != 1 || shape[1] != 2 {
		return nil, fmt.Errorf("measure: the logits have type %v and shape %v, want float32 of 1×2×X×Y×Z", logits.Dtype(), []int(shape))
	}
	labels, ok := label.Data().([]uint8)
	if !ok || !label.Shape().Eq(tensor.Shape{1, shape[2], shape[3], shape[4]}) {
		return nil, fmt.Errorf("measure: the label has type %v and shape %v, want uint8 of 1×%d×%d×%d", label.Dtype(), []int(label.Shape()), shape[2], shape[3], shape[4])
	}
	dims := [3]int(shape[2:])
	probability, err := foregroundProbability(logits.Data().([]float32), rule)
	if err != nil {
		return nil, err
	}
	candidates, err := extraction.Candidates(slicesFirst(dims, func(i int) float32 { return float32(probability(i)) }))
	if err != nil {
		return nil, err
	}
	return match(id, candidates.Map, slicesFirst(dims, func(i int) uint8 { return labels[i] }))
}

func match(id string, detectionMap, label *tensor.Dense) (*outcome.Detection, error) {
	c, err := detection.Matching{}.Case(id, detectionMap, label)
	if err != nil {
		return nil, err
	}
	return outcome.DetectionOf(c), nil
}

// DetectionMap holds the lesion candidates of a scan.
type DetectionMap struct {
	// Volume holds the confidence of a candidate on its voxels, and 0 elsewhere.
	Volume *volume.Volume
	// Confidences are those of the candidates.
	Confidences []float64

	slicesFirst *tensor.Dense
}

// NewDetectionMap finds the lesion candidates among the probabilities of a scan, a volume of
// one channel, which it rounds to float32.
func NewDetectionMap(extraction detection.Extraction, probabilities *volume.Volume) (*DetectionMap, error) {
	candidates, err := extraction.Candidates(slicesFirst(probabilities.Dims, func(i int) float32 { return float32(probabilities.Data[i]) }))
	if err != nil {
		return nil, err
	}
	v := &volume.Volume{Dims: probabilities.Dims, Channels: 1, Affine: probabilities.Affine, Data: make([]float64, len(probabilities.Data))}
	confidence := candidates.Map.Data().([]float32)
	eachSlicesFirst(v.Dims, func(k, i int) { v.Data[i] = float64(confidence[k]) })
	return &DetectionMap{v, candidates.Confidences, candidates.Map}, nil
}

// Match matches the candidates with the lesions of a label on the scan's grid.
func (d *DetectionMap) Match(id string, label *volume.Volume) (*outcome.Detection, error) {
	if label.Dims != d.Volume.Dims || label.Channels != 1 {
		return nil, fmt.Errorf("measure: the label has %v voxels and %d channels, want %v and 1", label.Dims, label.Channels, d.Volume.Dims)
	}
	return match(id, d.slicesFirst, slicesFirst(label.Dims, func(i int) uint8 {
		if label.Data[i] != 0 {
			return 1
		}
		return 0
	}))
}

// slicesFirst returns the values of a volume X×Y×Z as Z×Y×X. at returns that of an element.
func slicesFirst[T uint8 | float32](dims [3]int, at func(i int) T) *tensor.Dense {
	values := make([]T, dims[0]*dims[1]*dims[2])
	eachSlicesFirst(dims, func(k, i int) { values[k] = at(i) })
	return tensor.New(tensor.WithShape(dims[2], dims[1], dims[0]), tensor.WithBacking(values))
}

// eachSlicesFirst calls do with the index of each element of a volume Z×Y×X, in order, and
// that of the same voxel in X×Y×Z.
func eachSlicesFirst(dims [3]int, do func(k, i int)) {
	k := 0
	for z := range dims[2] {
		for y := range dims[1] {
			for x := range dims[0] {
				do(k, (x*dims[1]+y)*dims[2]+z)
				k++
			}
		}
	}
}
