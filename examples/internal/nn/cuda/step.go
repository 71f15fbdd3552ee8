//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"errors"
	"math"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

var _ nn.StepRunner = (*backend)(nil)

// RunStep implements nn.StepRunner.
func (b *backend) RunStep(step func() error) error {
	err := b.runner.Step(step)
	failed := b.failed
	b.failed = nil
	return errors.Join(err, failed)
}

// InStep implements nn.StepRunner.
func (b *backend) InStep() bool { return b.runner.InStep() }

// ResumeUpdates implements nn.StepRunner.
func (b *backend) ResumeUpdates() error {
	o := b.begin("nn/cuda: ResumeUpdates")
	if at := o.stopFlag(); o.err == nil {
		if err := b.runner.Zero(at, 4); err != nil {
			o.fail("%w", err)
		}
	}
	return o.end()
}

// store returns the device address of values that change from step to step, valid until the
// end of the operation: at most C.AFL_STORE_WORDS words of 4 bytes.
func (o *op) store(values []byte) uintptr {
	if o.err != nil {
		return 0
	}
	if o.InStep() {
		return o.input(values)
	}
	at := o.scratch(int64(len(values)))
	if o.err != nil {
		return 0
	}
	p := C.AflStore{words: C.uint32_t(len(values) / 4)}
	pointAt(&p.to, at)
	copy(bytesOf(p.word[:]), values)
	o.launch("afl_nn_store", 1, unsafe.Pointer(&p))
	return at
}

// stopFlag returns the device address of the flag by which updates stop.
func (o *op) stopFlag() uintptr {
	if o.stop != 0 || o.err != nil {
		return o.stop
	}
	at := o.keep(4)
	if o.err == nil {
		if err := o.runner.Zero(at, 4); err != nil {
			o.fail("%w", err)
			return 0
		}
		o.backend.stop = at
	}
	return at
}

// EvalLoss implements nn.StepRunner.
func (b *backend) EvalLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.EvalFunc) (nn.LateNumber, nn.Array, error) {
	if !b.InStep() {
		var number nn.LateNumber
		g, err := b.RunLoss(y, inside, label, func(logits, label, grad *tensor.Dense) error {
			value, err := loss(logits, label, grad)
			if err != nil {
				return err
			}
			if number, err = b.number(value); err == nil {
				_, err = number()
			}
			return err
		})
		return number, g, err
	}
	o := b.begin("nn/cuda: EvalLoss")
	a := o.checkLogits(y, inside)
	first := o.findNonFinite(a)
	judge := C.AflJudge{}
	pointAt(&judge.first, first)
	pointAt(&judge.stop, o.stopFlag())
	found := later[C.AflFinitePart](o, first)
	if o.err != nil {
		return nil, nil, o.end()
	}
	count := C.int64_t(a.elements())
	judge.count = count
	var number nn.LateNumber
	g, err := o.lossGradient(a, inside, label, func(logits, label, grad *tensor.Dense) error {
		value, err := loss(logits, label, grad)
		if err != nil {
			return err
		}
		if b.onDevice(value) {
			pointAt(&judge.value, value.Uintptr())
		}
		if number, err = b.number(value); err != nil {
			return err
		}
		if judge.value == nil {
			x, err := number()
			if err != nil {
				return err
			}
			pointAt(&judge.value, o.store(bytesOf([]float64{x})))
		}
		o.launch("afl_nn_judge", 1, unsafe.Pointer(&judge))
		return o.err
	})
	if err != nil {
		return nil, nil, err
	}
	return func() (float64, error) {
		part, err := found()
		if err != nil {
			return 0, err
		}
		if part.index < count {
			return 0, &nn.NonFiniteError{Value: float64(part.value)}
		}
		return number()
	}, g, nil
}

func (b *backend) onDevice(value *tensor.Dense) bool {
	return value != nil && value.Engine() == tensor.Engine(b.engine)
}

// number returns the value of a loss, which it releases.
func (b *backend) number(value *tensor.Dense) (nn.LateNumber, error) {
	if !b.onDevice(value) {
		x, err := nn.HostNumber(value)
		return func() (float64, error) { return x, nil }, err
	}
	read, err := b.runner.LaterNumber(value.Uintptr())
	return read, errors.Join(err, b.engine.Release(value))
}

// later returns a function that waits for a value in device memory.
func later[T any](o *op, from uintptr) func() (T, error) {
	if o.err != nil {
		return nil
	}
	var value T
	read, err := o.runner.Later(from, int64(unsafe.Sizeof(value)))
	if err != nil {
		o.fail("%w", err)
	}
	return func() (T, error) {
		data, err := read()
		copy(bytesOf(unsafe.Slice(&value, 1)), data)
		return value, err
	}
}

// ClipLater implements nn.StepRunner.
func (b *backend) ClipLater(gradients []nn.Array, maxNorm float64) ([]nn.Array, func() (float64, int, error), error) {
	o := b.begin("ClipLater")
	s := o.squares(gradients)
	p := C.AflClip{most: C.double(maxNorm), parts: C.int64_t(s.parts)}
	factor, clipped := o.scratch(4), o.scratch(C.sizeof_AflClipped)
	pointAt(&p.partials, s.partials)
	pointAt(&p.factor, factor)
	pointAt(&p.clipped, clipped)
	pointAt(&p.stop, o.stopFlag())
	o.launch("afl_nn_clip_factor", 1, unsafe.Pointer(&p))
	found := later[C.AflClipped](o, clipped)
	scaled, done := make([]nn.Array, len(gradients)), map[*array]*array{}
	for i, a := range s.arrays {
		if done[a] == nil {
			y := o.similar(a)
			if o.err != nil {
				return nil, nil, o.end()
			}
			p := C.AflElementwise{count: C.int64_t(a.elements())}
			point(&p.a, a)
			pointAt(&p.b, factor)
			point(&p.y, y)
			o.each("afl_nn_scale_by", a.elements(), unsafe.Pointer(&p))
			done[a] = y
		}
		scaled[i] = done[a]
	}
	for a := range done {
		b.Release(a)
	}
	if err := o.end(); err != nil {
		return nil, nil, err
	}
	return scaled, func() (float64, int, error) {
		clipped, err := found()
		if err != nil {
			return 0, -1, err
		}
		norm := float64(clipped.norm)
		if !math.IsNaN(norm) && !math.IsInf(norm, 0) {
			return norm, -1, nil
		}
		bad := int(clipped.bad)
		for i, n := range s.blocks {
			if bad < n {
				return norm, i, nil
			}
			bad -= n
		}
		return norm, 0, nil // no part is, but their sum
	}, nil
}
