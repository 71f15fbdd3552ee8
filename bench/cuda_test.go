package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/cuda/cudatest"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

// BenchmarkCUDA times every loss, forward and with its gradient, on the first GPU.
// Without one it is skipped and prints what is missing. Names are those of
// BenchmarkLoss with device=cuda in place of the cores. bench/cuda compares with
// PyTorch and with copies on the device.
func BenchmarkCUDA(b *testing.B) {
	g, err := gpu.Open(0)
	if err != nil {
		fmt.Println(err) // which the log of a skipped benchmark does not
		b.SkipNow()
	}
	defer g.Close()
	b.Logf("device: %v", g.Device())
	for _, s := range benchmarkSizes() {
		if err := benchmarkCUDA(b, g, s, afl.Names()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkCUDA(b *testing.B, g *gpu.GPU, s workload.Size, losses []string) (err error) {
	host := workload.NewBatch(s)
	batch, err := g.NewBatch(host.Logits, host.Labels, host.VoxelWeight)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, batch.Release()) }()
	for _, name := range losses {
		l, err := afl.ByName(name)
		if err != nil {
			return err
		}
		for _, pass := range []string{passForward, passGradient} {
			gradient := pass == passGradient
			w, err := workload.Count(l, s, workload.Float32Uint8, gradient)
			if err != nil {
				return err
			}
			b.Run(fmt.Sprintf("loss=%s/pass=%s/size=%s/device=cuda", name, pass, s.Name), func(b *testing.B) {
				timeCUDA(b, batch, l, w, s, gradient)
			})
		}
	}
	return nil
}

// timeCUDA is the body of a benchmark. The time is that until the device has done all
// calls, which do not wait for it.
func timeCUDA(b *testing.B, batch *gpu.Batch, l afl.Loss, w workload.Work, s workload.Size, gradient bool) {
	run := func(n int) {
		if err := batch.Run(l, n, gradient); err != nil {
			b.Fatal(err)
		}
	}
	run(batch.Sets()) // warm-up
	b.ReportAllocs()
	b.ResetTimer()
	run(b.N)
	w.Report(b, s, b.Elapsed().Seconds()/float64(b.N))
}

// TestBenchmarkCUDA runs the body of the benchmark on an emulated GPU.
func TestBenchmarkCUDA(t *testing.T) {
	g, err := gpu.New(cudatest.OpenEmulated(t))
	require.NoError(t, err)
	g.L2 = 100 << 10
	before := g.Memory().InUse
	host := workload.NewBatch(workload.Quick)
	batch, err := g.NewBatch(host.Logits, host.Labels, host.VoxelWeight)
	require.NoError(t, err)
	result := testing.Benchmark(func(b *testing.B) {
		timeCUDA(b, batch, afl.NewAdaptiveFocal(), workload.Work{Bytes: 1e6}, workload.Quick, true)
	})
	assert.Positive(t, result.N)
	assert.Positive(t, result.Extra["ns/voxel"])
	assert.InEpsilon(t, 1e6/result.Extra["ns/voxel"]/float64(workload.Quick.Voxels()), result.Extra["GB/s"], 1e-9)
	require.NoError(t, batch.Release())
	assert.Equal(t, before, g.Memory().InUse)
}
