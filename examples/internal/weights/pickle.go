package weights

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The opcodes of the pickle protocols 2 to 5. Those that only protocols 0 and 1 use are
// not supported.
const (
	opProto           = 0x80
	opFrame           = 0x95
	opStop            = '.'
	opMark            = '('
	opPop             = '0'
	opPopMark         = '1'
	opDup             = '2'
	opNone            = 'N'
	opTrue            = 0x88
	opFalse           = 0x89
	opInt1            = 'K'
	opInt2            = 'M'
	opInt4            = 'J'
	opLong1           = 0x8a
	opLong4           = 0x8b
	opFloat           = 'G'
	opString1         = 'U' // a string of Python 2
	opString4         = 'T'
	opUnicode1        = 0x8c
	opUnicode4        = 'X'
	opUnicode8        = 0x8d
	opBytes1          = 'C'
	opBytes4          = 'B'
	opBytes8          = 0x8e
	opByteArray8      = 0x96
	opReadOnlyBuffer  = 0x98
	opEmptyTuple      = ')'
	opTuple           = 't'
	opTuple1          = 0x85
	opTuple2          = 0x86
	opTuple3          = 0x87
	opEmptyList       = ']'
	opAppend          = 'a'
	opAppends         = 'e'
	opEmptyDict       = '}'
	opSetItem         = 's'
	opSetItems        = 'u'
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opGlobal          = 'c'
	opStackGlobal     = 0x93
	opReduce          = 'R'
	opNewObject       = 0x81
	opNewObjectEx     = 0x92
	opBuild           = 'b'
	opExtension1      = 0x82
	opExtension2      = 0x83
	opExtension4      = 0x84
	opPersistent      = 'Q'
	opMemoize         = 0x94
	opMemoPut1        = 'q'
	opMemoPut4        = 'r'
	opMemoGet1        = 'h'
	opMemoGet4        = 'j'
	minPickleProtocol = 2
	maxPickleProtocol = 5
)

// lengthSizes holds the number of bytes of the length that precedes an opcode's content.
var lengthSizes = map[byte]int{
	opLong1: 1, opLong4: 4, opString1: 1, opString4: 4, opUnicode1: 1, opUnicode4: 4, opUnicode8: 8,
	opBytes1: 1, opBytes4: 4, opBytes8: 8, opByteArray8: 8,
}

// The values that a pickle builds, besides Go's nil, bool, int64, float64 and string, and
// those of rebuild.go and numpy.go.
type (
	tuple []any
	list  struct{ items []any }
	// dict holds its entries in their original order; of equal keys the last one counts.
	dict  struct{ entries []entry }
	entry struct{ key, value any }
	// global is a Python name: "module.name".
	global string
	// byteString is a bytes or bytearray value.
	byteString string
	// bigInt is an int of more than 64 bits: its little-endian two's complement.
	bigInt string
	// object stands for the result of any class or function that the reader does not know.
	// It only records what Python would have passed to it.
	object struct {
		of      string // "module.name" of the class or function
		args    tuple
		state   any // what __setstate__ would receive, usually a dict of attributes
		items   []any
		entries []entry
	}
)

// typeName returns the name of the type of a value for errors. The value itself is never
// printed: it may have any size and may contain itself.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, bigInt:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a string"
	case byteString:
		return "a bytes value"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dictionary"
	case global:
		return quote(string(v))
	case *object:
		return "a value of " + quote(v.of)
	case *storage, storageView:
		return "a storage"
	case *stridedTensor:
		return "a tensor"
	case *ndarray:
		return "a NumPy array"
	case *dtype:
		return "a NumPy dtype"
	}
	return fmt.Sprintf("%T", v)
}

