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

// Mask returns the tumor's mask, 0 and 1, on the scan's own grid instead of the
// network's. logits are float32 1×2×X×Y×Z on a grid with the given affine; dims and scan
// are the size and the affine of the scan's grid.
//
// The foreground probability is interpolated linearly and then thresholded at ½.
// Nearest-neighbor sampling of a mask would show steps at the network's resolution,
// which for resized scans is coarser than the scan's; interpolating the logits, which
// are unbounded, would let one confident voxel outweigh its neighbors. If the voxels of
// the two grids coincide, in any order and direction of the axes, nothing is
// interpolated and the mask equals that of [afl.Predict].
//
// The outermost values of the network's grid are extended beyond it: changing the voxel
// size rounds the field of view to whole voxels, so that it may miss a margin of the
// scan.
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

// certainty returns 2p − 1 for the foreground probability p. It is computed as the
// hyperbolic tangent of half the logit, which preserves the sign of the logit even where
// p would round to ½.
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
