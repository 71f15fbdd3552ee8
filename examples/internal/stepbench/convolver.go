package main

import (
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"time"

	"gorgonia.org/tensor"

	gpu "github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
)

//go:embed convpeer.py
var convolutionScript string

// The computations of a convolution. Their names are those of convpeer.py.
const (
	forward      = "forward"
	gradientOfX  = "gradient of x"
	gradientOfWt = "gradient of weight"
)

// convolver times the computations of convolutions, of one shape at a time. An
// *unsupportedError says that it cannot compute a shape or in a precision.
type convolver interface {
	name() string
	isPeer() bool
	// prepare allocates the arrays of a shape.
	prepare(s shape, p cuda.Precision) error
	// time returns the seconds of one call, the mean of as many as take at least the given time.
	time(ctx context.Context, operation string, least time.Duration) (float64, error)
	// release frees the arrays.
	release() error
}

// arrays are those of one shape in the memory of a backend, which several convolvers use in turn.
type arrays struct {
	backend nn.Backend
	engine  *gpu.Engine // nil on the CPU

	shape        shape
	x, weight, g nn.Array // nil, or of the shape
}

// hold uploads the arrays of a shape unless they are there.
func (a *arrays) hold(s shape) error {
	if a.g != nil && a.shape == s {
		return nil
	}
	a.x, a.weight, a.g, a.shape = nil, nil, nil, s
	a.backend.EndStep()
	var err error
	for _, to := range []struct {
		array *nn.Array
		shape [5]int
	}{{&a.x, s.x}, {&a.weight, s.weight}, {&a.g, s.y}} {
		if *to.array, err = a.backend.FromHost(random(to.shape), nn.Step); err != nil {
			return err
		}
	}
	return nil
}

// ownConvolver computes by this module's kernels or by our use of cuDNN.
type ownConvolver struct {
	*arrays
	convolutions cuda.Convolutions

	op func() (nn.Array, nn.Pullback, error)
}

func (o *ownConvolver) name() string {
	if o.convolutions == cuda.Own {
		return "own"
	}
	return o.convolutions.String()
}

func (o *ownConvolver) isPeer() bool { return false }

// unsupported turns errors that are a property of the machine into an *unsupportedError.
func unsupported(err error) error {
	if full := (*gpu.OutOfMemoryError)(nil); errors.As(err, &full) {
		return &unsupportedError{oneLine(err.Error())}
	}
	return err
}

func (o *ownConvolver) prepare(s shape, p cuda.Precision) error {
	if o.engine != nil {
		if err := cuda.SetPrecision(o.backend, p); err != nil {
			return &unsupportedError{err.Error()}
		}
		if err := cuda.SetConvolutions(o.backend, o.convolutions); err != nil {
			return &unsupportedError{oneLine(err.Error())}
		}
	} else if p != cuda.Float32 {
		return &unsupportedError{"the CPU computes in float32"}
	}
	if err := o.hold(s); err != nil {
		return unsupported(err)
	}
	op := o.backend.Conv3D
	if s.transposed {
		op = o.backend.ConvTranspose3D
	}
	o.op = func() (nn.Array, nn.Pullback, error) { return op(o.x, o.weight, nil, s.spec) }
	return nil
}

// random returns normally distributed values, which repeat after some megabytes.
func random(shape [5]int) *tensor.Dense {
	values := make([]float32, nn.Elements(shape[:]))
	rng := rand.New(rand.NewPCG(1, 1))
	drawn := min(len(values), 1<<20+1)
	for i := range drawn {
		values[i] = float32(rng.NormFloat64())
	}
	for n := drawn; n < len(values); n *= 2 {
		copy(values[n:], values[:n])
	}
	return tensor.New(tensor.WithShape(shape[:]...), tensor.WithBacking(values))
}

// call returns a function that enqueues one computation.
func (o *ownConvolver) call(operation string) (func() error, error) {
	if operation == forward {
		return func() error {
			y, _, err := o.op()
			if err == nil {
				o.backend.Release(y)
			}
			return err
		}, nil
	}
	y, pullback, err := o.op()
	if err != nil {
		return nil, err
	}
	o.backend.Release(y)
	need := []bool{operation == gradientOfX, operation == gradientOfWt, false}
	return func() error {
		grads, err := pullback(o.g, need)
		for _, a := range grads {
			if a != nil {
				o.backend.Release(a)
			}
		}
		return err
	}, nil
}

func (o *ownConvolver) time(ctx context.Context, operation string, least time.Duration) (float64, error) {
	call, err := o.call(operation)
	if err != nil {
		return 0, unsupported(err)
	}
	wait := func() error {
		if o.engine == nil {
			return nil
		}
		return o.engine.Synchronize()
	}
	run := func(n int) (time.Duration, error) {
		start := time.Now()
		for range n {
			if err := call(); err != nil {
				return 0, unsupported(err)
			}
		}
		err := wait()
		return time.Since(start), unsupported(err)
	}
	if _, err := run(1); err != nil { // compiles, chooses an engine of cuDNN, and compares it
		return 0, err
	}
	for n := 1; ; {
		took, err := run(n)
		switch {
		case err != nil:
			return 0, err
		case ctx.Err() != nil:
			return 0, errors.New("interrupted")
		case took >= least:
			return took.Seconds() / float64(n), nil
		case 2*took >= least:
			n *= 2
		default:
			n *= 4
		}
	}
}

// release keeps the arrays, which the next convolver may need.
func (o *ownConvolver) release() error {
	o.op = nil
	return nil
}

// torchConvolver computes in PyTorch.
type torchConvolver struct {
	*peer
	device string // as in PyTorch: cpu or cuda:0
}

func (t *torchConvolver) name() string { return "PyTorch " + t.version.Torch }
func (t *torchConvolver) isPeer() bool { return true }

func (t *torchConvolver) prepare(s shape, p cuda.Precision) error {
	var a struct{ Failed string }
	err := t.process.Ask(map[string]any{
		"do": "shape", "transposed": s.transposed, "x": s.x, "weight": s.weight, "y": s.y, "stride": s.spec.Stride, "padding": s.spec.Padding,
		"dilation": s.spec.Dilation, "output_padding": s.spec.OutputPadding, "device": t.device, "precision": p.String(),
	}, &a)
	if err == nil && a.Failed != "" {
		err = &unsupportedError{a.Failed}
	}
	return err
}

func (t *torchConvolver) time(_ context.Context, operation string, least time.Duration) (float64, error) {
	var a struct {
		Seconds float64
		Failed  string
	}
	err := t.process.Ask(map[string]any{"do": "time", "operation": operation, "seconds": least.Seconds()}, &a)
	switch {
	case err != nil:
		return 0, err
	case a.Failed != "":
		return 0, &unsupportedError{a.Failed}
	case !(a.Seconds > 0):
		return 0, errors.New("the PyTorch process returned no time")
	}
	return a.Seconds, nil
}

func (t *torchConvolver) release() error {
	return t.process.Ask(map[string]any{"do": "release"}, nil)
}

// limits are what a device attains in what it is best at.
type limits struct {
	Product struct{ Seconds, Operations float64 } // of large matrices
	Copy    struct{ Seconds, Bytes float64 }      // within the device's memory
}

func (t *torchConvolver) limits(p cuda.Precision) (l limits, err error) {
	err = t.process.Ask(map[string]any{"do": "limits", "device": t.device, "precision": p.String()}, &l)
	if err == nil && !(l.Product.Seconds > 0 && l.Copy.Seconds > 0) {
		err = errors.New("the PyTorch process returned no limits")
	}
	return l, err
}
