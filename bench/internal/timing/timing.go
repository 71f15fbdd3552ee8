// Package timing repeats measurements and summarizes them.
package timing

import (
	"math"
	"slices"
	"time"
)

// Samples are repeated measurements of one quantity.
type Samples []float64

// Median is NaN without samples.
func (s Samples) Median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// Min is NaN without samples.
func (s Samples) Min() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Min(s)
}

// Max is NaN without samples.
func (s Samples) Max() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Max(s)
}

// Calls calls f once or more, until the calls together took at least the given time,
// and returns the seconds of each call.
func Calls(atLeast time.Duration, f func() error) (Samples, error) {
	var s Samples
	var total time.Duration
	for len(s) == 0 || total < atLeast {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took := time.Since(start)
		s = append(s, took.Seconds())
		total += took
	}
	return s, nil
}
