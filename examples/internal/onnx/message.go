package onnx

import (
	"encoding/binary"
	"math"
)

// message is an encoded protocol buffer message. Its methods append a field with the given
// number, as the comments of onnx.proto assign them.
type message []byte

// Wire types of fields.
const (
	wireVarint = 0
	wireBytes  = 2
	wireFixed4 = 5
)

func (m *message) tag(field, wire int) { *m = binary.AppendUvarint(*m, uint64(field<<3|wire)) }

func (m *message) int(field int, v int64) {
	m.tag(field, wireVarint)
	*m = binary.AppendUvarint(*m, uint64(v))
}

func (m *message) float(field int, v float32) {
	m.tag(field, wireFixed4)
	*m = binary.LittleEndian.AppendUint32(*m, math.Float32bits(v))
}

// length starts a field of n bytes, which the caller appends or writes after the message.
func (m *message) length(field int, n int64) {
	m.tag(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(n))
}

func (m *message) bytes(field int, b []byte) {
	m.length(field, int64(len(b)))
	*m = append(*m, b...)
}

func (m *message) string(field int, s string) { m.bytes(field, []byte(s)) }

// attribute is an attribute of a node: an int, a float32, a string or a []int.
type attribute struct {
	name  string
	value any
}

// Types of attributes.
const (
	attributeFloat  = 1
	attributeInt    = 2
	attributeString = 3
	attributeInts   = 7
)

// encode returns the AttributeProto.
func (a attribute) encode() message {
	var m message
	m.string(1, a.name)
	kind := int64(0)
	switch v := a.value.(type) {
	case int:
		m.int(3, int64(v))
		kind = attributeInt
	case float32:
		m.float(2, v)
		kind = attributeFloat
	case string:
		m.string(4, v)
		kind = attributeString
	case []int:
		for _, i := range v {
			m.int(8, int64(i))
		}
		kind = attributeInts
	}
	m.int(20, kind)
	return m
}

// node is an operation with one result, after which it is named.
type node struct {
	op         string
	inputs     []string // "" for one that is left out
	output     string
	attributes []attribute
}

// encode returns the NodeProto.
func (n *node) encode() message {
	var m message
	for _, name := range n.inputs {
		m.string(1, name)
	}
	m.string(2, n.output)
	m.string(3, n.output)
	m.string(4, n.op)
	for _, a := range n.attributes {
		m.bytes(5, a.encode())
	}
	return m
}

// Element types of tensors.
const (
	elementFloat32 = 1
	elementInt64   = 7
)

// initializer is a constant tensor: float32 values or, if there are none, integers.
type initializer struct {
	name   string
	dims   []int
	floats []float32
	ints   []int
}

// dataSize returns the number of bytes of the values.
func (t *initializer) dataSize() int64 { return 4*int64(len(t.floats)) + 8*int64(len(t.ints)) }

// header returns the TensorProto without the bytes of the values, which follow it.
func (t *initializer) header() message {
	var m message
	for _, d := range t.dims {
		m.int(1, int64(d))
	}
	element := int64(elementFloat32)
	if t.floats == nil {
		element = elementInt64
	}
	m.int(2, element)
	m.string(8, t.name)
	m.length(9, t.dataSize())
	return m
}

// dimension is the length of an axis, or the name of one that can have any length.
type dimension struct {
	length int
	name   string
}

// valueInfo returns the ValueInfoProto of a float32 tensor.
func valueInfo(name string, dims []dimension) message {
	var shape, tensor, kind, m message
	for _, d := range dims {
		var dim message
		if d.name != "" {
			dim.string(2, d.name)
		} else {
			dim.int(1, int64(d.length))
		}
		shape.bytes(1, dim)
	}
	tensor.int(1, elementFloat32)
	tensor.bytes(2, shape)
	kind.bytes(1, tensor)
	m.string(1, name)
	m.bytes(2, kind)
	return m
}
