//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/kernels"
)

// op is one operation in progress. After the first failure, which err records, its methods do
// nothing, so that an operation reads as a sequence of steps.
type op struct {
	*backend
	name      string
	err       error
	temporary []uintptr // scratch memory, freed by end
}

func (b *backend) begin(name string) *op {
	o := &op{backend: b, name: name, err: b.failed}
	b.failed = nil
	return o
}

func (o *op) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

// end frees the scratch memory and returns the error with the operation's name.
func (o *op) end() error {
	for _, address := range o.temporary {
		o.free(address)
	}
	o.temporary = nil
	if o.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", o.name, o.err)
}

// alloc returns device memory.
func (o *op) alloc(bytes int64) uintptr { return o.memory(bytes, o.runner.Alloc) }

// keep returns device memory that outlives the step.
func (o *op) keep(bytes int64) uintptr { return o.memory(bytes, o.runner.Keep) }

func (o *op) memory(bytes int64, alloc func(int64) (uintptr, error)) uintptr {
	if o.err != nil {
		return 0
	}
	address, err := alloc(bytes)
	if err != nil {
		o.fail("%w", err)
	}
	return address
}

// scratch returns device memory until the end of the operation.
func (o *op) scratch(bytes int64) uintptr {
	address := o.alloc(bytes)
	if o.err == nil {
		o.temporary = append(o.temporary, address)
	}
	return address
}

const (
	threads = 256 // AFL_THREADS
	// Enough blocks to fill the largest GPU several times over; a thread processes
	// more than one element if there are more.
	maxBlocks = 1 << 14
)

// each launches a kernel whose threads share the given number of elements.
func (o *op) each(kernel string, elements int, arguments unsafe.Pointer) {
	o.launch(kernel, min((elements+threads-1)/threads, maxBlocks), arguments)
}

// launch enqueues a kernel on its arguments, which are copied.
func (o *op) launch(kernel string, blocks int, arguments unsafe.Pointer) {
	if o.err != nil {
		return
	}
	if err := o.runner.Launch(kernels.Modules(), kernel, blocks, arguments); err != nil {
		o.fail("%w", err)
	}
}

// point stores the address of an array's memory in a pointer field of a kernel's arguments,
// and null for a nil array.
func point[P any](field **P, a *array) {
	if a != nil {
		pointAt(field, a.memory.address)
	}
}

// pointAt stores a device address in a pointer field of a kernel's arguments.
func pointAt[P any](field **P, at uintptr) { *(*uintptr)(unsafe.Pointer(field)) = at }

// finished returns the result of an operation, which is nil if it has failed.
func finished(a *array, err error) (nn.Array, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}

// finish returns the result y of an operation with the given number of inputs, and its
// pullback, which calls f. The pullback fails if one of the saved arrays was released.
func (o *op) finish(y *array, inputs int, saved []*array, f func(o *op, g *array, need []bool) []nn.Array) (nn.Array, nn.Pullback, error) {
	return o.finishLazy(y, inputs, saved, func(o *op, g *array, need []bool) []nn.Array {
		if o.force(g); o.err != nil {
			return nil
		}
		return f(o, g, need)
	})
}

// finishLazy is finish for a pullback whose gradient may be a formula.
func (o *op) finishLazy(y *array, inputs int, saved []*array, f func(o *op, g *array, need []bool) []nn.Array) (nn.Array, nn.Pullback, error) {
	if err := o.end(); err != nil {
		if y != nil {
			o.release(y)
		}
		return nil, nil, err
	}
	name, b, shape := o.name, o.backend, y.shape
	return y, func(g nn.Array, need []bool) ([]nn.Array, error) {
		o := b.begin(name)
		gy := o.lazyLike("the gradient", g, shape)
		if len(need) != inputs {
			o.fail("need has %d entries, want %d", len(need), inputs)
		}
		for _, s := range saved {
			if s != nil && s.ended() {
				o.fail("the pullback is used after an array that it needs was released or the end of its step")
			}
		}
		if o.err != nil {
			return nil, o.end()
		}
		grads := f(o, gy, need)
		if err := o.end(); err != nil {
			return nil, err
		}
		return grads, nil
	}, nil
}

// wanted returns the gradients, computed by grad, of the inputs that need one.
func wanted(need []bool, grad func(i int) *array) []nn.Array {
	out := make([]nn.Array, len(need))
	for i, n := range need {
		if n {
			if a := grad(i); a != nil {
				out[i] = a
			}
		}
	}
	return out
}

// arg checks that an argument of an operation is a valid array of this backend, and computes its
// formula.
func (o *op) arg(name string, x nn.Array) *array { return o.force(o.lazy(name, x)) }

// lazy is arg without computing the formula.
func (o *op) lazy(name string, x nn.Array) *array {
	if x == nil {
		o.fail("%s is nil", name)
		return nil
	}
	a, ok := x.(*array)
	switch {
	case !ok || a.owner != o.backend:
		o.fail("%s %w", name, nn.Foreign(x))
		return nil
	case a.ended():
		o.fail("%s is used after its release or the end of its step", name)
		return nil
	}
	return a
}

// volume checks that an argument has the shape N×C×X×Y×Z, and converts it to channels-last
// order.
func (o *op) volume(name string, x nn.Array) *array {
	return o.toChannels(o.force(o.lazyVolume(name, x)))
}

// lazyVolume checks that an argument has the shape N×C×X×Y×Z. It is a formula or in either order.
func (o *op) lazyVolume(name string, x nn.Array) *array {
	a := o.lazy(name, x)
	if o.err == nil && len(a.shape) != 5 {
		o.fail("%s has shape %v, want N×C×X×Y×Z", name, a.shape)
	}
	return a
}

// vector checks that an argument has one axis of length n.
func (o *op) vector(name string, x nn.Array, n int) *array {
	a := o.arg(name, x)
	if o.err == nil && (len(a.shape) != 1 || a.shape[0] != n) {
		o.fail("%s has shape %v, want [%d]", name, a.shape, n)
	}
	return a
}

// like checks that an argument has the given shape, and computes its formula.
func (o *op) like(name string, x nn.Array, shape []int) *array {
	return o.force(o.lazyLike(name, x, shape))
}

// lazyLike is like without computing the formula.
func (o *op) lazyLike(name string, x nn.Array, shape []int) *array {
	a := o.lazy(name, x)
	if o.err == nil && !slices.Equal(a.shape, shape) {
		o.fail("%s has shape %v, want %v", name, a.shape, shape)
	}
	return a
}
