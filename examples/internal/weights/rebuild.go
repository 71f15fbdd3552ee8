package weights

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// storage is an array of elements that tensors view. Its bytes are the archive's entry
// data/<key>.
type storage struct {
	class   global
	element element
	key     string
	count   int // number of elements
}

// stridedTensor is a view of a storage: element (i, j, …) is at
// offset + i·strides[0] + j·strides[1] + ….
type stridedTensor struct {
	storage *storage
	offset  int
	shape   []int
	strides []int
}

// storageElements maps PyTorch's storage classes to element types.
var storageElements = map[global]element{
	"torch.FloatStorage": float32s, "torch.DoubleStorage": float64s, "torch.HalfStorage": float16s, "torch.BFloat16Storage": bfloat16s,
	"torch.LongStorage": int64s, "torch.IntStorage": int32s, "torch.ShortStorage": int16s, "torch.CharStorage": int8s,
	"torch.ByteStorage": uint8s, "torch.BoolStorage": bools,
}

// callables are the functions and classes from which a state_dict, and plain values next
// to it in a checkpoint, are rebuilt. Each of them only describes its result.
var callables = map[global]func(args tuple) (any, error){
	"collections.OrderedDict": func(args tuple) (any, error) {
		if len(args) != 0 {
			return nil, fmt.Errorf("%d arguments, want none", len(args))
		}
		return &dict{}, nil
	},
	"torch._utils._rebuild_tensor_v2": rebuildTensor,
	"torch._utils._rebuild_parameter": func(args tuple) (any, error) { return firstTensor(args, 3) },
	// A parameter with attributes, which are ignored.
	"torch._utils._rebuild_parameter_with_state": func(args tuple) (any, error) { return firstTensor(args, 4) },
	"torch.Size": func(args tuple) (any, error) {
		if len(args) == 1 {
			if t, ok := args[0].(tuple); ok {
				return t, nil
			}
		}
		return nil, errors.New("want a single argument, a tuple")
	},
	"torch.device": func(tuple) (any, error) { return inert("a torch.device"), nil },
}

// constants are names of values that are neither called nor viewed.
var constants = []global{
	"torch.float32", "torch.float64", "torch.float16", "torch.bfloat16",
	"torch.int64", "torch.int32", "torch.int16", "torch.int8", "torch.uint8", "torch.bool",
	"torch.strided", "torch.contiguous_format", "torch.preserve_format",
}

// global looks up a Python name. A hostile file fails here.
func (u *unpickler) global() error {
	module, err := u.line()
	if err != nil {
		return err
	}
	name, err := u.line()
	if err != nil {
		return err
	}
	g := global(module + "." + name)
	_, isStorage := storageElements[g]
	_, isCallable := callables[g]
	if !isStorage && !isCallable && !slices.Contains(constants, g) {
		return fmt.Errorf("it refers to %s, which no state_dict needs; nothing was executed. "+
			"If you trust the file, load it in PyTorch and save only model.state_dict()", quote(string(g)))
	}
	u.push(g)
	return nil
}

func (u *unpickler) reduce() error {
	values, err := u.pop(2)
	if err != nil {
		return err
	}
	g, isGlobal := values[0].(global)
	args, isTuple := values[1].(tuple)
	call, ok := callables[g]
	if !isGlobal || !isTuple || !ok {
		return fmt.Errorf("it calls %s with %s", typeName(values[0]), typeName(values[1]))
	}
	v, err := call(args)
	if err != nil {
		return fmt.Errorf("%s: %w", g, err)
	}
	u.push(v)
	return nil
}

// persistent resolves a reference to a storage: ("storage", class, key, device, elements).
func (u *unpickler) persistent() error {
	values, err := u.pop(1)
	if err != nil {
		return err
	}
	id, ok := values[0].(tuple)
	if !ok || len(id) != 5 || id[0] != any("storage") {
		return fmt.Errorf("it refers to %s, want the five values of a storage", typeName(values[0]))
	}
	class, isClass := id[1].(global)
	e, isStorage := storageElements[class]
	key, isKey := id[2].(string)
	count, isCount := id[4].(int64)
	if !isClass || !isStorage || !isKey || !isCount {
		return fmt.Errorf("storage: (%s, %s, %s), want a storage class, a string and an int", typeName(id[1]), typeName(id[2]), typeName(id[4]))
	}
	if count < 0 || count > math.MaxInt/int64(e.size) {
		return fmt.Errorf("storage %s has %d elements", quote(key), count)
	}
	u.push(&storage{class: class, element: e, key: key, count: int(count)})
	return nil
}

