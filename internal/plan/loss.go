package plan

import "math"

// Loss describes a loss whatever the label: what a [Plan] is made from once the
// label's statistics are known.
type Loss struct {
	Focal   *Focal
	Overlap *Overlap
}

// Focal describes a pointwise term; see [Pointwise] for its elements.
type Focal struct {
	Activation  Activation
	First       int // first channel that takes part
	SoftmaxFrom int
	// Gamma is the focusing parameter by channel (C), where Adaptive is nil.
	Gamma []float64
	// Pos, Neg and CE are by channel (C), 0 for channels that take no part.
	// Adaptive multiplies Pos and Neg by factors of its own.
	Pos, Neg, CE []float64
	Smoothing    float64
	// Scale over the Denominator multiplies every element.
	Scale       float64
	Denominator Denominator
	PerVoxel    bool
	// Adaptive is nil, or says what the label's statistics make of the term.
	Adaptive *Adaptive
}

// Denominator is what the scale of a pointwise term is divided by.
type Denominator uint8

// The denominators.
const (
	One Denominator = iota
	// Valid is the number of voxels of the batch that are not ignored. The scale
	// is 0 where there are none.
	Valid
	// ValidOrNaN is the same, and the scale is infinite where there are none:
	// the mean of nothing is NaN, as in PyTorch.
	ValidOrNaN
	// LabelWeight is the sum of Pos of the labels of the voxels that are not
	// ignored, for C > 1. The scale is infinite where all are ignored, and else 0
	// where the sum is 0.
	LabelWeight
)

// Request returns the statistics that the loss needs of a batch's label.
func (l *Loss) Request(b *Batch) (want StatsRequest, needed bool) {
	w := l.Focal
	if w == nil {
		return want, false
	}
	if a := w.Adaptive; a != nil && a.Given == nil {
		return a.Request(), true
	}
	return want, w.Denominator == LabelWeight || w.Denominator != One && b.Target.HasIgnore
}

// Plan works the label's statistics, nil where none are needed, into the loss.
func (l *Loss) Plan(b *Batch, st *Stats) *Plan {
	p := &Plan{Overlap: l.Overlap}
	w := l.Focal
	if w == nil {
		return p
	}
	p.Pointwise = &Pointwise{
		Activation: w.Activation, First: w.First, SoftmaxFrom: w.SoftmaxFrom,
		Gamma: make([]float64, b.N*b.C), Pos: make([]float64, b.N*b.C), Neg: make([]float64, b.N*b.C),
		CE: w.CE, Smoothing: w.Smoothing, Scale: w.scale(b, st), PerVoxel: w.PerVoxel,
	}
	for n := range b.N {
		var q AdaptiveFactors
		if a := w.Adaptive; a != nil {
			label := st
			if a.Given != nil {
				label = a.Given
			}
			q = a.Factors(label, n, b.C)
		}
		for c := w.First; c < b.C; c++ {
			k := n*b.C + c
			p.Pointwise.Gamma[k], p.Pointwise.Pos[k], p.Pointwise.Neg[k] = w.Gamma[c], w.Pos[c], w.Neg[c]
			if w.Adaptive != nil {
				p.Pointwise.Gamma[k] = q.Gamma[c]
				p.Pointwise.Pos[k] *= q.Positive[c]
				p.Pointwise.Neg[k] *= q.Negative[c]
			}
		}
	}
	return p
}

// scale returns Scale over the Denominator.
func (w *Focal) scale(b *Batch, st *Stats) float64 {
	if w.Denominator == One {
		return w.Scale
	}
	voxels := float64(b.N * b.V)
	if b.Target.HasIgnore {
		voxels = 0
		for _, v := range st.Valid {
			voxels += v
		}
	}
	switch {
	case voxels == 0 && w.Denominator == Valid:
		return 0
	case voxels == 0:
		return math.Inf(1)
	case w.Denominator != LabelWeight:
		return w.Scale / voxels
	}
	total := 0.0
	for i, count := range st.Count {
		total += float64(w.Pos[i%b.C] * count)
	}
	if total == 0 {
		return 0
	}
	return w.Scale / total
}
