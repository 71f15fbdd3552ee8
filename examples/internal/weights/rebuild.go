package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// storage is an array of elements that tensors view.
type storage struct {
	class   global
	element element
	count   int // number of elements
	order   binary.ByteOrder
	read    func() ([]byte, error)
}

// storageView is a storage that begins inside another one.
type storageView struct {
	*storage
	start int
}

// stridedTensor is a view of a storage: element (i, j, …) is at
// offset + i·strides[0] + j·strides[1] + ….
type stridedTensor struct {
	storage *storage
	offset  int
	shape   []int
	strides []int
}

// storageElements maps PyTorch's storage classes to element types. Those that cannot be
// decoded have a size only.
var storageElements = map[string]element{
	"FloatStorage": float32s, "DoubleStorage": float64s, "HalfStorage": float16s, "BFloat16Storage": bfloat16s,
	"LongStorage": int64s, "IntStorage": int32s, "ShortStorage": int16s, "CharStorage": int8s,
	"ByteStorage": uint8s, "BoolStorage": bools,

	"ComplexFloatStorage": {size: 8}, "ComplexDoubleStorage": {size: 16}, "QInt8Storage": {size: 1}, "QUInt8Storage": {size: 1},
	"QInt32Storage": {size: 4}, "UntypedStorage": {size: 1},
}

// storageElement returns the element type of a storage class such as torch.FloatStorage or
// torch.cuda.FloatStorage. An unknown one has size 0.
func storageElement(class global) element {
	if name := string(class); strings.HasPrefix(name, "torch.") {
		return storageElements[name[strings.LastIndexByte(name, '.')+1:]]
	}
	return element{}
}

// callables are the functions and classes that describe tensors and their containers.
// Calls of any other are not interpreted.
var callables map[global]func(u *unpickler, args tuple) (any, error)

// An initializer of the variable would be a cycle: a value can contain another pickle.
func init() {
	callables = map[global]func(u *unpickler, args tuple) (any, error){
		"collections.OrderedDict":         orderedDict,
		"collections.defaultdict":         func(*unpickler, tuple) (any, error) { return &dict{}, nil },
		"__builtin__.set":                 setOf,
		"builtins.set":                    setOf,
		"torch._utils._rebuild_tensor":    rebuildTensor,
		"torch._utils._rebuild_tensor_v2": rebuildTensor,
		"torch._utils._rebuild_parameter": firstArgument,
		// A parameter with attributes, which are ignored.
		"torch._utils._rebuild_parameter_with_state": firstArgument,
		// Tensors of devices whose data come as a NumPy array.
		"torch._utils._rebuild_device_tensor_from_numpy": firstArgument,
		"torch._utils._rebuild_xla_tensor":               firstArgument,
		"torch._tensor._rebuild_from_type_v2":            rebuildFromType,
		"torch._tensor._rebuild_from_type":               rebuildFromType,
		"torch.storage._load_from_bytes":                 loadFromBytes,

		"_codecs.encode":                      encodeLatin1,
		"numpy.dtype":                         newDtype,
		"numpy.core.multiarray._reconstruct":  func(*unpickler, tuple) (any, error) { return &ndarray{}, nil },
		"numpy._core.multiarray._reconstruct": func(*unpickler, tuple) (any, error) { return &ndarray{}, nil },
		"numpy.core.numeric._frombuffer":      arrayFromBuffer,
		"numpy._core.numeric._frombuffer":     arrayFromBuffer,
	}
}

// orderedDict returns a dictionary. Python 2 passes its items as a list of pairs.
func orderedDict(u *unpickler, args tuple) (any, error) {
	d := &dict{}
	if len(args) == 0 {
		return d, nil
	}
	l, ok := args[0].(*list)
	if !ok {
		return nil, fmt.Errorf("the argument is %s, want a list of pairs", typeName(args[0]))
	}
	if err := u.copies(len(l.items)); err != nil {
		return nil, err
	}
	for _, item := range l.items {
		var pair []any
		switch item := item.(type) {
		case tuple:
			pair = item
		case *list:
			pair = item.items
		}
		if len(pair) != 2 {
			return nil, fmt.Errorf("an item is %s, want a pair", typeName(item))
		}
		d.entries = append(d.entries, entry{pair[0], pair[1]})
	}
	return d, nil
}

