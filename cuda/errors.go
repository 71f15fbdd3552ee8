package cuda

import (
	"errors"
	"fmt"

	"github.com/x/afl"
	"github.com/x/afl/internal/plan"
)

// argumentError is an [afl.ArgumentError] in the name of this package.
type argumentError struct{ refusal *plan.Refusal }

func (e *argumentError) Error() string { return "cuda: " + e.refusal.Error() }

// Unwrap returns the [afl.ArgumentError].
func (e *argumentError) Unwrap() error { return (*afl.ArgumentError)(e.refusal) }

// public turns the refusals in an error into errors of this package. Functions that
// the backend calls return them as they are, since package afl words those.
func public(err error) error {
	return plan.Reword(err, func(r *plan.Refusal) error { return &argumentError{r} })
}

// refuse returns an [afl.ArgumentError] of this package; got is formatted with %v.
func refuse(argument string, got any, want string, args ...any) error {
	return public(plan.Refuse(argument, got, want, args...))
}

// ErrClosed is returned by every method of an engine, and of what belongs to it,
// after [Engine.Close].
var ErrClosed = errors.New("cuda: the engine is closed")

// DriverError is a call of the CUDA driver that failed. Since work runs behind the
// caller's back, it may tell of work that an earlier call had enqueued.
type DriverError struct {
	Function string // of the driver
	Code     int    // its result
	Name     string // of the code, such as CUDA_ERROR_OUT_OF_MEMORY
	Text     string // the driver's description of it
}

func (e *DriverError) Error() string {
	return fmt.Sprintf("cuda: %s failed: %s (%d): %s", e.Function, e.Name, e.Code, e.Text)
}

const codeOutOfMemory = 2

// lost says whether the context is unusable from now on: the driver answers every
// later call with the same code.
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

// LostError says that the device, or the driver's state in this process, is lost.
// The engine can do nothing more than be closed; a new one may need a new process.
type LostError struct {
	Cause *DriverError
}

func (e *LostError) Error() string {
	return "cuda: the device is lost to this engine, which has to be closed (a new engine may need a new process): " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Cause }

// OutOfMemoryError says that the device has no room, after the pool gave its
// unused memory back. Sizes are in bytes.
type OutOfMemoryError struct {
	Wanted      int64 // by the call
	InUse       int64 // by the engine's tensors, graphs and own memory
	Reserved    int64 // by the engine's pool, all of it in use
	Free, Total int64 // of the device, as the driver counts them
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

// versionName writes the driver's 12040 as 12.4.
func versionName(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }
