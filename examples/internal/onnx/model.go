package onnx

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/internal/atomicfile"
)

const (
	// Opset is the version of ONNX's set of operators that models use.
	Opset = 17
	// irVersion is the version of the file format that came with it.
	irVersion = 8

	// InputName and OutputName are the names of a model's input and output.
	InputName  = "image"
	OutputName = "logits"

	// maxBytes is the maximum size of a protocol buffer message.
	maxBytes = math.MaxInt32
)

// Options describes a model.
type Options struct {
	// Channels is the number of channels of the input, Size its spatial size X, Y, Z, which
	// the network must accept.
	Channels int
	Size     [3]int
	// Dynamic leaves the spatial size open. Size is then only that for which the network is
	// recorded.
	Dynamic bool
	// Version is the version of this project, which the model names as its producer.
	Version string
	// Metadata is stored in the model's metadata_props.
	Metadata map[string]string
}

// Model is a recorded network.
type Model struct {
	options      Options
	outChannels  int
	nodes        []node
	initializers []initializer
}

// Record records the network that load creates and loads on the given backend. It returns an
// error if a parameter is not finite, an operation has no operator in ONNX, or the model
// would be larger than a protocol buffer can be.
func Record(load func(nn.Backend) (nn.Network, error), o Options) (*Model, error) {
	for key, value := range o.Metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("onnx: metadata %q is %q, which is not valid UTF-8", key, value)
		}
	}
	r := &recorder{}
	net, err := load(r)
	if err != nil {
		return nil, err
	}
	if err := net.CheckSize(o.Size); err != nil {
		return nil, err
	}
	if err := name(net); err != nil {
		return nil, err
	}
	m, err := r.record(net, o, 1)
	if err != nil {
		return nil, err
	}
	// The nodes are the same for any number of samples, and of voxels, if they are for two.
	other, what := o, "the number of samples"
	if o.Dynamic {
		what = "the size"
		for axis, multiple := range nn.SizeMultiple(net) {
			other.Size[axis] += multiple
		}
	}
	again, err := r.record(net, other, 2)
	if err != nil {
		return nil, err
	}
	if i := m.difference(again); i >= 0 {
		return nil, fmt.Errorf("onnx: node %s depends on %s, which can therefore not be left open", m.nodes[i].output, what)
	}
	return m, m.checkBytes()
}

// name gives parameters and buffers their names, after a check of their values.
func name(net nn.Network) error {
	constant := func(name string, value nn.Array) error {
		a, ok := value.(*array)
		if !ok {
			return fmt.Errorf("onnx: %s %w", name, nn.Foreign(value))
		}
		a.name = name
		return checkFinite(a)
	}
	for _, p := range net.Parameters() {
		if err := constant(p.Name, p.Value); err != nil {
			return err
		}
	}
	for _, f := range net.Buffers() {
		if f.Value == nil {
			continue
		}
		if err := constant(f.Name, f.Value); err != nil {
			return err
		}
	}
	return nil
}

// record records a pass of the network.
func (r *recorder) record(net nn.Network, o Options, samples int) (*Model, error) {
	r.nodes, r.initializers, r.written, r.err = nil, nil, map[string]bool{}, nil
	shape := []int{samples, o.Channels, o.Size[0], o.Size[1], o.Size[2]}
	tape := nn.NewTape(r, nn.Inference, 0)
	y, err := net.Forward(tape, tape.Input(&array{name: InputName, shape: shape}))
	if err != nil {
		return nil, err
	}
	out := r.volume("Forward", "the network's result", y.Array())
	if r.err == nil && (out.shape[0] != samples || !slices.Equal(out.shape[2:], shape[2:])) {
		r.failf("the network maps shape %v to %v, want the same samples and spatial size", shape, out.shape)
	}
	if r.err == nil && (len(r.nodes) == 0 || out.values != nil) {
		r.failf("the network's result does not depend on its input")
	}
	if r.err != nil {
		return nil, r.err
	}
	m := &Model{options: o, outChannels: out.shape[1], nodes: r.nodes, initializers: r.initializers}
	return m, m.rename(out.name)
}

// rename gives the output its name and checks that no two values have the same.
func (m *Model) rename(output string) error {
	seen := map[string]bool{InputName: true}
	claim := func(name string) error {
		if seen[name] {
			return fmt.Errorf("onnx: two values have the name %q", name)
		}
		seen[name] = true
		return nil
	}
	for _, t := range m.initializers {
		if err := claim(t.name); err != nil {
			return err
		}
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		for j, name := range n.inputs {
			if name == output {
				n.inputs[j] = OutputName
			}
		}
		if n.output == output {
			n.output = OutputName
		}
		if err := claim(n.output); err != nil {
			return err
		}
	}
	if !seen[OutputName] {
		return errors.New("onnx: the network returns its input")
	}
	return nil
}

