package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/bench/internal/timing"
	"github.com/x/afl/internal/workload"
)

// benchmarkSizes are the sizes of the two programs' inputs, or with -short a small one.
func benchmarkSizes() []workload.Size {
	if testing.Short() {
		return []workload.Size{workload.Quick}
	}
	return []workload.Size{workload.PICAI, workload.BraTS}
}

// BenchmarkLoss times every loss, forward and with its gradient, on one core and on
// all. It reports the time per voxel, the rate at which the bytes that must move were
// moved, and the percentage of the limit that was reached. Names are
// loss=afl/pass=forward/size=brats/cores=1, as benchstat groups them.
func BenchmarkLoss(b *testing.B) {
	for _, s := range benchmarkSizes() {
		input := workload.NewBatch(s)
		for _, cores := range coreCounts() {
			lim := &limits{evaluationRates: &evaluationRates{}}
			for _, name := range afl.Names() {
				list, err := lossBenchmarks(name, classIndices, input)
				if err != nil {
					b.Fatal(err)
				}
				for _, bm := range list {
					r := &row{benchmark: bm, size: s, cores: cores, limits: lim}
					b.Run(r.testName("loss"), func(b *testing.B) { r.time(b, input) })
				}
			}
		}
	}
}

// BenchmarkCall times some losses with every kind of call, as BenchmarkLoss does with class
// indices. Names are call=soft/loss=afl/pass=forward/size=picai/cores=1.
func BenchmarkCall(b *testing.B) {
	images := workload.Images
	if testing.Short() {
		images = workload.QuickImages
	}
	cfg := config{losses: afl.Names()}
	for _, c := range workload.Calls {
		s := c.Size(benchmarkSizes()[0], images)
		input := c.NewBatch(s)
		for _, cores := range coreCounts() {
			lim := newLimits(c, &evaluationRates{})
			for _, name := range cfg.lossesOf(c) {
				list, err := lossBenchmarks(name, c, input)
				if err != nil {
					b.Fatal(err)
				}
				for _, bm := range list {
					r := &row{benchmark: bm, size: s, cores: cores, limits: lim}
					b.Run("call="+c.Name+"/"+r.testName("loss"), func(b *testing.B) { r.time(b, input) })
				}
			}
		}
	}
}

// BenchmarkSurface times the Hausdorff distance, the average surface distance and the
// surface Dice of two masks together, for ordinary masks and for hard ones. It reports the
// time as a fraction of that of two plain transforms, which are timed three times.
func BenchmarkSurface(b *testing.B) {
	for _, s := range benchmarkSizes() {
		for _, m := range maskPairs(s) {
			for _, bm := range surfaceBenchmarks(s, m) {
				for _, cores := range coreCounts() {
					r := &row{benchmark: bm, size: s, cores: cores}
					b.Run(r.testName("masks"), func(b *testing.B) { r.time(b, nil) })
				}
			}
		}
	}
}

// BenchmarkSurfaceElements times the surface elements of all masks by turns with the surface
// voxels, and reports how many times as long they take, by the shortest times and by the
// medians.
//
//	go test ./bench -run - -bench SurfaceElements -benchtime 1x
func BenchmarkSurfaceElements(b *testing.B) {
	for _, s := range benchmarkSizes() {
		for _, m := range maskPairs(s) {
			pair := surfaceBenchmarks(s, m)
			for _, cores := range coreCounts() {
				b.Run(fmt.Sprintf("masks=%s/size=%s/cores=%d", m.Name, s.Name, cores), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
					var took [2]timing.Samples // of voxels, of elements
					for b.Loop() {
						for begin := time.Now(); len(took[0]) < 5 || time.Since(begin) < 400*time.Millisecond; {
							for i, bm := range pair {
								seconds, err := timing.Calls(0, bm.run)
								require.NoError(b, err)
								took[i] = append(took[i], seconds...)
							}
						}
					}
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(took[0].Min()*1e3, "voxels-ms")
					b.ReportMetric(took[1].Min()*1e3, "elements-ms")
					b.ReportMetric(took[1].Min()/took[0].Min(), "ratio")
					b.ReportMetric(took[1].Median()/took[0].Median(), "median-ratio")
				})
			}
		}
	}
}

