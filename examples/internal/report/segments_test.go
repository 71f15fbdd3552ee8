package report

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
)

// segmentCase returns a case of two classes with the given hard Dice and 95% Hausdorff
// distance, and a found lesion of the first class.
func segmentCase(id string, dice, distance [2]float64) outcome.Case {
	c := outcome.Case{ID: id}
	for i, name := range []string{"front", "back"} {
		v := outcome.NoValues()
		v[outcome.SoftDice], v[outcome.Dice], v[outcome.Hausdorff95] = outcome.Number(dice[i]), outcome.Number(dice[i]), outcome.Number(distance[i])
		v[outcome.LesionTP], v[outcome.LesionFP], v[outcome.LesionFN] = outcome.Number(1-i), 0, outcome.Number(i)
		c.Segments = append(c.Segments, outcome.SegmentValues{Name: name, Values: v})
	}
	c.Values = outcome.MeanOfSegments(c.Segments)
	return c
}

func segmentedRun(t *testing.T) *Run {
	t.Helper()
	scheme, err := segment.ParseClasses("1,2", []segment.Segment{{Name: "front", Labels: []int{1}}, {Name: "back", Labels: []int{2}}})
	require.NoError(t, err)
	nan, inf := math.NaN(), math.Inf(1)
	cases := []outcome.Case{
		segmentCase("a", [2]float64{0.5, 0.75}, [2]float64{2, 4}),
		segmentCase("b", [2]float64{0.25, nan}, [2]float64{3, nan}),
		segmentCase("c", [2]float64{nan, 1}, [2]float64{inf, 1}),
	}
	epochs := []outcome.Epoch{{Epoch: 1, TrainLoss: 0.5, Cases: 3, Valid: outcome.MeanOf(cases), Segments: outcome.SegmentMeansOf(cases)}}
	return &Run{Title: "two classes", Results: []outcome.Result{
		{Network: "unet", NetworkTitle: "UNet", Loss: "ce", Title: "CE", Rule: "the most probable class", Scheme: scheme, Epochs: epochs, BestEpoch: 1, Cases: cases},
		{Network: "unet", NetworkTitle: "UNet", Loss: "dice", Title: "Dice", Rule: "the most probable class", Scheme: scheme,
			Diverged: &outcome.Divergence{Epoch: 1, Step: 2, What: "the training loss is +Inf"}},
	}}
}

// TestMeansOfSegments computes the means by hand.
func TestMeansOfSegments(t *testing.T) {
	cases := segmentedRun(t).Results[0].Cases
	assert.Equal(t, outcome.Number(0.625), cases[0].Values[outcome.Dice])
	assert.Equal(t, outcome.Number(0.25), cases[1].Values[outcome.Dice], "over the classes that have a value")
	assert.Equal(t, outcome.Number(1), cases[2].Values[outcome.Hausdorff95], "an infinite distance is left out, as in means over cases")
	assert.False(t, cases[0].Values[outcome.IoU].Defined())
	means := outcome.SegmentMeansOf(cases)
	assert.Equal(t, outcome.Mean{Value: 0.375, N: 2}, means[0].Means[outcome.Dice])
	assert.Equal(t, outcome.Mean{Value: 0.875, N: 2}, means[1].Means[outcome.Dice])
	assert.Equal(t, "back", means[1].Name)
	assert.Equal(t, outcome.Mean{Value: 0.625, N: 3}, outcome.MeanOf(cases)[outcome.Dice])
	assert.Nil(t, outcome.SegmentMeansOf(nil))
	assert.Nil(t, outcome.SegmentMeansOf(sample().Results[0].Cases))
}

func TestTablesOfSegments(t *testing.T) {
	run := segmentedRun(t)
	got := run.Markdown()
	for _, want := range []string{
		"| Loss | Class | soft IoU | soft Dice | Sens. | Spec. | hard IoU | hard Dice | best epoch |\n",
		"| Loss | Class | soft IoU | soft Dice | Sens. | Spec. | hard IoU | hard Dice |\n",
		"| CE | mean | – | -0.307 to 1.557 |",
		"| CE   | front |   – | 0.375 ± 0.177 (n=2) |",
		"| CE   | mean  |   – | 0.625 ± 0.375 |",
		"| Dice | back  |   – |           – |",
		"| CE   | front |     2.50 ± 0.71 (n=2) |      – |         – |     3 |      0 |     0 |\n",
		"| CE   | mean  | 2.33 ± 1.15 |      – |         – |   1.5 |    1.5 |     0 |\n",
		"- mean: for each case the mean over the classes or regions that have a value,",
		"- Hard masks of CE, Dice: the most probable class.",
	} {
		assert.Contains(t, squeeze(got), squeeze(want))
	}
	assert.NotContains(t, got, "both channels")
	for i := range run.Results {
		run.Results[i].Scheme.Kind = segment.Regions
	}
	assert.Contains(t, run.Markdown(), "| Loss | Region |")
	run.Results[0].Scheme.Kind = segment.Classes
	assert.Contains(t, run.Markdown(), "| Loss | Class or region |")
}

