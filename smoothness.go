package afl

import (
	"slices"

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
}

// Gamma is the focusing parameter γ_va + γ_mSa (paper and released code).
func (s LabelStats) Gamma() float64 { return s.GammaVa + s.GammaMSa }

// StatsOf returns the statistics of one label image, H×W or X×Y×Z, of any
// integer type, bool, or a float type that holds whole numbers. Negative labels
// are refused.
func StatsOf(label *tensor.Dense) (LabelStats, error) {
	mask, err := labelInput(label)
	if err != nil {
		return LabelStats{}, err
	}
	st, err := mask.backend.Stats(&mask.batch, plan.StatsRequest{Smoothness: true})
	if err != nil {
		return LabelStats{}, err
	}
	v := float64(mask.batch.V)
	s := LabelStats{
		Foreground: int(st.Foreground[0]), Voxels: mask.batch.V,
		GammaVa: st.Foreground[0] / v, AlphaVa: (v - st.Foreground[0]) / v,
		GammaMSa: st.Magnitude[0] / v, BoundaryVoxels: int(st.Boundary[0]),
	}
	if s.BoundaryVoxels > 0 {
		s.Boundary = st.Magnitude[0] / st.Boundary[0]
	}
	return s, nil
}

// GradientMagnitude returns |∇ mask| of one label image in Go memory, H×W or
// X×Y×Z, as a float64 tensor of the same shape; see [LabelStats].
func GradientMagnitude(label *tensor.Dense) (*tensor.Dense, error) {
	mask, err := labelInput(label)
	if err != nil {
		return nil, err
	}
	if _, ok := mask.backend.(plan.Remote); ok {
		return nil, plan.Refuse("engine of label", engineName(label.Engine()), "one of gorgonia.org/tensor's standard engines")
	}
	out := make([]float64, mask.batch.V)
	if err := cpu.Magnitude(&mask.batch, out); err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(label.Shape()...), tensor.WithBacking(out)), nil
}

// labelInput checks a label image that comes without logits.
func labelInput(label *tensor.Dense) (*input, error) {
	if label == nil {
		return nil, plan.Refuse("label", "nil", "a tensor")
	}
	backend, err := backendOf("label", label)
	if err != nil {
		return nil, err
	}
	if slices.Contains(label.Shape(), 0) {
		return nil, plan.Refuse("shape of label", label.Shape(), "no axis of size 0")
	}
	if err := checkLayout("label", label, labelTypes...); err != nil {
		return nil, err
	}
	if d := label.Dims(); d != 2 && d != 3 {
		return nil, plan.Refuse("shape of label", label.Shape(), "H×W or X×Y×Z")
	}
	spatial := label.Shape()
	in := &input{backend: backend, spatial: spatial}
	in.batch = plan.Batch{N: 1, C: 1, V: product(spatial), Space: space3(spatial),
		Target: plan.Target{Tensor: label, Argument: "label", Binarise: true}}
	return in, nil
}
