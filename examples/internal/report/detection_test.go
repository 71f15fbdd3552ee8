package report

import (
	"fmt"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
)

// detected returns cases with random candidates; the first ones hold lesions, of which better
// networks find more.
func detected(rng *rand.Rand, cases, positive int, better float64) []outcome.Case {
	var all []outcome.Case
	for i := range cases {
		c := outcome.Case{ID: fmt.Sprintf("p%02d", i), Values: outcome.NoValues(), Detection: &outcome.Detection{Entries: []outcome.DetectionEntry{}}}
		d := c.Detection
		if i < positive {
			d.Entries = append(d.Entries, outcome.DetectionEntry{Lesion: true})
			if rng.Float64() < better {
				d.Entries[0].Confidence, d.Entries[0].Overlap = 0.3+0.5*rng.Float64(), 0.5
			}
		}
		for range rng.IntN(4) {
			d.Entries = append(d.Entries, outcome.DetectionEntry{Confidence: 0.6 * rng.Float64()})
		}
		for _, e := range d.Entries {
			d.Confidence = max(d.Confidence, e.Confidence)
		}
		all = append(all, c)
	}
	return all
}

// trainingsOf returns the results of two losses after trainings from several seeds.
func trainingsOf(rng *rand.Rand, seeds, cases, positive int) *Run {
	run := &Run{Title: "detecting run"}
	for _, l := range []struct {
		name, title string
		better      float64
	}{{"afl", "A-FL", 0.9}, {"fl", "FL", 0.4}} {
		for seed := range seeds {
			run.Results = append(run.Results, outcome.Result{
				Run: "1f2e", Network: "unet", NetworkTitle: "UNet", Loss: l.name, Title: l.title,
				Seed: uint64(seed), Cases: detected(rng, cases, positive, l.better),
			})
		}
	}
	return run
}

// setOf builds the set of a result by itself.
func setOf(t *testing.T, l outcome.Result) *detection.Set {
	var cases []detection.Case
	for _, c := range l.Cases {
		m := detection.Case{Confidence: c.Detection.Confidence}
		for _, e := range c.Detection.Entries {
			m.Entries = append(m.Entries, detection.Entry{Lesion: e.Lesion, Confidence: e.Confidence})
		}
		cases = append(cases, m)
	}
	s, err := detection.NewSet(cases, nil, nil)
	require.NoError(t, err)
	return s
}

func number(t *testing.T, cell string) float64 {
	v, err := strconv.ParseFloat(cell, 64)
	require.NoError(t, err)
	return v
}

// TestDetectionOfOneTraining compares tables and files with package detection.
func TestDetectionOfOneTraining(t *testing.T) {
	run := trainingsOf(rand.New(rand.NewPCG(4, 4)), 1, 12, 7)
	dir := t.TempDir()
	require.NoError(t, run.WriteDetection(dir, func() error { return nil }))
	col, rows := readCSV(t, filepath.Join(dir, "detection.csv"))
	require.Len(t, rows, 2)
	table := run.detectionTables()
	require.Len(t, table, 1)
	for i, l := range run.Results {
		s := setOf(t, l)
		row := rows[i]
		ap, err := s.AveragePrecision()
		require.NoError(t, err)
		assert.Equal(t, []string{"1f2e", "unet", l.Loss, "1", "12", "7", "7"}, row[:7])
		assert.Equal(t, ap, number(t, row[col["average_precision"]]))
		assert.Equal(t, s.AUROC(), number(t, row[col["auroc"]]))
		assert.Equal(t, (ap+s.AUROC())/2, number(t, row[col["picai_score"]]))
		assert.Equal(t, s.SensitivityAt(0.5), number(t, row[col["sensitivity_at_0.5_fp"]]))
		assert.Equal(t, s.SensitivityAt(2), number(t, row[col["sensitivity_at_2_fp"]]))
		interval, err := s.Bootstrap((*detection.Set).Score, 2000, 0.95, 0)
		require.NoError(t, err)
		assert.Equal(t, interval.Lower, number(t, row[col["picai_score_lower"]]))
		assert.Equal(t, interval.Upper, number(t, row[col["picai_score_upper"]]))
		assert.Equal(t, strconv.Itoa(interval.Undefined), row[col["picai_score_undefined_resamples"]])
		assert.Empty(t, row[col["p_afl_larger_picai_score"]], "one training of each")
		assert.Equal(t, l.Title, table[0].Table.Rows[i][0])
		assert.Equal(t, strconv.FormatFloat(s.AUROC(), 'f', 3, 64), table[0].Table.Rows[i][2][:5])
	}
	assert.Equal(t, []string{"Loss", "AP", "AUROC", "PI-CAI score", "sens. at 0.5", "at 1", "at 2 FP", "lesions", "found", "candidates"}, table[0].Table.Header)
	assert.Contains(t, run.Markdown(), "\n## Lesion detection, same weights\n\n| Loss |")

	f, err := os.Open(filepath.Join(dir, "unet", "detection.png"))
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	// Every curve is there: each third of the picture has pixels of both losses' colors.
	side := img.Bounds().Dx() * 4 * 100 / (3*4*100 + 180)
	for third := range 3 {
		for i := range 2 {
			pixels := 0
			for x := third * side; x < (third+1)*side; x++ {
				for y := range img.Bounds().Dy() {
					if color.RGBAModel.Convert(img.At(x, y)) == Color(i) {
						pixels++
					}
				}
			}
			assert.Greater(t, pixels, 50, "plot %d, loss %d", third, i)
		}
	}
}