// squeeze removes repeated spaces.
func squeeze(s string) string {
	var out []rune
	for _, r := range s {
		if r != ' ' || len(out) == 0 || out[len(out)-1] != ' ' {
			out = append(out, r)
		}
	}
	return string(out)
}

func TestCSVOfSegments(t *testing.T) {
	run, dir := segmentedRun(t), t.TempDir()
	binary := sample().Results[0]
	results := append(run.Results, binary)
	path := filepath.Join(dir, "cases.csv")
	require.NoError(t, WriteCasesCSV(path, results))
	header, rows := readCSV(t, path)
	require.Len(t, rows, 3*3+3)
	column := func(rows [][]string, name string) (cells []string) {
		for _, row := range rows {
			cells = append(cells, row[header[name]])
		}
		return cells
	}
	assert.Equal(t, []string{"front", "back", "mean", "front", "back", "mean", "front", "back", "mean", "", "", ""}, column(rows, "segment"))
	assert.Equal(t, []string{"0.5", "0.75", "0.625", "0.25", "", "0.25", "", "1", "1"}, column(rows[:9], "foreground_dice"))

	path = filepath.Join(dir, "epochs.csv")
	require.NoError(t, WriteEpochsCSV(path, results))
	header, rows = readCSV(t, path)
	require.Len(t, rows, 3+2)
	assert.Equal(t, []string{"front", "back", "mean", "", ""}, column(rows, "segment"))
	assert.Equal(t, []string{"0.375", "0.875", "0.625"}, column(rows[:3], "foreground_dice"))
	assert.Equal(t, []string{"2", "2", "3"}, column(rows[:3], "foreground_dice_n"))

	require.NoError(t, WriteCasesCSV(path, results[2:]))
	header, _ = readCSV(t, path)
	assert.NotContains(t, header, "segment", "files of a binary run are as before")
	require.NoError(t, WriteDicePNG(filepath.Join(dir, "dice.png"), "run", run.Results))
}

// TestSegmentsSurviveJSON checks the form in which checkpoints hold the cases.
func TestSegmentsSurviveJSON(t *testing.T) {
	want := segmentedRun(t).Results[0].Cases[0]
	raw, err := json.Marshal(want)
	require.NoError(t, err)
	var got outcome.Case
	require.NoError(t, json.Unmarshal(raw, &got))
	again, err := json.Marshal(got)
	require.NoError(t, err)
	assert.Equal(t, string(raw), string(again))
	raw, err = json.Marshal(outcome.Case{ID: "a"})
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "segments")
}

func TestPredictionOfSegments(t *testing.T) {
	c := segmentedRun(t).Results[0].Cases[0]
	p := &Prediction{Grids: []GridValues{{Grid: "scan", Values: c.Values, Segments: c.Segments}}}
	assert.Contains(t, squeeze(p.Table()), "| Measure | scan front | scan back | scan mean |")
	assert.Contains(t, squeeze(p.Table()), "| foreground_dice | 0.5000 | 0.7500 | 0.6250 |")
	path := filepath.Join(t.TempDir(), "m.csv")
	require.NoError(t, p.WriteCSV(path))
	header, rows := readCSV(t, path)
	require.Len(t, rows, 3)
	assert.Equal(t, []string{"scan", "back"}, []string{rows[1][header["grid"]], rows[1][header["segment"]]})
	require.NoError(t, p.WriteJSON(path))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var got struct {
		Measures map[string]map[string]map[string]outcome.Number
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	assert.Equal(t, outcome.Number(0.625), got.Measures["scan"]["mean"]["foreground_dice"])
	assert.Equal(t, outcome.Number(0.75), got.Measures["scan"]["back"]["foreground_dice"])
}
