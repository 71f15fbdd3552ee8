//go:build cgo && linux && (amd64 || arm64)

package train

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
)

// unprefetched hides that a backend is an nn.Prefetcher.
type unprefetched struct {
	nn.Backend
	nn.StepRunner
}

// TestPrefetchingChangesNothing trains on an emulated GPU without prefetching inputs, and with it
// for copies that end as late and as early as they may. With synchronized batch norms several inputs
// live in a step. All files have the same bytes.
func TestPrefetchingChangesNothing(t *testing.T) {
	for name, change := range map[string]func(*Job){
		"accumulated":  func(j *Job) { j.Batch, j.Accumulate = 1, 2 },
		"synchronized": func(j *Job) { j.Batch, j.SyncBatchNorm = 3, true },
	} {
		t.Run(name, func(t *testing.T) {
			var want map[string][]byte
			for _, run := range []struct {
				prefetch       bool
				eager, workers int
			}{{false, 0, 1}, {true, 0, 4}, {true, 1, 1}} {
				b, _ := emulated.Open(t)
				emulated.Load(t).Set(t, "eager_copies", int64(run.eager))
				dir := t.TempDir()
				job := patchJob(t, dir, nil)
				job.Backend = b
				if !run.prefetch {
					job.Backend = unprefetched{b, b.(nn.StepRunner)}
				}
				config := models.Config{Architecture: models.UNet{Channels: []int{2, 4, 6}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}}, ResUnits: 1, Norm: models.BatchNorm}, InChannels: 3}
				job.Networks[0].New = func(seed uint64) (nn.Network, error) {
					net, err := models.New(config, b, seed)
					if err != nil {
						return nil, err
					}
					return models.NewDeepSupervision(config, net, b, seed)
				}
				protocol := dataset.PICAI()
				protocol.Size, protocol.Crop, protocol.Multiple = [3]int{16, 12, 8}, [3]int{8, 7, 4}, [3]int{4, 4, 2} // padded
				job.Networks[0].Source = dataset.NewCache(protocol, 1<<30)
				job.Epochs, job.EarlyStop, job.Patches, job.Workers = 1, 0, 1, run.workers
				job.Window, job.Mirror = infer.Window{}, nil
				change(job)
				ordered := emulated.Load(t).Count("ordered")
				_, err := job.Run(context.Background())
				require.NoError(t, err)
				if run.prefetch {
					assert.GreaterOrEqual(t, emulated.Load(t).Count("ordered")-ordered, int64(2*2*3), "images and labels of three samples, twice")
				}
				if want == nil {
					want = filesOf(t, dir)
				}
				assertSameFiles(t, want, filesOf(t, dir), "")
			}
		})
	}
}
