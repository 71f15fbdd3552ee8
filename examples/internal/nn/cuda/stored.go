//go:build cgo && linux && (amd64 || arm64)

package cuda

// #include "kernels/arguments.h"
import "C"

import "unsafe"

// store returns the device address of values that change from step to step, valid until the
// end of the operation: at most C.AFL_STORE_WORDS words of 4 bytes.
func (o *op) store(values []byte) uintptr {
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

// stopFlag returns the device address of the flag by which a training stops.
func (o *op) stopFlag() uintptr {
	if o.stop != 0 || o.err != nil {
		return o.stop
	}
	at := o.alloc(4)
	if o.err == nil {
		if err := o.runner.Zero(at, 4); err != nil {
			o.fail("%w", err)
			return 0
		}
		o.backend.stop = at
	}
	return at
}
