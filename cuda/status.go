package cuda

import (
	"math"
	"strconv"
	"sync"
	"unsafe"

	"github.com/x/afl/internal/plan"
)

// status mirrors AflStatus: the first element that a kernel rejected.
type status struct {
	found                      uint64 // 2⁶⁴−1 minus its index
	kind                       int32
	hasIgnore, channels, limit int32
	voxels, ignore             int64
	got                        float64
	elementType, unused        int32
	bits                       uint64
}

const statusBytes = int64(unsafe.Sizeof(status{}))

// Kinds of rejections.
const (
	goodStatus = iota
	badClass
	badMap
	badWeight
)

// staged is pinned memory for small results.
type staged struct {
	reported status
	result   result
}

// stage guards the staged memory.
type stage struct {
	sync.Mutex
	memory unsafe.Pointer
}

func (s *stage) staged() *staged { return (*staged)(s.memory) }

// refusal synchronizes and returns an error for the first rejected element not yet
// reported, if any. argument is the label's name in the API.
func (e *Engine) refusal(argument string) error {
	return e.report(argument, func(s session, staged *staged) (status, error) {
		err := s.synchronize()
		return staged.reported, err
	})
}

// readResult synchronizes and returns the value of a [result].
func (e *Engine) readResult(address uintptr) (value float64, err error) {
	err = e.report("target", func(s session, staged *staged) (status, error) {
		err := s.copyToHost(unsafe.Pointer(&staged.result), address, resultBytes, true)
		value = staged.result.value
		return staged.result.verdict, err
	})
	return value, err
}

// readFloat64s synchronizes and fills x from device memory, where a verdict follows the
// numbers.
func (e *Engine) readFloat64s(address uintptr, x []float64, argument string) error {
	return e.report(argument, func(s session, _ *staged) (verdict status, err error) {
		bytes := int64(8 * len(x))
		err = s.copyToHost(unsafe.Pointer(unsafe.SliceData(x)), address, bytes, true)
		if err == nil {
			err = s.copyToHost(unsafe.Pointer(&verdict), address+uintptr(bytes), statusBytes, true)
		}
		return verdict, err
	})
}

// report calls read, which synchronizes and returns a verdict, and returns the verdict
// as an error. If it is the engine's rejection not yet reported, it now is.
func (e *Engine) report(argument string, read func(session, *staged) (status, error)) error {
	var verdict status
	err := e.doWaiting(func(s session) (err error) {
		e.staging.Lock()
		defer e.staging.Unlock()
		staged := e.staging.staged()
		if err := s.copyToHost(unsafe.Pointer(&staged.reported), e.reported, statusBytes, false); err != nil {
			return err
		}
		if verdict, err = read(s, staged); err != nil || verdict.kind == goodStatus || !verdict.is(&staged.reported) {
			return err
		}
		return zero(s, e.reported, statusBytes)
	})
	if err != nil {
		return err
	}
	return verdict.refusal(argument)
}

// zero enqueues zeroing memory whose size is a multiple of 4.
func zero(s session, address uintptr, bytes int64) error {
	return s.fill(address, make([]byte, 4), bytes/4)
}

// is reports whether two rejections are of the same element.
func (s *status) is(t *status) bool {
	return s.kind == t.kind && s.found == t.found && s.voxels == t.voxels && s.channels == t.channels && s.bits == t.bits
}

// refusal turns the status into an error with the CPU backend's wording.
func (s *status) refusal(argument string) error {
	if s.kind == goodStatus {
		return nil
	}
	index := math.MaxUint64 - s.found
	voxels, channels := uint64(max(s.voxels, 1)), uint64(max(s.channels, 1))
	sample, voxel := index/voxels, index%voxels
	at := func(what string) string {
		return what + " at sample " + strconv.FormatUint(sample, 10) + ", voxel " + strconv.FormatUint(voxel, 10)
	}
	switch s.kind {
	case badMap:
		channel := sample % channels
		sample /= channels
		return plan.Refuse(argument+" at sample "+strconv.FormatUint(sample, 10)+", channel "+strconv.FormatUint(channel, 10)+
			", voxel "+strconv.FormatUint(voxel, 10), s.got, "a value in [0,1]")
	case badWeight:
		return plan.Refuse(at("voxel weight"), s.got, "a finite number of at least 0")
	}
	want := "a class index from 0 to " + strconv.FormatInt(int64(s.limit)-1, 10)
	if s.hasIgnore != 0 {
		want += ", or the ignored " + strconv.FormatInt(s.ignore, 10)
	}
	return plan.Refuse(at(argument), s.element(), "%s", want)
}

// Element types that print differently. Unsigned and signed integer types alternate
// between the last two.
const (
	typeFloat32 = 0
	typeUint8   = 4
	typeInt64   = 11
)

// element returns a rejected class index as a value that prints like its own type.
func (s *status) element() any {
	switch t := s.elementType; {
	case t == typeFloat32:
		return float32(s.got)
	case t >= typeUint8 && t <= typeInt64 && t%2 != typeUint8%2:
		return int64(s.bits)
	case t >= typeUint8 && t <= typeInt64:
		return s.bits
	}
	return s.got
}
