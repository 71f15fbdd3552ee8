package cuda

import (
	"errors"
	"fmt"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// argumentError is an [afl.ArgumentError] whose text names this package.
type argumentError struct{ refusal *plan.Refusal }

func (e *argumentError) Error() string { return "cuda: " + e.refusal.Error() }

// Unwrap returns the [afl.ArgumentError].
func (e *argumentError) Unwrap() error { return (*afl.ArgumentError)(e.refusal) }

// public turns the refusals in an error into errors of this package. Functions that the
// backend calls return refusals unchanged, for package afl to do the same.
func public(err error) error {
	return plan.Reword(err, func(r *plan.Refusal) error { return &argumentError{r} })
}

// refuse returns an [afl.ArgumentError] of this package; got is formatted with %v.
func refuse(argument string, got any, want string, args ...any) error {
	return public(plan.Refuse(argument, got, want, args...))
}

// ErrClosed is returned after [Engine.Close] by all methods of the engine and of the
// objects that belong to it.
var ErrClosed = errors.New("cuda: the engine is closed")

// DriverError is a failed call of the CUDA driver. Since work runs asynchronously, the
// cause may be work that an earlier call enqueued.
type DriverError struct {
	Function string // of the driver
	Code     int    // that it returned
	Name     string // of the code, such as CUDA_ERROR_OUT_OF_MEMORY
	Text     string // the driver's description of the code
}

func (e *DriverError) Error() string {
	return fmt.Sprintf("cuda: %s failed: %s (%d): %s", e.Function, e.Name, e.Code, e.Text)
}

const codeOutOfMemory = 2

// lost reports whether the context is unusable from now on, with every later call
// failing with the same code.
func (e *DriverError) lost() bool {
	switch e.Code {
	case 4, // DEINITIALIZED
		46,  // DEVICE_UNAVAILABLE
		214, // ECC_UNCORRECTABLE
		220, // NVLINK_UNCORRECTABLE
		226, // CONTAINED
		700, // ILLEGAL_ADDRESS
		702, // LAUNCH_TIMEOUT
		709, // CONTEXT_IS_DESTROYED
		710, // ASSERT
		714, // HARDWARE_STACK_ERROR
		715, // ILLEGAL_INSTRUCTION
		716, // MISALIGNED_ADDRESS
		717, // INVALID_ADDRESS_SPACE
		718, // INVALID_PC
		719, // LAUNCH_FAILED
		721, // TENSOR_MEMORY_LEAK
		810, // MPS_CLIENT_TERMINATED
		911, // EXTERNAL_DEVICE
		999: // UNKNOWN
		return true
	}
	return false
}

// LostError says that the device, or the driver's state in this process, is lost. The
// engine can only be closed; a new one may need a new process.
type LostError struct {
	Cause *DriverError
}

func (e *LostError) Error() string {
	return "cuda: the device is lost; the engine must be closed, and a new one may need a new process: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// OutOfMemoryError says that the device is out of memory even after the pool returned
// its unused memory. Sizes are in bytes.
type OutOfMemoryError struct {
	Wanted      int64 // by the call
	InUse       int64 // by the engine's tensors, graphs and own memory
	Reserved    int64 // by the engine's pool
	Free, Total int64 // of the device, according to the driver
}

func (e *OutOfMemoryError) Error() string {
	return fmt.Sprintf("cuda: out of device memory: wanted %s; this engine uses %s and reserves %s; the device has %s free of %s",
		megabytes(e.Wanted), megabytes(e.InUse), megabytes(e.Reserved), megabytes(e.Free), megabytes(e.Total))
}

func megabytes(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// versionName formats a version of the driver, 12040 as 12.4.
func versionName(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }
