//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// RunLoss implements nn.LossRunner: logits, label and gradient are tensors of the engine.
func (b *backend) RunLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	o := b.begin("nn/cuda: RunLoss")
	a := o.arg("y", y)
	if o.err == nil {
		if err := inside.Check(a.shape); err != nil {
			o.fail("%w", err)
		}
	}
	if o.err == nil {
		if value, found := o.firstNonFinite(a); found {
			o.end()
			return nil, &nn.NonFiniteError{Value: float64(value)}
		}
	}
	if o.err != nil {
		return nil, o.end()
	}
	var tensors []*tensor.Dense // logits, label, gradient
	ownLabel := false
	defer func() {
		for i, t := range tensors {
			if t != nil && (i != 1 || ownLabel) {
				b.engine.Release(t)
			}
		}
	}()
	add := func(t *tensor.Dense, err error) {
		if err != nil {
			o.fail("%w", err)
		}
		tensors = append(tensors, t)
	}
	part := []int{a.shape[0], a.channels(), inside.Size[0], inside.Size[1], inside.Size[2]}
	add(b.engine.NewTensor(tensor.Float32, part...))
	if label == nil {
		add(nil, nil)
	} else {
		var t *tensor.Dense
		var err error
		t, ownLabel, err = o.tensorOf(label)
		add(t, err)
	}
	add(b.engine.NewTensor(tensor.Float32, part...))
	o.box("afl_nn_crop", a, inside, tensors[0])
	if err := o.end(); err != nil {
		return nil, err
	}
	if err := loss(tensors[0], tensors[1], tensors[2]); err != nil {
		return nil, err
	}
	g := o.similar(a)
	if o.err == nil && !inside.Whole(a.shape) {
		if err := b.runner.Zero(g.memory.address, g.bytes()); err != nil {
			o.fail("%w", err)
		}
	}
	o.box("afl_nn_pad", g, inside, tensors[2])
	if err := o.end(); err != nil {
		return nil, err
	}
	return g, nil
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
	const maxBlocks = 1024
	blocks := min((a.elements()+threads-1)/threads, maxBlocks)
	parts := o.scratch(int64(blocks) * int64(unsafe.Sizeof(C.AflFinitePart{})))
	p := C.AflFinite{count: C.int64_t(a.elements()), channels: C.int64_t(a.channels()), voxels: C.int64_t(a.voxels()),
		channels_last: flag(a.order == channelsLast), blocks: C.int64_t(blocks)}
	point(&p.x, a)
	pointAt(&p.parts, parts)
	o.launch("afl_nn_find_non_finite", blocks, unsafe.Pointer(&p))
	o.launch("afl_nn_first_non_finite", 1, unsafe.Pointer(&p))
	first := make([]C.AflFinitePart, 1)
	o.read(bytesOf(first), parts)
	return float32(first[0].value), o.err == nil && first[0].index < p.count
}
