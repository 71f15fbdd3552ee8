package afl_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// BenchmarkLoss compares the backends of this machine: it times every loss of the
// paper's first table with its gradient on logits of 1×2×160×128×24. Names are
// loss=afl/backend=avx512, as benchstat groups them. A backend is an instruction set
// (go is plain Go), float64 for logits of that type, or cuda for the first GPU; without
// a GPU one line says what is missing. GB/s counts each logit and label read once per
// pass and each gradient written once.
func BenchmarkLoss(b *testing.B) {
	size := workload.PICAI
	batch := workload.NewBatch(size)
	cpuBatches := cpuBatches(b, batch)
	gpuBatch := openGPUBatch(b, batch)
	for _, name := range afl.PaperNames() {
		l, err := afl.ByName(name)
		require.NoError(b, err)
		for _, batch := range cpuBatches {
			work, err := workload.Count(l, size, batch.Elements, true)
			require.NoError(b, err)
			b.Run("loss="+name+"/backend="+batch.backend, func(b *testing.B) {
				for b.Loop() {
					if _, err := afl.GradInto(l, batch.Logits, batch.Labels, batch.Grad); err != nil {
						b.Fatal(err)
					}
				}
				work.Report(b, size, b.Elapsed().Seconds()/float64(b.N))
			})
		}
		if gpuBatch == nil {
			continue
		}
		work, err := workload.Count(l, size, batch.Elements, true)
		require.NoError(b, err)
		b.Run("loss="+name+"/backend=cuda", func(b *testing.B) {
			require.NoError(b, gpuBatch.Run(l, gpuBatch.Sets(), true)) // warm-up
			b.ResetTimer()
			require.NoError(b, gpuBatch.Run(l, b.N, true))
			work.Report(b, size, b.Elapsed().Seconds()/float64(b.N))
		})
	}
}

// openGPUBatch returns a batch in the memory of the first GPU, or nil after printing
// why there is none.
func openGPUBatch(b *testing.B, batch *workload.Batch) *gpu.Batch {
	b.Helper()
	g, err := gpu.Open(0)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	b.Cleanup(func() { require.NoError(b, g.Close()) })
	fmt.Printf("gpu: %v\n", g.Device())
	onGPU, err := g.NewBatch(batch.Logits, batch.Labels, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, onGPU.Release()) })
	return onGPU
}

// BenchmarkMetric times what a validation computes of a case: the confusion counts of
// the logits, and the surface distances of the masks of a small lesion and an organ.
// go test -bench . ./bench times more of them, at two sizes.
func BenchmarkMetric(b *testing.B) {
	size := workload.PICAI
	batch := workload.NewBatch(size)
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.Voxels()), "ns/voxel")
	}
	b.Run("metric=counts", func(b *testing.B) {
		for b.Loop() {
			if _, err := afl.CountLogits(afl.Argmax, batch.Logits, batch.Labels, afl.IgnoreIndex{}); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	for _, m := range workload.NewMaskPairs(size) {
		b.Run("metric=surface/masks="+m.Name, func(b *testing.B) {
			for b.Loop() {
				d, err := afl.NewSurfaceDistances(m.Prediction, m.Reference, size.Spacing[:])
				if err != nil {
					b.Fatal(err)
				}
				_, _ = d.HD95(), d.Average()
			}
			report(b)
		})
	}
}
