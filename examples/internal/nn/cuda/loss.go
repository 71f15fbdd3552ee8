//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/internal/plan"
)

// RunLoss implements nn.LossRunner: logits, label and gradient are tensors of the engine.
func (b *backend) RunLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	o := b.begin("nn/cuda: RunLoss")
	a := o.checkLogits(y, inside)
	if o.err == nil {
		if value, found := o.firstNonFinite(a); found {
			o.end()
			return nil, &nn.NonFiniteError{Value: float64(value)}
		}
	}
	return o.lossGradient(a, inside, label, loss)
}

// checkLogits checks the arguments of a loss.
func (o *op) checkLogits(y nn.Array, inside nn.Box) *array {
	a := o.arg("y", y)
	if o.err == nil {
		if err := inside.Check(a.shape); err != nil {
			o.fail("%w", err)
		}
	}
	return a
}

// lossGradient calls loss and returns its gradient.
func (o *op) lossGradient(a *array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	if o.err != nil {
		return nil, o.end()
	}
	b := o.backend
	var own []*tensor.Dense
	defer func() {
		for _, t := range own {
			b.engine.Release(t)
		}
	}()
	made := func(t *tensor.Dense, err error) *tensor.Dense {
		if err != nil {
			o.fail("%w", err)
			return nil
		}
		own = append(own, t)
		return t
	}
	part := []int{a.shape[0], a.channels(), inside.Size[0], inside.Size[1], inside.Size[2]}
	logits := made(b.engine.NewTensor(tensor.Float32, part...))
	var target *tensor.Dense
	switch {
	case label == nil:
	case b.prefetched.has(label):
		var temporary bool
		if target, temporary = o.tensorOf(label); temporary {
			own = append(own, target)
		}
	case b.InStep() && label.IsNativelyAccessible() && !label.IsMasked() && plan.CheckRowMajor("label", label) == nil:
		if at := o.input(label.Raw); o.err == nil {
			target = tensorAt(o.engine, at, label)
		}
	default:
		target = made(b.engine.Upload(label))
	}
	grad := made(b.engine.NewTensor(tensor.Float32, part...))
	if o.err == nil {
		o.box("afl_nn_crop", a, inside, logits)
	}
	if o.err != nil {
		return nil, o.end()
	}
	if err := loss(logits, target, grad); err != nil {
		o.end()
		return nil, err
	}
	g := o.similar(a)
	if o.err == nil && !inside.Whole(a.shape) {
		if err := b.runner.Zero(g.memory.address, g.bytes()); err != nil {
			o.fail("%w", err)
		}
	}
	o.box("afl_nn_pad", g, inside, grad)
	return finished(g, o.end())
}

// box enqueues a copy between a volume and a tensor of its part inside a box.
func (o *op) box(kernel string, volume *array, inside nn.Box, part *tensor.Dense) {
	if o.err != nil {
		return
	}
	p := C.AflBox{samples: C.int64_t(volume.shape[0]), channels: C.int64_t(volume.channels()), channels_last: flag(volume.order == channelsLast)}
	for axis := range 3 {
		p.size[axis], p.start[axis], p.box[axis] = C.int32_t(volume.shape[2+axis]), C.int32_t(inside.Start[axis]), C.int32_t(inside.Size[axis])
	}
	point(&p.volume, volume)
	pointAt(&p.inside, part.Uintptr())
	o.each(kernel, nn.Elements(part.Shape()), unsafe.Pointer(&p))
}

// firstNonFinite returns the first value of a volume in row-major order that is NaN or
// infinite, and whether there is one. It synchronizes.
func (o *op) firstNonFinite(a *array) (float32, bool) {
	at := o.findNonFinite(a)
	first := make([]C.AflFinitePart, 1)
	o.read(bytesOf(first), at)
	return float32(first[0].value), o.err == nil && first[0].index < C.int64_t(a.elements())
}

// findNonFinite returns the device address of the AflFinitePart of a volume.
func (o *op) findNonFinite(a *array) uintptr {
	if o.err != nil {
		return 0
	}
	const maxBlocks = 1024
	blocks := min((a.elements()+threads-1)/threads, maxBlocks)
	parts := o.scratch(int64(blocks) * C.sizeof_AflFinitePart)
	p := C.AflFinite{count: C.int64_t(a.elements()), channels: C.int64_t(a.channels()), voxels: C.int64_t(a.voxels()),
		channels_last: flag(a.order == channelsLast), blocks: C.int64_t(blocks)}
	point(&p.x, a)
	pointAt(&p.parts, parts)
	o.launch("afl_nn_find_non_finite", blocks, unsafe.Pointer(&p))
	o.launch("afl_nn_first_non_finite", 1, unsafe.Pointer(&p))
	return parts
}