// difference returns the index of the first node that differs from that of another model, -1
// if none does.
func (m *Model) difference(other *Model) int {
	for i, n := range m.nodes {
		if i >= len(other.nodes) || !reflect.DeepEqual(n, other.nodes[i]) {
			return i
		}
	}
	if len(other.nodes) > len(m.nodes) {
		return len(m.nodes) - 1
	}
	return -1
}

// Nodes returns the number of nodes.
func (m *Model) Nodes() int { return len(m.nodes) }

// Input and Output describe the input and the output: name, element type and shape.
func (m *Model) Input() string { return describe(InputName, m.shape(m.options.Channels)) }

// Output describes the output as Input does the input.
func (m *Model) Output() string { return describe(OutputName, m.shape(m.outChannels)) }

func describe(name string, dims []dimension) string {
	text := name + ", float32 "
	for i, d := range dims {
		if i > 0 {
			text += "×"
		}
		if d.name != "" {
			text += d.name
		} else {
			text += fmt.Sprint(d.length)
		}
	}
	return text
}

// shape returns the shape of the input or output with the given number of channels.
func (m *Model) shape(channels int) []dimension {
	dims := []dimension{{name: "N"}, {length: channels}}
	for axis, n := range m.options.Size {
		if m.options.Dynamic {
			dims = append(dims, dimension{name: "XYZ"[axis : axis+1]})
		} else {
			dims = append(dims, dimension{length: n})
		}
	}
	return dims
}

// graph returns the encoded GraphProto up to the initializers, what follows them, and the
// number of bytes of all.
func (m *Model) graph() (before, after message, size int64) {
	for _, n := range m.nodes {
		before.bytes(1, n.encode())
	}
	before.string(2, "network")
	after.bytes(11, valueInfo(InputName, m.shape(m.options.Channels)))
	after.bytes(12, valueInfo(OutputName, m.shape(m.outChannels)))
	size = int64(len(before) + len(after))
	for _, t := range m.initializers {
		size += int64(len(t.begin())) + t.dataSize()
	}
	return before, after, size
}

// begin returns the field of the graph that holds the initializer, up to its values.
func (t *initializer) begin() message {
	header := t.header()
	var m message
	m.length(5, int64(len(header))+t.dataSize())
	return append(m, header...)
}

// model returns the fields of the ModelProto other than the graph.
func (m *Model) model() message {
	var out, opset message
	out.int(1, irVersion)
	out.string(2, "afl")
	if m.options.Version != "" {
		out.string(3, m.options.Version)
	}
	opset.string(1, "") // the default set of operators
	opset.int(2, Opset)
	out.bytes(8, opset)
	for _, key := range slices.Sorted(maps.Keys(m.options.Metadata)) {
		var entry message
		entry.string(1, key)
		entry.string(2, m.options.Metadata[key])
		out.bytes(14, entry)
	}
	return out
}

// Bytes returns the size of the encoded model.
func (m *Model) Bytes() int64 {
	_, _, size := m.graph()
	var tag message
	tag.length(7, size)
	return int64(len(m.model())+len(tag)) + size
}

func (m *Model) checkBytes() error {
	if n := m.Bytes(); n > maxBytes {
		return fmt.Errorf("onnx: the model would have %d bytes, but an ONNX file, a protocol buffer, can have at most %d", n, int64(maxBytes))
	}
	return nil
}

// Encode writes the model. The same model gives the same bytes.
func (m *Model) Encode(to io.Writer) error {
	w := bufio.NewWriter(to)
	before, after, size := m.graph()
	start := m.model()
	start.length(7, size)
	// A bufio.Writer returns its first error again from Flush.
	w.Write(start)
	w.Write(before)
	var raw []byte
	for _, t := range m.initializers {
		w.Write(t.begin())
		for part := range slices.Chunk(t.floats, 1<<12) {
			raw = raw[:0]
			for _, v := range part {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			w.Write(raw)
		}
		for _, v := range t.ints {
			w.Write(binary.LittleEndian.AppendUint64(raw[:0], uint64(int64(v))))
		}
	}
	w.Write(after)
	return w.Flush()
}

// Write writes the model to a file, which appears complete or not at all.
func (m *Model) Write(path string) error { return atomicfile.Write(path, m.Encode) }
