// Package weights stores named tensors in the safetensors format
// (https://github.com/huggingface/safetensors): network parameters, running
// statistics and optimiser state.
package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/nlpodyssey/safetensors"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/atomicfile"
)

// Save writes tensors (float32, float64 or int64, contiguous) and string
// metadata to path. The file appears whole or not at all: it is written under a
// temporary name in the same folder, flushed to the disk and renamed. The same
// content gives the same bytes.
func Save(path string, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return encode(w, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("weights: %s: %w", path, err)
	}
	return nil
}

func encode(w io.Writer, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	views := make(map[string]hostView, len(tensors))
	for name, t := range tensors {
		if name == "__metadata__" {
			return fmt.Errorf("a tensor is called %q, which the format keeps for the metadata", name)
		}
		v, err := view(t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		views[name] = v
	}
	return safetensors.SerializeToWriter(views, metadata, w)
}

// Load reads the tensors and the metadata of a file that Save or another
// safetensors writer made. float32, float64 and int64 tensors are supported; a
// scalar comes back as a scalar. A damaged file is an error.
func Load(path string) (map[string]*tensor.Dense, map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %w", err)
	}
	tensors, metadata, err := decode(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("weights: %s: %w", path, err)
	}
	return tensors, metadata, nil
}

func decode(raw []byte) (map[string]*tensor.Dense, map[string]string, error) {
	_, header, err := safetensors.ReadMetadata(raw)
	if err != nil {
		return nil, nil, err
	}
	file, err := safetensors.Deserialize(raw)
	if err != nil {
		return nil, nil, err
	}
	tensors := make(map[string]*tensor.Dense, file.Len())
	for _, named := range file.Tensors() {
		if tensors[named.Name], err = dense(named.TensorView); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", named.Name, err)
		}
	}
	return tensors, header.Metadata(), nil
}

// dense copies one stored tensor.
func dense(v safetensors.TensorView) (*tensor.Dense, error) {
	shape := make([]int, len(v.Shape()))
	for i, d := range v.Shape() {
		if d == 0 || d > math.MaxInt32 {
			return nil, fmt.Errorf("shape %v: axis %d is %d, want 1 to %d", v.Shape(), i, d, math.MaxInt32)
		}
		shape[i] = int(d)
	}
	raw := v.Data()
	var backing any
	switch v.DType() {
	case safetensors.F32:
		backing = fromBytes(raw, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
	case safetensors.F64:
		backing = fromBytes(raw, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
	case safetensors.I64:
		backing = fromBytes(raw, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
	default:
		return nil, fmt.Errorf("element type %s, want F32, F64 or I64", v.DType())
	}
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing)), nil
	}
	switch values := backing.(type) {
	case []float32:
		return tensor.New(tensor.FromScalar(values[0])), nil
	case []float64:
		return tensor.New(tensor.FromScalar(values[0])), nil
	default:
		return tensor.New(tensor.FromScalar(backing.([]int64)[0])), nil
	}
}

func fromBytes[T any](raw []byte, size int, get func([]byte) T) []T {
	values := make([]T, len(raw)/size)
	for i := range values {
		values[i] = get(raw[i*size:])
	}
	return values
}

// hostView presents a tensor to the writer. It exists because the safetensors
// package's own view refuses scalars.
type hostView struct {
	dtype safetensors.DType
	shape []uint64
	raw   []byte
}

func (v hostView) DType() safetensors.DType { return v.dtype }
func (v hostView) Shape() []uint64          { return v.shape }
func (v hostView) Data() []byte             { return v.raw }
func (v hostView) DataLen() uint64          { return uint64(len(v.raw)) }

func view(t *tensor.Dense) (hostView, error) {
	if t == nil {
		return hostView{}, errors.New("is nil")
	}
	if t.RequiresIterator() || !t.DataOrder().IsRowMajor() {
		return hostView{}, errors.New("is not contiguous in row-major order")
	}
	v := hostView{shape: make([]uint64, len(t.Shape()))}
	for i, d := range t.Shape() {
		v.shape[i] = uint64(d)
	}
	switch values := t.Data().(type) {
	case float32:
		v.dtype, v.raw = safetensors.F32, float32Bytes([]float32{values})
	case []float32:
		v.dtype, v.raw = safetensors.F32, float32Bytes(values)
	case float64:
		v.dtype, v.raw = safetensors.F64, float64Bytes([]float64{values})
	case []float64:
		v.dtype, v.raw = safetensors.F64, float64Bytes(values)
	case int64:
		v.dtype, v.raw = safetensors.I64, int64Bytes([]int64{values})
	case []int64:
		v.dtype, v.raw = safetensors.I64, int64Bytes(values)
	default:
		return v, fmt.Errorf("has element type %v, want float32, float64 or int64", t.Dtype())
	}
	return v, nil
}

func float32Bytes(values []float32) []byte {
	raw := make([]byte, 0, 4*len(values))
	for _, x := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

func float64Bytes(values []float64) []byte {
	raw := make([]byte, 0, 8*len(values))
	for _, x := range values {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
	}
	return raw
}

func int64Bytes(values []int64) []byte {
	raw := make([]byte, 0, 8*len(values))
	for _, x := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return raw
}
