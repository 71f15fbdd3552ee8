//go:build onednn

package onednn

// #include "kernels.h"
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"

	"github.com/x/afl/examples/internal/nn"
)

// Available tells whether this program was built with oneDNN.
const Available = true

// New returns a backend. dtype must be nn.Float32: oneDNN trains in no other
// precision that nn has.
func New(dtype nn.DType, cfg Config) (nn.Backend, error) {
	if dtype != nn.Float32 {
		return nil, fmt.Errorf("onednn: dtype is %v, want %v, the only one that oneDNN computes in", dtype, nn.Float32)
	}
	w, err := start()
	if err != nil {
		return nil, err
	}
	b := &backend{worker: w, res: newResources(w), failed: &firstError{}}
	if cfg.Profile {
		b.profile = &profile{}
	}
	runtime.AddCleanup(b, func(r *resources) { w.later(r.release) }, b.res)
	return b, nil
}

// backend implements nn.Backend.
type backend struct {
	worker  *worker
	res     *resources
	failed  *firstError
	profile *profile // nil for none
	step    []*array // arrays that EndStep takes back
	work    []*buffer
}

// resources are what a backend holds outside of Go's memory.
type resources struct {
	pool    pool
	convs   map[convKey]*convolution
	layouts map[[5]int]*C.layout // row-major, by shape
	taps    map[tapsKey]*tapTable
}

func newResources(w *worker) *resources {
	return &resources{pool: pool{later: w.later}, convs: map[convKey]*convolution{}, layouts: map[[5]int]*C.layout{}, taps: map[tapsKey]*tapTable{}}
}

func (r *resources) release() {
	for _, l := range r.layouts {
		C.layout_free(l)
	}
	for _, t := range r.taps {
		t.release()
	}
	for _, c := range r.convs {
		c.release()
	}
	r.pool.release()
}

// Name implements nn.Backend.
func (b *backend) Name() string { return "onednn" }

// DType implements nn.Backend.
func (b *backend) DType() nn.DType { return nn.Float32 }

// Release implements nn.Backend.
func (b *backend) Release(x nn.Array) {
	if a, ok := x.(*array); ok && a.owner == b && !a.kept && !a.ended {
		b.release(a)
	}
}

func (b *backend) release(a *array) {
	b.res.pool.drop(a.data)
	b.unhold(a)
	a.data, a.ended = nil, true
}

// unhold drops an array's formula.
func (b *backend) unhold(a *array) {
	for _, m := range a.holds {
		b.res.pool.drop(m)
	}
	a.formula, a.holds = nil, nil
}

// EndStep implements nn.Backend.
func (b *backend) EndStep() {
	for i, a := range b.step {
		if !a.ended {
			b.release(a)
		}
		b.step[i] = nil
	}
	b.step = b.step[:0]
	for i, m := range b.work {
		b.res.pool.drop(m)
		b.work[i] = nil
	}
	b.work = b.work[:0]
}

// op is one operation under way. Its methods do nothing once one has failed, so
// that an operation reads as a list of steps; err is the first failure.
type op struct {
	*backend
	name string
	err  error
}

func (b *backend) begin(name string) *op {
	return &op{b, name, b.failed.get()}
}

func (o *op) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

// end returns the error with the operation's name.
func (o *op) end() error {
	if o.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", o.name, o.err)
}

// run queues f. shape says in the profile, and in an error, what it works on.
func (o *op) run(shape fmt.Stringer, f func() error) {
	if o.err != nil {
		return
	}
	name, failed := o.name, o.failed
	if p := o.profile; p != nil {
		f = p.timed(name, shape, f)
	}
	o.worker.later(func() {
		err := f()
		if err == nil && C.kernels_failed() != 0 {
			err = errMemory
		}
		if err != nil {
			failed.set(fmt.Errorf("onednn: %s of %v: %w", name, shape, err))
		}
	})
}

// do queues f, which cannot fail but for memory.
func (o *op) do(shape fmt.Stringer, f func()) {
	o.run(shape, func() error { f(); return nil })
}

// finish returns an operation's result.
func (o *op) finish(y *array, inputs int, saved []*array, f func(o *op, g *array, need []bool) []nn.Array) (nn.Array, nn.Pullback, error) {
	if err := o.end(); err != nil {
		return nil, nil, err
	}
	name, b := o.name, o.backend
	return y, func(g nn.Array, need []bool) ([]nn.Array, error) {
		o := b.begin(name)
		gy := o.like("the gradient", g, y.shape)
		if len(need) != inputs {
			o.fail("need has %d entries, want %d", len(need), inputs)
		}
		for _, s := range saved {
			if s != nil && s.ended {
				o.fail("the pullback is used after the release of what it needs or the end of its step")
			}
		}
		if o.err != nil {
			return nil, o.end()
		}
		o.name += " backward"
		grads := f(o, gy, need)
		return grads, o.end()
	}, nil
}

// wanted returns what grad makes for the inputs that need it.
func wanted(need []bool, grad func(i int) *array) []nn.Array {
	out := make([]nn.Array, len(need))
	for i, n := range need {
		if !n {
			continue
		}
		if a := grad(i); a != nil {
			out[i] = a
		}
	}
	return out
}

// scratch returns memory that belongs to the step.
func (o *op) scratch(bytes int) *buffer {
	m := o.temporary(bytes)
	if m != nil {
		o.work = append(o.work, m)
	}
	return m
}

// temporary returns memory to be dropped once all work on it is queued.
func (o *op) temporary(bytes int) *buffer {
	if o.err != nil {
		return nil
	}
	m, err := o.res.pool.get(bytes)
	if err != nil {
		o.fail("%d bytes: %w", bytes, err)
	}
	return m
}

// floats returns n floats that belong to the step.
func (o *op) floats(n int) *C.float {
	if m := o.scratch(4 * n); m != nil {
		return m.floats()
	}
	return nil
}
