package main

import (
	"runtime"
	"time"
	"unsafe"

	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/workload"
)

// limits are the rates that the machine reaches with some number of cores and arrays
// of some size. The highest sample counts, as the shortest time of a benchmark does:
// other load of the machine affects these least.
type limits struct {
	bandwidth        timing.Samples // bytes read and written per second when copying arrays of the size
	*evaluationRates                // nil where the evaluations have no measured limit, as in float64
}

// newLimits returns the limits of a call, to be measured. The rates are those of float32.
func newLimits(c workload.Call, rates *evaluationRates) *limits {
	if c.Float64 {
		return &limits{}
	}
	return &limits{evaluationRates: rates}
}

// evaluationRates are the evaluations per second of measuredEvaluator with some number
// of cores. They do not depend on the size.
type evaluationRates struct{ exp, log timing.Samples }

// seconds is the least time that some work takes: the time to move its bytes or the
// time of its evaluations, whichever is longer, and which of the two that is.
func (l *limits) seconds(w workload.Work) (s float64, by string) {
	memory := float64(w.Bytes) / l.bandwidth.Max()
	if l.evaluationRates == nil {
		return memory, "memory"
	}
	evaluate := float64(w.Exp)/l.exp.Max() + float64(w.Log)/l.log.Max()
	if evaluate > memory {
		return evaluate, "exp/log"
	}
	return memory, "memory"
}

// measure adds a sample of each rate, each measured for at least the given time. It
// overwrites the gradient of the batch.
func (l *limits) measure(b *workload.Batch, atLeast time.Duration) {
	switch logits := b.Logits.Data().(type) {
	case []float32:
		l.bandwidth = append(l.bandwidth, copyRate(b.Grad.Data().([]float32), logits, atLeast))
	case []float64:
		l.bandwidth = append(l.bandwidth, copyRate(b.Grad.Data().([]float64), logits, atLeast))
	}
	if l.evaluationRates == nil {
		return
	}
	l.exp = append(l.exp, evaluationRate(measuredEvaluator.exp, atLeast))
	l.log = append(l.log, evaluationRate(measuredEvaluator.log, atLeast))
}

// copyRate copies src to dst on GOMAXPROCS cores and returns the bytes read and written
// per second.
func copyRate[T float32 | float64](dst, src []T, atLeast time.Duration) float64 {
	const parts = 64
	var done int
	start := time.Now()
	for done == 0 || time.Since(start) < atLeast {
		parallel.Do(parts, func() func(int) {
			return func(i int) {
				lo, hi := i*len(src)/parts, (i+1)*len(src)/parts
				copy(dst[lo:hi], src[lo:hi])
			}
		})
		done++
	}
	return float64(done) * float64(2*len(src)*int(unsafe.Sizeof(src[0]))) / time.Since(start).Seconds()
}

// evaluationRate evaluates on GOMAXPROCS cores and returns the evaluations per second
// of all cores together.
func evaluationRate(newEvaluation func() (func(), int), atLeast time.Duration) float64 {
	const calls = 1024 // enough to make the cost of starting goroutines negligible
	var done int
	start := time.Now()
	for done == 0 || time.Since(start) < atLeast {
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