// setOf returns a set, whose items protocols before 4 pass as a list.
func setOf(_ *unpickler, args tuple) (any, error) {
	set := &object{of: "builtins.set"}
	if len(args) == 1 {
		if l, ok := args[0].(*list); ok {
			set.items = slices.Clip(l.items)
		}
	}
	return set, nil
}

func firstArgument(_ *unpickler, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("there are no arguments")
	}
	return args[0], nil
}

// rebuildFromType rebuilds a tensor of a subclass from a function, the class, the
// arguments of the function, and attributes, which are ignored.
func rebuildFromType(u *unpickler, args tuple) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments, want at least 3", len(args))
	}
	function, _ := args[0].(global)
	of, ok := args[2].(tuple)
	switch {
	case ok && function == "torch._utils._rebuild_tensor_v2":
		return rebuildTensor(u, of)
	case ok && function == "torch._utils._rebuild_parameter":
		return firstArgument(u, of)
	}
	return &object{of: string(function)}, nil
}

// loadFromBytes reads the storage of a tensor that was pickled without torch.save: a file
// of its own, inside a bytes value.
func loadFromBytes(u *unpickler, args tuple) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments, want 1", len(args))
	}
	raw, ok := args[0].(byteString)
	if !ok || u.nested {
		return nil, fmt.Errorf("the argument is %s, want a bytes value", typeName(args[0]))
	}
	if err := u.copies(len(raw)); err != nil {
		return nil, err
	}
	inner := strings.NewReader(string(raw))
	return decodePickles(inner, inner.Size(), true)
}

// persistent resolves a reference to a storage: ("storage", class, key, device, elements)
// and, in files of the format before PyTorch 1.6, None or (key, start, elements) of a part
// of it; or to a class with its source code: ("module", class, file, source).
func (u *unpickler) persistent() error {
	values, err := u.pop(1)
	if err != nil {
		return err
	}
	id, ok := values[0].(tuple)
	if ok && len(id) == 4 && id[0] == any("module") {
		u.push(id[1])
		return nil
	}
	if !ok || len(id) != 5 && len(id) != 6 || id[0] != any("storage") {
		return fmt.Errorf("it refers to %s, want the values of a storage", typeName(values[0]))
	}
	class, isClass := id[1].(global)
	key, isKey := id[2].(string)
	count, isCount := id[4].(int64)
	if !isClass || !isKey || !isCount {
		return fmt.Errorf("storage: (%s, %s, %s), want a storage class, a string and an int", typeName(id[1]), typeName(id[2]), typeName(id[4]))
	}
	e := storageElement(class)
	if count < 0 || count > int64(math.MaxInt/max(e.size, 1)) {
		return fmt.Errorf("storage %s has %d elements", quote(key), count)
	}
	s := u.storages[key]
	if s == nil {
		s = &storage{class: class, element: e, count: int(count)}
		u.storages[key] = s
	} else if s.class != class || s.count != int(count) {
		return fmt.Errorf("storage %s is both %d elements of %s and %d of %s", quote(key), s.count, quote(string(s.class)), count, quote(string(class)))
	}
	if len(id) == 5 || id[5] == nil {
		u.push(s)
		return nil
	}
	part, ok := id[5].(tuple)
	if ok && len(part) == 3 {
		if start, ok := part[1].(int64); ok && start >= 0 && start <= count {
			u.push(storageView{s, int(start)})
			return nil
		}
	}
	return fmt.Errorf("storage %s: its part is %s, want a key and two ints", quote(key), typeName(id[5]))
}

// rebuildTensor rebuilds a tensor from the storage, the offset, the shape, the strides
// and values that are not needed: whether it requires a gradient, hooks, attributes. A
// tensor of an element type that is not supported is returned as an object.
func rebuildTensor(_ *unpickler, args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments, want at least 4", len(args))
	}
	start := 0
	var s *storage
	switch arg := args[0].(type) {
	case *storage:
		s = arg
	case storageView:
		s, start = arg.storage, arg.start
	default:
		return nil, fmt.Errorf("the storage is %s", typeName(args[0]))
	}
	if s.element.decode == nil {
		return &object{of: string(s.class)}, nil
	}
	offset, ok := args[1].(int64)
	if !ok || offset < 0 || offset > int64(s.count-start) {
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
	return &stridedTensor{storage: s, offset: start + int(offset), shape: shape, strides: strides}, nil
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
