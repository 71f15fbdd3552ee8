//go:build cgo && linux && (amd64 || arm64)

package train

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
)

// waitingBackend runs the operations of steps one by one.
type waitingBackend struct {
	nn.Backend
	nn.StepRunner
}

// RunStep implements nn.StepRunner.
func (waitingBackend) RunStep(step func() error) error { return step() }

// A training that runs ahead of its device, and launches steps as graphs, writes the files of one
// that waits for every number.
func TestTrainingAheadOfTheDevice(t *testing.T) {
	for name, c := range map[string]struct {
		change func(j *Job)
		files  []string // that are compared; all by default
	}{
		"clipped":  {change: func(j *Job) { j.ClipNorm, j.Schedule.Decay = 0.2, nn.Cosine }},
		"batch":    {change: func(j *Job) { j.Batch, j.Optimizer, j.Momentum, j.LearningRate = 2, AdamW, 0, 1e-3 }},
		"diverges": {func(j *Job) { j.LearningRate = 1e20 }, []string{"results.md", "epochs.csv", "cases.csv"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := emulated.Open(t)
			train := func(b nn.Backend) map[string][]byte {
				j := tinyJob(t, t.TempDir(), nil)
				j.Backend, j.Losses = b, []string{"dice-ce"}
				j.Networks[0].New = func(uint64) (nn.Network, error) {
					net := models.UNet{Channels: []int{2, 4}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.BatchNorm}
					return models.New(models.Config{Architecture: net, InChannels: len(j.Splits[0].Train[0].Images)}, b, 5)
				}
				c.change(j)
				_, err := j.Run(context.Background())
				require.NoError(t, err)
				return filesOf(t, j.Dir)
			}
			want, got := train(waitingBackend{b, b.(nn.StepRunner)}), train(b)
			assert.Contains(t, cuda.DescribeSteps(b), "work of steps: ")
			if c.files == nil {
				assertSameFiles(t, want, got, name)
			}
			for _, file := range c.files {
				assert.NotEmpty(t, want[file], file)
				assert.Equal(t, string(want[file]), string(got[file]), file)
			}
		})
	}
}
