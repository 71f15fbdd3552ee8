// Package gpu times losses on a GPU: calls between two events of the device, on
// several sets of buffers by turns, beside copies on the device.
package gpu

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/x/afl/cuda"
)

// GPU is an open device with what timing on it takes.
type GPU struct {
	*cuda.Engine
	start, stop *cuda.Event
	// L2 is the bytes of the second-level cache that sets of buffers are to exceed.
	L2 int64
}

// Open opens a device by its number.
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

// New times on an open device, which the caller closes.
func New(e *cuda.Engine) (*GPU, error) {
	g := &GPU{Engine: e, L2: e.Device().L2}
	var err error
	if g.start, err = e.NewEvent(); err != nil {
		return nil, err
	}
	g.stop, err = e.NewEvent()
	return g, err
}

// lead is how many calls go before n that are timed: they bring an idle device to
// its clock, and what is timed begins behind them without a gap.
func lead(n int) int { return n/4 + 1 }

// Time makes n calls, behind some that are not timed, and returns the seconds that
// the device took for all.
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
	Per   int // calls that one Call stands for
	calls int // that filled the last turn
}

// Turn returns the seconds of a call, the mean of as many as take at least so
// long together. Where it has to find out how many that is, what was too short is
// the warm-up of what follows it.
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
			return 0, fmt.Errorf("%d calls took the device %v s, less than a turn's %v: they do nothing", s.calls, took, least)
		}
		s.calls = more(s.calls, took, least.Seconds())
	}
}

// mostCalls is far more than a turn of the shortest kernels needs.
const mostCalls = 1 << 20

// more is how many calls to try after so many took less than least seconds: at
// least twice as many, and at most a hundred times, as a short time says little.
func more(calls int, took, least float64) int {
	wanted := math.Inf(1)
	if took > 0 {
		wanted = 1.2*float64(calls)*least/took + 1
	}
	return int(max(2*float64(calls), min(wanted, 100*float64(calls))))
}

// mostSets bounds the sets of a batch so small that the cache holds any number of
// them.
const mostSets = 64

// SetsFor is how many sets of buffers calls have to go through by turns so that,
// between two uses of a set, twice the bytes of the second-level cache were used;
// at most 64.
func SetsFor(bytes, l2 int64) int {
	return int(min(1+(2*l2+bytes-1)/bytes, mostSets))
}
