// Package onnxtest reads ONNX models, evaluates them, and runs them in onnxruntime, for tests
// of what is written.
package onnxtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Model is the part of a ModelProto that this project writes.
type Model struct {
	IRVersion, Opset  int64
	Producer, Version string
	Metadata          map[string]string
	Graph             Graph
}

// Graph is a GraphProto.
type Graph struct {
	Name            string
	Nodes           []Node
	Initializers    map[string]Tensor
	Inputs, Outputs []Value
}

// Node is a NodeProto. An attribute is an int64, []int64, float32 or string.
type Node struct {
	Name, Op        string
	Inputs, Outputs []string
	Attributes      map[string]any
}

// Tensor is a TensorProto of float32 or int64 values, one of which is nil.
type Tensor struct {
	Dims   []int64
	Floats []float32
	Ints   []int64
}

// Value is a ValueInfoProto of a float32 tensor. A dimension is its length or its name.
type Value struct {
	Name string
	Dims []string
}

// field is a field of a message: a varint, a fixed 32-bit value or bytes, by its wire type.
type field struct {
	number, wire int
	varint       uint64
	bytes        []byte
}

// text returns the field as a string.
func (f field) text() string { return string(f.bytes) }

// each calls do for every field of a message.
func each(message []byte, do func(f field) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
			return errors.New("onnxtest: the tag of a field is damaged")
		}
		message = message[n:]
		f := field{number: int(tag >> 3), wire: int(tag & 7)}
		switch f.wire {
		case 0, 2:
			v, n := binary.Uvarint(message)
			if n <= 0 {
				return fmt.Errorf("onnxtest: field %d ends early", f.number)
			}
			message = message[n:]
			f.varint = v
			if f.wire == 2 {
				if v > uint64(len(message)) {
					return fmt.Errorf("onnxtest: field %d has %d bytes, but only %d follow", f.number, v, len(message))
				}
				f.bytes, message = message[:v], message[v:]
			}
		case 5:
			if len(message) < 4 {
				return fmt.Errorf("onnxtest: field %d ends early", f.number)
			}
			f.varint, message = uint64(binary.LittleEndian.Uint32(message)), message[4:]
		default:
			return fmt.Errorf("onnxtest: field %d has the wire type %d", f.number, f.wire)
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error of a field that this project does not write.
func unknown(message string, f field) error {
	return fmt.Errorf("onnxtest: %s has an unknown field %d of wire type %d", message, f.number, f.wire)
}

// key identifies a field by its number and wire type.
type key struct{ number, wire int }

func (f field) key() key { return key{f.number, f.wire} }

// Read reads a model. Fields that this project does not write are errors.
func Read(raw []byte) (*Model, error) {
	m := &Model{Metadata: map[string]string{}}
	graphs := 0
	err := each(raw, func(f field) (err error) {
		switch f.key() {
		case key{1, 0}:
			m.IRVersion = int64(f.varint)
		case key{2, 2}:
			m.Producer = f.text()
		case key{3, 2}:
			m.Version = f.text()
		case key{7, 2}:
			graphs++
			m.Graph, err = readGraph(f.bytes)
		case key{8, 2}:
			return each(f.bytes, func(f field) error {
				switch f.key() {
				case key{1, 2}:
					if f.text() != "" {
						return fmt.Errorf("onnxtest: unknown set of operators %q", f.text())
					}
				case key{2, 0}:
					m.Opset = int64(f.varint)
				default:
					return unknown("OperatorSetIdProto", f)
				}
				return nil
			})
		case key{14, 2}:
			var entry [3]string
			if err := each(f.bytes, func(f field) error {
				if f.wire != 2 || f.number > 2 {
					return unknown("StringStringEntryProto", f)
				}
				entry[f.number] = f.text()
				return nil
			}); err != nil {
				return err
			}
			m.Metadata[entry[1]] = entry[2]
		default:
			return unknown("ModelProto", f)
		}
		return err
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("onnxtest: the model has %d graphs", graphs)
	}
	return m, err
}

func readGraph(raw []byte) (Graph, error) {
	g := Graph{Initializers: map[string]Tensor{}}
	err := each(raw, func(f field) error {
		switch f.key() {
		case key{1, 2}:
			n, err := readNode(f.bytes)
			g.Nodes = append(g.Nodes, n)
			return err
		case key{2, 2}:
			g.Name = f.text()
		case key{5, 2}:
			name, t, err := readTensor(f.bytes)
			if _, ok := g.Initializers[name]; ok {
				return fmt.Errorf("onnxtest: two initializers have the name %q", name)
			}
			g.Initializers[name] = t
			return err
		case key{11, 2}:
			v, err := readValue(f.bytes)
			g.Inputs = append(g.Inputs, v)
			return err
		case key{12, 2}:
			v, err := readValue(f.bytes)
			g.Outputs = append(g.Outputs, v)
			return err
		default:
			return unknown("GraphProto", f)
		}
		return nil
	})
	return g, err
}

func readNode(raw []byte) (Node, error) {
	n := Node{Attributes: map[string]any{}}
	err := each(raw, func(f field) error {
		switch f.key() {
		case key{1, 2}:
			n.Inputs = append(n.Inputs, f.text())
		case key{2, 2}:
			n.Outputs = append(n.Outputs, f.text())
		case key{3, 2}:
			n.Name = f.text()
		case key{4, 2}:
			n.Op = f.text()
		case key{5, 2}:
			name, value, err := readAttribute(f.bytes)
			n.Attributes[name] = value
			return err
		default:
			return unknown("NodeProto", f)
		}
		return nil
	})
	return n, err
}

func readAttribute(raw []byte) (name string, value any, err error) {
	var kind uint64
	var ints []int64
	values := map[uint64]any{}
	err = each(raw, func(f field) error {
		switch f.key() {
		case key{1, 2}:
			name = f.text()
		case key{2, 5}:
			values[1] = math.Float32frombits(uint32(f.varint))
		case key{3, 0}:
			values[2] = int64(f.varint)
		case key{4, 2}:
			values[3] = f.text()
		case key{8, 0}:
			ints = append(ints, int64(f.varint))
			values[7] = ints
		case key{20, 0}:
			kind = f.varint
		default:
			return unknown("AttributeProto", f)
		}
		return nil
	})
	value, ok := values[kind]
	if err == nil && (!ok || len(values) != 1) {
		err = fmt.Errorf("onnxtest: attribute %q of type %d has the values %v", name, kind, values)
	}
	return name, value, err
}

func readTensor(raw []byte) (name string, t Tensor, err error) {
	var element uint64
	var data []byte
	err = each(raw, func(f field) error {
		switch f.key() {
		case key{1, 0}:
			t.Dims = append(t.Dims, int64(f.varint))
		case key{2, 0}:
			element = f.varint
		case key{8, 2}:
			name = f.text()
		case key{9, 2}:
			data = f.bytes
		default:
			return unknown("TensorProto", f)
		}
		return nil
	})
	if err != nil {
		return name, t, err
	}
	size := map[uint64]int64{1: 4, 7: 8}[element]
	if size == 0 {
		return name, t, fmt.Errorf("onnxtest: %q has the element type %d", name, element)
	}
	left := int64(len(data))
	count := int64(1)
	for _, d := range t.Dims {
		if d < 1 || count > left/d {
			return name, t, fmt.Errorf("onnxtest: %q has shape %v, but %d bytes", name, t.Dims, left)
		}
		count *= d
	}
	if count*size != left {
		return name, t, fmt.Errorf("onnxtest: %q has shape %v, but %d bytes", name, t.Dims, left)
	}
	if element == 1 {
		t.Floats = make([]float32, count)
		for i := range t.Floats {
			t.Floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		return name, t, nil
	}
	t.Ints = make([]int64, count)
	for i := range t.Ints {
		t.Ints[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return name, t, nil
}

func readValue(raw []byte) (Value, error) {
	var v Value
	err := each(raw, func(f field) error {
		switch f.key() {
		case key{1, 2}:
			v.Name = f.text()
			return nil
		case key{2, 2}:
			return only(f.bytes, 1, func(tensor []byte) error { return v.readType(tensor) })
		}
		return unknown("ValueInfoProto", f)
	})
	return v, err
}

// only calls do for the value of a message's only kind of field.
func only(raw []byte, number int, do func(value []byte) error) error {
	return each(raw, func(f field) error {
		if f.key() != (key{number, 2}) {
			return unknown("TypeProto", f)
		}
		return do(f.bytes)
	})
}

// readType reads a TypeProto.Tensor.
func (v *Value) readType(raw []byte) error {
	return each(raw, func(f field) error {
		switch {
		case f.key() == key{1, 0} && f.varint == 1:
			return nil
		case f.key() == key{2, 2}:
			return only(f.bytes, 1, func(dim []byte) error {
				return each(dim, func(f field) error {
					switch f.key() {
					case key{1, 0}:
						v.Dims = append(v.Dims, fmt.Sprint(f.varint))
					case key{2, 2}:
						v.Dims = append(v.Dims, f.text())
					default:
						return unknown("TensorShapeProto.Dimension", f)
					}
					return nil
				})
			})
		}
		return unknown("TypeProto.Tensor", f)
	})
}
