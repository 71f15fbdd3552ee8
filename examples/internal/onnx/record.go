package onnx

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// array is an input, a result of an operation, or a constant: a parameter or buffer.
type array struct {
	name   string // set by name for constants
	shape  []int
	values []float32 // nil unless constant
}

// Shape implements nn.Array.
func (a *array) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array) DType() nn.DType { return nn.Float32 }

// recorder implements nn.Backend by recording operations. After an error it records nothing
// more, and every operation returns the first error.
type recorder struct {
	nodes        []node
	initializers []initializer // in the order of their first use
	written      map[string]bool
	err          error
}

func (r *recorder) failf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("onnx: "+format, args...)
	}
}

// array returns an argument of an operation.
func (r *recorder) array(op, argument string, x nn.Array) *array {
	a, ok := x.(*array)
	switch {
	case ok && a != nil:
		return a
	case x == nil || ok:
		r.failf("%s: %s is nil", op, argument)
	default:
		r.failf("%s: %s %w", op, argument, nn.Foreign(x))
	}
	return &array{shape: make([]int, 5)}
}

// volume is array for one of shape N×C×X×Y×Z.
func (r *recorder) volume(op, argument string, x nn.Array) *array {
	a := r.array(op, argument, x)
	if len(a.shape) != 5 {
		r.failf("%s: %s has shape %v, want N×C×X×Y×Z", op, argument, a.shape)
		return &array{shape: make([]int, 5)}
	}
	return a
}

// constant is array for a constant of the given shape.
func (r *recorder) constant(op, argument string, x nn.Array, shape ...int) *array {
	a := r.array(op, argument, x)
	if r.err == nil && a.values == nil {
		r.failf("%s: %s is computed by the network, which ONNX's operator does not take; want a parameter", op, argument)
	}
	if r.err == nil && !slices.Equal(a.shape, shape) {
		r.failf("%s: %s has shape %v, want %v", op, argument, a.shape, shape)
	}
	return a
}

// equal reports an error unless two arguments have the same shape.
func (r *recorder) equal(op string, a, b *array) {
	if !slices.Equal(a.shape, b.shape) {
		r.failf("%s: shapes %v and %v differ", op, a.shape, b.shape)
	}
}

// name returns the name of an array in the graph, to which it adds a constant on its first use.
func (r *recorder) name(a *array) string {
	if a.values != nil {
		if a.name == "" {
			a.name = fmt.Sprintf("constant_%d", len(r.initializers))
		}
		r.initialize(initializer{name: a.name, dims: a.shape, floats: a.values})
	}
	return a.name
}

// perChannel is name for a constant with a value for each channel of a volume, which it gives
// the shape that ONNX broadcasts, C×1×1×1.
func (r *recorder) perChannel(a *array) string {
	name := a.name + "/channels"
	r.initialize(initializer{name: name, dims: []int{len(a.values), 1, 1, 1}, floats: a.values})
	return name
}

// ints returns the name of a constant vector of integers.
func (r *recorder) ints(values ...int) string {
	var text []string
	for _, v := range values {
		text = append(text, strconv.Itoa(v))
	}
	name := "ints:" + strings.Join(text, ",")
	r.initialize(initializer{name: name, dims: []int{len(values)}, ints: values})
	return name
}

// scales returns the name of a constant vector of floats with the given whole values.
func (r *recorder) scales(values ...int) string {
	floats := make([]float32, len(values))
	var text []string
	for i, v := range values {
		floats[i] = float32(v)
		text = append(text, strconv.Itoa(v))
	}
	name := "floats:" + strings.Join(text, ",")
	r.initialize(initializer{name: name, dims: []int{len(values)}, floats: floats})
	return name
}

// filled returns the name of a constant vector of n times the same value.
func (r *recorder) filled(n int, value float32) string {
	name := fmt.Sprintf("filled:%dx%g", n, value)
	r.initialize(initializer{name: name, dims: []int{n}, floats: slices.Repeat([]float32{value}, n)})
	return name
}

