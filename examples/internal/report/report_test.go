package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
)

func TestNumberSurvivesJSON(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1.0 / 3, -2.5e-310, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN()} {
		raw, err := json.Marshal(outcome.Number(v))
		require.NoError(t, err)
		var back outcome.Number
		require.NoError(t, json.Unmarshal(raw, &back), "%s", raw)
		if math.IsNaN(v) {
			assert.False(t, back.Defined())
			continue
		}
		assert.Equal(t, math.Float64bits(v), math.Float64bits(float64(back)), "%s", raw)
	}
	var n outcome.Number
	assert.Error(t, json.Unmarshal([]byte(`"much"`), &n))
}

// valuesOf returns a case with the given measures; the others are undefined.
func valuesOf(id string, set map[outcome.Measure]float64) outcome.Case {
	c := outcome.Case{ID: id, Values: outcome.NoValues()}
	for m, v := range set {
		c.Values[m] = outcome.Number(v)
	}
	return c
}

func TestMeanExcludesUndefined(t *testing.T) {
	means := outcome.MeanOf([]outcome.Case{
		valuesOf("a", map[outcome.Measure]float64{outcome.Dice: 0.5, outcome.SoftDice: 0.25, outcome.Hausdorff95: math.Inf(1)}),
		valuesOf("b", map[outcome.Measure]float64{outcome.SoftDice: 0.75, outcome.Hausdorff95: 3}),
		valuesOf("c", map[outcome.Measure]float64{outcome.Dice: 1, outcome.SoftDice: 0.5}),
	})
	assert.Equal(t, outcome.Mean{Value: 0.75, N: 2}, means[outcome.Dice])
	assert.Equal(t, outcome.Mean{Value: 0.5, N: 3}, means[outcome.SoftDice])
	assert.Equal(t, outcome.Mean{Value: 3, N: 1}, means[outcome.Hausdorff95])
	assert.False(t, means[outcome.Sensitivity].Value.Defined())
	assert.Zero(t, means[outcome.Sensitivity].N)
}

// sample returns a run with special cases: a case without a tumor, a missed lesion, a
// loss that diverged late and one that diverged immediately.
func sample() *Run {
	with := valuesOf("p1", map[outcome.Measure]float64{
		outcome.SoftDice: 0.9, outcome.SoftIoU: 0.8, outcome.Dice: 0.8, outcome.IoU: 2.0 / 3, outcome.Sensitivity: 0.75, outcome.Specificity: 0.999,
		outcome.Hausdorff95: 4.25, outcome.SurfaceDistance: 1.5, outcome.LesionF1: 0.8, outcome.LesionTP: 2, outcome.LesionFP: 1, outcome.LesionFN: 0})
	without := valuesOf("p2", map[outcome.Measure]float64{
		outcome.SoftDice: 0.5, outcome.SoftIoU: 0.45, outcome.Specificity: 1, outcome.LesionF1: 1, outcome.LesionTP: 0, outcome.LesionFP: 0, outcome.LesionFN: 0})
	second := valuesOf("p3", map[outcome.Measure]float64{
		outcome.SoftDice: 0.7, outcome.SoftIoU: 0.6, outcome.Dice: 0.4, outcome.IoU: 0.25, outcome.Sensitivity: 0.25, outcome.Specificity: 0.995,
		outcome.Hausdorff95: math.Inf(1), outcome.SurfaceDistance: math.Inf(1), outcome.LesionF1: 0, outcome.LesionTP: 0, outcome.LesionFP: 0, outcome.LesionFN: 3})
	cases := []outcome.Case{with, without, second}
	epochs := []outcome.Epoch{
		{Epoch: 1, TrainLoss: 0.5, Cases: 3, Valid: outcome.MeanOf(cases)},
		{Epoch: 2, TrainLoss: 0.25, Cases: 3, Valid: outcome.MeanOf(cases)},
	}
	return &Run{
		Title: "brats: unet, 2 epochs",
		Facts: []string{"Data: 5 training and 3 validation cases."},
		Results: []outcome.Result{
			{Run: "1f2e", Network: "unet", NetworkTitle: "UNet", Loss: "afl", Title: "A-FL", Rule: "sigmoid of channel 1 above 0.5", Epochs: epochs, BestEpoch: 1, Cases: cases},
			{Run: "1f2e", Network: "unet", NetworkTitle: "UNet", Loss: "ce", Title: "CE", Rule: "the larger of the two softmax probabilities", Epochs: epochs, BestEpoch: 2, Cases: cases,
				Diverged: &outcome.Divergence{Epoch: 3, Step: 17, What: "the training loss is NaN"}},
			{Run: "1f2e", Network: "unet", NetworkTitle: "UNet", Loss: "dice", Title: "Dice", Rule: "sigmoid of channel 1 above 0.5", Diverged: &outcome.Divergence{Epoch: 1, Step: 2, What: "the training loss is +Inf"}},
		},
	}
}

