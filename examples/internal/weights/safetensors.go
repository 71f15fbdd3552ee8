package weights

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/nlpodyssey/safetensors"
	"gorgonia.org/tensor"
)

func encode(w io.Writer, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	views := make(map[string]hostView, len(tensors))
	for name, t := range tensors {
		if name == "__metadata__" {
			return fmt.Errorf("a tensor has the name %q, which the format reserves for the metadata", name)
		}
		v, err := view(t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		views[name] = v
	}
	return safetensors.SerializeToWriter(views, metadata, w)
}

const (
	// headerAt is the offset of the header, a JSON object that follows its length.
	headerAt = 8
	// maxHeader is the length of the longest header that the format allows.
	maxHeader = 100_000_000
)

// checkStart checks that a file is a safetensors file, given its size and its first bytes,
// which are padded with zeros if the file is shorter.
func checkStart(begin start, size int64) error {
	length := binary.LittleEndian.Uint64(begin[:])
	if begin[headerAt] != '{' || length > maxHeader {
		return errors.New("is neither a safetensors file nor one written by PyTorch")
	}
	if headerAt+int64(length) > size {
		return fmt.Errorf("the file ends early: it has %d bytes, but the header alone needs %d", size, headerAt+length)
	}
	return nil
}

// describeSafetensors returns the tensors and the metadata of a file.
func describeSafetensors(raw []byte) ([]item, map[string]string, error) {
	_, header, err := safetensors.ReadMetadata(raw)
	if err != nil {
		if endsEarly(raw) {
			return nil, nil, fmt.Errorf("the file ends early, after %d bytes", len(raw))
		}
		return nil, nil, err
	}
	file, err := safetensors.Deserialize(raw)
	if err != nil {
		return nil, nil, err
	}
	items := make([]item, 0, file.Len())
	for _, named := range file.Tensors() {
		t, err := contiguousTensor(named.TensorView)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quote(named.Name), err)
		}
		items = append(items, item{name: named.Name, tensor: t, of: named.TensorView.DType().String()})
	}
	return items, header.Metadata(), nil
}

// endsEarly reports whether the header describes more data than follow it. The safetensors
// package has no specific error for this.
func endsEarly(raw []byte) bool {
	if len(raw) < headerAt {
		return false
	}
	length, rest := binary.LittleEndian.Uint64(raw), uint64(len(raw)-headerAt)
	if length > rest {
		return false
	}
	var header safetensors.Metadata
	if json.Unmarshal(raw[headerAt:headerAt+length], &header) != nil {
		return false
	}
	for _, t := range header.Tensors() {
		if t.DataOffsets[1] > rest-length {
			return true
		}
	}
	return false
}

// safetensorsElements maps the format's element types to those of this package.
var safetensorsElements = map[safetensors.DType]element{
	safetensors.F32: float32s, safetensors.F64: float64s, safetensors.F16: float16s, safetensors.BF16: bfloat16s,
	safetensors.I64: int64s, safetensors.I32: int32s, safetensors.I16: int16s, safetensors.I8: int8s,
	safetensors.U8: uint8s, safetensors.BOOL: bools,
}

// contiguousTensor returns a stored tensor, whose length the reader has checked, or nil if
// its element type is not supported.
func contiguousTensor(v safetensors.TensorView) (*stridedTensor, error) {
	e, ok := safetensorsElements[v.DType()]
	if !ok {
		return nil, nil
	}
	t := &stridedTensor{shape: make([]int, len(v.Shape())), strides: make([]int, len(v.Shape()))}
	n := 1
	for axis, d := range slices.Backward(v.Shape()) {
		if d > math.MaxInt32 {
			return nil, fmt.Errorf("shape %v: axis %d is %d, want at most %d", v.Shape(), axis, d, math.MaxInt32)
		}
		t.shape[axis], t.strides[axis] = int(d), n
		n *= int(d)
	}
	t.storage = &storage{
		class: global(v.DType()), element: e, count: len(v.Data()) / e.size, order: binary.LittleEndian,
		read: func() ([]byte, error) { return v.Data(), nil },
	}
	return t, nil
}

// hostView presents a tensor to the writer, which requests the bytes of one tensor after
// another. The safetensors package's own view does not support scalars.
type hostView struct {
	dtype safetensors.DType
	shape []uint64
	size  int // element size in bytes
	bytes func() []byte
}

func (v hostView) DType() safetensors.DType { return v.dtype }
func (v hostView) Shape() []uint64          { return v.shape }
func (v hostView) Data() []byte             { return v.bytes() }

func (v hostView) DataLen() uint64 {
	n := uint64(v.size)
	for _, d := range v.shape {
		n *= d
	}
	return n
}

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
		v.dtype, v.size, v.bytes = safetensors.F32, 4, littleEndian([]float32{values})
	case []float32:
		v.dtype, v.size, v.bytes = safetensors.F32, 4, littleEndian(values)
	case float64:
		v.dtype, v.size, v.bytes = safetensors.F64, 8, littleEndian([]float64{values})
	case []float64:
		v.dtype, v.size, v.bytes = safetensors.F64, 8, littleEndian(values)
	case int64:
		v.dtype, v.size, v.bytes = safetensors.I64, 8, littleEndian([]int64{values})
	case []int64:
		v.dtype, v.size, v.bytes = safetensors.I64, 8, littleEndian(values)
	default:
		return v, fmt.Errorf("has element type %v, want float32, float64 or int64", t.Dtype())
	}
	return v, nil
}

// littleEndian returns a function that encodes the values.
func littleEndian[T float32 | float64 | int64](values []T) func() []byte {
	return func() []byte {
		// The only possible error is a type without a fixed size, which these are not.
		raw, _ := binary.Append(make([]byte, 0, binary.Size(values)), binary.LittleEndian, values)
		return raw
	}
}
