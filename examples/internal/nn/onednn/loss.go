//go:build onednn

package onednn

// #include "kernels.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
)

// RunLoss implements nn.LossRunner. The losses read row-major memory: that of the array itself
// where row-major and channels-last order are the same, and otherwise a copy. Both are the
// backend's.
func (b *backend) RunLoss(y nn.Array, inside nn.Box, label *tensor.Dense, loss nn.LossFunc) (nn.Array, error) {
	o := b.begin("onednn: RunLoss")
	a := o.force(o.parameter("y", y))
	if o.err == nil {
		if err := inside.Check(a.shape); err != nil {
			o.fail("%w", err)
		}
	}
	if o.err != nil {
		return nil, o.end()
	}
	var dropped []*buffer
	defer func() {
		for _, m := range dropped {
			o.res.pool.drop(m)
		}
	}()
	memory := func(n int) *buffer {
		m := o.temporary(4 * n)
		if m != nil {
			dropped = append(dropped, m)
		}
		return m
	}
	values := nn.Elements(a.shape)
	g := o.volume(a.shape...)
	logits, grad := a.data, g.data
	rowMajor := a.order == plain || a.order == channels && (a.shape[1] == 1 || values == a.shape[0]*a.shape[1])
	if !rowMajor {
		logits, grad = memory(values), memory(values)
	}
	var scratch []float32
	if n := nn.LossScratch(a.shape, inside); n > 0 {
		scratch = memory(n).slice(n)
	}
	if o.err == nil && !rowMajor {
		o.copyPlain(a, logits.floats())
	}
	o.now(a, func() {})
	if err := o.end(); err != nil {
		return nil, err
	}
	if err := nn.LossOf(logits.slice(values), grad.slice(values), scratch, a.shape, inside, label, loss); err != nil {
		b.Release(g)
		return nil, err
	}
	switch {
	case a.order == plain:
		g.order = plain
	case !rowMajor:
		n, c, voxels, from, to := C.int64_t(a.shape[0]), a.width(), C.int64_t(nn.Elements(a.shape[2:])), grad.floats(), g.floats()
		o.do(g, func() { C.volume_from_float(n, c, voxels, from, to) })
	}
	return g, o.end()
}

// slice returns the first n floats of the buffer for Go.
func (m *buffer) slice(n int) []float32 {
	if m == nil {
		return nil
	}
	return unsafe.Slice((*float32)(m.p), n)
}
