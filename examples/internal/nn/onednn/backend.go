//go:build onednn

package onednn

// #include "kernels.h"
// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// Available reports whether this program was built with oneDNN.
const Available = true

// New returns a backend. dtype must be nn.Float32, the only type of package nn in
// which oneDNN can train.
func New(dtype nn.DType, cfg Config) (nn.Backend, error) {
	if dtype != nn.Float32 {
		return nil, fmt.Errorf("onednn: dtype is %v, want %v, the only one supported", dtype, nn.Float32)
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
	profile *profile  // nil without profiling
	step    []*array  // released by EndStep
	work    []*buffer // scratch memory, dropped by EndStep

	converted convertedKernel // dropped by EndStep and updates
}

// resources are the memory and objects that a backend owns outside the Go heap.
type resources struct {
	pool    pool
	convs   map[convKey]*convolution
	layouts map[[5]int]*C.layout // row-major layouts, by shape
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
func (b *backend) EndStep(keep ...nn.Array) {
	b.forgetConverted()
	kept := map[nn.Array]bool{}
	o := b.begin("onednn: EndStep")
	for _, a := range keep {
		o.arg("array", a) // a formula may read scratch memory of the step
		kept[a] = true
	}
	b.step = slices.DeleteFunc(b.step, func(a *array) bool {
		if kept[a] {
			return false
		}
		if !a.ended {
			b.release(a)
		}
		return true
	})
	for i, m := range b.work {
		b.res.pool.drop(m)
		b.work[i] = nil
	}
	b.work = b.work[:0]
}

// op is one operation in progress. After the first failure, which err records,
// its methods do nothing, so that an operation reads as a sequence of steps.
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

// run queues f. shape describes the operands in the profile and in errors.
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

// do queues f, which can fail only for lack of memory.
func (o *op) do(shape fmt.Stringer, f func()) {
	o.run(shape, func() error { f(); return nil })
}

// finish returns the result y of an operation with the given number of inputs,
// and its pullback, which calls f. The pullback fails if one of the saved arrays
// has ended.
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
				o.fail("the pullback is used after an array that it needs was released or the end of its step")
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

// wanted returns the gradients, computed by grad, of the inputs that need one.
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

// scratch returns scratch memory that lasts until the end of the step.
func (o *op) scratch(bytes int) *buffer {
	m := o.temporary(bytes)
	if m != nil {
		o.work = append(o.work, m)
	}
	return m
}

// temporary returns scratch memory. The caller must drop it, and may do so as
// soon as all work that uses it is queued.
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

// floats returns scratch memory for n floats that lasts until the end of the step.
func (o *op) floats(n int) *C.float {
	if m := o.scratch(4 * n); m != nil {
		return m.floats()
	}
	return nil
}