func (r *recorder) initialize(t initializer) {
	if !r.written[t.name] {
		r.written[t.name] = true
		r.initializers = append(r.initializers, t)
	}
}

// add records an operation.
func (r *recorder) add(op string, shape []int, inputs []string, attributes ...attribute) *array {
	name := fmt.Sprintf("%s_%d", op, len(r.nodes))
	r.nodes = append(r.nodes, node{op, inputs, name, attributes})
	return &array{name: name, shape: slices.Clone(shape)}
}

// result returns what an operation of nn.Backend returns.
func (r *recorder) result(a *array) (nn.Array, nn.Pullback, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	return a, func(nn.Array, []bool) ([]nn.Array, error) { return nil, errTraining("a gradient") }, nil
}

// errTraining is the error of what an inference graph does not have.
func errTraining(what string) error {
	return fmt.Errorf("onnx: %s belongs to training; only inference can be recorded", what)
}

// Name implements nn.Backend.
func (r *recorder) Name() string { return "onnx" }

// DType implements nn.Backend.
func (r *recorder) DType() nn.DType { return nn.Float32 }

// FromHost implements nn.Backend. The array is a constant.
func (r *recorder) FromHost(t *tensor.Dense, _ nn.Lifetime) (nn.Array, error) {
	a := &array{shape: slices.Clone([]int(t.Shape()))}
	switch data := t.Data().(type) {
	case []float32:
		a.values = slices.Clone(data)
	case []float64:
		a.values = make([]float32, len(data))
		for i, v := range data {
			a.values[i] = float32(v)
		}
	default:
		return nil, fmt.Errorf("onnx: FromHost: element type is %v, want float32 or float64", t.Dtype())
	}
	return a, nil
}

// ToHost implements nn.Backend for constants.
func (r *recorder) ToHost(x nn.Array, dst *tensor.Dense) error {
	a := r.array("ToHost", "a", x)
	if r.err != nil {
		return r.err
	}
	values, ok := dst.Data().([]float32)
	if a.values == nil || !ok || len(values) != len(a.values) {
		return fmt.Errorf("onnx: ToHost: only parameters and buffers have values, which are float32")
	}
	copy(values, a.values)
	return nil
}

// Zeros implements nn.Backend.
func (r *recorder) Zeros(shape []int) (nn.Array, error) {
	return &array{shape: slices.Clone(shape), values: make([]float32, nn.Elements(shape))}, nil
}

// Release implements nn.Backend. It does nothing, as arrays hold no memory.
func (r *recorder) Release(nn.Array) {}

// EndStep implements nn.Backend. It does nothing, as arrays hold no memory.
func (r *recorder) EndStep(...nn.Array) {}

// bothEnds returns padding in ONNX's order: at the beginning of each axis, then at the end.
func bothEnds(p [3]int) []int { return []int{p[0], p[1], p[2], p[0], p[1], p[2]} }

// Conv3D implements nn.Backend.
func (r *recorder) Conv3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return r.conv("Conv3D", "Conv", x, weight, bias, spec)
}

// ConvTranspose3D implements nn.Backend.
func (r *recorder) ConvTranspose3D(x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	return r.conv("ConvTranspose3D", "ConvTranspose", x, weight, bias, spec)
}