// rebuildTensor rebuilds a tensor from the storage, the offset, the shape, the strides,
// whether it requires a gradient, hooks and, in later versions, attributes.
func rebuildTensor(args tuple) (any, error) {
	if len(args) != 6 && len(args) != 7 {
		return nil, fmt.Errorf("%d arguments, want 6 or 7", len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("the storage is %s", typeName(args[0]))
	}
	offset, ok := args[1].(int64)
	if !ok || offset < 0 || offset > int64(s.count) {
		return nil, fmt.Errorf("the offset is %s outside the storage of %d elements", typeName(args[1]), s.count)
	}
	shape, err := naturals(args[2])
	if err != nil {
		return nil, fmt.Errorf("shape: %w", err)
	}
	strides, err := naturals(args[3])
	if err != nil {
		return nil, fmt.Errorf("strides: %w", err)
	}
	if len(shape) != len(strides) {
		return nil, fmt.Errorf("shape %v and strides %v differ in length", shape, strides)
	}
	return &stridedTensor{storage: s, offset: int(offset), shape: shape, strides: strides}, nil
}

// maxAxes is PyTorch's own limit on the number of axes of a tensor.
const maxAxes = 64

// naturals returns the values of a tuple of nonnegative ints.
func naturals(v any) ([]int, error) {
	t, ok := v.(tuple)
	if !ok || len(t) > maxAxes {
		return nil, fmt.Errorf("it is %s, want a tuple of at most %d ints", typeName(v), maxAxes)
	}
	values := make([]int, len(t))
	for i, x := range t {
		n, ok := x.(int64)
		if !ok || n < 0 || n > math.MaxInt {
			return nil, fmt.Errorf("value %d is %s, want an int of at least 0", i, typeName(x))
		}
		values[i] = int(n)
	}
	return values, nil
}

func firstTensor(args tuple, n int) (any, error) {
	if len(args) != n {
		return nil, fmt.Errorf("%d arguments, want %d", len(args), n)
	}
	t, ok := args[0].(*stridedTensor)
	if !ok {
		return nil, fmt.Errorf("the data is %s, want a tensor", typeName(args[0]))
	}
	return t, nil
}

// elements returns the number of elements of the tensor. It returns an error if there are
// none or if one of them is outside the storage.
func (t *stridedTensor) elements() (int, error) {
	fail := func(why string) (int, error) {
		return 0, fmt.Errorf("shape %v with strides %v and offset %d %s its storage of %d elements", t.shape, t.strides, t.offset, why, t.storage.count)
	}
	n, last := 1, t.offset
	for i, d := range t.shape {
		if d == 0 {
			return 0, fmt.Errorf("shape %v has no elements", t.shape)
		}
		// Both comparisons divide because products could overflow.
		if d > 1 && t.strides[i] > 0 && d-1 > (t.storage.count-last)/t.strides[i] {
			return fail("reaches beyond")
		}
		last += (d - 1) * t.strides[i]
		if d > maxSharing*t.storage.count/n {
			return fail("repeats too often the elements of")
		}
		n *= d
	}
	if last >= t.storage.count {
		return fail("reaches beyond")
	}
	return n, nil
}

// gather returns the tensor's bytes in row-major order, given the bytes of its storage and
// the result of elements.
func (t *stridedTensor) gather(raw []byte, elements int) []byte {
	size := t.storage.element.size
	if t.contiguous() {
		return raw[t.offset*size:][:elements*size]
	}
	out := make([]byte, 0, elements*size)
	index := make([]int, len(t.shape))
	at := t.offset
	for range elements {
		out = append(out, raw[at*size:(at+1)*size]...)
		for axis := len(index) - 1; axis >= 0; axis-- {
			index[axis]++
			at += t.strides[axis]
			if index[axis] < t.shape[axis] {
				break
			}
			at -= index[axis] * t.strides[axis]
			index[axis] = 0
		}
	}
	return out
}

func (t *stridedTensor) contiguous() bool {
	step := 1
	for axis := len(t.shape) - 1; axis >= 0; axis-- {
		if t.shape[axis] > 1 && t.strides[axis] != step {
			return false
		}
		step *= t.shape[axis]
	}
	return true
}