// BenchmarkCount times the confusion counts of logits of one, two and four channels.
func BenchmarkCount(b *testing.B) {
	for _, s := range benchmarkSizes() {
		labels := workload.NewBatch(s).Labels
		for _, channels := range []int{1, 2, 4} {
			rng := rand.New(rand.NewPCG(2, 3))
			numbers := make([]float32, channels*s.Voxels())
			for i := range numbers {
				numbers[i] = rng.Float32() - 0.5
			}
			shape := s.Shape()
			shape[1] = channels
			logits := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(numbers))
			rule := afl.Argmax
			if channels == 1 {
				rule = afl.SigmoidPerChannel
			}
			for _, cores := range coreCounts() {
				b.Run(fmt.Sprintf("channels=%d/size=%s/cores=%d", channels, s.Name, cores), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
					for b.Loop() {
						if _, err := afl.CountLogits(rule, logits, labels, afl.IgnoreIndex{}); err != nil {
							b.Fatal(err)
						}
					}
					work := workload.Work{Passes: 1, Bytes: int64(logits.MemSize() + labels.MemSize())}
					work.Report(b, s, b.Elapsed().Seconds()/float64(b.N))
				})
			}
		}
	}
}

func (r *row) testName(kind string) string {
	return fmt.Sprintf("%s=%s/pass=%s/size=%s/cores=%d", kind, r.name, r.pass, r.size.Name, r.cores)
}

// time is the body of a Go benchmark. The first row that runs measures the limits, for
// all rows that share them.
func (r *row) time(b *testing.B, input *workload.Batch) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.cores))
	if r.work != nil && len(r.limits.bandwidth) == 0 {
		for range 5 {
			r.limits.measure(input, 20*time.Millisecond)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.run(); err != nil {
			b.Fatal(err)
		}
	}
	r.ours = timing.Samples{b.Elapsed().Seconds() / float64(b.N)}
	b.ReportMetric(r.nsPerVoxel(), "ns/voxel")
	if r.isSurface() {
		for range 3 {
			if err := r.measurePlain(0); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(1/r.plainRatio(), "of-two-transforms")
	}
	if r.work != nil {
		share, _ := r.share()
		b.ReportMetric(r.gigabytes(), "GB/s")
		b.ReportMetric(100*share, "%limit")
	}
}

// TestBenchmarks runs the body of the benchmarks, which go test does not by itself.
func TestBenchmarks(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime")
	defer benchtime.Value.Set(benchtime.Value.String())
	require.NoError(t, benchtime.Value.Set("2x"))

	input := workload.NewBatch(workload.Quick)
	list, err := lossBenchmarks("afl", classIndices, input)
	require.NoError(t, err)
	rows := []*row{{benchmark: surfaceBenchmark(workload.Quick, workload.NewMaskPairs(workload.Quick)[0]), size: workload.Quick, cores: 1}}
	for _, bm := range list {
		rows = append(rows, &row{benchmark: bm, size: workload.Quick, cores: 1, limits: &limits{evaluationRates: &evaluationRates{}}})
	}
	for _, r := range rows {
		result := testing.Benchmark(func(b *testing.B) { r.time(b, input) })
		assert.Equal(t, 2, result.N, r.name)
		assert.InDelta(t, float64(result.NsPerOp())/float64(workload.Quick.Voxels()), result.Extra["ns/voxel"], 0.01, r.name)
		if r.work == nil {
			assert.NotContains(t, result.Extra, "%limit")
			assert.Positive(t, result.Extra["of-two-transforms"], r.name)
			continue
		}
		assert.Positive(t, result.Extra["GB/s"], r.name)
		assert.Positive(t, result.Extra["%limit"], r.name)
	}
}
