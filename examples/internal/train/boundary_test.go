package train

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/segment"
)

// TestBoundaryWeightGrows checks the loss of each epoch against the sum that it is documented
// to be, in every scheme.
func TestBoundaryWeightGrows(t *testing.T) {
	classes, regions := grades(t)
	for _, scheme := range []segment.Scheme{{}, classes, regions} {
		loss, _, err := scheme.Loss(boundary)
		require.NoError(t, err)
		j := Job{Scheme: scheme, BoundaryWeight: 0.25}
		channels := max(2, scheme.Channels())
		shape := []int{1, channels, 3, 4, 5}
		x := make([]float32, channels*60)
		for i := range x {
			x[i] = float32(2 * math.Sin(float64(13*i+1)))
		}
		y := make([]uint8, 60)
		for i := range y {
			y[i] = uint8(i / 7 % 2)
		}
		labels := tensor.New(tensor.WithShape(1, 3, 4, 5), tensor.WithBacking(y))
		dice := afl.NewDice()
		dice.Activation = afl.Softmax
		if scheme.Kind == segment.Regions {
			dice.Activation = afl.Sigmoid
			maps := make([]uint8, len(x))
			for i := range maps {
				maps[i] = y[i%60]
			}
			labels = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(maps))
		}
		logits := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
		d, gradD, err := afl.Grad(dice, logits, labels)
		require.NoError(t, err)
		b, gradB, err := afl.Grad(loss, logits, labels)
		require.NoError(t, err)
		for epoch := 1; epoch <= 3; epoch++ {
			w := 0.25 * float64(epoch)
			v, g, err := afl.Grad(j.lossOfEpoch(boundary, loss, epoch), logits, labels)
			require.NoError(t, err)
			assert.InDelta(t, d+w*b, v, 1e-12)
			for i, got := range g.Data().([]float32) {
				want := float64(gradD.Data().([]float32)[i]) + w*float64(gradB.Data().([]float32)[i])
				assert.InDelta(t, want, float64(got), 1e-8)
			}
		}
		assert.Equal(t, dice, j.lossOfEpoch("dice", dice, 3))
	}
}

// TestBoundaryResumesBitIdentical trains with losses for small lesions, with stops in the
// first and the second epoch and without, and with another weight of the boundary.
func TestBoundaryResumesBitIdentical(t *testing.T) {
	run := func(dir string, losses []string, weight float64, stops ...int) {
		t.Helper()
		for _, stop := range append(stops, 0) {
			ctx, cancel := context.WithCancel(context.Background())
			done := 0
			job := tinyJob(t, dir, func() {
				if done++; done == stop {
					cancel()
				}
			})
			job.Losses, job.BoundaryWeight = losses, weight
			results, err := job.Run(ctx)
			cancel()
			if stop > 0 {
				require.ErrorIs(t, err, ErrInterrupted)
				continue
			}
			require.NoError(t, err)
			for _, l := range results.Results {
				assert.Nil(t, l.Diverged, l.Loss)
				for _, e := range l.Epochs {
					assert.False(t, math.IsNaN(e.TrainLoss), l.Loss)
				}
			}
		}
	}
	whole, stopped := t.TempDir(), t.TempDir()
	losses := []string{boundary, "log-hausdorff"}
	run(whole, losses, 0.01)
	// A step of the backend is a training sample, of which there are three in an epoch, or a
	// prediction.
	run(stopped, losses, 0.01, 2, 5, 9)
	want := filesOf(t, whole)
	assertSameFiles(t, want, filesOf(t, stopped), "stopped")

	other := t.TempDir()
	run(other, []string{boundary}, 0.02)
	assert.NotEqual(t, want["unet/boundary/last.safetensors"], filesOf(t, other)["unet/boundary/last.safetensors"])

	for _, weight := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		job := tinyJob(t, t.TempDir(), nil)
		job.Losses, job.BoundaryWeight = []string{boundary}, weight
		_, err := job.Run(context.Background())
		assert.ErrorContains(t, err, "Job.BoundaryWeight is")
	}
}
