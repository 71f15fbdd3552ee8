package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// repeater is a session that launches the steps of a training, each of which enqueues the same
// work, as graphs. In a step it notes kernels, fills and copies within device memory instead of
// enqueuing them. The step's end enqueues them, and so does first every call that depends on
// them: one that synchronizes, copies from or to the host, frees memory or records an event. So
// the stream sees everything in the order in which it was asked for.
//
// Noted work that equals earlier work, with all arguments bit for bit, is captured the second
// time and launched as a graph from then on. A graph is launched only if the current step has
// asked for exactly its work. It cannot go stale, whatever sizes, addresses and constants depend
// on, and holds no memory.
type repeater struct {
	session

	mu       sync.Mutex // guards the following
	noting   bool
	work     trace
	repeated []*repeatedWork // the last used one first
	names    map[handle]string
	stats    stepStats
	inputs   inputs
}

// repeatedWork is work that has been enqueued before.
type repeatedWork struct {
	data    []byte // of its trace
	graph   handle // nil until it is captured
	refused error  // why it cannot be captured
}

const (
	fewestOperations = 8  // of a graph
	mostRepeated     = 16 // the least recently used is forgotten
)

// stepStats counts how the work of steps was enqueued.
type stepStats struct {
	graphs, captured int    // launches of graphs; graphs made
	single           int    // work enqueued one by one
	why              string // the last time, though there was earlier work
}

func newRepeater(s session) *repeater { return &repeater{session: s, names: map[handle]string{}} }

// begin starts a step.
func (r *repeater) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noting = true
}

// end enqueues the step's work and ends the step.
func (r *repeater) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.flush()
	r.noting = false
	return err
}

// flush enqueues the noted work. The caller holds r.mu.
func (r *repeater) flush() error {
	if !r.noting {
		return nil
	}
	if err := r.inputs.send(r.session); err != nil {
		return err
	}
	if r.work.count == 0 {
		return nil
	}
	defer r.work.reset()
	if r.work.count < fewestOperations {
		return r.work.play(r.session)
	}
	known, err := r.recall()
	if err != nil {
		return err
	}
	if known != nil && known.graph == nil && known.refused == nil {
		known.graph, known.refused = r.capture()
	}
	switch {
	case known == nil:
	case known.refused != nil:
		r.stats.why = fmt.Sprintf("it cannot be captured: %v", known.refused)
	default:
		r.stats.graphs++
		return r.session.launchGraph(known.graph)
	}
	r.stats.single++
	return r.work.play(r.session)
}

// recall returns the earlier work that equals the noted one, or else nil after remembering it.
func (r *repeater) recall() (*repeatedWork, error) {
	for i, k := range r.repeated {
		if bytes.Equal(k.data, r.work.data) {
			copy(r.repeated[1:], r.repeated[:i])
			r.repeated[0] = k
			return k, nil
		}
	}
	if len(r.repeated) > 0 {
		r.stats.why = "it differs from the work before from " + difference(r.work.data, r.repeated[0].data, r.names) + ", on"
	}
	if len(r.repeated) == mostRepeated {
		last := r.repeated[mostRepeated-1]
		r.repeated = r.repeated[:mostRepeated-1]
		if last.graph != nil {
			if err := r.session.freeGraph(last.graph); err != nil {
				return nil, err
			}
		}
	}
	r.repeated = slices.Insert(r.repeated, 0, &repeatedWork{data: bytes.Clone(r.work.data)})
	return nil, nil
}

// capture makes a graph of the noted work.
func (r *repeater) capture() (handle, error) {
	if err := r.session.beginCapture(); err != nil {
		return nil, err
	}
	played := r.work.play(r.session)
	graph, err := r.session.endCapture(played == nil)
	if err = errors.Join(played, err); err != nil {
		return nil, err
	}
	r.stats.captured++
	return graph, nil
}

// ordered makes a call after the noted work has been enqueued.
func (r *repeater) ordered(call func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.flush(); err != nil {
		return err
	}
	return call()
}

// note notes an operation in a step, or else enqueues it.
func (r *repeater) note(add func(t *trace), enqueue func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.noting {
		return enqueue()
	}
	add(&r.work)
	return nil
}

// launchNamed is launch for a kernel whose arguments have a known size.
func (r *repeater) launchNamed(function handle, name string, blocks int, arguments []byte) error {
	return r.note(func(t *trace) {
		r.names[function] = name
		t.launch(function, blocks, arguments)
	}, func() error {
		return r.session.launch(function, blocks, unsafe.Pointer(unsafe.SliceData(arguments)))
	})
}

// call makes a call of another library, which enqueues work that the key determines.
func (r *repeater) call(key []uint64, call func() error) error {
	return r.note(func(t *trace) { t.call(key, call) }, func() error { return within(r.session, call) })
}

func (r *repeater) copyDevice(to, from uintptr, bytes int64) error {
	return r.note(func(t *trace) { t.copyDevice(to, from, bytes) }, func() error { return r.session.copyDevice(to, from, bytes) })
}

func (r *repeater) fill(to uintptr, element []byte, count int64) error {
	return r.note(func(t *trace) { t.fill(to, element, count) }, func() error { return r.session.fill(to, element, count) })
}

func (r *repeater) launch(function handle, blocks int, arguments unsafe.Pointer) error {
	return r.ordered(func() error { return r.session.launch(function, blocks, arguments) })
}

func (r *repeater) push() error { return r.ordered(r.session.push) }

func (r *repeater) free(address uintptr) error {
	return r.ordered(func() error { return r.session.free(address) })
}

func (r *repeater) freeHost(address unsafe.Pointer) error {
	return r.ordered(func() error { return r.session.freeHost(address) })
}

func (r *repeater) copyToDevice(to uintptr, from unsafe.Pointer, bytes int64, wait bool) error {
	return r.ordered(func() error { return r.session.copyToDevice(to, from, bytes, wait) })
}

func (r *repeater) copyToHost(to unsafe.Pointer, from uintptr, bytes int64, wait bool) error {
	return r.ordered(func() error { return r.session.copyToHost(to, from, bytes, wait) })
}

func (r *repeater) synchronize() error { return r.ordered(r.session.synchronize) }

func (r *repeater) recordEvent(stream, event handle) error {
	if stream != nil { // which is not ordered with the noted work
		return r.session.recordEvent(stream, event)
	}
	return r.ordered(func() error { return r.session.recordEvent(nil, event) })
}

func (r *repeater) orderAfter(stream, event handle) error {
	if stream != nil {
		return r.session.orderAfter(stream, event)
	}
	return r.ordered(func() error { return r.session.orderAfter(nil, event) })
}

func (r *repeater) unload(module handle) error {
	return r.ordered(func() error { return r.session.unload(module) })
}

func (r *repeater) beginCapture() error { return r.ordered(r.session.beginCapture) }

func (r *repeater) launchGraph(h handle) error {
	return r.ordered(func() error { return r.session.launchGraph(h) })
}

// close frees the graphs and closes the session.
func (r *repeater) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noting = false
	var errs []error
	for _, k := range r.repeated {
		if k.graph != nil {
			errs = append(errs, r.session.freeGraph(k.graph))
		}
	}
	r.repeated = nil
	errs = append(errs, r.inputs.close(r.session), r.session.close())
	return errors.Join(errs...)
}
