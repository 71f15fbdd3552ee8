package afl

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// input is a checked call: the batch and the backend it lives on.
type input struct {
	batch   plan.Batch
	spatial []int
	backend plan.Backend
	// stats are those of WithStats, not checked yet.
	stats []LabelStats
	// compound is set while the terms of a Compound are planned.
	compound bool
	// semimetric is set by an overlap loss that sums min(p,t) in place of p·t.
	semimetric bool
	// steep is set by a loss with an exponent below 1, which needs the relative precision of
	// an overlap term where it is almost 0.
	steep bool
}

// newInput checks the tensors of a call.
func newInput(logits, target, voxelWeight *tensor.Dense, ignore IgnoreIndex, binarize bool) (*input, error) {
	in, err := newLogitsInput(logits)
	if err != nil {
		return nil, err
	}
	in.batch.Target, err = in.checkTarget(target, ignore, binarize)
	if err != nil {
		return nil, err
	}
	if voxelWeight == nil {
		return in, nil
	}
	if err := in.checkTensor("voxel weight", voxelWeight, tensor.Float32, tensor.Float64); err != nil {
		return nil, err
	}
	if !in.isPerVoxel(voxelWeight.Shape()) {
		return nil, refuse("shape of voxel weight", voxelWeight.Shape(), "%v", in.perVoxelShape())
	}
	in.batch.VoxelWeight = voxelWeight
	return in, nil
}

// newLogitsInput checks the logits of a call.
func newLogitsInput(logits *tensor.Dense) (*input, error) {
	backend, err := checkLogits(logits)
	if err != nil {
		return nil, err
	}
	shape := logits.Shape()
	in := &input{backend: backend, spatial: slices.Clone(shape[2:])}
	in.batch = plan.Batch{N: shape[0], C: shape[1], V: product(in.spatial), Space: space3(in.spatial), Logits: logits}
	return in, nil
}

// space3 makes rows of a 2-D image its planes, which a backend may buffer.
func space3(spatial []int) [3]int {
	if len(spatial) == 2 {
		return [3]int{spatial[0], 1, spatial[1]}
	}
	return [3]int(spatial)
}

func product(s []int) int {
	p := 1
	for _, v := range s {
		p *= v
	}
	return p
}

func (in *input) perVoxelShape() tensor.Shape {
	return append(tensor.Shape{in.batch.N}, in.spatial...)
}

// isPerVoxel reports whether a shape is N×space or N×1×space.
func (in *input) isPerVoxel(shape tensor.Shape) bool {
	if len(shape) == 0 || shape[0] != in.batch.N {
		return false
	}
	rest := shape[1:]
	if len(rest) == len(in.spatial)+1 && rest[0] == 1 {
		rest = rest[1:]
	}
	return slices.Equal(rest, in.spatial)
}

func checkLogits(logits *tensor.Dense) (plan.Backend, error) {
	if logits == nil {
		return nil, refuse("logits", "nil", "a tensor")
	}
	backend, err := backendOf("logits", logits)
	if err != nil {
		return nil, err
	}
	if slices.Contains(logits.Shape(), 0) {
		return nil, refuse("shape of logits", logits.Shape(), "no axis of size 0")
	}
	if err := checkLayout("logits", logits, backend.LogitsTypes()...); err != nil {
		return nil, err
	}
	if d := logits.Dims(); d != 4 && d != 5 {
		return nil, refuse("shape of logits", logits.Shape(), "N×C×H×W or N×C×X×Y×Z")
	}
	return backend, nil
}

// backendOf finds the backend of a tensor's engine.
func backendOf(name string, t *tensor.Dense) (plan.Backend, error) {
	switch e := t.Engine().(type) {
	case plan.Provider:
		return e.Backend(), nil
	case tensor.StdEng, tensor.Float32Engine, tensor.Float64Engine:
		if !t.IsNativelyAccessible() {
			return nil, refuse("memory of "+name, "not accessible from Go", "Go memory, or an engine with a backend")
		}
		return cpu.Backend{}, nil
	default:
		return nil, refuse("engine of "+name, engineName(e), "an engine with a backend: gorgonia.org/tensor's standard engines, or one of package cuda")
	}
}

// engineName tells engines of one type apart where they have a name.
func engineName(e tensor.Engine) string {
	if s, ok := e.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", e)
}

// checkLayout is [plan.CheckLayout] with this package's error.
func checkLayout(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	return public(plan.CheckLayout(name, t, types...))
}

// checkTensor checks layout, type and engine of a tensor that goes with the
// logits.
func (in *input) checkTensor(name string, t *tensor.Dense, types ...tensor.Dtype) error {
	backend, err := backendOf(name, t)
	if err != nil {
		return err
	}
	if backend != in.backend {
		got, want := engineName(t.Engine()), engineName(in.batch.Logits.Engine())
		if got == want { // two engines on one device
			got = "another engine on " + got
		}
		return refuse("engine of "+name, got, "that of the logits, %s", want)
	}
	return checkLayout(name, t, types...)
}

func isFloat(dt tensor.Dtype) bool { return dt == tensor.Float32 || dt == tensor.Float64 }

