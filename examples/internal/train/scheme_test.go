package train

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

// schemeJob is tinyJob with the given scheme.
func schemeJob(t *testing.T, dir string, scheme segment.Scheme, step func()) *Job {
	t.Helper()
	job := tinyJob(t, dir, step)
	protocol := dataset.PICAI()
	protocol.Size, protocol.Scheme = [3]int{16, 12, 8}, scheme
	job.Scheme = scheme
	job.Networks[0].Source = dataset.NewCache(protocol, 1<<30).WithMultiple([3]int{4, 4, 16}) // with padding
	job.Networks[0].New = func(uint64) (nn.Network, error) {
		net := models.UNet{Channels: []int{2, 4, 6}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}}, ResUnits: 2, Norm: models.BatchNorm}
		return models.New(models.Config{Architecture: net, InChannels: 3, OutChannels: scheme.Channels()}, job.Backend, 5)
	}
	return job
}

// grades are the labels of the phantom's lesions as classes and as overlapping regions.
func grades(t *testing.T) (classes, regions segment.Scheme) {
	t.Helper()
	classes, err := segment.ParseClasses("2,3,4,5", nil)
	require.NoError(t, err)
	regions, err = segment.ParseRegions("any=2,3,4,5;high=4,5", nil)
	require.NoError(t, err)
	return classes, regions
}

// TestEveryLossTrainsSchemes trains an epoch with every loss that has a form for several classes
// and for regions.
func TestEveryLossTrainsSchemes(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	classes, regions := grades(t)
	oneClass, oneRegion := classes, regions
	set, err := tinySet()
	require.NoError(t, err)
	label, err := volume.ReadLabel(set.Train[0].Label)
	require.NoError(t, err)
	grade := slices.Max(label.Data) // one that occurs
	oneClass.Segments, oneRegion.Segments = classes.Segments[int(grade)-2:int(grade)-1], regions.Segments[:1]
	for _, scheme := range []segment.Scheme{classes, regions, oneClass, oneRegion} {
		dir := t.TempDir()
		job := schemeJob(t, dir, scheme, nil)
		job.Epochs, job.Losses, job.BoundaryWeight = 1, nil, 0.01
		for _, name := range slices.Concat(afl.Names(), afl.SmallLesionNames()) {
			if scheme.Substitute(name) == name {
				job.Losses = append(job.Losses, name)
			}
		}
		run, err := job.Run(context.Background())
		require.NoError(t, err)
		assert.Greater(t, len(run.Results), 16)
		for _, l := range run.Results {
			assert.Nil(t, l.Diverged, l.Loss)
			require.Len(t, l.Epochs, 1)
			require.Len(t, l.Epochs[0].Segments, len(scheme.Segments))
			assert.Greater(t, l.Epochs[0].TrainLoss, 0.0, l.Loss)
			for _, c := range l.Cases {
				require.Len(t, c.Segments, len(scheme.Segments))
				last := len(scheme.Segments) - 1
				assert.Equal(t, scheme.Segments[last].Name, c.Segments[last].Name)
				assert.True(t, c.Segments[last].Values[outcome.Specificity].Defined())
			}
		}
		_, metadata, err := weights.Load(filepath.Join(dir, "unet", "dice", "best.safetensors"))
		require.NoError(t, err)
		assert.Equal(t, map[segment.Kind]string{segment.Classes: "Argmax", segment.Regions: "SigmoidPerChannel"}[scheme.Kind], metadata["prediction_rule"])
		table, err := os.ReadFile(filepath.Join(dir, "results.md"))
		require.NoError(t, err)
		for _, title := range []string{"Validation, best weights", "Distances and lesions"} {
			_, text, found := strings.Cut(string(table), "\n## "+title)
			require.True(t, found, title)
			text, _, _ = strings.Cut(text, "\n## ")
			assert.Equal(t, len(run.Results), strings.Count(text, "| mean "), title)
		}

		job.Losses = []string{"afl"}
		_, err = job.Run(context.Background())
		assert.ErrorContains(t, err, "the loss afl has no form for "+string(scheme.Kind)+", want afl-multiclass")
	}
}

// TestSchemesResumeBitIdentical stops a run of several classes in each of its phases.
func TestSchemesResumeBitIdentical(t *testing.T) {
	_, regions := grades(t)
	run := func(dir string, stop int) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := 0
		job := schemeJob(t, dir, regions, func() {
			if done++; done == stop {
				cancel()
			}
		})
		job.Losses = []string{"dice-afl"}
		_, err := job.Run(ctx)
		return err
	}
	whole := t.TempDir()
	require.NoError(t, run(whole, 0))
	want := filesOf(t, whole)
	for _, stop := range []int{2, 4, 8, 11} {
		dir := t.TempDir()
		require.ErrorIs(t, run(dir, stop), ErrInterrupted)
		require.NoError(t, run(dir, 0))
		assertSameFiles(t, want, filesOf(t, dir), "stopped")
	}
	job := tinyJob(t, whole, nil)
	job.Losses = []string{"dice-afl"}
	_, err := job.Run(context.Background())
	assert.ErrorContains(t, err, "has results of 2 classes or regions, want 0")
}
