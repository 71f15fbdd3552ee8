package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
)

// pooledRun returns two seeds of two folds of one loss. Case a has the Dice 0.25 and 0.75, b
// 0.5 and 1, c 1 and no value.
func pooledRun() *Run {
	of := func(id string, dice float64) outcome.Case {
		return valuesOf(id, map[outcome.Measure]float64{outcome.Dice: dice, outcome.LesionFN: 1})
	}
	run := &Run{Title: "pooled", Report: outcome.OnValidation}
	for i, cases := range [][]outcome.Case{
		{of("a", 0.25), of("c", 1)}, {of("b", 0.5)},
		{of("a", 0.75), valuesOf("c", nil)}, {of("b", 1)},
	} {
		l := outcome.Result{
			Network: "unet", NetworkTitle: "UNet", Loss: "afl", Title: "A-FL", Rule: "a rule", Seed: uint64(4 + i/2), Fold: i % 2,
			Evaluated: 2, BestEpoch: 1 + i%2, Cases: cases,
		}
		for e := range 2 {
			valid := outcome.MeanOf(cases)
			valid[outcome.Dice].Value = outcome.Number(0.2 + 0.2*float64(i)) // 0.2 to 0.8
			l.Epochs = append(l.Epochs, outcome.Epoch{Epoch: e + 1, TrainLoss: float64(2*i+1) / float64(e*i+1), Cases: len(cases), Valid: valid})
		}
		run.Results = append(run.Results, l)
	}
	return run
}

// TestPooledTable checks that a row has the mean over the seeds of a case, then over cases,
// and that its interval counts cases.
func TestPooledTable(t *testing.T) {
	run := pooledRun()
	md := unwrapped(run.Markdown())
	// Means 0.5, 0.75 and 1; t(2, 97.5%) = 4.302653; 0.25/√3 = 0.144338.
	assert.Regexp(t, `\| A-FL \|.*\| +0\.750 ± 0\.250 \| +1–2 \|`, md)
	assert.Regexp(t, `\| A-FL \|.*\| +0\.129 to 1\.371 \|\n`, md)
	assert.Equal(t, 3, strings.Count(md, "\n| A-FL |"), "a row in each table")
	assert.Regexp(t, `\| A-FL \| .*\| +– \| +3 \| +– \|\n`, md, "missed lesions a seed, not in total")
	assert.Contains(t, md, "- Each row pools the trainings of 2 folds × 2 seeds. Of each case the mean over the seeds comes first")
	assert.Contains(t, md, "optimistic")
	assert.NotContains(t, md, "## Notes\n\n- A-FL")

	single := run.Results[0]
	single.Loss, single.Title = "fl", "FL"
	uneven := &Run{Results: append(slices.Clone(run.Results), single)}
	assert.Contains(t, unwrapped(uneven.Markdown()), "- Each row pools the trainings of up to 2 folds × 2 seeds. ")

	run.Results[1].Diverged = &outcome.Divergence{Epoch: 2, Step: 3, What: "the training loss is NaN"}
	run.Results[2].Ongoing = "in epoch 3 of 9"
	run.Results[3].Ongoing, run.Results[3].Evaluated, run.Results[3].Cases, run.Results[3].BestEpoch = "at the start of epoch 1 of 9", 0, nil, 0
	md = unwrapped(run.Markdown())
	assert.Contains(t, md, "| 1–2 (1 of 4 diverged) |")
	assert.Contains(t, md, "- A-FL (seed 4, fold 1) diverged in epoch 2 at step 3: the training loss is NaN; the results are those of epoch 2, the best before that.\n")
	assert.Contains(t, md, "- A-FL is not finished: 3 of 4 trainings have results; not finished: seed 5, fold 0; seed 5, fold 1.\n")
}

// TestReportedCasesAreStated checks that the tables call their figures optimistic only if the
// weights were selected by the same cases.
func TestReportedCasesAreStated(t *testing.T) {
	for _, selection := range []string{"", "foreground_dice", SelectVaries, "last"} {
		for report, want := range map[outcome.Reported]string{
			"": "## Validation, best", outcome.OnValidation: "## Validation, best",
			outcome.OnNextFold: "- The figures of a training are those of the fold after its validation fold", outcome.OnTestDir: "- The figures are those of the test cases",
		} {
			run := pooledRun()
			run.Select, run.Report = selection, report
			md := unwrapped(run.Markdown())
			assert.Contains(t, md, want)
			assert.Equal(t, !report.Held() && selection != "last", strings.Contains(md, "optimistic"), "%s %s", selection, report)
			assert.Equal(t, report.Held(), strings.Contains(md, "## Test, best weights of each loss"), report)
		}
	}
}

func TestPooledFiles(t *testing.T) {
	dir, run := t.TempDir(), pooledRun()
	path := filepath.Join(dir, "cases.csv")
	require.NoError(t, WriteCasesCSV(path, run.Results))
	col, rows := readCSV(t, path)
	require.Len(t, rows, 6)
	assert.Equal(t, []string{"5", "0", "1", "c"}, rows[4][col["seed"]:col["case"]+1])
	path = filepath.Join(dir, "epochs.csv")
	require.NoError(t, WriteEpochsCSV(path, run.Results))
	col, rows = readCSV(t, path)
	require.Len(t, rows, 8)
	assert.Equal(t, []string{"4", "1", "2"}, rows[3][col["seed"]:col["epoch"]+1])

	p := run.Results.Pool()[0]
	c := curveOf(&p, "", Color(0), func(l *outcome.Result, e *outcome.Epoch) outcome.Number {
		if l.Fold == 1 && e.Epoch == 2 {
			return outcome.Undefined
		}
		return e.Valid[outcome.Dice].Value
	})
	require.Len(t, c.points, 2)
	assert.InDelta(t, 0.5, c.points[0].Y, 1e-15)
	assert.InDelta(t, 0.4, c.points[1].Y, 1e-15, "the mean of those with a value")
	assert.InDeltaSlice(t, []float64{0.2, 0.2}, c.low, 1e-15)
	assert.InDeltaSlice(t, []float64{0.8, 0.6}, c.high, 1e-15)

	require.NoError(t, run.WriteCurves(dir, "unet"))
	one := &Run{Title: run.Title, Results: slices.Clone(run.Results[:1])}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "one"), 0o755))
	require.NoError(t, one.WriteCurves(filepath.Join(dir, "one"), "unet"))
	assert.Greater(t, len(decodePNG(t, filepath.Join(dir, "dice.png"))), len(decodePNG(t, filepath.Join(dir, "one", "dice.png"))), "the color of the band")
	assert.Equal(t, ": mean and range of 2 folds × 2 seeds", pooledCurves(run.Results))
	assert.Empty(t, pooledCurves(one.Results))
}
