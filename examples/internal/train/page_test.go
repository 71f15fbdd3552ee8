package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPage checks what the page of a run contains, that each case is predicted once for the
// figure and the page, and that a page that is written again has the same bytes.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	predicted := 0
	with := func(cases int, ctx context.Context, step func()) *Job {
		job := tinyJob(t, dir, func() { predicted++; step() })
		job.Synthetic, job.PageCases = true, cases
		predicted = 0
		_, err := job.Run(ctx)
		if ctx.Err() != nil {
			require.ErrorIs(t, err, ErrInterrupted)
		} else {
			require.NoError(t, err)
		}
		return job
	}
	nothing := func() {}
	read := func() string {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(raw)
	}

	job := with(2, context.Background(), nothing)
	first := read()
	training := 2 * (2*(3+2) + 2) // two losses of two epochs of three steps and two cases, and the evaluation of two cases
	assert.Equal(t, training+2*2, predicted, "two cases, of which one is in the figure too, by two losses")
	for _, want := range []string{
		"<h1>tiny</h1>", "<li>a fact</li>", "Synthetic data.", "images of the phantom: 2 cases, and slices in the figure",
		`"title":"Training loss`, `"title":"Validation Dice`, `{"name":"A-FL","color":"#0072b2"}`, `id="figure"`, `>A-FL</td>`,
		`{"id":"` + job.Splits[0].Valid[0].ID + `","dims":[16,12,8]`, `{"id":"` + job.Splits[0].Valid[1].ID + `","dims":[16,12,8]`,
	} {
		assert.Contains(t, first, want)
	}

	with(2, context.Background(), nothing)
	assert.Equal(t, 2*2, predicted, "the page of a finished run is made again")
	assert.True(t, first == read(), "with the same bytes")

	require.NoError(t, os.Remove(path))
	ctx, cancel := context.WithCancel(context.Background())
	with(2, ctx, cancel)
	assert.NoFileExists(t, path, "interrupted while predicting")
	with(2, context.Background(), nothing)
	assert.True(t, first == read())

	with(1, context.Background(), nothing)
	assert.Equal(t, 2, predicted)
	assert.Contains(t, read(), "images of the phantom: one case,")
	with(0, context.Background(), nothing)
	assert.Zero(t, predicted)
	bare := read()
	assert.Contains(t, bare, "This page contains no images.")
	assert.NotContains(t, bare, "<img")
	assert.True(t, strings.Contains(bare, `"viewer":null`))

	grown := tinyJob(t, dir, nil)
	grown.Epochs = 3
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	_, err := grown.Run(ctx)
	require.ErrorIs(t, err, ErrInterrupted)
	assert.NoFileExists(t, path, "it showed trainings that have changed")
}
