//go:build cgo && linux && (amd64 || arm64)

package cudnn

// #include "cudnn.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

// Plan is an operation of a convolution on fixed sizes, by one engine.
type Plan struct {
	owner     *Handle
	plan      unsafe.Pointer
	workspace int64
	engine    int64
	notes     []C.int
}

// Workspace returns the size of the scratch memory that an execution needs, in bytes.
func (p *Plan) Workspace() int64 { return p.workspace }

// String names the engine, as in "engine 36 (tensor cores)".
func (p *Plan) String() string { return describe(p.engine, p.notes) }

// The identifiers of the tensors.
const (
	identifierX = 'x'
	identifierW = 'w'
	identifierY = 'y'
)

// Plan returns a plan with the first acceptable engine of the heuristic, in its order. strict
// asks for float32 products. If no engine is acceptable, the error is a [NoEngineError].
func (h *Handle) Plan(op Operation, c Convolution, strict bool) (*Plan, error) {
	var p *Plan
	err := h.runner.Within(func(uintptr) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.handle == nil {
			return errors.New("cudnn: the handle is closed")
		}
		b := &builder{Handle: h}
		p = b.plan(op, c, strict)
		if b.err != nil {
			return errors.Join(b.err, h.destroy(b.made))
		}
		h.descriptors = append(h.descriptors, b.made...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Execute enqueues the operation on addresses of device memory that are multiples of
// [Alignment]. workspace is scratch memory of [Plan.Workspace] bytes, or 0 if there are none.
func (p *Plan) Execute(x, weight, y, workspace uintptr) error {
	identifiers := [3]C.int64_t{identifierX, identifierW, identifierY}
	memory := [3]C.uintptr_t{C.uintptr_t(x), C.uintptr_t(weight), C.uintptr_t(y)}
	h := p.owner
	key := []uint64{uint64(uintptr(p.plan)), uint64(x), uint64(weight), uint64(y), uint64(workspace)}
	return h.runner.Call(key, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.handle == nil {
			return errors.New("cudnn: the handle is closed")
		}
		status := C.afl_cudnn_execute(h.library.table, h.handle, p.plan, &identifiers[0], &memory[0], C.uintptr_t(workspace))
		return h.library.check("cudnnBackendExecute", status)
	})
}

// builder makes the descriptors of a plan. After the first failure, which err records, its
// methods do nothing.
type builder struct {
	*Handle
	made []unsafe.Pointer
	err  error
}

func (b *builder) check(what string, status C.int) {
	if b.err == nil {
		b.err = b.library.check(what, status)
	}
}

// make returns a new descriptor.
func (b *builder) make(kind C.int) unsafe.Pointer {
	if b.err != nil {
		return nil
	}
	r := C.afl_cudnn_descriptor(b.library.table, kind)
	b.check("cudnnBackendCreateDescriptor", r.status)
	if b.err == nil {
		b.made = append(b.made, r.pointer)
	}
	return r.pointer
}

// set sets an attribute of numbers.
func set[T any](b *builder, d unsafe.Pointer, name, kind C.int, elements ...T) {
	if b.err == nil {
		b.check("cudnnBackendSetAttribute", C.afl_cudnn_set(b.library.table, d, name, kind, C.int64_t(len(elements)), unsafe.Pointer(&elements[0])))
	}
}

// refer sets an attribute that is a descriptor or handle.
func (b *builder) refer(d unsafe.Pointer, name, kind C.int, to unsafe.Pointer) {
	if b.err == nil {
		b.check("cudnnBackendSetAttribute", C.afl_cudnn_set_pointer(b.library.table, d, name, kind, to))
	}
}

func (b *builder) finalize(d unsafe.Pointer) {
	if b.err == nil {
		b.check("cudnnBackendFinalize", C.afl_cudnn_finalize(b.library.table, d))
	}
}

// get fills elements with an attribute and returns how many the attribute has.
func get[T any](b *builder, d unsafe.Pointer, name, kind C.int, elements []T) int {
	if b.err != nil {
		return 0
	}
	r := C.afl_cudnn_get(b.library.table, d, name, kind, C.int64_t(len(elements)), unsafe.Pointer(unsafe.SliceData(elements)))
	b.check("cudnnBackendGetAttribute", r.status)
	return int(r.count)
}

// tensor returns the descriptor of a tensor in channels-last order.
func (b *builder) tensor(identifier int64, outer, channels int, size [3]int) unsafe.Pointer {
	d := b.make(C.AFL_TENSOR)
	n, c, x, y, z := int64(outer), int64(channels), int64(size[0]), int64(size[1]), int64(size[2])
	set(b, d, C.AFL_TENSOR_TYPE, C.AFL_TYPE_DATA, C.int(C.AFL_DATA_FLOAT))
	set(b, d, C.AFL_TENSOR_DIMENSIONS, C.AFL_TYPE_INT64, n, c, x, y, z)
	set(b, d, C.AFL_TENSOR_STRIDES, C.AFL_TYPE_INT64, x*y*z*c, 1, y*z*c, z*c, c)
	set(b, d, C.AFL_TENSOR_ALIGNMENT, C.AFL_TYPE_INT64, int64(Alignment))
	set(b, d, C.AFL_TENSOR_IDENTIFIER, C.AFL_TYPE_INT64, identifier)
	b.finalize(d)
	return d
}

func wide(a [3]int) []int64 { return []int64{int64(a[0]), int64(a[1]), int64(a[2])} }

// graph returns the descriptor of a graph of one operation.
func (b *builder) graph(op Operation, c Convolution) unsafe.Pointer {
	shape := b.make(C.AFL_CONVOLUTION)
	set(b, shape, C.AFL_CONVOLUTION_TYPE, C.AFL_TYPE_DATA, C.int(C.AFL_DATA_FLOAT))
	set(b, shape, C.AFL_CONVOLUTION_MODE, C.AFL_TYPE_MODE, C.int(C.AFL_CROSS_CORRELATION))
	set(b, shape, C.AFL_CONVOLUTION_DIMENSIONS, C.AFL_TYPE_INT64, int64(3))
	set(b, shape, C.AFL_CONVOLUTION_STRIDES, C.AFL_TYPE_INT64, wide(c.Stride)...)
	set(b, shape, C.AFL_CONVOLUTION_DILATIONS, C.AFL_TYPE_INT64, wide(c.Dilation)...)
	set(b, shape, C.AFL_CONVOLUTION_PRE_PADDINGS, C.AFL_TYPE_INT64, wide(c.Padding)...)
	set(b, shape, C.AFL_CONVOLUTION_POST_PADDINGS, C.AFL_TYPE_INT64, wide(c.Padding)...)
	b.finalize(shape)
	x := b.tensor(identifierX, c.Samples, c.Columns, c.X)
	w := b.tensor(identifierW, c.Rows, c.Columns, c.Kernel)
	y := b.tensor(identifierY, c.Samples, c.Rows, c.Y)

	// The attributes of the three operations have the same order: alpha, beta, the
	// convolution, weight, x and y.
	kind, first := C.int(C.AFL_FORWARD), C.int(700)
	switch op {
	case BackwardData:
		kind, first = C.AFL_BACKWARD_DATA, 706
	case BackwardFilter:
		kind, first = C.AFL_BACKWARD_FILTER, 712
	}
	operation := b.make(kind)
	set(b, operation, first, C.AFL_TYPE_FLOAT, C.float(1))
	set(b, operation, first+1, C.AFL_TYPE_FLOAT, C.float(0))
	for i, d := range []unsafe.Pointer{shape, w, x, y} {
		b.refer(operation, first+2+C.int(i), C.AFL_TYPE_DESCRIPTOR, d)
	}
	b.finalize(operation)

	graph := b.make(C.AFL_GRAPH)
	b.refer(graph, C.AFL_GRAPH_HANDLE, C.AFL_TYPE_HANDLE, b.handle)
	b.refer(graph, C.AFL_GRAPH_OPERATIONS, C.AFL_TYPE_DESCRIPTOR, operation)
	b.finalize(graph)
	return graph
}

// plan makes a plan.
func (b *builder) plan(op Operation, c Convolution, strict bool) *Plan {
	graph := b.graph(op, c)
	var refused []string
	for _, mode := range []C.int{C.AFL_HEURISTIC_A, C.AFL_HEURISTIC_FALLBACK} {
		for _, configuration := range b.configurations(graph, mode) {
			p := &Plan{owner: b.Handle}
			why := b.accept(p, configuration, strict)
			if b.err != nil || why == "" {
				return p
			}
			refused = append(refused, p.String()+": "+why)
		}
	}
	if b.err == nil {
		b.err = &NoEngineError{Operation: op, Convolution: c, Refused: refused}
	}
	return nil
}

// configurations returns the configurations of engines that the heuristic offers, in its order.
func (b *builder) configurations(graph unsafe.Pointer, mode C.int) []unsafe.Pointer {
	heuristic := b.make(C.AFL_HEURISTIC)
	b.refer(heuristic, C.AFL_HEURISTIC_GRAPH, C.AFL_TYPE_DESCRIPTOR, graph)
	set(b, heuristic, C.AFL_HEURISTIC_MODE, C.AFL_TYPE_HEURISTIC, mode)
	b.finalize(heuristic)
	if unsupported(b.err) { // this mode has none
		b.err = nil
		return nil
	}
	all := make([]unsafe.Pointer, get[unsafe.Pointer](b, heuristic, C.AFL_HEURISTIC_RESULTS, C.AFL_TYPE_DESCRIPTOR, nil))
	for i := range all {
		all[i] = b.make(C.AFL_CONFIGURATION)
	}
	if len(all) == 0 || b.err != nil {
		return nil
	}
	found := get(b, heuristic, C.AFL_HEURISTIC_RESULTS, C.AFL_TYPE_DESCRIPTOR, all)
	return all[:min(found, len(all))]
}

// accept completes a plan with an engine's configuration, or says why the engine is left out.
func (b *builder) accept(p *Plan, configuration unsafe.Pointer, strict bool) (why string) {
	engine := []unsafe.Pointer{b.make(C.AFL_ENGINE)}
	get(b, configuration, C.AFL_CONFIGURATION_ENGINE, C.AFL_TYPE_DESCRIPTOR, engine)
	index := make([]C.int64_t, 1)
	get(b, engine[0], C.AFL_ENGINE_INDEX, C.AFL_TYPE_INT64, index)
	p.engine = int64(index[0])
	p.notes = make([]C.int, get[C.int](b, engine[0], C.AFL_ENGINE_NOTES, C.AFL_TYPE_NOTE, nil))
	if len(p.notes) > 0 {
		get(b, engine[0], C.AFL_ENGINE_NOTES, C.AFL_TYPE_NOTE, p.notes)
	}
	if b.err != nil {
		return ""
	}
	denied := []C.int{C.AFL_NOTE_NONDETERMINISTIC, C.AFL_NOTE_REDUCED_PRECISION_REDUCTION, C.AFL_NOTE_DOWN_CONVERT_INPUTS}
	if strict {
		denied = append(denied, C.AFL_NOTE_TENSOR_CORE)
	}
	for _, note := range denied {
		if slices.Contains(p.notes, note) {
			return "its arithmetic"
		}
	}
	plan := b.make(C.AFL_PLAN)
	b.refer(plan, C.AFL_PLAN_HANDLE, C.AFL_TYPE_HANDLE, b.handle)
	b.refer(plan, C.AFL_PLAN_CONFIGURATION, C.AFL_TYPE_DESCRIPTOR, configuration)
	b.finalize(plan)
	if unsupported(b.err) {
		why, b.err = b.err.Error(), nil
		return why
	}
	workspace := make([]C.int64_t, 1)
	get(b, plan, C.AFL_PLAN_WORKSPACE, C.AFL_TYPE_INT64, workspace)
	if b.err == nil && workspace[0] > MostWorkspace {
		return fmt.Sprintf("a workspace of %d bytes", int64(workspace[0]))
	}
	p.plan, p.workspace = plan, int64(workspace[0])
	return ""
}

var noteNames = map[C.int]string{
	C.AFL_NOTE_TENSOR_CORE: "tensor cores", C.AFL_NOTE_DOWN_CONVERT_INPUTS: "rounded inputs",
	C.AFL_NOTE_REDUCED_PRECISION_REDUCTION: "reduced precision of sums", C.AFL_NOTE_FFT: "FFT", C.AFL_NOTE_NONDETERMINISTIC: "nondeterministic",
	5: "Winograd", 6: "Winograd tile 4×4", 7: "Winograd tile 6×6", 8: "Winograd tile 13×13", 9: "strict NaN propagation",
}

func describe(engine int64, notes []C.int) string {
	text := fmt.Sprintf("engine %d", engine)
	var names []string
	for _, n := range notes {
		if name := noteNames[n]; name != "" {
			names = append(names, name)
		} else {
			names = append(names, fmt.Sprintf("note %d", n))
		}
	}
	if len(names) > 0 {
		text += " (" + strings.Join(names, ", ") + ")"
	}
	return text
}
