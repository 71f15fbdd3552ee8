package infer

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/volume"
)

// Mask returns the tumour's mask, 0 and 1, on another grid than the network's:
// the scan's own. logits are float32 1×2×X×Y×Z, affine is that of their grid,
// dims and scan are the other grid's.
//
// The foreground's probability is interpolated linearly and then compared with
// ½. Taking the nearest voxel of a finished mask instead would draw its stairs
// at the network's resolution, which for resized scans is coarser than the
// scan's; interpolating the logits, which have no bounds, would let one
// confident voxel outweigh its neighbours. On a grid whose voxels coincide with
// the network's, in whatever order and direction, nothing is interpolated and
// the mask is that of afl.Predict.
//
// Beyond the outermost voxels of the network's grid their value holds: changing
// the voxels' size rounds the field of view to whole voxels, which leaves a rim
// of the scan over.
func Mask(rule afl.PredictionRule, logits *tensor.Dense, affine [4][4]float64, dims [3]int, scan [4][4]float64) (*volume.Volume, error) {
	if logits == nil || logits.Dtype() != tensor.Float32 || len(logits.Shape()) != 5 || logits.Shape()[0] != 1 || logits.Shape()[1] != 2 {
		return nil, errors.New("infer: Mask: the logits must be float32 of shape 1×2×X×Y×Z")
	}
	if rule != afl.Argmax && rule != afl.SigmoidChannel1 {
		return nil, fmt.Errorf("infer: Mask: rule is %v, want Argmax or SigmoidChannel1", rule)
	}
	v, err := dataset.Resample(certainty(rule, logits, affine), dims, scan, dataset.Extended)
	if err != nil {
		return nil, fmt.Errorf("infer: Mask: %w", err)
	}
	for i, c := range v.Data {
		v.Data[i] = 0
		if c > 0 {
			v.Data[i] = 1
		}
	}
	return v, nil
}

// certainty is 2p − 1 for the foreground's probability p. As the hyperbolic
// tangent of half the logit it keeps the logit's sign where p would be rounded
// to ½.
func certainty(rule afl.PredictionRule, logits *tensor.Dense, affine [4][4]float64) *volume.Volume {
	values := logits.Data().([]float32)
	n := len(values) / 2
	v := &volume.Volume{Dims: [3]int(logits.Shape()[2:]), Channels: 1, Affine: affine, Data: make([]float64, n)}
	for i := range v.Data {
		logit := float64(values[n+i])
		if rule == afl.Argmax {
			logit -= float64(values[i])
		}
		v.Data[i] = math.Tanh(logit / 2)
	}
	return v
}
