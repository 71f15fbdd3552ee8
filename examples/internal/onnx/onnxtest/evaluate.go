package onnxtest

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// Evaluate returns the output of a model for an image, computed by the portable backend
// according to ONNX's definitions of the operators. So a model can be checked where there is
// no other program for ONNX.
func (m *Model) Evaluate(image *tensor.Dense) (*tensor.Dense, error) {
	b, err := portable.New(nn.Float32)
	if err != nil {
		return nil, err
	}
	defer b.EndStep()
	e := &evaluation{backend: b, arrays: map[string]nn.Array{}, tensors: m.Graph.Initializers, shapes: map[string][]int{}}
	if len(m.Graph.Inputs) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, fmt.Errorf("onnxtest: the graph has %d inputs and %d outputs, want one of each", len(m.Graph.Inputs), len(m.Graph.Outputs))
	}
	if e.arrays[m.Graph.Inputs[0].Name], err = b.FromHost(image, nn.Step); err != nil {
		return nil, err
	}
	for _, n := range m.Graph.Nodes {
		y, err := e.node(n)
		if err != nil {
			return nil, fmt.Errorf("onnxtest: node %s: %w", n.Name, err)
		}
		if y != nil {
			e.arrays[n.Outputs[0]] = y
		}
	}
	y, ok := e.arrays[m.Graph.Outputs[0].Name]
	if !ok {
		return nil, fmt.Errorf("onnxtest: no node computes %s", m.Graph.Outputs[0].Name)
	}
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...))
	return out, b.ToHost(y, out)
}

type evaluation struct {
	backend nn.Backend
	arrays  map[string]nn.Array
	tensors map[string]Tensor
	shapes  map[string][]int // results of Shape
}

// array returns an input of a node, nil if it is left out.
func (e *evaluation) array(n Node, i int) (nn.Array, error) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return nil, nil
	}
	if a, ok := e.arrays[n.Inputs[i]]; ok {
		return a, nil
	}
	t, ok := e.tensors[n.Inputs[i]]
	if !ok || t.Floats == nil {
		return nil, fmt.Errorf("input %q is not computed before it and is no float32 constant", n.Inputs[i])
	}
	return e.load(t.Floats, t.Dims)
}

func (e *evaluation) load(values []float32, dims []int64) (nn.Array, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		shape[i] = int(d)
	}
	return e.backend.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(values))), nn.Step)
}

// triple returns a pair of equal halves, or a triple, of an attribute as X, Y, Z.
func triple(n Node, name string) (out [3]int, err error) {
	values, ok := n.Attributes[name].([]int64)
	if !ok || len(values) != 3 && (len(values) != 6 || !slices.Equal(values[:3], values[3:])) {
		return out, fmt.Errorf("attribute %s is %v", name, n.Attributes[name])
	}
	for i := range out {
		out[i] = int(values[i])
	}
	return out, nil
}

// triples is triple for several attributes.
func triples(n Node, names []string, to ...*[3]int) error {
	for i, name := range names {
		var err error
		if *to[i], err = triple(n, name); err != nil {
			return err
		}
	}
	return nil
}

