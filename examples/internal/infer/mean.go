package infer

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// Mean is the mean of the probabilities that one or several networks predict for a scan, on
// the scan's own grid instead of the networks', which may differ. Probabilities are averaged
// rather than logits because the logits of networks trained with different losses have
// different scales, and one confident network could outvote all others.
//
// The probabilities are interpolated linearly before they become a mask. Nearest-neighbor
// sampling of a mask would show steps at the network's resolution, which for resized scans is
// coarser than the scan's; interpolating the logits, which are unbounded, would let one
// confident voxel outweigh its neighbors. If the voxels of the two grids coincide, in any
// order and direction of the axes, nothing is interpolated, and the mask of a single
// prediction equals that of [afl.Predict].
//
// The outermost values of a network's grid are extended beyond it: changing the voxel size
// rounds the field of view to whole voxels, so that it may miss a margin of the scan.
type Mean struct {
	scheme segment.Scheme
	dims   [3]int
	affine [4][4]float64

	// sum has a channel for each class from the background on, which holds probabilities p,
	// or for the foreground or each region, which holds certainties 2p − 1.
	sum *volume.Volume
	n   int
}

// NewMean returns the mean of no predictions yet, for a scan of the given size and affine.
func NewMean(scheme segment.Scheme, dims [3]int, affine [4][4]float64) *Mean {
	return &Mean{scheme: scheme, dims: dims, affine: affine}
}

// Pass is the logits of one pass of a network over the scan, float32 1×K×X×Y×Z.
type Pass = *tensor.Dense

// Add adds the prediction of a network on a grid with the given affine: the mean of the
// probabilities of its passes, which are more than one if the scan was also predicted
// mirrored. rule makes the network's masks of its logits.
func (m *Mean) Add(rule afl.PredictionRule, affine [4][4]float64, passes ...Pass) error {
	if len(passes) == 0 {
		return fmt.Errorf("infer: Mean.Add: there are no logits")
	}
	var v *volume.Volume
	for _, logits := range passes {
		if logits == nil || logits.Dtype() != tensor.Float32 || len(logits.Shape()) != 5 || logits.Shape()[0] != 1 || logits.Shape()[1] != m.scheme.Channels() {
			return fmt.Errorf("infer: Mean.Add: the logits must be float32 of shape 1×%d×X×Y×Z", m.scheme.Channels())
		}
		one, err := m.probabilities(rule, logits)
		if err != nil {
			return err
		}
		one.Affine = affine
		if v == nil {
			v = one
			continue
		}
		if v.Dims != one.Dims {
			return fmt.Errorf("infer: Mean.Add: the passes have %v and %v voxels, want equal sizes", v.Dims, one.Dims)
		}
		for i, x := range one.Data {
			v.Data[i] += x
		}
	}
	for i := range v.Data {
		v.Data[i] /= float64(len(passes))
	}
	v, err := dataset.Resample(v, m.dims, m.affine, dataset.Extended)
	if err != nil {
		return fmt.Errorf("infer: Mean.Add: %w", err)
	}
	m.n++
	if m.sum == nil {
		m.sum = v
		return nil
	}
	for i, x := range v.Data {
		m.sum.Data[i] += x
	}
	return nil
}

// probabilities returns the channels of Mean.sum for one pass.
func (m *Mean) probabilities(rule afl.PredictionRule, logits Pass) (*volume.Volume, error) {
	channels := m.scheme.Channels()
	values := logits.Data().([]float32)
	n := len(values) / channels
	v := &volume.Volume{Dims: [3]int(logits.Shape()[2:]), Channels: channels}
	switch {
	case m.scheme.Kind == segment.Classes && rule == afl.Argmax:
		v.Data = make([]float64, len(values))
		softmax(v.Data, values, channels)
	case m.scheme.Kind == segment.Regions && rule == afl.SigmoidPerChannel:
		v.Data = make([]float64, len(values))
		for i, x := range values {
			v.Data[i] = certainty(float64(x))
		}
	case m.scheme.Kind == segment.Binary && rule == afl.SigmoidChannel1:
		v.Channels, v.Data = 1, make([]float64, n)
		for i, x := range values[n:] {
			v.Data[i] = certainty(float64(x))
		}
	case m.scheme.Kind == segment.Binary && rule == afl.Argmax:
		v.Channels, v.Data = 1, make([]float64, n)
		for i, x := range values[n:] {
			v.Data[i] = certainty(float64(x) - float64(values[i]))
		}
	default:
		return nil, fmt.Errorf("infer: Mean.Add: rule is %v, which makes no masks of %v", rule, m.scheme)
	}
	return v, nil
}

// certainty returns 2p − 1 for the probability p = sigmoid(logit). It is computed as the
// hyperbolic tangent of half the logit, which preserves the sign of the logit even where p
// would round to ½.
func certainty(logit float64) float64 { return math.Tanh(logit / 2) }

// softmax stores the softmax of each voxel's channels. A probability that rounds to that of
// a larger logit is made smaller, so that the class of the largest one is kept.
func softmax(p []float64, logits []float32, channels int) {
	n := len(logits) / channels
	for i := range n {
		best := 0
		for c := 1; c < channels; c++ {
			if logits[c*n+i] > logits[best*n+i] {
				best = c
			}
		}
		sum := 0.0
		for c := range channels {
			e := math.Exp(float64(logits[c*n+i]) - float64(logits[best*n+i]))
			p[c*n+i] = e
			sum += e
		}
		for c := range channels {
			p[c*n+i] /= sum
		}
		for c := range channels {
			if p[c*n+i] == p[best*n+i] && logits[c*n+i] < logits[best*n+i] {
				p[c*n+i] = math.Nextafter(p[c*n+i], 0)
			}
		}
	}
}

// LabelMap returns the label of each voxel of the scan: 1 for the foreground, the label of
// the most probable class, or that of the regions whose probability is above ½, as
// [segment.Scheme.Compose] defines it.
func (m *Mean) LabelMap() (*volume.Volume, error) {
	if m.n == 0 {
		return nil, fmt.Errorf("infer: Mean.LabelMap: no prediction was added")
	}
	labels := m.scheme.Compose()
	n := m.dims[0] * m.dims[1] * m.dims[2]
	v := &volume.Volume{Dims: m.dims, Channels: 1, Affine: m.affine, Data: make([]float64, n)}
	for i := range n {
		code := 0
		for c := range m.sum.Channels {
			switch x := m.sum.Data[c*n+i]; {
			case m.scheme.Kind == segment.Classes:
				if x > m.sum.Data[code*n+i] {
					code = c
				}
			case x > 0:
				code |= 1 << c
			}
		}
		v.Data[i] = float64(labels[code])
	}
	return v, nil
}

// Probabilities returns the mean probability of the foreground, or of each class without the
// background, or of each region.
func (m *Mean) Probabilities() ([]*volume.Volume, error) {
	if m.n == 0 {
		return nil, fmt.Errorf("infer: Mean.Probabilities: no prediction was added")
	}
	n := m.dims[0] * m.dims[1] * m.dims[2]
	var all []*volume.Volume
	for c := range m.sum.Channels {
		v := &volume.Volume{Dims: m.dims, Channels: 1, Affine: m.affine, Data: make([]float64, n)}
		for i, x := range m.sum.Data[c*n : (c+1)*n] {
			v.Data[i] = x / float64(m.n)
			if m.scheme.Kind != segment.Classes {
				v.Data[i] = (1 + v.Data[i]) / 2
			}
		}
		all = append(all, v)
	}
	if m.scheme.Kind == segment.Classes {
		all = all[1:]
	}
	return all, nil
}
