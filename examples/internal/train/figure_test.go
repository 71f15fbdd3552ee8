package train

import (
	"bytes"
	"context"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
)

// TestFigure checks that the figure of a run has a picture of the ground truth and the
// outlines of the losses' predictions.
func TestFigure(t *testing.T) {
	dir := t.TempDir()
	_, err := tinyJob(t, dir, nil).Run(context.Background())
	require.NoError(t, err)
	file, err := os.Open(filepath.Join(dir, "qualitative.png"))
	require.NoError(t, err)
	defer file.Close()
	img, err := png.Decode(file)
	require.NoError(t, err)
	yellow := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if color.RGBAModel.Convert(img.At(x, y)) == (color.RGBA{0xF0, 0xE4, 0x42, 0xFF}) {
				yellow++
			}
		}
	}
	assert.Greater(t, yellow, 300, "the outline of the ground truth")
	assert.Greater(t, img.Bounds().Dy(), 3*320, "a row for the ground truth and each loss")
}

// TestFigureShowsTheBestWeights compares the masks of the figure with the measures of the
// evaluation.
func TestFigureShowsTheBestWeights(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	run, err := job.Run(context.Background())
	require.NoError(t, err)
	trainings, err := job.trainings()
	require.NoError(t, err)
	r := newResults(job, trainings)
	p, err := r.picture(context.Background(), true)
	require.NoError(t, err)
	columns := p.columns()
	require.Len(t, columns, 1, "the second case of the phantom has no tumor")
	assert.Equal(t, run.Results[0].Cases[0].ID, columns[0].ID)
	for i, training := range trainings {
		both, predicted := 0.0, 0.0
		for v, in := range columns[0].Masks[i] {
			if in {
				predicted++
				if columns[0].Label.Voxels[v] {
					both++
				}
			}
		}
		dice := 2 * both / (predicted + float64(columns[0].Label.Count()))
		assert.InDelta(t, float64(run.Results[i].Cases[0].Values[outcome.Dice]), dice, 1e-12, training.key.Loss)
	}
}

func TestNoFigureWithoutForeground(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	var out bytes.Buffer
	job.Splits[0].Valid, job.Progress = job.Splits[0].Valid[1:], report.NewProgress(&out)
	_, err := job.Run(context.Background())
	require.NoError(t, err)
	assert.NoFileExists(t, filepath.Join(dir, "qualitative.png"))
	assert.Contains(t, out.String(), "No qualitative.png: no validation case has anything to segment.")
}

// TestMasksLeaveOutThePadding takes masks of a sample with padding, of class indices and of
// maps of regions.
func TestMasksLeaveOutThePadding(t *testing.T) {
	// 1×1×4 voxels, of which the two in the middle are the scan.
	s := &dataset.Sample{
		Image:   tensor.New(tensor.WithShape(1, 2, 1, 1, 4), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6, 7, 8})),
		Label:   tensor.New(tensor.WithShape(1, 1, 1, 4), tensor.WithBacking([]uint8{1, 0, 3, 1})),
		Scan:    dataset.Box{Start: [3]int{0, 0, 1}, Size: [3]int{1, 1, 2}},
		Spacing: [3]float64{1, 2, 3},
	}
	var scan onScan
	m := scan.mask(s)
	assert.Equal(t, []bool{false, true}, m.Voxels)
	assert.Equal(t, [3]int{1, 1, 2}, m.Dims)
	assert.Equal(t, s.Spacing, m.Spacing)
	assert.Equal(t, []float32{2, 3}, firstChannel(s))

	s.Label = tensor.New(tensor.WithShape(1, 2, 1, 1, 4), tensor.WithBacking([]uint8{1, 0, 0, 0, 0, 1, 0, 1}))
	assert.Equal(t, []bool{true, false}, scan.mask(s).Voxels)
	logits := tensor.New(tensor.WithShape(1, 2, 1, 1, 2), tensor.WithBacking([]float32{-1, 2, -1, -3}))
	predicted, err := afl.Predict(afl.SigmoidPerChannel, logits)
	require.NoError(t, err)
	assert.Equal(t, []bool{false, true}, foreground(predicted, s.Scan.Size))
}
