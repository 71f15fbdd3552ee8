package main

import (
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/workload"
)

func TestLimitIsTheLongerOne(t *testing.T) {
	l := &limits{timing.Samples{50, 100, 70}, &evaluationRates{exp: timing.Samples{10, 5}, log: timing.Samples{20}}}
	s, by := l.seconds(workload.Work{Bytes: 400, Exp: 10, Log: 20})
	assert.Equal(t, 4.0, s)
	assert.Equal(t, "memory", by)
	s, by = l.seconds(workload.Work{Bytes: 400, Exp: 30, Log: 40})
	assert.Equal(t, 5.0, s)
	assert.Equal(t, "exp/log", by)
}

func TestCopyRate(t *testing.T) {
	src, dst := make([]float32, 1001), make([]float32, 1001)
	for i := range src {
		src[i] = float32(i)
	}
	start := time.Now()
	rate := copyRate(dst, src, 0)
	assert.Equal(t, src, dst, "every element is copied")
	assert.GreaterOrEqual(t, rate*time.Since(start).Seconds(), 8*1001.0, "8 bytes an element")
}

// TestEvaluationRate: the rate times the time is the number of evaluations.
func TestEvaluationRate(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var made atomic.Int64
	kernel := func(dst, src []float32) {
		for i, x := range src {
			dst[i] = float32(math.Sqrt(float64(x)))
		}
		made.Add(int64(len(dst)))
	}
	start := time.Now()
	rate := evaluationRate(inCache(kernel, func(x float64) float64 { return x }), 50*time.Millisecond)
	took := time.Since(start).Seconds()
	// The measurement took at least the time asked for, and at most the time that
	// passed here.
	assert.LessOrEqual(t, rate*0.050, 1.001*float64(made.Load()))
	assert.GreaterOrEqual(t, rate*took, 0.999*float64(made.Load()))
}

// TestEvaluator: the kernels compute exp and log(1+e), on arguments like those of a loss.
func TestEvaluator(t *testing.T) {
	exp, n := measuredEvaluator.exp()
	exp()
	log, m := measuredEvaluator.log()
	log()
	assert.Equal(t, 1024, n)
	assert.Equal(t, 1024, m)
	src, dst := make([]float32, 64), make([]float32, 64)
	copy(src, []float32{0, 0.25, 1})
	cpu.Backend{}.Exp(dst, src)
	assert.InDeltaSlice(t, []float32{1, float32(math.Exp(0.25)), math.E}, dst[:3], 3e-7)
	cpu.Backend{}.Log1p(dst, src)
	assert.InDeltaSlice(t, []float32{0, float32(math.Log1p(0.25)), math.Ln2}, dst[:3], 1e-7)

	var seen []float32
	evaluate, n := inCache(func(dst, src []float32) { seen = src }, func(x float64) float64 { return 1 - x })()
	evaluate()
	require.Len(t, seen, n)
	distinct := map[float32]bool{}
	for _, x := range seen {
		require.True(t, x > 0 && x <= 1)
		distinct[x] = true
	}
	assert.Len(t, distinct, n)
}
