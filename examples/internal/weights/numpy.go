package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// dtype is NumPy's description of an element type.
type dtype struct {
	code  string // such as "f4"
	order binary.ByteOrder
}

// ndarray is a NumPy array. tensor is nil if its element type is not supported.
type ndarray struct{ tensor *stridedTensor }

// arrayElements maps NumPy's codes to element types.
var arrayElements = map[string]element{
	"f4": float32s, "f8": float64s, "f2": float16s,
	"i8": int64s, "i4": int32s, "i2": int16s, "i1": int8s, "u1": uint8s, "b1": bools,
}

// newDtype describes an element type: its code and two flags.
func newDtype(_ *unpickler, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("there are no arguments")
	}
	code, _ := args[0].(string) // a type with fields has a list instead
	return &dtype{code: code, order: binary.LittleEndian}, nil
}

// setState sets the byte order: (version, "<" or ">" or "|" or "=", …).
func (d *dtype) setState(state any) error {
	values, ok := state.(tuple)
	if !ok || len(values) < 2 {
		return fmt.Errorf("the state of a NumPy dtype is %s, want a tuple", typeName(state))
	}
	if values[1] == any(">") {
		d.order = binary.BigEndian
	}
	return nil
}

// setState sets the content: (version, shape, dtype, whether the first axis is the
// fastest, data).
func (a *ndarray) setState(state any) (err error) {
	values, ok := state.(tuple)
	if !ok || len(values) != 5 {
		return fmt.Errorf("the state of a NumPy array is %s, want a tuple of 5 values", typeName(state))
	}
	a.tensor, err = arrayTensor(values[1], values[2], values[3] == any(true), values[4])
	return err
}

// arrayFromBuffer rebuilds an array from its data, dtype, shape and "C" or "F" for the
// order of its axes.
func arrayFromBuffer(_ *unpickler, args tuple) (any, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("%d arguments, want 4", len(args))
	}
	t, err := arrayTensor(args[2], args[1], args[3] == any("F"), args[0])
	return &ndarray{t}, err
}

// arrayTensor returns the content of an array as a tensor, or nil if its element type is
// not supported.
func arrayTensor(shape, of any, firstFastest bool, data any) (*stridedTensor, error) {
	axes, err := naturals(shape)
	if err != nil {
		return nil, fmt.Errorf("shape: %w", err)
	}
	d, ok := of.(*dtype)
	if !ok {
		return nil, fmt.Errorf("the dtype is %s", typeName(of))
	}
	e, ok := arrayElements[d.code]
	if !ok {
		return nil, nil
	}
	var raw string
	switch data := data.(type) {
	case byteString:
		raw = string(data)
	case string: // Python 2
		raw = data
	default:
		return nil, fmt.Errorf("the data of a NumPy array are %s, want a bytes value", typeName(data))
	}
	t := &stridedTensor{shape: axes, strides: make([]int, len(axes))}
	t.storage = &storage{
		class: global("numpy." + d.code), element: e, count: len(raw) / e.size, order: d.order,
		read: func() ([]byte, error) { return []byte(raw), nil },
	}
	n := 1
	for i := range axes {
		axis := len(axes) - 1 - i
		if firstFastest {
			axis = i
		}
		t.strides[axis] = n
		if axes[axis] > 0 && n > t.storage.count/axes[axis] {
			return nil, fmt.Errorf("a NumPy array of shape %v has %d bytes", axes, len(raw))
		}
		n *= axes[axis]
	}
	return t, nil
}

// encodeLatin1 returns the bytes that protocol 2 stores as text of the code points 0 to
// 255.
func encodeLatin1(u *unpickler, args tuple) (any, error) {
	if len(args) != 2 || args[1] != any("latin1") {
		return &object{of: "_codecs.encode"}, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("the text is %s, want a string", typeName(args[0]))
	}
	if err := u.copies(len(text)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for _, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("the text contains %q, which is not Latin-1", r)
		}
		out.WriteByte(byte(r))
	}
	return byteString(out.String()), nil
}
