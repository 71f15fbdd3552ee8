package afl

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// LabelStats are the statistics of a label that [AdaptiveFocal] builds on. The
// mask is label ≠ 0, every non-zero value being foreground. Its gradient at a
// voxel is that of numpy.gradient with unit step, whatever the spacing: along
// each axis (f[i+1]−f[i−1])/2 inside and the one-sided difference at both ends,
// 0 along an axis of size 1; its magnitude is the root of the sum of squares.
type LabelStats struct {
	Foreground, Voxels int     // voxels of the mask and of the image
	GammaVa            float64 // foreground share, Foreground/Voxels
	AlphaVa            float64 // background share, 1−GammaVa
	// GammaMSa is the mean gradient magnitude over all voxels: the paper's
	// smoothness, which grows with roughness and surface area.
	GammaMSa float64
	// Boundary is the mean gradient magnitude over the BoundaryVoxels whose
	// gradient is not zero, 0 if there are none.
	Boundary       float64
	BoundaryVoxels int
	// Classes holds the statistics of the masks label = 1, label = 2, …, where
	// [StatsOfClasses] made them.
	Classes []LabelStats
}

// Gamma is the focusing parameter γ_va + γ_mSa (paper and released code).
func (s LabelStats) Gamma() float64 { return s.GammaVa + s.GammaMSa }

// StatsOf returns the statistics of one label image, H×W or X×Y×Z, of any
// integer type, bool, or a float type that holds whole numbers. (A batch N×H×W is
// read as one image of three axes: call it once for each sample.) Negative labels
// are refused. ignore is the IgnoreIndex of the [AdaptiveFocal] that uses the statistics,
// or IgnoreIndex{}: voxels of that label are background in the mask and counted nowhere.
func StatsOf(label *tensor.Dense, ignore IgnoreIndex) (LabelStats, error) {
	in, err := labelInput(label, ignore)
	if err != nil {
		return LabelStats{}, err
	}
	st, err := in.backend.Stats(&in.batch, plan.StatsRequest{Smoothness: true})
	if err != nil {
		return LabelStats{}, publicOfMask(err)
	}
	return newLabelStats(st.Valid[0], st.Foreground[0], st.Magnitude[0], st.Boundary[0]), nil
}

// StatsOfClasses returns the statistics of one label image as [StatsOf] does, and
// in Classes those of each class's own mask, of the classes 1 to classes−1. Labels
// of classes and above are refused.
func StatsOfClasses(label *tensor.Dense, classes int, ignore IgnoreIndex) (LabelStats, error) {
	if classes < 2 {
		return LabelStats{}, refuse("classes", classes, "at least 2, the background being one")
	}
	in, err := labelInput(label, ignore)
	if err != nil {
		return LabelStats{}, err
	}
	in.batch.C, in.batch.Target.Binarize = classes, false
	st, err := in.backend.Stats(&in.batch, plan.StatsRequest{Smoothness: true, PerClass: true})
	if err != nil {
		return LabelStats{}, public(err)
	}
	s := newLabelStats(st.Valid[0], st.Foreground[0], st.Magnitude[0], st.Boundary[0])
	for c := 1; c < classes; c++ {
		s.Classes = append(s.Classes, newLabelStats(st.Valid[0], st.Count[c], st.Magnitude[c], st.Boundary[c]))
	}
	return s, nil
}

// newLabelStats makes the statistics of a mask from its counts and the sum of its
// gradient magnitudes. Where every voxel is ignored the shares are those of an empty
// mask.
func newLabelStats(voxels, foreground, magnitude, boundary float64) LabelStats {
	s := LabelStats{Foreground: int(foreground), Voxels: int(voxels), AlphaVa: 1, BoundaryVoxels: int(boundary)}
	if voxels > 0 {
		s.GammaVa, s.AlphaVa, s.GammaMSa = foreground/voxels, (voxels-foreground)/voxels, magnitude/voxels
	}
	if boundary > 0 {
		s.Boundary = magnitude / boundary
	}
	return s
}

// check refuses statistics that no label has; name is theirs in errors.
func (s LabelStats) check(name string) error {
	const slack = 1e-9 // of numbers that were written and read again
	switch {
	case s.Voxels < 1:
		return refuse(name+".Voxels", s.Voxels, "at least 1")
	case s.Foreground < 0 || s.Foreground > s.Voxels:
		return refuse(name+".Foreground", s.Foreground, "from 0 to the %d voxels", s.Voxels)
	case s.BoundaryVoxels < 0 || s.BoundaryVoxels > s.Voxels:
		return refuse(name+".BoundaryVoxels", s.BoundaryVoxels, "from 0 to the %d voxels", s.Voxels)
	case !(math.Abs(s.GammaVa-float64(s.Foreground)/float64(s.Voxels)) <= slack):
		return refuse(name+".GammaVa", s.GammaVa, "Foreground/Voxels, %v", float64(s.Foreground)/float64(s.Voxels))
	}
	if err := checkNumber(name+".GammaMSa", s.GammaMSa, math.Inf(1)); err != nil {
		return err
	}
	// What follows from the other numbers has to agree with them.
	boundary := 0.0
	if s.BoundaryVoxels > 0 {
		boundary = s.GammaMSa * float64(s.Voxels) / float64(s.BoundaryVoxels)
	}
	switch {
	case !(math.Abs(s.AlphaVa-(1-s.GammaVa)) <= slack):
		return refuse(name+".AlphaVa", s.AlphaVa, "1−GammaVa, %v", 1-s.GammaVa)
	case (s.BoundaryVoxels == 0) != (s.GammaMSa == 0):
		return refuse(name+".BoundaryVoxels", s.BoundaryVoxels, "above 0 where GammaMSa is, which is %v", s.GammaMSa)
	case !(math.Abs(s.Boundary-boundary) <= slack*max(1, boundary)):
		return refuse(name+".Boundary", s.Boundary, "GammaMSa·Voxels/BoundaryVoxels, %v", boundary)
	}
	return nil
}

