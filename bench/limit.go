package main

import (
	"runtime"
	"time"

	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/workload"
)

// limits are the rates that a machine was measured to reach with some number of
// cores and arrays of some size. The highest sample counts, as the shortest time does
// of a benchmark: both are what others' work on the machine disturbs least.
type limits struct {
	bandwidth timing.Samples // bytes read and written a second, copying arrays of the batch's workload.Size
	*evaluationRates
}

// evaluationRates are the evaluations a second of measuredEvaluator with some
// number of cores, whatever the size.
type evaluationRates struct{ exp, log timing.Samples }

// seconds is the least time for some work: that of moving its bytes or that of
// its evaluations, whichever is longer, and which it is.
func (l *limits) seconds(w workload.Work) (s float64, by string) {
	memory := float64(w.Bytes) / l.bandwidth.Max()
	evaluate := float64(w.Exp)/l.exp.Max() + float64(w.Log)/l.log.Max()
	if evaluate > memory {
		return evaluate, "exp/log"
	}
	return memory, "memory"
}

// measure adds a sample of each rate, each taken over at least so much time.
func (l *limits) measure(logits []float32, grad []float32, least time.Duration) {
	l.bandwidth = append(l.bandwidth, copyRate(grad, logits, least))
	l.exp = append(l.exp, evaluationRate(measuredEvaluator.exp, least))
	l.log = append(l.log, evaluationRate(measuredEvaluator.log, least))
}

// copyRate copies src to dst on GOMAXPROCS cores and returns the bytes a second,
// reading and writing counted.
func copyRate(dst, src []float32, least time.Duration) float64 {
	const parts = 64
	var done int
	start := time.Now()
	for done == 0 || time.Since(start) < least {
		parallel.Do(parts, func() func(int) {
			return func(i int) {
				lo, hi := i*len(src)/parts, (i+1)*len(src)/parts
				copy(dst[lo:hi], src[lo:hi])
			}
		})
		done++
	}
	return float64(done) * float64(2*4*len(src)) / time.Since(start).Seconds()
}

// evaluationRate evaluates on GOMAXPROCS cores and returns the evaluations a
// second of all of them.
func evaluationRate(newEvaluation func() (func(), int), least time.Duration) float64 {
	const calls = 1024 // of a block: enough to make starting goroutines nothing
	var done int
	start := time.Now()
	for done == 0 || time.Since(start) < least {
		parallel.Do(runtime.GOMAXPROCS(0), func() func(int) {
			evaluate, perCall := newEvaluation()
			done += calls * perCall // bodies are made one after the other
			return func(int) {
				for range calls {
					evaluate()
				}
			}
		})
	}
	return float64(done) / time.Since(start).Seconds()
}
