package cuda

import (
	"errors"

	"github.com/x/afl/cuda"
	"github.com/x/afl/examples/internal/nn"
)

// New opens a device, given its index in [cuda.Devices], and returns a backend on it. dtype
// must be nn.Float32. The device is closed when the backend is not referenced any more.
func New(dtype nn.DType, ordinal int) (nn.Backend, error) {
	engine, err := cuda.Open(ordinal)
	if err != nil {
		return nil, err
	}
	b, err := On(engine, dtype)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	closeWith(b, engine)
	return b, nil
}
