package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/cuda"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// checked is the outcome of a check that found no error.
type checked struct {
	name, what, outcome string
	took                time.Duration
}

// checkRepeats evaluates every loss with its gradient the given number of times on one
// batch, and returns an error if the bits of a value or gradient differ from the first.
func checkRepeats(ctx context.Context, g *gpu.GPU, s workload.Size, losses []string, times int) (_ checked, err error) {
	start := time.Now()
	in, err := newInput(workload.NewBatch(s), types{float32s, uint8s})
	if err != nil {
		return checked{}, err
	}
	var uploaded []*tensor.Dense
	defer func() {
		for _, t := range uploaded {
			if released := g.Release(t); err == nil {
				err = released
			}
		}
	}()
	device := func(t *tensor.Dense) (*tensor.Dense, error) {
		d, err := g.Upload(t)
		if err == nil {
			uploaded = append(uploaded, d)
		}
		return d, err
	}
	logits, err := device(in.logits)
	if err != nil {
		return checked{}, err
	}
	labels, err := device(in.labels)
	if err != nil {
		return checked{}, err
	}
	// The content does not matter, as every evaluation has to overwrite it.
	grad, err := device(in.logits)
	if err != nil {
		return checked{}, err
	}
	host, err := newHostCopy(g.Engine, grad)
	if err != nil {
		return checked{}, err
	}
	defer host.Close()
	for _, name := range losses {
		l, err := afl.ByName(name)
		if err != nil {
			return checked{}, err
		}
		var first []byte
		for i := range times {
			if err := ctx.Err(); err != nil {
				return checked{}, err
			}
			if err := g.Memset(grad, float32(math.NaN())); err != nil {
				return checked{}, err
			}
			value, err := afl.GradInto(l, logits, labels, grad)
			if err != nil {
				return checked{}, fmt.Errorf("%s: %w", name, err)
			}
			now, err := host.copy(grad)
			if err != nil {
				return checked{}, fmt.Errorf("%s: %w", name, err)
			}
			if i == 0 {
				first = append(binary.LittleEndian.AppendUint64(nil, math.Float64bits(value)), now...)
				continue
			}
			if binary.LittleEndian.Uint64(first) != math.Float64bits(value) {
				return checked{}, fmt.Errorf("%s: evaluation %d has another value than the first, %v", name, i+1, value)
			}
			if !bytes.Equal(first[8:], now) {
				return checked{}, fmt.Errorf("%s: evaluation %d has another gradient than the first", name, i+1)
			}
		}
	}
	return checked{
		name: "repeats", what: fmt.Sprintf("%d evaluations of each of %d losses with its gradient, %s", times, len(losses), s),
		outcome: "equal bits", took: time.Since(start),
	}, nil
}

// hostCopy is pinned host memory that a device tensor is copied to.
type hostCopy struct {
	*cuda.HostBuffer
	g    *cuda.Engine
	host *tensor.Dense
}

func newHostCopy(g *cuda.Engine, t *tensor.Dense) (*hostCopy, error) {
	b, err := g.NewHostBuffer(int64(t.MemSize()))
	if err != nil {
		return nil, err
	}
	host, err := b.Tensor(t.Dtype(), t.Shape()...)
	if err != nil {
		b.Close()
		return nil, err
	}
	return &hostCopy{b, g, host}, nil
}

// copy returns the bytes of a device tensor, valid until the next copy.
func (c *hostCopy) copy(t *tensor.Dense) ([]byte, error) {
	if err := c.g.CopyToHost(c.host, t); err != nil {
		return nil, err
	}
	if err := c.g.Synchronize(); err != nil {
		return nil, err
	}
	return c.Bytes()[:t.MemSize()], nil
}
