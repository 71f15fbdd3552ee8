package gpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/cuda"
)

// memory is a list of tensors that are released together.
type memory struct {
	g       *GPU
	tensors []*tensor.Dense
}

func (m *memory) own(t *tensor.Dense, err error) (*tensor.Dense, error) {
	if err == nil {
		m.tensors = append(m.tensors, t)
	}
	return t, err
}

// Release releases the memory.
func (m *memory) Release() error {
	var errs []error
	for _, t := range m.tensors {
		errs = append(errs, m.g.Release(t))
	}
	m.tensors = nil
	return errors.Join(errs...)
}

// Batch holds several copies of a batch in device memory, each with memory for the
// gradient.
type Batch struct {
	memory
	sets []set
}

type set struct {
	logits, labels, grad *tensor.Dense
	options              []afl.EvalOption
}

// NewBatch copies a batch to the device as many times as [SetsFor] says. The voxel weight
// is nil where every voxel weighs 1.
func (g *GPU) NewBatch(logits, labels, voxelWeight *tensor.Dense) (_ *Batch, err error) {
	b := &Batch{memory: memory{g: g}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Release())
		}
	}()
	bytes := logits.MemSize() + labels.MemSize()
	if voxelWeight != nil {
		bytes += voxelWeight.MemSize()
	}
	for range SetsFor(int64(bytes), g.L2) {
		var s set
		if s.logits, err = b.own(g.Upload(logits)); err != nil {
			return nil, err
		}
		if s.labels, err = b.own(g.Upload(labels)); err != nil {
			return nil, err
		}
		if s.grad, err = b.own(g.NewTensor(logits.Dtype(), logits.Shape()...)); err != nil {
			return nil, err
		}
		if voxelWeight != nil {
			w, err := b.own(g.Upload(voxelWeight))
			if err != nil {
				return nil, err
			}
			s.options = append(s.options, afl.WithVoxelWeight(w))
		}
		b.sets = append(b.sets, s)
	}
	return b, nil
}

// Sets is the number of copies.
func (b *Batch) Sets() int { return len(b.sets) }

// Enqueue enqueues the evaluation of a loss on set i modulo their number. It does not
// wait for the device.
func (b *Batch) Enqueue(l afl.Loss, i int, gradient bool) error {
	s := b.sets[i%len(b.sets)]
	grad := s.grad
	if !gradient {
		grad = nil
	}
	value, err := l.Eval(s.logits, s.labels, grad, s.options...)
	if err != nil {
		return err
	}
	return b.g.Release(value)
}

// Run evaluates a loss n times, on the sets in rotation, and waits for the device.
func (b *Batch) Run(l afl.Loss, n int, gradient bool) error {
	for i := range n {
		if err := b.Enqueue(l, i, gradient); err != nil {
			return err
		}
	}
	return b.g.Synchronize()
}

// Evaluate returns a loss's value and, if wanted, its gradient in host memory for the
// first set. The gradient's memory is filled with NaNs before.
func (b *Batch) Evaluate(l afl.Loss, gradient bool) (float64, *tensor.Dense, error) {
	s := b.sets[0]
	if !gradient {
		value, err := afl.Value(l, s.logits, s.labels, s.options...)
		return value, nil, err
	}
	nan, err := notANumber(s.grad.Dtype())
	if err != nil {
		return 0, nil, err
	}
	if err := b.g.Memset(s.grad, nan); err != nil {
		return 0, nil, err
	}
	value, err := afl.GradInto(l, s.logits, s.labels, s.grad, s.options...)
	if err != nil {
		return 0, nil, err
	}
	grad, err := b.g.Download(s.grad)
	return value, grad, err
}

func notANumber(t tensor.Dtype) (any, error) {
	nan := float32(math.NaN())
	switch t {
	case tensor.Float32:
		return nan, nil
	case cuda.Float16:
		return cuda.NewF16(nan), nil
	case cuda.BFloat16:
		return cuda.NewBF16(nan), nil
	}
	return nil, fmt.Errorf("no gradient of type %v", t)
}

// Copies are pairs of buffers in device memory to copy from one to the other.
type Copies struct {
	memory
	pairs [][2]*tensor.Dense // to and from
}

// NewCopies makes buffers of noise for copies that read and write from least to most
// bytes in total. Their number is that of [SetsFor] for least.
func (g *GPU) NewCopies(least, most int64) (_ *Copies, err error) {
	c := &Copies{memory: memory{g: g}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Release())
		}
	}()
	noise := make([]byte, (most+1)/2)
	rand.NewChaCha8([32]byte{}).Read(noise)
	host := tensor.New(tensor.WithShape(len(noise)), tensor.WithBacking(noise))
	for range SetsFor(least, g.L2) {
		from, err := c.own(g.Upload(host))
		if err != nil {
			return nil, err
		}
		to, err := c.own(g.NewTensor(tensor.Byte, len(noise)))
		if err != nil {
			return nil, err
		}
		c.pairs = append(c.pairs, [2]*tensor.Dense{to, from})
	}
	return c, nil
}

// Pairs is the number of pairs of buffers.
func (c *Copies) Pairs() int { return len(c.pairs) }

// Enqueue enqueues a copy with pair i modulo their number that moves so many bytes,
// half of them read and half written.
func (c *Copies) Enqueue(i int, bytes int64) error {
	p := c.pairs[i%len(c.pairs)]
	return c.g.Memcpy(part{p[0], bytes / 2}, part{p[1], bytes / 2})
}

// part is the start of a tensor's memory.
type part struct {
	of    *tensor.Dense
	bytes int64
}

func (p part) Uintptr() uintptr { return p.of.Uintptr() }
func (p part) MemSize() uintptr { return uintptr(p.bytes) }
