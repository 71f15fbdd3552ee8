//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// FromHost implements nn.Backend.
func (b *backend) FromHost(t *tensor.Dense, life nn.Lifetime) (nn.Array, error) {
	o := b.begin("onednn: FromHost")
	if err := nn.CheckHost(t); err != nil {
		o.fail("tensor %w", err)
		return nil, o.end()
	}
	a := &array{owner: b, shape: append([]int(nil), t.Shape()...)}
	switch life {
	case nn.Step:
		o.step = append(o.step, a)
	case nn.Kept:
		a.kept = true
	default:
		o.fail("life is %d, want nn.Step or nn.Kept", life)
	}
	// A 5D array with step lifetime is most likely a volume; a kept one, a kernel.
	n, c, voxels, as := 1, 1, nn.Elements(a.shape), plain
	if len(a.shape) == 5 && life == nn.Step {
		n, c, voxels, as = a.shape[0], a.shape[1], nn.Elements(a.shape[2:]), channels
	}
	o.fill(a, as, 4*nn.Elements(a.shape))
	if o.err == nil {
		to, p, double := a.floats(), hostPointer(t), t.Dtype() == tensor.Float64
		o.now(a, func() {
			if double {
				C.volume_from_double(C.int64_t(n), C.int64_t(c), C.int64_t(voxels), (*C.double)(p), to)
			} else {
				C.volume_from_float(C.int64_t(n), C.int64_t(c), C.int64_t(voxels), (*C.float)(p), to)
			}
		})
	}
	if err := o.end(); err != nil {
		return nil, err
	}
	return a, nil
}

// Zeros implements nn.Backend. The memory is allocated by the first operation, in the order
// that it needs.
func (b *backend) Zeros(shape []int) (nn.Array, error) {
	o := b.begin("onednn: Zeros")
	if err := nn.CheckShape(shape); err != nil {
		o.fail("%w", err)
		return nil, o.end()
	}
	if err := o.end(); err != nil {
		return nil, err
	}
	return &array{owner: b, shape: append([]int(nil), shape...), kept: true, zero: true}, nil
}

// ToHost implements nn.Backend.
func (b *backend) ToHost(x nn.Array, dst *tensor.Dense) error {
	o := b.begin("onednn: ToHost")
	a := o.force(o.parameter("array", x))
	if err := nn.CheckHost(dst); err != nil {
		o.fail("dst %w", err)
	}
	if o.err == nil && !slices.Equal(dst.Shape(), a.shape) {
		o.fail("dst has shape %v, want %v", []int(dst.Shape()), a.shape)
	}
	if o.err == nil && dst.IsScalar() {
		o.fail("dst is a scalar, want a tensor with axes")
	}
	if o.err != nil {
		return o.end()
	}
	n, c, voxels, from := 1, 1, nn.Elements(a.shape), a.floats()
	switch a.order {
	case channels:
		n, c, voxels = a.shape[0], a.shape[1], nn.Elements(a.shape[2:])
	case kernel:
		copied := o.temporary(4 * nn.Elements(a.shape))
		if o.err != nil {
			return o.end()
		}
		defer o.res.pool.drop(copied)
		from = copied.floats()
		o.copyPlain(a, from)
	}
	p, double := hostPointer(dst), dst.Dtype() == tensor.Float64
	o.now(a, func() {
		if double {
			C.volume_to_double(C.int64_t(n), C.int64_t(c), C.int64_t(voxels), from, (*C.double)(p))
		} else {
			C.volume_to_float(C.int64_t(n), C.int64_t(c), C.int64_t(voxels), from, (*C.float)(p))
		}
	})
	return o.end()
}

// now queues f and waits for it and for all work queued before it.
func (o *op) now(shape fmt.Stringer, f func()) {
	o.do(shape, f)
	if o.err == nil {
		o.worker.wait(func() {})
		o.err = o.failed.get()
	}
}

// hostPointer returns a pointer to a tensor's data, or to a copy for a scalar.
func hostPointer(t *tensor.Dense) unsafe.Pointer {
	switch data := t.Data().(type) {
	case []float32:
		return unsafe.Pointer(&data[0])
	case []float64:
		return unsafe.Pointer(&data[0])
	case float32:
		return unsafe.Pointer(&data)
	case float64:
		return unsafe.Pointer(&data)
	}
	return nil // unreachable: nn.CheckHost accepts no other type
}