// assertGolden compares a report with a file of testdata, or writes that file.
func assertGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestMarkdownGolden(t *testing.T) {
	got := sample().Markdown()
	assertGolden(t, "results.md", got)
	assert.NotContains(t, got, "NaN (")
	assert.NotContains(t, strings.ToLower(strings.ReplaceAll(got, "loss is", "")), "| nan")
}

// several returns a run of two networks, one of which diverged with one loss.
func several() *Run {
	run := sample()
	run.Title = "brats: unet, attunet, 2 epochs"
	run.Results = run.Results[:2]
	for _, l := range run.Results {
		l.Network, l.NetworkTitle = "attunet", "AttUNet"
		run.Results = append(run.Results, l)
	}
	run.Results[1].Diverged = nil
	return run
}

func TestMarkdownOfSeveralNetworks(t *testing.T) {
	got := several().Markdown()
	assertGolden(t, "networks.md", got)
	assert.Contains(t, got, "Hard masks of A-FL: ")
	assert.Contains(t, got, "AttUNet with CE diverged in epoch 3")
}

func TestTableAlignsAndEscapes(t *testing.T) {
	got := Table{Header: []string{"Loss", "x"}, Rows: [][]string{{"a|b", "–"}, {"long name", "0.123"}, {"short"}}}.String()
	assert.Equal(t, ""+
		"| Loss      |     x |\n"+
		"| --------- | ----: |\n"+
		`| a\|b      |     – |`+"\n"+
		"| long name | 0.123 |\n"+
		"| short     |       |\n", got)
}

func readCSV(t *testing.T, path string) (header map[string]int, rows [][]string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	header = map[string]int{}
	for i, h := range all[0] {
		header[h] = i
	}
	return header, all[1:]
}

func TestCSV(t *testing.T) {
	dir := t.TempDir()
	run := sample()

	require.NoError(t, WriteEpochsCSV(filepath.Join(dir, "epochs.csv"), run.Results))
	col, rows := readCSV(t, filepath.Join(dir, "epochs.csv"))
	require.Len(t, rows, 4)
	assert.Equal(t, "afl", rows[0][col["loss"]])
	assert.Equal(t, "unet", rows[0][col["network"]])
	assert.Equal(t, "1f2e", rows[0][col["run"]])
	assert.Equal(t, "0.25", rows[1][col["train_loss"]])
	assert.Equal(t, "2", rows[0][col["foreground_dice_n"]], "the case without a tumor is excluded")
	assert.Equal(t, "3", rows[0][col["foreground_specificity_n"]])
	assert.Equal(t, "0.6000000000000001", rows[0][col["foreground_dice"]], "full precision")

	run.Results[0].Cases[0].Reference = &outcome.Reference{Volume: 0.25, Smoothness: 0.625}
	require.NoError(t, WriteCasesCSV(filepath.Join(dir, "cases.csv"), run.Results))
	col, rows = readCSV(t, filepath.Join(dir, "cases.csv"))
	require.Len(t, rows, 6)
	assert.Equal(t, []string{"1f2e", "unet", "afl", "0", "0", "1", "p2"}, rows[1][:7])
	assert.Empty(t, rows[1][col["foreground_dice"]])
	assert.Equal(t, "+Inf", rows[2][col["hausdorff95_mm"]])
	assert.Equal(t, "4.25", rows[0][col["hausdorff95_mm"]])
	assert.Equal(t, []string{"0.25", "0.625"}, rows[0][col["reference_volume_ml"]:])
	assert.Equal(t, []string{"", ""}, rows[1][col["reference_volume_ml"]:])
}