func (r *recorder) conv(name, op string, x, weight, bias nn.Array, spec nn.ConvSpec) (nn.Array, nn.Pullback, error) {
	a, w := r.volume(name, "x", x), r.volume(name, "weight", weight)
	in, out, size := w.shape[1], w.shape[0], nn.ConvSpec.OutputSize
	if op == "ConvTranspose" {
		in, out, size = w.shape[0], w.shape[1], nn.ConvSpec.TransposedSize
	}
	if a.shape[1] != in {
		r.failf("%s: x has %d channels, want those of the weight, %d", name, a.shape[1], in)
	}
	r.constant(name, "weight", w, w.shape...)
	spec, err := spec.Normalized()
	if err != nil {
		r.failf("%s: %w", name, err)
	}
	kernel := [3]int(w.shape[2:])
	var to [3]int
	if r.err == nil {
		if to, err = size(spec, [3]int(a.shape[2:]), kernel); err != nil {
			r.failf("%s: %w", name, err)
		}
	}
	inputs := []string{r.name(a), r.name(w)}
	if bias != nil {
		inputs = append(inputs, r.name(r.constant(name, "bias", bias, out)))
	}
	attributes := []attribute{
		{"kernel_shape", kernel[:]}, {"strides", spec.Stride[:]}, {"pads", bothEnds(spec.Padding)}, {"dilations", spec.Dilation[:]},
	}
	if op == "ConvTranspose" {
		attributes = append(attributes, attribute{"output_padding", spec.OutputPadding[:]})
	} else if spec.OutputPadding != [3]int{} {
		r.failf("%s: output padding is %v, want 0", name, spec.OutputPadding)
	}
	return r.result(r.add(op, []int{a.shape[0], out, to[0], to[1], to[2]}, inputs, attributes...))
}

// BatchNorm implements nn.Backend.
func (r *recorder) BatchNorm(x, weight, bias, runningMean, runningVar nn.Array, spec nn.BatchNormSpec) (nn.Array, nn.Pullback, error) {
	const op = "BatchNorm"
	if spec.Training {
		return nil, nil, errTraining("BatchNorm with statistics of the batch")
	}
	a := r.volume(op, "x", x)
	inputs := []string{r.name(a)}
	for _, p := range []struct {
		argument string
		value    nn.Array
	}{{"weight", weight}, {"bias", bias}, {"runningMean", runningMean}, {"runningVar", runningVar}} {
		inputs = append(inputs, r.name(r.constant(op, p.argument, p.value, a.shape[1])))
	}
	if r.err == nil {
		variance := r.array(op, "runningVar", runningVar)
		if i := slices.IndexFunc(variance.values, func(v float32) bool { return float64(v)+spec.Epsilon <= 0 }); i >= 0 {
			r.failf("BatchNorm: %s is %g in channel %d; a variance must not be negative", variance.name, variance.values[i], i)
		}
	}
	return r.result(r.add("BatchNormalization", a.shape, inputs, attribute{"epsilon", float32(spec.Epsilon)}))
}

