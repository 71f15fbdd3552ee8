package cuda

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// Stream names a stream of a device by the driver's handles, which all CUDA libraries of a
// process share.
type Stream struct {
	// Context is a CUcontext. 0 is the device's primary context, in which the CUDA runtime
	// and the libraries on top of it work, among them PyTorch, TensorFlow and cuDNN.
	Context uintptr
	// Handle is a CUstream, which is the runtime's cudaStream_t. 0 is the context's legacy
	// default stream, which cannot be captured.
	Handle uintptr
}

// Stream returns the engine's context and stream, for other CUDA libraries to enqueue work on.
// Such work is ordered with the engine's. The stream is valid until [Engine.Close], which waits
// for all of its work.
func (e *Engine) Stream() (Stream, error) {
	var of Stream
	err := e.do(func(s session) error {
		of = s.stream()
		return nil
	})
	return of, err
}

// OpenStream is [Open] on a stream that somebody else made: all of the engine's work is
// enqueued on it and so ordered with its owner's. Stream and context remain their owner's, who
// destroys them, but not before [Engine.Close]. The owner must not capture the stream while
// the engine is used, except that [Engine.Capture] captures work of both.
//
// A stream that does not belong to the context, or a context of another device, is refused.
// Handles that are no stream and no context are not recognized: the driver crashes on them.
func OpenStream(ordinal int, s Stream) (*Engine, error) {
	e, err := openSession(ordinal, func(d driver) (session, error) { return d.adopt(ordinal, s) })
	var driver *DriverError
	if errors.As(err, &driver) && driver.Code == codeInvalidContext {
		return nil, errors.Join(refuse("s", fmt.Sprintf("{Context: %#x, Handle: %#x}", s.Context, s.Handle), "a context of device %d and a stream of that context", ordinal), err)
	}
	return e, err
}

const codeInvalidContext = 201

// Wrap returns a tensor over device memory that somebody else allocated, in row-major order,
// without copying it. The memory lies on the engine's device, is aligned to the elements and
// does not overlap that of another tensor of the engine. It remains its owner's and does not
// count in [MemoryStats].
//
// The engine's work on the tensor is ordered with work on the engine's stream alone. What the
// owner enqueued on another stream has to be finished before, and what the owner does next has
// to wait for the engine (an [Event], [Engine.Synchronize], or an engine made by [OpenStream]
// on the owner's stream).
//
// [Engine.Release] ends the engine's use of the memory and does not free it. The owner may free
// it after that, once the enqueued work is done. Memory that a [Graph] uses is in use until the
// graph is closed.
func (e *Engine) Wrap(address uintptr, dt tensor.Dtype, shape ...int) (*tensor.Dense, error) {
	t, err := e.wrap(address, dt, shape)
	return t, public(err)
}

func (e *Engine) wrap(address uintptr, dt tensor.Dtype, shape []int) (*tensor.Dense, error) {
	bytes, err := tensorBytes(dt, shape)
	if err != nil {
		return nil, err
	}
	got := fmt.Sprintf("%#x", address)
	if align := uintptr(dt.Type.Align()); address == 0 || address%align != 0 {
		return nil, plan.Refuse("address", got, "one that is a multiple of %d, the alignment of %v", align, dt)
	}
	err = e.do(func(s session) error {
		at, err := s.locate(address)
		var unknown *DriverError
		switch {
		case errors.As(err, &unknown) && unknown.Code == codeInvalidValue:
			return errors.Join(plan.Refuse("address", got, "memory of %v", e), err)
		case err != nil:
			return err
		case !at.device:
			return plan.Refuse("address", got+", which is not device memory", "memory of %v", e)
		case at.owner != e.device.Ordinal:
			return plan.Refuse("address", fmt.Sprintf("%s, memory of device %d", got, at.owner), "memory of %v", e)
		case bytes > at.bytes-int64(address-at.start):
			return plan.Refuse("shape", shape, "at most the %d bytes from the address to the end of its allocation", at.bytes-int64(address-at.start))
		}
		if err := e.pool.adopt(address, bytes); err != nil {
			return plan.Refuse("address", fmt.Sprintf("%s, %v", got, err), "memory that no other tensor of this engine uses")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tensor.NewDense(dt, slices.Clone(shape), tensor.WithEngine(e), tensor.FromMemory(address, uintptr(bytes))), nil
}

const codeInvalidValue = 1
