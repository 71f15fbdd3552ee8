package main

import (
	"math"
	"slices"
	"time"
)

var nan = math.NaN()

// samples are repeated measurements of one thing.
type samples []float64

// median is NaN without samples.
func (s samples) median() float64 {
	if len(s) == 0 {
		return nan
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(s)-1)/2] + sorted[len(s)/2]) / 2
}

// min is NaN without samples.
func (s samples) min() float64 {
	if len(s) == 0 {
		return nan
	}
	return slices.Min(s)
}

// max is NaN without samples.
func (s samples) max() float64 {
	if len(s) == 0 {
		return nan
	}
	return slices.Max(s)
}

// timed calls f until its calls took at least so much time together, at least
// once, and returns the seconds of each call.
func timed(least time.Duration, f func() error) (samples, error) {
	var s samples
	var total time.Duration
	for len(s) == 0 || total < least {
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
