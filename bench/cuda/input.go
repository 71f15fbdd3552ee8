package main

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/x/afl/cuda"
	"github.com/x/afl/internal/workload"
)

// input is a batch in the types for the device and PyTorch, and in float32 for the CPU.
type input struct {
	size           workload.Size
	types          types
	logits, labels *tensor.Dense // of the types
	wide           *tensor.Dense // the same logits as float32
	voxelWeight    *tensor.Dense // nil where every voxel weighs 1
}

// newCallInput makes the batch of a kind of call, which is of float32 logits.
func newCallInput(c workload.Call, s workload.Size, t types) *input {
	b := c.NewBatch(s)
	return &input{size: s, types: t, logits: b.Logits, labels: b.Labels, wide: b.Logits, voxelWeight: b.VoxelWeight}
}

// newInput converts a batch to other types. Half-precision logits are rounded.
func newInput(b *workload.Batch, t types) (*input, error) {
	in := &input{size: b.Size, types: t, logits: b.Logits, labels: b.Labels, wide: b.Logits}
	shape := tensor.WithShape(b.Logits.Shape()...)
	wide := b.Logits.Data().([]float32)
	switch t.logits {
	case float32s:
	case float16s:
		bits, rounded := round(wide, cuda.NewF16)
		in.logits, in.wide = tensor.New(shape, tensor.WithBacking(bits)), tensor.New(shape, tensor.WithBacking(rounded))
	case bfloat16s:
		bits, rounded := round(wide, cuda.NewBF16)
		in.logits, in.wide = tensor.New(shape, tensor.WithBacking(bits)), tensor.New(shape, tensor.WithBacking(rounded))
	default:
		return nil, fmt.Errorf("no logits of type %s", t.logits.name)
	}
	switch t.labels {
	case uint8s:
	case int64s:
		bytes := b.Labels.Data().([]uint8)
		labels := make([]int64, len(bytes))
		for i, y := range bytes {
			labels[i] = int64(y)
		}
		in.labels = tensor.New(tensor.WithShape(b.Labels.Shape()...), tensor.WithBacking(labels))
	default:
		return nil, fmt.Errorf("no labels of type %s", t.labels.name)
	}
	return in, nil
}

// half is a number in half precision.
type half interface {
	~uint16
	Float32() float32
}

// round returns numbers rounded to half precision, and those as float32.
func round[H half](wide []float32, narrow func(float32) H) ([]H, []float32) {
	bits, rounded := make([]H, len(wide)), make([]float32, len(wide))
	for i, x := range wide {
		bits[i] = narrow(x)
		rounded[i] = bits[i].Float32()
	}
	return bits, rounded
}

// widen returns a tensor's numbers as float32.
func widen(t *tensor.Dense) ([]float32, error) {
	switch x := t.Data().(type) {
	case []float32:
		return x, nil
	case []cuda.F16:
		return floats(x), nil
	case []cuda.BF16:
		return floats(x), nil
	default:
		return nil, fmt.Errorf("cannot widen a %T", x)
	}
}

func floats[H half](bits []H) []float32 {
	wide := make([]float32, len(bits))
	for i, b := range bits {
		wide[i] = b.Float32()
	}
	return wide
}
