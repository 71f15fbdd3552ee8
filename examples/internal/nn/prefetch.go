package nn

import "gorgonia.org/tensor"

// Prefetcher is implemented by a [Backend] in the memory of a device to which inputs are copied
// while the device computes. A training prepares an input with Pin, begins to copy it with Prefetch
// while the step before it is in progress, passes it to FromHost or RunLoss, and ends with Unpin.
type Prefetcher interface {
	// Pin returns a copy of a contiguous tensor in page-locked memory, which the device reads by
	// itself. FromHost with a Step lifetime and RunLoss copy from such memory without
	// synchronization. Unlike other methods Pin and Unpin may be called by any goroutine, at any
	// time.
	Pin(t *tensor.Dense) (*tensor.Dense, error)
	// Prefetch begins to copy a tensor that Pin returned, for the next FromHost with a Step
	// lifetime or RunLoss that it is passed to. It does nothing if it was called for the tensor
	// before, or while another tensor of the type and shape was prefetched and not used.
	Prefetch(t *tensor.Dense) error
	// Unpin returns the memory of a tensor that Pin returned, which is not valid any more. The
	// memory is used again only after the copies that were begun from it have ended.
	Unpin(t *tensor.Dense)
}

// Synchronizer is implemented by a [Backend] whose operations return before their work is done.
type Synchronizer interface {
	// Synchronize waits for the work that operations have enqueued.
	Synchronize() error
}