// node evaluates a node. The result is nil if it is not an array.
func (e *evaluation) node(n Node) (y nn.Array, err error) {
	in := make([]nn.Array, len(n.Inputs))
	for i, name := range n.Inputs {
		if t := e.tensors[name]; t.Ints != nil || e.shapes[name] != nil {
			continue
		}
		if in[i], err = e.array(n, i); err != nil {
			return nil, err
		}
	}
	epsilon, _ := n.Attributes["epsilon"].(float32)
	b := e.backend
	switch n.Op {
	case "Conv", "ConvTranspose":
		var spec nn.ConvSpec
		names := []string{"strides", "pads", "dilations"}
		op := b.Conv3D
		if n.Op == "ConvTranspose" {
			names, op = append(names, "output_padding"), b.ConvTranspose3D
		}
		if err := triples(n, names, &spec.Stride, &spec.Padding, &spec.Dilation, &spec.OutputPadding); err != nil {
			return nil, err
		}
		kernel, err := triple(n, "kernel_shape")
		if err != nil || kernel != [3]int(in[1].Shape()[2:]) {
			return nil, fmt.Errorf("kernel_shape is %v, that of the weight %v: %w", kernel, in[1].Shape(), err)
		}
		var bias nn.Array
		if len(in) > 2 {
			bias = in[2]
		}
		y, _, err = op(in[0], in[1], bias, spec)
		return y, err
	case "BatchNormalization":
		y, _, err = b.BatchNorm(in[0], in[1], in[2], in[3], in[4], nn.BatchNormSpec{Epsilon: float64(epsilon)})
	case "InstanceNormalization":
		y, err = e.instanceNorm(in, float64(epsilon))
	case "Shape":
		e.shapes[n.Outputs[0]] = in[0].Shape()
	case "Reshape":
		y, err = e.reshape(in[0], n.Inputs[1])
	case "Relu":
		y, _, err = b.Activate(in[0], nn.ReLU)
	case "Elu":
		y, _, err = b.Activate(in[0], nn.ELU)
	case "Sigmoid":
		y, _, err = b.Activate(in[0], nn.Sigmoid)
	case "LeakyRelu":
		alpha, _ := n.Attributes["alpha"].(float32)
		slope, err := e.load([]float32{alpha}, []int64{1})
		if err != nil {
			return nil, err
		}
		y, _, err = b.PReLU(in[0], slope)
		return y, err
	case "PRelu":
		slope, err := e.flat(in[1])
		if err != nil {
			return nil, err
		}
		y, _, err = b.PReLU(in[0], slope)
		return y, err
	case "MaxPool":
		var spec nn.PoolSpec
		if err := triples(n, []string{"kernel_shape", "strides", "pads"}, &spec.Kernel, &spec.Stride, &spec.Padding); err != nil {
			return nil, err
		}
		y, _, err = b.MaxPool3D(in[0], spec)
	case "Resize":
		y, err = e.resize(n, in[0])
	case "Concat":
		if n.Attributes["axis"] != int64(1) {
			return nil, fmt.Errorf("axis is %v", n.Attributes["axis"])
		}
		y, _, err = b.Concat(in...)
	case "Tile":
		repeats := e.tensors[n.Inputs[1]].Ints
		if len(repeats) != 5 || !slices.Equal(repeats, []int64{1, repeats[1], 1, 1, 1}) {
			return nil, fmt.Errorf("repeats are %v", repeats)
		}
		y, _, err = b.RepeatChannels(in[0], in[0].Shape()[1]*int(repeats[1]))
	case "Slice":
		y, err = e.slice(n, in[0])
	case "Add", "Mul":
		y, err = e.broadcast(n.Op, in[0], in[1])
	case "Mean":
		y, _, err = b.Mean(in...)
	default:
		return nil, fmt.Errorf("unknown operator %s", n.Op)
	}
	return y, err
}

// instanceNorm normalizes an array of three or five axes.
func (e *evaluation) instanceNorm(in []nn.Array, epsilon float64) (nn.Array, error) {
	shape := in[0].Shape()
	x, err := in[0], error(nil)
	if len(shape) == 3 {
		if x, err = e.to(x, []int{shape[0], shape[1], shape[2], 1, 1}); err != nil {
			return nil, err
		}
	}
	y, _, err := e.backend.GroupNorm(x, in[1], in[2], shape[1], epsilon)
	if err != nil {
		return nil, err
	}
	return e.to(y, shape)
}

// host returns the values of an array.
func (e *evaluation) host(a nn.Array) ([]float32, error) {
	t := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(a.Shape()...))
	return t.Data().([]float32), e.backend.ToHost(a, t)
}

// to returns an array with the same values and another shape.
func (e *evaluation) to(a nn.Array, shape []int) (nn.Array, error) {
	values, err := e.host(a)
	if err != nil {
		return nil, err
	}
	if nn.Elements(shape) != len(values) {
		return nil, fmt.Errorf("shape %v cannot become %v", a.Shape(), shape)
	}
	return e.backend.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)), nn.Step)
}

