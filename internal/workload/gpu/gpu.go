// Package gpu times losses on a GPU: calls between two events of the device, on
// several sets of buffers in rotation, beside copies on the device.
package gpu

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/x/afl/cuda"
)

// GPU is an open device and two events to time work on it.
type GPU struct {
	*cuda.Engine
	start, stop *cuda.Event
	// L2 is the size in bytes of the second-level cache, which the sets of buffers
	// exceed.
	L2 int64
}

// Open opens a device by its ordinal number.
func Open(ordinal int) (*GPU, error) {
	e, err := cuda.Open(ordinal)
	if err != nil {
		return nil, err
	}
	g, err := New(e)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return g, nil
}

// New returns a GPU of an open device, which the caller closes.
func New(e *cuda.Engine) (*GPU, error) {
	g := &GPU{Engine: e, L2: e.Device().L2}
	var err error
	if g.start, err = e.NewEvent(); err != nil {
		return nil, err
	}
	g.stop, err = e.NewEvent()
	return g, err
}

// lead is the number of untimed calls before n timed ones. They bring an idle device
// up to its clock frequency, and keep it busy until the timed ones begin.
func lead(n int) int { return n/4 + 1 }

// Time makes n calls, after some that are not timed, and returns the seconds that the
// device took for all n.
func (g *GPU) Time(n int, call func(i int) error) (float64, error) {
	if err := g.Synchronize(); err != nil {
		return 0, err
	}
	for i := range lead(n) {
		if err := call(i); err != nil {
			return 0, err
		}
	}
	if err := g.start.Record(); err != nil {
		return 0, err
	}
	for i := range n {
		if err := call(lead(n) + i); err != nil {
			return 0, err
		}
	}
	if err := g.stop.Record(); err != nil {
		return 0, err
	}
	took, err := cuda.Elapsed(g.start, g.stop)
	return took.Seconds(), err
}

// Stopwatch times one kind of call, turn after turn.
type Stopwatch struct {
	Call  func(i int) error
	Per   int // calls that one Call makes
	calls int // as many as the last turn took
}

// Turn returns the seconds of a call, the mean of as many as together take at least
// the given time. Attempts that turn out too short warm the device up for the next.
func (s *Stopwatch) Turn(g *GPU, least time.Duration) (float64, error) {
	s.calls = max(s.calls, 1)
	for {
		took, err := g.Time(s.calls, s.Call)
		if err != nil {
			return 0, err
		}
		if took >= least.Seconds() && took > 0 {
			return took / float64(s.calls*s.Per), nil
		}
		if s.calls >= mostCalls {
			return 0, fmt.Errorf("%d calls took the device %v s, less than the %v of a turn: they do nothing", s.calls, took, least)
		}
		s.calls = more(s.calls, took, least.Seconds())
	}
}

// mostCalls is far more than a turn of the shortest kernel needs.
const mostCalls = 1 << 20

// more is the number of calls to try next if so many took less than least seconds:
// 2 to 100 times as many, as a short time predicts little.
func more(calls int, took, least float64) int {
	wanted := math.Inf(1)
	if took > 0 {
		wanted = 1.2*float64(calls)*least/took + 1
	}
	return int(max(2*float64(calls), min(wanted, 100*float64(calls))))
}

// mostSets limits the sets of batches so small that the cache would hold any number
// of them.
const mostSets = 64

// SetsFor is the number of sets of buffers, of so many bytes each, that calls have to
// rotate through so that between two uses of a set twice the size of the second-level
// cache was accessed. It is at most 64.
func SetsFor(bytes, l2 int64) int {
	return int(min(1+(2*l2+bytes-1)/bytes, mostSets))
}
