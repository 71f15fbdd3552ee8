package detection

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/components"
)

// Method is a way to choose the threshold above which voxels belong to a lesion
// candidate.
type Method int

const (
	// DynamicFast keeps voxels of at least the largest probability of the volume divided
	// by the factor.
	DynamicFast Method = iota
	// Dynamic takes candidates one by one: that of the largest probability, with a
	// threshold of that probability divided by the factor, then that of the largest one
	// left. It ends where no component at that threshold is large enough. If it has no
	// candidate then, or adjacent ones are kept, it lists one of confidence 0 that marks
	// no voxel, as report_guided_annotation does.
	Dynamic
	// DynamicV2 is Dynamic, but sets components that are too small aside and goes on.
	DynamicV2
	// Static keeps voxels of at least [Extraction.Threshold].
	Static
)

func (m Method) String() string {
	if names := [...]string{"dynamic-fast", "dynamic", "dynamic-v2", "static"}; m >= 0 && int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("Method(%d)", int(m))
}

// Extraction says how lesion candidates are found among the probabilities of a volume.
// Its zero value has the defaults of report_guided_annotation.
type Extraction struct {
	Method Method
	// Threshold is that of Static, above 0 and at most 1. The other methods refuse one.
	Threshold float64
	// MinVoxels is the number of voxels of the smallest candidate; 0 means 11.
	MinVoxels int
	// Factor divides the peak's probability, at least 1; 0 means 2.5. Larger factors
	// give larger candidates. Static does not use it.
	Factor float64
	// MaxCandidates is how many Dynamic and DynamicV2 keep at most; 0 means 5.
	MaxCandidates int
	// KeepAdjacent makes Dynamic and DynamicV2 keep candidates that touch one kept
	// before.
	KeepAdjacent bool
}

// Candidates are the lesion candidates of a volume.
type Candidates struct {
	// Map is the detection map: the confidence of a candidate on its voxels and 0
	// elsewhere, of the type and shape of the probabilities.
	Map *tensor.Dense
	// Labels holds the number of the candidate, from 1, on its voxels and 0 elsewhere, as
	// int32.
	Labels *tensor.Dense
	// Confidences holds the largest probability of each candidate: that of candidate i
	// at i−1.
	Confidences []float64
}

// Candidates finds the lesion candidates: connected components of voxels whose
// probability, not 0, is at least a threshold. A candidate's confidence is the largest
// probability in it.
//
// probabilities is slices×rows×columns or rows×columns, float32 or float64, and finite.
// Numbers outside 0 to 1, which interpolation and sums over networks give, are taken as
// they are; voxels that are not above 0 belong to no candidate. Thresholds are rounded to
// the type of the probabilities. DynamicFast and Static number the candidates in row-major
// order of their first voxel, the other methods in the order in which they keep them.
func (e Extraction) Candidates(probabilities *tensor.Dense) (*Candidates, error) {
	e, err := e.complete()
	if err != nil {
		return nil, err
	}
	p, shape, err := readFloats("probabilities", probabilities, -math.MaxFloat32, math.MaxFloat32, "a finite number")
	if err != nil {
		return nil, err
	}
	round := func(v float64) float64 { return v }
	if probabilities.Dtype() == tensor.Float32 {
		round = func(v float64) float64 { return float64(float32(v)) }
	}
	x := &extractor{Extraction: e, p: p, shape: shape, round: round, labels: make([]int32, len(p))}
	switch e.Method {
	case Static:
		x.static(round(e.Threshold))
	case DynamicFast:
		x.static(round(slices.Max(p) / e.Factor))
	default:
		x.dynamic()
	}
	return x.result(probabilities), nil
}

// complete checks the options and fills in the defaults.
func (e Extraction) complete() (Extraction, error) {
	switch {
	case e.Method < DynamicFast || e.Method > Static:
		return e, refuse("Method", e.Method, "DynamicFast, Dynamic, DynamicV2 or Static")
	case e.Method == Static && !(e.Threshold > 0 && e.Threshold <= 1):
		return e, refuse("Threshold", e.Threshold, "a probability above 0 and at most 1 for Static")
	case e.Method != Static && e.Threshold != 0:
		return e, refuse("Threshold", e.Threshold, "0 for %v, which chooses its own", e.Method)
	case e.MinVoxels < 0:
		return e, refuse("MinVoxels", e.MinVoxels, "at least 1, or 0 for 11")
	case e.Factor != 0 && !(e.Factor >= 1 && e.Factor <= math.MaxFloat32):
		return e, refuse("Factor", e.Factor, "at least 1, or 0 for 2.5")
	case e.MaxCandidates < 0:
		return e, refuse("MaxCandidates", e.MaxCandidates, "at least 1, or 0 for 5")
	}
	if e.MinVoxels == 0 {
		e.MinVoxels = 11
	}
	if e.Factor == 0 {
		e.Factor = 2.5
	}
	if e.MaxCandidates == 0 {
		e.MaxCandidates = 5
	}
	return e, nil
}

// extractor finds the candidates of one volume.
type extractor struct {
	Extraction
	p           []float64
	shape       [3]int
	round       func(float64) float64 // to the type of the probabilities
	labels      []int32
	confidences []float64
}

// static makes the components at or above a threshold candidates that are large enough.
func (x *extractor) static(threshold float64) {
	runs, count := find(x.shape, func(i int) bool { return x.p[i] >= threshold && x.p[i] > 0 })
	number := make([]int32, count) // of the candidate, 0 for none
	for i, size := range components.Sizes(runs, count) {
		if size >= x.MinVoxels {
			x.confidences = append(x.confidences, 0)
			number[i] = int32(len(x.confidences))
		}
	}
	for _, r := range runs {
		n := number[r.Label-1]
		if n == 0 {
			continue
		}
		x.confidences[n-1] = max(x.confidences[n-1], slices.Max(x.p[r.Start:r.End]))
		for i := r.Start; i < r.End; i++ {
			x.labels[i] = n
		}
	}
}

func (x *extractor) result(probabilities *tensor.Dense) *Candidates {
	shape := probabilities.Shape()
	c := &Candidates{
		Labels:      tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(x.labels)),
		Confidences: x.confidences,
	}
	if probabilities.Dtype() == tensor.Float32 {
		c.Map = mapOf[float32](shape, x)
	} else {
		c.Map = mapOf[float64](shape, x)
	}
	return c
}

func mapOf[T float32 | float64](shape tensor.Shape, x *extractor) *tensor.Dense {
	confidence := make([]T, len(x.labels))
	for i, l := range x.labels {
		if l != 0 {
			confidence[i] = T(x.confidences[l-1])
		}
	}
	return tensor.New(tensor.WithShape(shape.Clone()...), tensor.WithBacking(confidence))
}
