package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The opcodes that torch.save writes for dictionaries, lists, tuples, plain
// values and tensors.
const (
	opProto      = 0x80
	opStop       = '.'
	opMark       = '('
	opNone       = 'N'
	opTrue       = 0x88
	opFalse      = 0x89
	opInt1       = 'K'
	opInt2       = 'M'
	opInt4       = 'J'
	opLong1      = 0x8a
	opFloat      = 'G'
	opUnicode    = 'X'
	opEmptyTuple = ')'
	opTuple      = 't'
	opTuple1     = 0x85
	opTuple2     = 0x86
	opTuple3     = 0x87
	opEmptyList  = ']'
	opAppend     = 'a'
	opAppends    = 'e'
	opEmptyDict  = '}'
	opSetItem    = 's'
	opSetItems   = 'u'
	opGlobal     = 'c'
	opReduce     = 'R'
	opBuild      = 'b'
	opPersistent = 'Q'
	opMemoPut1   = 'q'
	opMemoPut4   = 'r'
	opMemoGet1   = 'h'
	opMemoGet4   = 'j'
)

// pickleProtocol is the version of the pickle format that torch.save writes.
const pickleProtocol = 2

// The values that a pickle builds, besides Go's nil, bool, int64, float64 and string.
type (
	tuple []any
	list  struct{ items []any }
	// dict holds its entries in their original order; of equal keys the last one counts.
	dict  struct{ entries []entry }
	entry struct{ key, value any }
	// global is a Python name known to the reader: "module.name".
	global string
	// inert represents a value that no state_dict needs, such as a device.
	inert string
)

// typeName returns the name of the type of a value for errors. The value itself is never
// printed: it may have any size and may contain itself.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a string"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dictionary"
	case global:
		return string(v)
	case inert:
		return string(v)
	case *storage:
		return "a storage"
	case *stridedTensor:
		return "a tensor"
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

// unpickler executes the opcodes of a pickle. Memory and time are bounded by the length of
// the input: an opcode creates a value of constant size, or of the size of its input.
type unpickler struct {
	in    []byte
	at    int
	stack []any
	marks []int // lengths of the stack at the marks
	memo  map[uint32]any
}

// unpickle returns the value that a pickle describes.
func unpickle(in []byte) (any, error) {
	u := &unpickler{in: in, memo: map[uint32]any{}}
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

// result returns the value left at the end.
func (u *unpickler) result() (any, error) {
	switch {
	case len(u.stack) != 1 || len(u.marks) != 0:
		return nil, fmt.Errorf("it ends with %d values and %d open marks, want 1 value and no open marks", len(u.stack), len(u.marks))
	case u.at != len(u.in):
		return nil, fmt.Errorf("%d bytes follow its end", len(u.in)-u.at)
	}
	return u.stack[0], nil
}

func (u *unpickler) bytes(n int) ([]byte, error) {
	if left := len(u.in) - u.at; n > left {
		return nil, fmt.Errorf("it ends early: %d bytes are needed, but only %d are left", n, left)
	}
	u.at += n
	return u.in[u.at-n : u.at], nil
}

// line returns the text up to the next line break.
func (u *unpickler) line() (string, error) {
	n := slices.Index(u.in[u.at:], '\n')
	if n < 0 {
		return "", errors.New("it ends early: unterminated line")
	}
	s := string(u.in[u.at : u.at+n])
	u.at += n + 1
	return s, nil
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
	case opMark:
		u.marks = append(u.marks, len(u.stack))
	case opNone:
		u.push(nil)
	case opTrue, opFalse:
		u.push(op == opTrue)
	case opInt1, opInt2, opInt4, opLong1, opFloat, opUnicode:
		return u.scalar(op)
	case opEmptyTuple, opTuple, opTuple1, opTuple2, opTuple3:
		return u.tuple(op)
	case opEmptyList:
		u.push(&list{})
	case opAppend, opAppends:
		return u.append(op)
	case opEmptyDict:
		u.push(&dict{})
	case opSetItem, opSetItems:
		return u.setItems(op)
	case opGlobal:
		return u.global()
	case opReduce:
		return u.reduce()
	case opBuild:
		return u.build()
	case opPersistent:
		return u.persistent()
	case opMemoPut1, opMemoPut4, opMemoGet1, opMemoGet4:
		return u.memory(op)
	default:
		return fmt.Errorf("opcode 0x%02x is not supported; no state_dict needs it", op)
	}
	return nil
}

func (u *unpickler) proto() error {
	b, err := u.bytes(1)
	if err == nil && b[0] != pickleProtocol {
		err = fmt.Errorf("protocol %d, want %d, the default of torch.save", b[0], pickleProtocol)
	}
	return err
}

func (u *unpickler) scalar(op byte) error {
	size := map[byte]int{opInt1: 1, opInt2: 2, opInt4: 4, opLong1: 1, opFloat: 8, opUnicode: 4}[op]
	b, err := u.bytes(size)
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
	case opLong1:
		if b, err = u.bytes(int(b[0])); err != nil {
			return err
		}
		u.push(long(b))
	case opUnicode:
		n := binary.LittleEndian.Uint32(b)
		if uint64(n) > uint64(len(u.in)) {
			return fmt.Errorf("a string has %d bytes in a pickle of %d bytes", n, len(u.in))
		}
		if b, err = u.bytes(int(n)); err != nil {
			return err
		}
		u.push(string(b))
	}
	return nil
}

// long decodes a little-endian two's complement integer.
func long(b []byte) any {
	if len(b) > 8 {
		return inert("an int of more than 64 bits")
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
	target, values, err := u.popFor(op == opAppends, 1)
	if err != nil {
		return err
	}
	l, ok := target.(*list)
	if !ok {
		return fmt.Errorf("it appends to %s", typeName(target))
	}
	l.items = append(l.items, values...)
	return nil
}

func (u *unpickler) setItems(op byte) error {
	target, values, err := u.popFor(op == opSetItems, 2)
	if err != nil {
		return err
	}
	d, ok := target.(*dict)
	if !ok {
		return fmt.Errorf("it sets items of %s", typeName(target))
	}
	if len(values)%2 != 0 {
		return errors.New("a key has no value")
	}
	for i := 0; i < len(values); i += 2 {
		d.entries = append(d.entries, entry{values[i], values[i+1]})
	}
	return nil
}

// build discards the attributes that the opcode would set. In a state_dict only an
// OrderedDict has attributes, the versions of the layers, and they are not needed.
func (u *unpickler) build() error {
	target, _, err := u.popFor(false, 1)
	if err != nil {
		return err
	}
	if _, ok := target.(*dict); !ok {
		return fmt.Errorf("it sets attributes of %s", typeName(target))
	}
	return nil
}

func (u *unpickler) memory(op byte) error {
	size := 1
	if op == opMemoPut4 || op == opMemoGet4 {
		size = 4
	}
	b, err := u.bytes(size)
	if err != nil {
		return err
	}
	var full [4]byte
	copy(full[:], b)
	slot := binary.LittleEndian.Uint32(full[:])
	if op == opMemoPut1 || op == opMemoPut4 {
		if len(u.stack) <= u.floor() {
			return errors.New("there is no value to store in the memo")
		}
		u.memo[slot] = u.stack[len(u.stack)-1]
		return nil
	}
	v, ok := u.memo[slot]
	if !ok {
		return fmt.Errorf("memo entry %d does not exist", slot)
	}
	u.push(v)
	return nil
}