// TestDetectionCurves measures the areas below the lines of the curves.
func TestDetectionCurves(t *testing.T) {
	run := trainingsOf(rand.New(rand.NewPCG(8, 1)), 2, 10, 6)
	curves, err := run.DetectionCurves("unet")
	require.NoError(t, err)
	require.Len(t, curves, 2*2*3)
	area := func(line []CurvePoint) (sum float64) {
		for i := 1; i < len(line); i++ {
			sum += (line[i].X - line[i-1].X) * (line[i].Y + line[i-1].Y) / 2
		}
		return sum
	}
	points := 0
	for i, c := range curves {
		points += len(c.Points)
		assert.Equal(t, CurveKinds()[i%3], c.Kind)
		l := run.Results[i/3]
		assert.Equal(t, []any{l.Loss, l.Title, i / 6, 10}, []any{c.Loss, c.Name, c.Color, c.Cases})
		assert.Equal(t, []outcome.Training{{Seed: l.Seed}}, c.Trainings)
		s, line := setOf(t, l), c.Line()
		switch c.Kind {
		case PrecisionRecall:
			ap, err := s.AveragePrecision()
			require.NoError(t, err)
			assert.InDelta(t, ap, area(line), 1e-12)
		case ROC:
			assert.InDelta(t, s.AUROC(), area(line), 1e-12)
		case FROC:
			for k := 1; k < len(line); k++ {
				assert.True(t, line[k].X == line[k-1].X || line[k].Y == line[k-1].Y, "steps")
			}
			for _, p := range c.Points {
				assert.Equal(t, s.SensitivityAt(p.X), lastAt(c.Points, p.X).Y)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "curves.csv")
	require.NoError(t, run.WriteDetectionCurvesCSV(path))
	_, rows := readCSV(t, path)
	require.Len(t, rows, points)
	assert.Equal(t, []string{"1f2e", "unet", "afl", "0", "0", "precision_recall"}, rows[0][:6])
	assert.Equal(t, curves[0].Points[0], CurvePoint{number(t, rows[0][6]), number(t, rows[0][7]), number(t, rows[0][8])})
	last := curves[len(curves)-1].Points
	assert.Equal(t, last[len(last)-1], CurvePoint{number(t, rows[points-1][6]), number(t, rows[points-1][7]), number(t, rows[points-1][8])})

	other, err := run.DetectionCurves("vnet")
	require.NoError(t, err)
	assert.Empty(t, other)
}

// lastAt returns the last point at a position.
func lastAt(points []CurvePoint, x float64) CurvePoint {
	var last CurvePoint
	for _, p := range points {
		if p.X == x {
			last = p
		}
	}
	return last
}

// TestDetectionOfSeveralSeeds averages the scores of the seeds, and tests whether A-FL's are
// larger.
func TestDetectionOfSeveralSeeds(t *testing.T) {
	run := trainingsOf(rand.New(rand.NewPCG(2, 9)), 3, 12, 7)
	all, err := run.detection()
	require.NoError(t, err)
	require.Len(t, all, 2)
	var scores [2][]float64
	for i, d := range all {
		var sets []*detection.Set
		mean := 0.0
		for _, l := range run.Results[3*i : 3*i+3] {
			s := setOf(t, l)
			sets = append(sets, s)
			v, err := s.Score()
			require.NoError(t, err)
			scores[i] = append(scores[i], v)
			mean += v / 3
		}
		assert.InDelta(t, mean, float64(d.scores[2].value), 1e-15)
		interval, err := detection.BootstrapMean(sets, (*detection.Set).Score, 2000, 0.95, 0)
		require.NoError(t, err)
		assert.EqualValues(t, interval.Lower, d.scores[2].lower)
		assert.Equal(t, 12, d.cases)
	}
	p, err := detection.PermutationTest(scores[1], scores[0], 0)
	require.NoError(t, err)
	assert.False(t, all[0].p.Defined())
	assert.EqualValues(t, p, all[1].p)
	assert.Less(t, p, 0.5)
	table := run.detectionTables()[0]
	assert.Equal(t, "p (A-FL)", table.Table.Header[len(table.Table.Header)-1])
	assert.Contains(t, table.Notes[5], "up to 3 results of each case")

	// The folds of a seed have one score together: halves of the cases change nothing.
	folded := &Run{}
	for _, l := range run.Results {
		first, second := l, l
		first.Cases, second.Cases, second.Fold = l.Cases[:5], l.Cases[5:], 1
		folded.Results = append(folded.Results, first, second)
	}
	for i := range folded.Results {
		folded.Results[i].Loss = map[string]string{"afl": "afl-paper", "fl": "fl"}[folded.Results[i].Loss] // any A-FL
	}
	all, err = folded.detection()
	require.NoError(t, err)
	assert.EqualValues(t, p, all[1].p)

	// A seed with fewer cases than the others has no interval, as its resamples have others.
	run.Results[1].Cases = run.Results[1].Cases[:8]
	all, err = run.detection()
	require.NoError(t, err)
	assert.True(t, all[0].scores[0].value.Defined())
	assert.False(t, all[0].scores[0].lower.Defined())
	assert.True(t, all[1].scores[0].lower.Defined())
}

// TestDetectionOfFewCases: a single case has scores without an interval, and the notes say how
// many cases hold a lesion.
func TestDetectionOfFewCases(t *testing.T) {
	all, err := trainingsOf(rand.New(rand.NewPCG(2, 9)), 1, 1, 1).detection()
	require.NoError(t, err)
	assert.True(t, all[0].scores[0].value.Defined())
	assert.False(t, all[0].scores[0].lower.Defined())
	table := trainingsOf(rand.New(rand.NewPCG(2, 9)), 1, 5, 2).detectionTables()[0]
	assert.Contains(t, table.Notes, "2 of 5 cases hold a lesion.")
}

func TestDetectionWithoutOneKindOfCases(t *testing.T) {
	for positive, want := range map[int]string{
		5: "AUROC and PI-CAI score have no value (–), as 5 of 5 cases hold a lesion.",
		0: "AP, AUROC, PI-CAI score and sensitivities have no value (–), as 0 of 5 cases hold a lesion.",
	} {
		run := trainingsOf(rand.New(rand.NewPCG(2, 9)), 1, 5, positive)
		table := run.detectionTables()[0]
		assert.Contains(t, table.Notes, want)
		row := table.Table.Rows[0]
		assert.Equal(t, []string{dash, dash}, row[2:4])
		assert.Equal(t, positive == 0, row[1] == dash)
		curves, err := run.DetectionCurves("unet")
		require.NoError(t, err)
		assert.Empty(t, curves[1].Points, "ROC")
		assert.Equal(t, positive == 0, len(curves[0].Points) == 0)
		assert.Equal(t, positive == 0, len(curves[2].Points) == 0)
		require.NoError(t, run.WriteDetectionPNG(filepath.Join(t.TempDir(), "d.png"), "unet"))
		text, err := DetectionSummary(run.Results[0].Cases)
		require.NoError(t, err)
		assert.Contains(t, text, "\n| auroc                 |     – | ")
		assert.NotContains(t, text, "NaN")
	}
}

// TestRunsWithoutDetection leaves out what nobody asked for, and reports what cannot be.
func TestRunsWithoutDetection(t *testing.T) {
	run := sample()
	dir := t.TempDir()
	require.NoError(t, run.WriteDetection(dir, func() error { return assert.AnError }))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
	assert.Empty(t, run.detectionTables())

	run = trainingsOf(rand.New(rand.NewPCG(1, 1)), 1, 3, 1)
	require.ErrorIs(t, run.WriteDetection(dir, func() error { return assert.AnError }), assert.AnError)
	run.Results[0].Cases[0].Detection.Confidence = math.Inf(1)
	require.Error(t, run.WriteDetection(dir, func() error { return nil }))
	assert.Contains(t, run.detectionTables()[0].Notes[0], "finite")
}