// flat returns an array with a single axis.
func (e *evaluation) flat(a nn.Array) (nn.Array, error) {
	return e.to(a, []int{nn.Elements(a.Shape())})
}

func (e *evaluation) reshape(x nn.Array, name string) (nn.Array, error) {
	if shape, ok := e.shapes[name]; ok {
		return e.to(x, shape)
	}
	shape, rest := []int{}, nn.Elements(x.Shape())
	for i, d := range e.tensors[name].Ints {
		if d == 0 {
			d = int64(x.Shape()[i])
		}
		if d > 0 {
			rest /= int(d)
		}
		shape = append(shape, int(d))
	}
	if i := slices.Index(shape, -1); i >= 0 {
		shape[i] = rest
	}
	return e.to(x, shape)
}

func (e *evaluation) resize(n Node, x nn.Array) (nn.Array, error) {
	mode, ok := map[[3]any]nn.ResizeMode{
		{"nearest", "asymmetric", "floor"}: nn.Nearest,
		{"linear", "half_pixel", nil}:      nn.Linear,
		{"linear", "align_corners", nil}:   nn.LinearAligned,
	}[[3]any{n.Attributes["mode"], n.Attributes["coordinate_transformation_mode"], n.Attributes["nearest_mode"]}]
	scales := e.tensors[n.Inputs[2]].Floats
	if !ok || len(scales) != 5 || scales[0] != 1 || scales[1] != 1 {
		return nil, fmt.Errorf("attributes are %v, scales %v", n.Attributes, scales)
	}
	var size [3]int
	for i := range size {
		size[i] = x.Shape()[2+i] * int(scales[2+i])
	}
	y, _, err := e.backend.Resize(x, size, mode)
	return y, err
}

// slice returns the first channels.
func (e *evaluation) slice(n Node, x nn.Array) (nn.Array, error) {
	start, end, axes := e.tensors[n.Inputs[1]].Ints, e.tensors[n.Inputs[2]].Ints, e.tensors[n.Inputs[3]].Ints
	if !slices.Equal(start, []int64{0}) || !slices.Equal(axes, []int64{1}) || len(end) != 1 {
		return nil, fmt.Errorf("starts %v, ends %v, axes %v", start, end, axes)
	}
	values, err := e.host(x)
	if err != nil {
		return nil, err
	}
	s := slices.Clone(x.Shape())
	sample, voxels := nn.Elements(s[1:]), nn.Elements(s[2:])
	s[1] = int(end[0])
	var out []float32
	for i := range s[0] {
		out = append(out, values[i*sample:][:s[1]*voxels]...)
	}
	return e.backend.FromHost(tensor.New(tensor.WithShape(s...), tensor.WithBacking(out)), nn.Step)
}

// broadcast adds or multiplies two arrays, each axis of which is equal or has length 1 in the
// second; missing axes of that are at its front.
func (e *evaluation) broadcast(op string, x0, x1 nn.Array) (nn.Array, error) {
	values, err := e.host(x0)
	if err != nil {
		return nil, err
	}
	others, err := e.host(x1)
	if err != nil {
		return nil, err
	}
	s := x0.Shape()
	of := append(slices.Repeat([]int{1}, len(s)-len(x1.Shape())), x1.Shape()...)
	for i := range values {
		rest, at, step := i, 0, 1
		for axis := len(s) - 1; axis >= 0; axis-- {
			if of[axis] != 1 && of[axis] != s[axis] {
				return nil, fmt.Errorf("shapes %v and %v", s, of)
			}
			at += rest % s[axis] % of[axis] * step
			step *= of[axis]
			rest /= s[axis]
		}
		if op == "Add" {
			values[i] += others[at]
		} else {
			values[i] *= others[at]
		}
	}
	return e.backend.FromHost(tensor.New(tensor.WithShape(s...), tensor.WithBacking(values)), nn.Step)
}