func (in *input) checkTarget(target *tensor.Dense, ignore IgnoreIndex, binarize bool) (plan.Target, error) {
	if target == nil {
		return plan.Target{}, refuse("target", "nil", "a tensor")
	}
	if err := in.checkTensor("target", target, plan.LabelTypes...); err != nil {
		return plan.Target{}, err
	}
	if err := ignore.check(); err != nil {
		return plan.Target{}, err
	}
	t := plan.Target{Tensor: target, Argument: "target", Ignore: ignore.Index, HasIgnore: ignore.Set, Binarize: binarize}
	perVoxel := in.isPerVoxel(target.Shape())
	dense := slices.Equal(target.Shape(), in.batch.Logits.Shape())
	if !perVoxel && !dense {
		return t, refuse("shape of target", target.Shape(),
			"%v (class indices) or %v (a map for each channel)", in.perVoxelShape(), in.batch.Logits.Shape())
	}
	t.Dense = dense && (!perVoxel || isFloat(target.Dtype()) && !ignore.Set)
	if t.Dense && ignore.Set {
		return t, refuse("IgnoreIndex", ignore, "none with a per-channel target (use WithVoxelWeight)")
	}
	return t, nil
}

func (in *input) checkGrad(grad, upstream *tensor.Dense) error {
	if err := in.checkTensor("grad", grad, in.batch.Logits.Dtype()); err != nil {
		return err
	}
	if !slices.Equal(grad.Shape(), in.batch.Logits.Shape()) {
		return refuse("shape of grad", grad.Shape(), "that of the logits, %v", in.batch.Logits.Shape())
	}
	for _, other := range []struct {
		name string
		t    *tensor.Dense
	}{{"logits", in.batch.Logits}, {"target", in.batch.Target.Tensor}, {"voxel weight", in.batch.VoxelWeight}, {"upstream", upstream}} {
		if other.t != nil && overlaps(grad, other.t) {
			return refuse("grad", "in the memory of "+other.name, "memory of its own")
		}
	}
	return nil
}

func overlaps(a, b *tensor.Dense) bool {
	return a.Uintptr() < b.Uintptr()+b.MemSize() && b.Uintptr() < a.Uintptr()+a.MemSize()
}

func (in *input) checkUpstream(upstream *tensor.Dense, dt tensor.Dtype, shape []int) error {
	if upstream == nil {
		return nil
	}
	if err := in.checkTensor("upstream", upstream, dt); err != nil {
		return err
	}
	if !slices.Equal(upstream.Shape(), shape) {
		return refuse("shape of upstream", upstream.Shape(), "that of the un-reduced loss, %v", tensor.Shape(shape))
	}
	return nil
}

// scale is what a pointwise term of the given number of channels is multiplied
// by under a reduction.
func (in *input) scale(r Reduction, channels int) (float64, plan.Denominator) {
	switch r {
	case ReduceSum, ReduceNone:
		return 1, plan.One
	case ReduceSpatialMeanSum:
		return 1 / float64(in.batch.V), plan.One
	case ReduceVoxelMean:
		return 1, plan.Valid
	}
	return 1 / float64(channels), plan.Valid
}

// elementShape is the shape of a pointwise term without reduction.
func (in *input) elementShape(w *plan.Focal) []int {
	if w.PerVoxel {
		return in.perVoxelShape()
	}
	return append([]int{in.batch.N, in.batch.C - w.First}, in.spatial...)
}

// groupShape is the shape of an overlap term without reduction.
func (in *input) groupShape(o *plan.Overlap) []int {
	samples, channels := o.Grid(in.batch.N, in.batch.C)
	var shape []int
	if !o.Batch {
		shape = append(shape, samples)
	}
	shape = append(shape, channels)
	if o.Kind != plan.Tversky {
		for range in.spatial {
			shape = append(shape, 1)
		}
	}
	return shape
}

// activation resolves what a term of a loss is activated by. Identity is refused
// where the term is pointwise.
func (in *input) activation(a Activation, pointwise bool) (plan.Activation, error) {
	one := in.batch.C == 1
	switch {
	case a == Sigmoid, a == Softmax && one && in.compound:
		return plan.Sigmoid, nil
	case a == Softmax && one:
		return 0, refuse("Activation", "softmax of one channel, which is 1 whatever the logit", "sigmoid (SoftmaxMONAI names MONAI's reading)")
	case a == SoftmaxMONAI && one && !pointwise:
		return plan.None, nil
	case a == Softmax, a == SoftmaxMONAI:
		return plan.Softmax, nil
	case a == Identity && !pointwise:
		return plan.None, nil
	case pointwise:
		return 0, refuse("Activation", a, "sigmoid or softmax")
	}
	return 0, refuse("Activation", a, "sigmoid, softmax or identity")
}

// newFocal returns a pointwise term whose factors are the given class weights, one
// for each channel that takes part, and whose gamma is 0.
func (in *input) newFocal(activation plan.Activation, weight []float64) *plan.Focal {
	c := in.batch.C
	first := c - len(weight)
	w := &plan.Focal{
		Activation: activation,
		First:      first,
		Gamma:      make([]float64, c),
		Pos:        make([]float64, c), Neg: make([]float64, c), CE: make([]float64, c),
		Scale: 1,
	}
	copy(w.Pos[first:], weight)
	copy(w.Neg[first:], weight)
	for i := range c {
		w.CE[i] = 1
	}
	return w
}
