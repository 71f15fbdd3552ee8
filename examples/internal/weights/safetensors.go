package weights

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/nlpodyssey/safetensors"
	"gorgonia.org/tensor"
)

func encode(w io.Writer, tensors map[string]*tensor.Dense, metadata map[string]string) error {
	views := make(map[string]hostView, len(tensors))
	var scratch []byte // encoded values of the tensor being written
	for name, t := range tensors {
		if name == "__metadata__" {
			return fmt.Errorf("a tensor has the name %q, which the format reserves for the metadata", name)
		}
		v, err := view(t, &scratch)
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

// describeSafetensors returns the tensors and the metadata of a file of the given size. The
// tensors are read when they are needed.
func describeSafetensors(f io.ReaderAt, size int64, begin start) ([]item, map[string]string, error) {
	if err := checkStart(begin, size); err != nil {
		return nil, nil, err
	}
	raw := make([]byte, binary.LittleEndian.Uint64(begin[:]))
	if _, err := f.ReadAt(raw, headerAt); err != nil {
		return nil, nil, err
	}
	var header safetensors.Metadata
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, nil, err
	}
	data := int64(headerAt + len(raw))
	infos, err := inOrder(&header, size-data)
	if err != nil {
		if errors.Is(err, errEndsEarly) {
			err = fmt.Errorf("%w, after %d bytes", err, size)
		}
		return nil, nil, err
	}
	items := make([]item, 0, len(infos))
	for _, info := range infos {
		t, err := contiguousTensor(info.TensorInfo, io.NewSectionReader(f, data, size-data))
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", quote(info.Name), err)
		}
		items = append(items, item{name: info.Name, tensor: t, of: info.TensorInfo.DType.String()})
	}
	return items, header.Metadata(), nil
}

var errEndsEarly = errors.New("the file ends early")

// inOrder returns the tensors in the order of their data, which must be those of all bytes of
// the file from the end of the header, each once.
func inOrder(header *safetensors.Metadata, bytes int64) ([]safetensors.NamedTensorInfo, error) {
	var infos []safetensors.NamedTensorInfo
	for name, info := range header.Tensors() {
		infos = append(infos, safetensors.NamedTensorInfo{Name: name, TensorInfo: *info})
	}
	slices.SortFunc(infos, func(a, b safetensors.NamedTensorInfo) int {
		return cmp.Or(slices.Compare(a.TensorInfo.DataOffsets[:], b.TensorInfo.DataOffsets[:]), cmp.Compare(a.Name, b.Name))
	})
	end := uint64(0)
	for _, info := range infos {
		t := info.TensorInfo
		from, to := t.DataOffsets[0], t.DataOffsets[1]
		n := t.DType.Size()
		for _, d := range t.Shape {
			high, low := bits.Mul64(n, d)
			if high != 0 {
				return nil, fmt.Errorf("tensor %s: shape %v is too large", quote(info.Name), t.Shape)
			}
			n = low
		}
		if from != end || to < from || to-from != n {
			return nil, fmt.Errorf("tensor %s: its data are bytes %d to %d, want %d bytes from byte %d", quote(info.Name), from, to, n, end)
		}
		end = to
	}
	switch {
	case end > uint64(bytes):
		return nil, errEndsEarly
	case end < uint64(bytes):
		return nil, fmt.Errorf("%d bytes follow its last tensor", uint64(bytes)-end)
	}
	return infos, nil
}

// safetensorsElements maps the format's element types to those of this package.
var safetensorsElements = map[safetensors.DType]element{
	safetensors.F32: float32s, safetensors.F64: float64s, safetensors.F16: float16s, safetensors.BF16: bfloat16s,
	safetensors.I64: int64s, safetensors.I32: int32s, safetensors.I16: int16s, safetensors.I8: int8s,
	safetensors.U8: uint8s, safetensors.BOOL: bools,
}

// contiguousTensor returns a stored tensor, given the data of all tensors and a description
// that has been checked, or nil if its element type is not supported.
func contiguousTensor(info safetensors.TensorInfo, data io.ReaderAt) (*stridedTensor, error) {
	e, ok := safetensorsElements[info.DType]
	if !ok {
		return nil, nil
	}
	t := &stridedTensor{shape: make([]int, len(info.Shape)), strides: make([]int, len(info.Shape))}
	n := 1
	for axis, d := range slices.Backward(info.Shape) {
		if d > math.MaxInt32 {
			return nil, fmt.Errorf("shape %v: axis %d is %d, want at most %d", info.Shape, axis, d, math.MaxInt32)
		}
		t.shape[axis], t.strides[axis] = int(d), n
		n *= int(d)
	}
	from, to := info.DataOffsets[0], info.DataOffsets[1]
	t.storage = &storage{
		class: global(info.DType), element: e, count: int(to-from) / e.size, order: binary.LittleEndian,
		read: func() ([]byte, error) {
			raw := make([]byte, to-from)
			_, err := data.ReadAt(raw, int64(from))
			if err == io.EOF && len(raw) == 0 {
				err = nil
			}
			return raw, err
		},
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

// view presents a tensor. The bytes of the tensors with the same scratch memory share it.
func view(t *tensor.Dense, scratch *[]byte) (hostView, error) {
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
		v.dtype, v.size, v.bytes = safetensors.F32, 4, littleEndian(scratch, []float32{values})
	case []float32:
		v.dtype, v.size, v.bytes = safetensors.F32, 4, littleEndian(scratch, values)
	case float64:
		v.dtype, v.size, v.bytes = safetensors.F64, 8, littleEndian(scratch, []float64{values})
	case []float64:
		v.dtype, v.size, v.bytes = safetensors.F64, 8, littleEndian(scratch, values)
	case int64:
		v.dtype, v.size, v.bytes = safetensors.I64, 8, littleEndian(scratch, []int64{values})
	case []int64:
		v.dtype, v.size, v.bytes = safetensors.I64, 8, littleEndian(scratch, values)
	default:
		return v, fmt.Errorf("has element type %v, want float32, float64 or int64", t.Dtype())
	}
	return v, nil
}

// littleEndian returns a function that encodes the values.
func littleEndian[T float32 | float64 | int64](scratch *[]byte, values []T) func() []byte {
	return func() []byte {
		if n := binary.Size(values); n > cap(*scratch) {
			*scratch = make([]byte, n)
		}
		// The only possible error is a type without a fixed size, which these are not.
		*scratch, _ = binary.Append((*scratch)[:0], binary.LittleEndian, values)
		return *scratch
	}
}