func decodePNG(t *testing.T, path string) map[color.Color]int {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	count := map[color.Color]int{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			count[color.RGBAModel.Convert(img.At(x, y))]++
		}
	}
	return count
}

func TestCurvesDrawEachLossThatHasEpochs(t *testing.T) {
	dir := t.TempDir()
	run := sample()
	loss, dice := filepath.Join(dir, "loss.png"), filepath.Join(dir, "dice.png")
	require.NoError(t, WriteLossPNG(loss, run.Title, run.Results))
	require.NoError(t, WriteDicePNG(dice, run.Title, run.Results))
	for _, path := range []string{loss, dice} {
		pixels := decodePNG(t, path)
		// The line in the legend alone has about 60 pixels, most blended with white.
		assert.Greater(t, pixels[palette[0]]+pixels[palette[1]], 300, "%s: curves of afl and ce, on top of each other", path)
		assert.Greater(t, pixels[palette[1]], 20, "%s: curve of ce", path)
		assert.Zero(t, pixels[palette[2]], "%s: dice completed no epoch", path)
	}
}

func TestEpochTicks(t *testing.T) {
	for _, c := range []struct {
		hi   float64
		want []string
	}{
		{2, []string{"1", "2"}},
		{7, []string{"1", "2", "3", "4", "5", "6", "7"}},
		{20, []string{"2", "4", "6", "8", "10", "12", "14", "16", "18", "20"}},
		{45, []string{"5", "10", "15", "20", "25", "30", "35", "40", "45"}},
		{200, []string{"20", "40", "60", "80", "100", "120", "140", "160", "180", "200"}},
	} {
		var got []string
		for _, tick := range (epochTicks{}).Ticks(1, c.hi) {
			got = append(got, tick.Label)
		}
		assert.Equal(t, c.want, got)
	}
}

func TestCurvesOfOneEpochAndOfNone(t *testing.T) {
	dir := t.TempDir()
	run := sample()
	run.Results[0].Epochs = run.Results[0].Epochs[:1]
	require.NoError(t, WriteDicePNG(filepath.Join(dir, "one.png"), run.Title, run.Results[:1]))
	assert.Greater(t, decodePNG(t, filepath.Join(dir, "one.png"))[palette[0]], 10)
	require.NoError(t, WriteLossPNG(filepath.Join(dir, "none.png"), run.Title, run.Results[2:]))
	assert.NotEmpty(t, decodePNG(t, filepath.Join(dir, "none.png")))
}

func TestWriteFileLeavesTheOldContentOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	require.NoError(t, writeFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "old"); return err }))
	boom := errors.New("boom")
	err := writeFile(path, func(w io.Writer) error {
		_, werr := io.WriteString(w, strings.Repeat("new", 10000))
		require.NoError(t, werr)
		return boom
	})
	require.ErrorIs(t, err, boom)
	assert.ErrorContains(t, err, path)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "old", string(got))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no temporary file is left")

	assert.Error(t, writeFile(filepath.Join(dir, "absent", "a.txt"), func(io.Writer) error { return nil }))
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(1000, 0)
	p := NewProgress(&out)
	p.now = func() time.Time { return clock }
	p.last = clock

	assert.False(t, p.terminal, "a buffer is not a terminal")
	p.Update("too soon")
	clock = clock.Add(logEvery)
	p.Update("ten seconds")
	p.Update("too soon again")
	p.Println("epoch done")
	assert.Equal(t, "ten seconds\nepoch done\n", out.String())

	out.Reset()
	p.terminal = true
	clock = clock.Add(terminalEvery)
	p.Update(strings.Repeat("é", 100))
	assert.Equal(t, "\r"+strings.Repeat("é", lineWidth)+"\x1b[K", out.String(), "a line that wraps could not be erased")
	out.Reset()
	p.Println("first")
	p.Println("second")
	assert.Equal(t, "\r\x1b[Kfirst\nsecond\n", out.String())
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                             "0s",
		59*time.Second + 600*1e6:      "1m00s",
		425 * time.Second:             "7m05s",
		12010 * time.Second:           "3h20m",
		50*time.Hour + 59*time.Second: "50h00m",
	} {
		assert.Equal(t, want, Duration(d))
	}
}