// givenStats checks the statistics of WithStats, one for each sample, and spreads
// them as a backend's own.
func (in *input) givenStats(want plan.StatsRequest) (*plan.Stats, error) {
	n, c := in.batch.N, in.batch.C
	if len(in.stats) != n {
		return nil, refuse("number of WithStats", len(in.stats), "%d, one for each sample", n)
	}
	st := &plan.Stats{K: want.Masks(c)}
	for i, s := range in.stats {
		name := fmt.Sprintf("WithStats[%d]", i)
		masks := []LabelStats{s}
		switch {
		case !want.PerClass || c < 2:
		case c == 2 && s.Classes == nil:
			masks = append(masks, s) // the only class of the foreground
		case len(s.Classes) != c-1:
			return nil, refuse("length of "+name+".Classes", len(s.Classes), "%d, one for each class above 0 (see StatsOfClasses)", c-1)
		default:
			masks = append(masks, s.Classes...)
		}
		counts := make([]float64, c)
		for k, m := range masks {
			if k > 0 && s.Classes != nil {
				name = fmt.Sprintf("WithStats[%d].Classes[%d]", i, k-1)
			}
			if err := m.check(name); err != nil {
				return nil, err
			}
			if m.Voxels != s.Voxels {
				return nil, refuse(name+".Voxels", m.Voxels, "%d, as of the image", s.Voxels)
			}
			st.Magnitude = append(st.Magnitude, m.GammaMSa*float64(m.Voxels))
			st.Boundary = append(st.Boundary, float64(m.BoundaryVoxels))
			if k > 0 {
				counts[k] = float64(m.Foreground)
			}
		}
		st.Valid = append(st.Valid, float64(s.Voxels))
		st.Foreground = append(st.Foreground, float64(s.Foreground))
		st.Count = append(st.Count, counts...)
	}
	return st, nil
}

// GradientMagnitude returns |∇ mask| of one label image in Go memory, H×W or
// X×Y×Z, as a float64 tensor of the same shape; see [LabelStats].
func GradientMagnitude(label *tensor.Dense) (*tensor.Dense, error) {
	mask, err := labelInput(label, IgnoreIndex{})
	if err != nil {
		return nil, err
	}
	if _, ok := mask.backend.(plan.Remote); ok {
		return nil, refuse("engine of label", engineName(label.Engine()), "one of gorgonia.org/tensor's standard engines")
	}
	out := make([]float64, mask.batch.V)
	if err := cpu.Magnitude(&mask.batch, out); err != nil {
		return nil, publicOfMask(err)
	}
	return tensor.New(tensor.WithShape(label.Shape()...), tensor.WithBacking(out)), nil
}

// publicOfMask is [public] for labels of which every nonzero one is foreground. A backend
// knows only that it reads two classes.
func publicOfMask(err error) error {
	return plan.Reword(err, func(r *plan.Refusal) error {
		reworded := *r
		reworded.Want = strings.Replace(r.Want, "a class index from 0 to 1", "a whole number of at least 0", 1)
		return public(&reworded)
	})
}

// labelInput checks a label image that comes without logits.
func labelInput(label *tensor.Dense, ignored IgnoreIndex) (*input, error) {
	if err := ignored.check(); err != nil {
		return nil, err
	}
	if label == nil {
		return nil, refuse("label", "nil", "a tensor")
	}
	backend, err := backendOf("label", label)
	if err != nil {
		return nil, err
	}
	if slices.Contains(label.Shape(), 0) {
		return nil, refuse("shape of label", label.Shape(), "no axis of size 0")
	}
	if err := checkLayout("label", label, plan.LabelTypes...); err != nil {
		return nil, err
	}
	if d := label.Dims(); d != 2 && d != 3 {
		return nil, refuse("shape of label", label.Shape(), "H×W or X×Y×Z")
	}
	spatial := label.Shape()
	in := &input{backend: backend, spatial: spatial}
	in.batch = plan.Batch{N: 1, C: 1, V: product(spatial), Space: space3(spatial),
		Target: plan.Target{Tensor: label, Argument: "label", Binarize: true, Ignore: ignored.Index, HasIgnore: ignored.Set}}
	return in, nil
}
