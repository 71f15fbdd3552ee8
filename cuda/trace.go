package cuda

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"unsafe"
)

// trace is work on the stream that has been noted instead of enqueued: kernels, fills, copies
// within device memory, and calls of other libraries. Work is equal if its bytes are.
type trace struct {
	// data holds the operations one after another: words of 8 bytes, the first of which is the
	// kind and the second the number of bytes that follow these two.
	data  []byte
	count int            // operations
	calls []func() error // of the operations of kind callWork, in their order
}

// Kinds of operations, and the words that follow.
const (
	launchWork = iota // function, blocks; the kernel's arguments
	copyWork          // to, from, bytes
	fillWork          // to, count, bytes of the element; the element, padded
	callWork          // the key
)

func (t *trace) reset() {
	t.data, t.count = t.data[:0], 0
	clear(t.calls)
	t.calls = t.calls[:0]
}

// add appends an operation: words, then bytes.
func (t *trace) add(kind uint64, words []uint64, rest []byte) {
	padded := roundUp(len(rest), 8)
	t.data = binary.NativeEndian.AppendUint64(t.data, kind)
	t.data = binary.NativeEndian.AppendUint64(t.data, uint64(8*len(words)+padded))
	for _, w := range words {
		t.data = binary.NativeEndian.AppendUint64(t.data, w)
	}
	t.data = append(t.data, rest...)
	t.data = append(t.data, make([]byte, padded-len(rest))...)
	t.count++
}

func (t *trace) launch(function handle, blocks int, arguments []byte) {
	t.add(launchWork, []uint64{uint64(uintptr(function)), uint64(blocks)}, arguments)
}

func (t *trace) copyDevice(to, from uintptr, bytes int64) {
	t.add(copyWork, []uint64{uint64(to), uint64(from), uint64(bytes)}, nil)
}

func (t *trace) fill(to uintptr, element []byte, count int64) {
	t.add(fillWork, []uint64{uint64(to), uint64(count), uint64(len(element))}, element)
}

func (t *trace) call(key []uint64, call func() error) {
	t.add(callWork, key, nil)
	t.calls = append(t.calls, call)
}

// tracedOperation is an operation of a trace.
type tracedOperation struct {
	kind uint64
	body []byte
}

func (o tracedOperation) word(i int) uint64 { return binary.NativeEndian.Uint64(o.body[8*i:]) }

// function returns the function that a kernel's launch calls.
func (o tracedOperation) function() handle {
	w := uintptr(o.word(0))
	return *(*handle)(unsafe.Pointer(&w))
}

// operations yields the operations of a trace.
func operations(data []byte) iter.Seq[tracedOperation] {
	return func(yield func(tracedOperation) bool) {
		for len(data) > 0 {
			end := 16 + binary.NativeEndian.Uint64(data[8:])
			if !yield(tracedOperation{binary.NativeEndian.Uint64(data), data[16:end]}) {
				return
			}
			data = data[end:]
		}
	}
}

// play enqueues the work.
func (t *trace) play(s session) error {
	calls := t.calls
	for o := range operations(t.data) {
		var err error
		switch o.kind {
		case launchWork:
			err = s.launch(o.function(), int(o.word(1)), unsafe.Pointer(unsafe.SliceData(o.body[16:])))
		case copyWork:
			err = s.copyDevice(uintptr(o.word(0)), uintptr(o.word(1)), int64(o.word(2)))
		case fillWork:
			err = s.fill(uintptr(o.word(0)), o.body[24:][:o.word(2)], int64(o.word(1)))
		case callWork:
			err = within(s, calls[0])
			calls = calls[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// difference describes the first operation in which work differs from earlier work.
func difference(work, earlier []byte, names map[handle]string) string {
	n := 0
	others := slices.Collect(operations(earlier))
	for o := range operations(work) {
		if n == len(others) || o.kind != others[n].kind || !bytes.Equal(o.body, others[n].body) {
			what := [...]string{launchWork: "", copyWork: "a copy", fillWork: "a fill", callWork: "a call of another library"}[o.kind]
			if o.kind == launchWork {
				what = "kernel " + names[o.function()]
			}
			if n < len(others) && o.kind == launchWork && others[n].kind == launchWork && o.function() == others[n].function() {
				what += " on other arguments"
			}
			return fmt.Sprintf("operation %d, %s", n+1, what)
		}
		n++
	}
	return fmt.Sprintf("its end after %d operations", n)
}