// TestUnfinishedTrainings checks the rows and notes of trainings that go on.
func TestUnfinishedTrainings(t *testing.T) {
	run := sample()
	run.Results[1].Diverged = nil
	run.Results[0].Evaluated, run.Results[0].Ongoing = 2, "in epoch 3 of 9"
	run.Results[1].Ongoing, run.Results[1].Cases, run.Results[1].BestEpoch = "at the start of epoch 3 of 9", nil, 0
	got := run.Markdown()
	assert.Contains(t, got, "\n| A-FL |", "the results so far")
	assert.NotContains(t, got, "\n| CE   |", "none yet")
	assert.Contains(t, got, "- A-FL is not finished: the results are those after 2 epochs, and it is in epoch 3 of 9.\n")
	assert.Contains(t, got, "- CE is not finished and has no results yet: it is at the start of epoch 3 of 9.\n")
	assert.NotContains(t, got, "Dice is not finished")

	path := filepath.Join(t.TempDir(), "epochs.csv")
	require.NoError(t, WriteEpochsCSV(path, run.Results))
	_, rows := readCSV(t, path)
	assert.Len(t, rows, 4, "the epochs of unfinished trainings too")
}

func TestSelectionIsStated(t *testing.T) {
	for selection, want := range map[string]string{
		"":                "- The best weights are those with the largest mean soft Dice on these same\n  cases",
		"soft_dice":       "largest mean soft Dice on",
		"foreground_dice": "largest mean fg Dice on",
		"foreground_iou":  "largest mean fg IoU on",
		"last":            "- The weights are those of the last epoch, whatever their validation.\n",
		SelectVaries:      "named by the\n  -select of their run",
	} {
		run := sample()
		run.Select = selection
		assert.Contains(t, run.Markdown(), want, selection)
	}
}

// TestEmptyMasksAreNoted gives a result masks that hit nothing, which the soft Dice does not
// show.
func TestEmptyMasksAreNoted(t *testing.T) {
	run := sample()
	assert.NotContains(t, run.Markdown(), "hit no tumor")
	run.Results[0].Cases = []outcome.Case{
		valuesOf("p1", map[outcome.Measure]float64{outcome.SoftDice: 0.63, outcome.Dice: 0, outcome.Specificity: 1}),
		valuesOf("p2", map[outcome.Measure]float64{outcome.SoftDice: 0.63, outcome.Specificity: 1}), // without a tumor
	}
	got := run.Markdown()
	assert.Contains(t, got, "- A-FL: the masks of these weights hit no tumor (fg Dice 0).")
	assert.Contains(t, got, "-select foreground_dice")
	assert.Equal(t, 1, strings.Count(got, "hit no tumor"))
}

// TestSeveralRuns names the runs in the tables, the notes and the curves.
func TestSeveralRuns(t *testing.T) {
	run := several()
	for i := range run.Results {
		run.Results[i].RunTitle = []string{"fast", "slow"}[i/2]
	}
	got := run.Markdown()
	assert.Contains(t, got, "\n| Run  | Model   | Loss |      soft IoU |")
	assert.Contains(t, got, "\n| fast | UNet    | A-FL |")
	assert.Contains(t, got, "\n| slow | AttUNet | CE   |")
	assert.Contains(t, got, "AttUNet with CE in slow diverged in epoch 3")
	assert.Equal(t, "A-FL, fast", curveName(&run.Results[0]))
	assert.Equal(t, " (run 1f2e)", runIDs(run.Results))
	run.Results[0].Run = "3d4c"
	assert.Empty(t, runIDs(run.Results))
}