// GroupNorm implements nn.Backend.
func (r *recorder) GroupNorm(x, weight, bias nn.Array, groups int, epsilon float64) (nn.Array, nn.Pullback, error) {
	const op = "GroupNorm"
	a := r.volume(op, "x", x)
	if r.err != nil {
		return nil, nil, r.err
	}
	s, channels := a.shape, a.shape[1]
	switch {
	case (weight == nil) != (bias == nil):
		r.failf("%s: weight and bias must be either both nil or both given", op)
	case groups < 1 || channels%groups != 0:
		r.failf("%s: %d channels cannot be divided into %d groups", op, channels, groups)
	case nn.Elements(s) < 2*s[0]*groups:
		r.failf("%s: x has shape %v, in which a group has a single value; want more", op, s)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	attributes := attribute{"epsilon", float32(epsilon)}
	var scale []string // of the InstanceNormalization
	if weight == nil || groups != channels {
		scale = []string{r.filled(groups, 1), r.filled(groups, 0)}
	} else {
		scale = []string{r.name(r.constant(op, "weight", weight, channels)), r.name(r.constant(op, "bias", bias, channels))}
	}
	if groups == channels {
		return r.result(r.add("InstanceNormalization", s, append([]string{r.name(a)}, scale...), attributes))
	}
	shape := r.add("Shape", []int{5}, []string{r.name(a)})
	y := r.add("Reshape", []int{s[0], groups, nn.Elements(s) / (s[0] * groups)}, []string{r.name(a), r.ints(0, groups, -1)})
	y = r.add("InstanceNormalization", y.shape, append([]string{y.name}, scale...), attributes)
	y = r.add("Reshape", s, []string{y.name, shape.name})
	if weight != nil {
		y = r.add("Mul", s, []string{y.name, r.perChannel(r.constant(op, "weight", weight, channels))})
		y = r.add("Add", s, []string{y.name, r.perChannel(r.constant(op, "bias", bias, channels))})
	}
	return r.result(y)
}

// PReLU implements nn.Backend. With one slope it is LeakyRelu, which more programs optimize.
func (r *recorder) PReLU(x, slope nn.Array) (nn.Array, nn.Pullback, error) {
	a, s := r.volume("PReLU", "x", x), r.array("PReLU", "slope", slope)
	if len(s.values) == 1 {
		return r.result(r.add("LeakyRelu", a.shape, []string{r.name(a)}, attribute{"alpha", s.values[0]}))
	}
	s = r.constant("PReLU", "slope", slope, a.shape[1])
	return r.result(r.add("PRelu", a.shape, []string{r.name(a), r.perChannel(s)}))
}

var activations = map[nn.Activation]string{nn.ReLU: "Relu", nn.ELU: "Elu", nn.Sigmoid: "Sigmoid"}

// Activate implements nn.Backend.
func (r *recorder) Activate(x nn.Array, f nn.Activation) (nn.Array, nn.Pullback, error) {
	a := r.array("Activate", "x", x)
	op, ok := activations[f]
	if !ok {
		r.failf("Activate: there is no operator for %v", f)
	}
	return r.result(r.add(op, a.shape, []string{r.name(a)}))
}

// MaxPool3D implements nn.Backend.
func (r *recorder) MaxPool3D(x nn.Array, spec nn.PoolSpec) (nn.Array, nn.Pullback, error) {
	const op = "MaxPool3D"
	a := r.volume(op, "x", x)
	spec, err := spec.Normalized()
	if err != nil {
		r.failf("%s: %w", op, err)
	}
	var to [3]int
	if r.err == nil {
		if to, err = spec.OutputSize([3]int(a.shape[2:])); err != nil {
			r.failf("%s: %w", op, err)
		}
	}
	return r.result(r.add("MaxPool", []int{a.shape[0], a.shape[1], to[0], to[1], to[2]}, []string{r.name(a)},
		attribute{"kernel_shape", spec.Kernel[:]}, attribute{"strides", spec.Stride[:]}, attribute{"pads", bothEnds(spec.Padding)}))
}

// resizes holds the attributes of Resize for each mode.
var resizes = map[nn.ResizeMode][]attribute{
	nn.Nearest:       {{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"}},
	nn.Linear:        {{"mode", "linear"}, {"coordinate_transformation_mode", "half_pixel"}},
	nn.LinearAligned: {{"mode", "linear"}, {"coordinate_transformation_mode", "align_corners"}},
}

// Resize implements nn.Backend for whole factors, which do not depend on the size.
func (r *recorder) Resize(x nn.Array, size [3]int, mode nn.ResizeMode) (nn.Array, nn.Pullback, error) {
	const op = "Resize"
	a := r.volume(op, "x", x)
	attributes, ok := resizes[mode]
	if !ok {
		r.failf("%s: there is no operator for %v", op, mode)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	factors := []int{1, 1}
	for axis, to := range size {
		from := a.shape[2+axis]
		if to < 1 || to%from != 0 {
			r.failf("%s: from %v to %v voxels; only whole factors can be recorded", op, a.shape[2:], size)
			return nil, nil, r.err
		}
		factors = append(factors, to/from)
	}
	return r.result(r.add("Resize", []int{a.shape[0], a.shape[1], size[0], size[1], size[2]},
		[]string{r.name(a), "", r.scales(factors...)}, attributes...))
}

// Dropout3D implements nn.Backend. It always fails: a pass in inference has no dropout.
func (r *recorder) Dropout3D(nn.Array, float64, uint64) (nn.Array, nn.Pullback, error) {
	return nil, nil, errTraining("Dropout3D")
}

// Concat implements nn.Backend.
func (r *recorder) Concat(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	const op = "Concat"
	if len(xs) == 0 {
		r.failf("%s: there are no arrays", op)
		return nil, nil, r.err
	}
	var names []string
	shape := slices.Clone(r.volume(op, "xs[0]", xs[0]).shape)
	shape[1] = 0
	for i, x := range xs {
		a := r.volume(op, fmt.Sprintf("xs[%d]", i), x)
		if a.shape[0] != shape[0] || !slices.Equal(a.shape[2:], shape[2:]) {
			r.failf("%s: xs[%d] has shape %v, want that of xs[0] but for the channels, %v", op, i, a.shape, xs[0].Shape())
		}
		shape[1] += a.shape[1]
		names = append(names, r.name(a))
	}
	return r.result(r.add("Concat", shape, names, attribute{"axis", 1}))
}

// RepeatChannels implements nn.Backend.
func (r *recorder) RepeatChannels(x nn.Array, channels int) (nn.Array, nn.Pullback, error) {
	a := r.volume("RepeatChannels", "x", x)
	shape := slices.Clone(a.shape)
	if channels < shape[1] || shape[1] < 1 {
		r.failf("RepeatChannels: channels is %d, want at least those of x, %d", channels, shape[1])
		return nil, nil, r.err
	}
	times := (channels + shape[1] - 1) / shape[1]
	shape[1] *= times
	y := r.add("Tile", shape, []string{r.name(a), r.ints(1, times, 1, 1, 1)})
	if shape[1] != channels {
		shape[1] = channels
		y = r.add("Slice", shape, []string{y.name, r.ints(0), r.ints(channels), r.ints(1)})
	}
	return r.result(y)
}

// Add implements nn.Backend.
func (r *recorder) Add(x0, x1 nn.Array) (nn.Array, nn.Pullback, error) {
	a, b := r.array("Add", "a", x0), r.array("Add", "b", x1)
	r.equal("Add", a, b)
	return r.result(r.add("Add", a.shape, []string{r.name(a), r.name(b)}))
}

// Mean implements nn.Backend.
func (r *recorder) Mean(xs ...nn.Array) (nn.Array, nn.Pullback, error) {
	if len(xs) == 0 {
		r.failf("Mean: there are no arrays")
		return nil, nil, r.err
	}
	first := r.array("Mean", "xs[0]", xs[0])
	var names []string
	for i, x := range xs {
		a := r.array("Mean", fmt.Sprintf("xs[%d]", i), x)
		r.equal("Mean", first, a)
		names = append(names, r.name(a))
	}
	return r.result(r.add("Mean", first.shape, names))
}

// Gate implements nn.Backend.
func (r *recorder) Gate(x, gate nn.Array) (nn.Array, nn.Pullback, error) {
	a, g := r.volume("Gate", "x", x), r.volume("Gate", "gate", gate)
	if want := []int{a.shape[0], 1, a.shape[2], a.shape[3], a.shape[4]}; !slices.Equal(g.shape, want) {
		r.failf("Gate: gate has shape %v, want %v", g.shape, want)
	}
	return r.result(r.add("Mul", a.shape, []string{r.name(a), r.name(g)}))
}

// SumOfSquares implements nn.Backend. It always fails.
func (r *recorder) SumOfSquares(...nn.Array) (float64, error) {
	return 0, errTraining("SumOfSquares")
}

// Scale implements nn.Backend. It always fails: it scales gradients.
func (r *recorder) Scale(nn.Array, float64) (nn.Array, error) { return nil, errTraining("Scale") }

// SGDStep implements nn.Backend. It always fails.
func (r *recorder) SGDStep(_, _, _ nn.Array, _ bool, _ nn.SGDSpec) error {
	return errTraining("SGDStep")
}

// AdamWStep implements nn.Backend. It always fails.
func (r *recorder) AdamWStep(_, _, _, _ nn.Array, _ nn.AdamWSpec) error {
	return errTraining("AdamWStep")
}

// checkFinite returns an error if a constant has a value that is not finite.
func checkFinite(a *array) error {
	for i, v := range a.values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("onnx: %s has the value %g at index %d; the weights are not usable", a.name, v, i)
		}
	}
	return nil
}