// quote quotes text from a file for an error, shortened if necessary.
func quote(s string) string {
	if len(s) > 120 {
		s = s[:120] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// unpickler executes the opcodes of pickles that follow one another in a file. Memory and
// time are bounded by the length of the input: an opcode creates a value of constant size,
// or of the size of its input.
type unpickler struct {
	in       *bufio.Reader
	at, size int64 // the position in the input, and its length
	stack    []any
	marks    []int // lengths of the stack at the marks
	memo     map[uint32]any

	storages map[string]*storage // by key, in every pickle of the file
	nested   bool                // the input is a value of another pickle
	copied   int64               // total size of the values that calls have copied
}

func newUnpickler(r io.Reader, size int64) *unpickler {
	return &unpickler{in: bufio.NewReader(r), size: size, storages: map[string]*storage{}}
}

// next returns the value that the next pickle describes.
func (u *unpickler) next() (any, error) {
	u.stack, u.marks, u.memo = nil, nil, map[uint32]any{}
	for {
		start := u.at
		op, err := u.bytes(1)
		if err == nil && op[0] == opStop {
			v, err := u.result()
			if err != nil {
				return nil, fmt.Errorf("pickle: %w", err)
			}
			return v, nil
		}
		if err == nil {
			err = u.step(op[0])
		}
		if err != nil {
			return nil, fmt.Errorf("pickle, byte %d: %w", start, err)
		}
	}
}

// result returns the value left at the end of a pickle.
func (u *unpickler) result() (any, error) {
	if len(u.stack) != 1 || len(u.marks) != 0 {
		return nil, fmt.Errorf("it ends with %d values and %d open marks, want 1 value and no open marks", len(u.stack), len(u.marks))
	}
	return u.stack[0], nil
}

// end returns an error if input is left.
func (u *unpickler) end() error {
	if u.at != u.size {
		return fmt.Errorf("pickle: %d bytes follow its end", u.size-u.at)
	}
	return nil
}

// bytes returns the next n bytes, which are only valid until the next call.
func (u *unpickler) bytes(n uint64) ([]byte, error) {
	if left := u.size - u.at; n > uint64(left) {
		return nil, fmt.Errorf("it ends early: %d bytes are needed, but only %d are left", n, left)
	}
	u.at += int64(n)
	if n > uint64(u.in.Size()) {
		b := make([]byte, n)
		_, err := io.ReadFull(u.in, b)
		return b, err
	}
	b, err := u.in.Peek(int(n))
	if err != nil {
		return nil, err
	}
	_, err = u.in.Discard(int(n))
	return b, err
}

// number returns the next n ≤ 8 bytes as a little-endian number.
func (u *unpickler) number(n int) (uint64, error) {
	b, err := u.bytes(uint64(n))
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

// line returns the text up to the next line break.
func (u *unpickler) line() (string, error) {
	b, err := u.in.ReadSlice('\n')
	u.at += int64(len(b))
	switch {
	case errors.Is(err, io.EOF):
		return "", errors.New("it ends early: unterminated line")
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a name has more than %d bytes", len(b))
	case err != nil:
		return "", err
	}
	return string(b[:len(b)-1]), nil
}

// copies counts a copy of a value of n bytes or items. As a pickle can refer to a value any
// number of times, it returns an error if the copies exceed the size of the input.
func (u *unpickler) copies(n int) error {
	if u.copied += int64(n); u.copied > u.size {
		return fmt.Errorf("its calls copy more than the %d bytes of the file", u.size)
	}
	return nil
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

// floor returns the length to which the stack may be popped: that at the last mark.
func (u *unpickler) floor() int {
	if n := len(u.marks); n > 0 {
		return u.marks[n-1]
	}
	return 0
}

// pop returns the last n values in order; the slice is only valid until the
// next push.
func (u *unpickler) pop(n int) ([]any, error) {
	at := len(u.stack) - n
	if at < u.floor() {
		return nil, fmt.Errorf("%d values are needed, but the stack has %d", n, len(u.stack)-u.floor())
	}
	values := u.stack[at:]
	u.stack = u.stack[:at]
	return values, nil
}

// popMark returns the values above the last mark and removes it; see pop.
func (u *unpickler) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, errors.New("a mark is missing")
	}
	values, err := u.pop(len(u.stack) - u.floor())
	u.marks = u.marks[:len(u.marks)-1]
	return values, err
}

func (u *unpickler) step(op byte) error {
	switch op {
	case opProto:
		return u.proto()
	case opFrame: // frames only group the opcodes for reading
		_, err := u.number(8)
		return err
	case opMark:
		u.marks = append(u.marks, len(u.stack))
	case opPop:
		_, err := u.pop(1)
		return err
	case opPopMark:
		_, err := u.popMark()
		return err
	case opDup:
		return u.duplicate()
	case opNone:
		u.push(nil)
	case opTrue, opFalse:
		u.push(op == opTrue)
	case opInt1, opInt2, opInt4, opFloat:
		return u.scalar(op)
	case opLong1, opLong4, opString1, opString4, opUnicode1, opUnicode4, opUnicode8, opBytes1, opBytes4, opBytes8, opByteArray8:
		return u.content(op)
	case opEmptyTuple, opTuple, opTuple1, opTuple2, opTuple3:
		return u.tuple(op)
	case opEmptyList:
		u.push(&list{})
	case opAppend, opAppends, opAddItems:
		return u.append(op)
	case opEmptyDict:
		u.push(&dict{})
	case opSetItem, opSetItems:
		return u.setItems(op)
	case opEmptySet:
		u.push(&object{of: "builtins.set"})
	case opFrozenSet:
		return u.frozenSet()
	case opGlobal, opStackGlobal:
		return u.global(op)
	case opReduce, opNewObject, opNewObjectEx:
		return u.call(op)
	case opBuild:
		return u.build()
	case opExtension1, opExtension2, opExtension4:
		return u.extension(op)
	case opPersistent:
		return u.persistent()
	case opMemoize:
		return u.store(uint32(len(u.memo)))
	case opMemoPut1, opMemoPut4, opMemoGet1, opMemoGet4:
		return u.memory(op)
	case opReadOnlyBuffer:
	default:
		return fmt.Errorf("opcode 0x%02x is not one of the pickle protocols %d to %d", op, minPickleProtocol, maxPickleProtocol)
	}
	return nil
}

func (u *unpickler) proto() error {
	n, err := u.number(1)
	if err == nil && (n < minPickleProtocol || n > maxPickleProtocol) {
		err = fmt.Errorf("pickle protocol %d, want %d to %d", n, minPickleProtocol, maxPickleProtocol)
	}
	return err
}

func (u *unpickler) scalar(op byte) error {
	b, err := u.bytes(map[byte]uint64{opInt1: 1, opInt2: 2, opInt4: 4, opFloat: 8}[op])
	if err != nil {
		return err
	}
	switch op {
	case opInt1:
		u.push(int64(b[0]))
	case opInt2:
		u.push(int64(binary.LittleEndian.Uint16(b)))
	case opInt4:
		u.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case opFloat:
		u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	return nil
}

// content pushes the value of an opcode whose content follows its length.
func (u *unpickler) content(op byte) error {
	n, err := u.number(lengthSizes[op])
	if err != nil {
		return err
	}
	b, err := u.bytes(n)
	if err != nil {
		return err
	}
	switch op {
	case opLong1, opLong4:
		u.push(long(b))
	case opBytes1, opBytes4, opBytes8, opByteArray8:
		u.push(byteString(b))
	default:
		u.push(string(b))
	}
	return nil
}

// long decodes a little-endian two's complement integer.
func long(b []byte) any {
	if len(b) > 8 {
		return bigInt(b)
	}
	var full [8]byte
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		full = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	copy(full[:], b)
	return int64(binary.LittleEndian.Uint64(full[:]))
}

func (u *unpickler) tuple(op byte) (err error) {
	var values []any
	switch op {
	case opTuple:
		values, err = u.popMark()
	case opTuple1, opTuple2, opTuple3:
		values, err = u.pop(int(op-opTuple1) + 1)
	}
	if err != nil {
		return err
	}
	u.push(tuple(slices.Clone(values)))
	return nil
}

func (u *unpickler) frozenSet() error {
	values, err := u.popMark()
	if err != nil {
		return err
	}
	u.push(&object{of: "builtins.frozenset", items: slices.Clone(values)})
	return nil
}

// popFor returns the values that an opcode adds to the value below them, which is target:
// everything above the last mark, or n values.
func (u *unpickler) popFor(marked bool, n int) (target any, values []any, err error) {
	if marked {
		values, err = u.popMark()
	} else {
		values, err = u.pop(n)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(u.stack) <= u.floor() {
		return nil, nil, errors.New("there is no value to add to")
	}
	return u.stack[len(u.stack)-1], values, nil
}

func (u *unpickler) append(op byte) error {
	target, values, err := u.popFor(op != opAppend, 1)
	if err != nil {
		return err
	}
	switch target := target.(type) {
	case *list:
		target.items = append(target.items, values...)
	case *object:
		target.items = append(target.items, values...)
	default:
		return fmt.Errorf("it appends to %s", typeName(target))
	}
	return nil
}

func (u *unpickler) setItems(op byte) error {
	target, values, err := u.popFor(op == opSetItems, 2)
	if err != nil {
		return err
	}
	var entries *[]entry
	switch target := target.(type) {
	case *dict:
		entries = &target.entries
	case *object:
		entries = &target.entries
	default:
		return fmt.Errorf("it sets items of %s", typeName(target))
	}
	if len(values)%2 != 0 {
		return errors.New("a key has no value")
	}
	for i := 0; i < len(values); i += 2 {
		*entries = append(*entries, entry{values[i], values[i+1]})
	}
	return nil
}

// global pushes a Python name. Nothing is looked up.
func (u *unpickler) global(op byte) error {
	if op == opStackGlobal {
		values, err := u.pop(2)
		if err != nil {
			return err
		}
		module, isModule := values[0].(string)
		name, isName := values[1].(string)
		if !isModule || !isName {
			return fmt.Errorf("it refers to %s in %s, want two strings", typeName(values[1]), typeName(values[0]))
		}
		u.push(global(module + "." + name))
		return nil
	}
	module, err := u.line()
	if err != nil {
		return err
	}
	name, err := u.line()
	if err != nil {
		return err
	}
	u.push(global(module + "." + name))
	return nil
}

// call pushes what a class or function would return: what its entry of callables
// describes, or else an object. No function is ever executed.
func (u *unpickler) call(op byte) error {
	n := 2
	if op == opNewObjectEx {
		n = 3 // with keyword arguments
	}
	values, err := u.pop(n)
	if err != nil {
		return err
	}
	callee := values[0]
	args, ok := values[1].(tuple)
	if !ok {
		return fmt.Errorf("it calls %s with %s", typeName(callee), typeName(values[1]))
	}
	switch callee := callee.(type) {
	case global:
		call := callables[callee]
		if call == nil || op == opNewObjectEx {
			u.push(&object{of: string(callee), args: args})
			return nil
		}
		v, err := call(u, args)
		if err != nil {
			return fmt.Errorf("%s: %w", callee, err)
		}
		u.push(v)
	case *object: // such as a class that is looked up inside another
		u.push(&object{of: callee.of, args: args})
	default:
		return fmt.Errorf("it calls %s", typeName(callee))
	}
	return nil
}

// build sets the state of a value. That of dictionaries and tensors is discarded: the
// versions of layers, and attributes that no network needs.
func (u *unpickler) build() error {
	target, values, err := u.popFor(false, 1)
	if err != nil {
		return err
	}
	switch target := target.(type) {
	case *dict, *stridedTensor:
	case *object:
		target.state = values[0]
	case *ndarray:
		return target.setState(values[0])
	case *dtype:
		return target.setState(values[0])
	default:
		return fmt.Errorf("it sets attributes of %s", typeName(target))
	}
	return nil
}

// extension pushes a class that is registered under a number.
func (u *unpickler) extension(op byte) error {
	n, err := u.number(map[byte]int{opExtension1: 1, opExtension2: 2, opExtension4: 4}[op])
	if err == nil {
		u.push(&object{of: fmt.Sprintf("extension %d of copyreg", n)})
	}
	return err
}

func (u *unpickler) duplicate() error {
	if len(u.stack) <= u.floor() {
		return errors.New("there is no value to duplicate")
	}
	u.push(u.stack[len(u.stack)-1])
	return nil
}

func (u *unpickler) memory(op byte) error {
	size := 1
	if op == opMemoPut4 || op == opMemoGet4 {
		size = 4
	}
	n, err := u.number(size)
	if err != nil {
		return err
	}
	slot := uint32(n)
	if op == opMemoPut1 || op == opMemoPut4 {
		return u.store(slot)
	}
	v, ok := u.memo[slot]
	if !ok {
		return fmt.Errorf("memo entry %d does not exist", slot)
	}
	u.push(v)
	return nil
}

// store stores the last value in the memo.
func (u *unpickler) store(slot uint32) error {
	if len(u.stack) <= u.floor() {
		return errors.New("there is no value to store in the memo")
	}
	u.memo[slot] = u.stack[len(u.stack)-1]
	return nil
}
