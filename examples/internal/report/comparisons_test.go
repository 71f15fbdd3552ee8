package report

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
)

// comparedRun returns a run of three losses on PI-CAI with two seeds and ten cases. Of each
// case, A-FL has the larger Dice than FL by 0.01 more from case to case, and Dice has one that
// is larger and smaller in turn. The eleventh case has no lesion.
func comparedRun() *Run {
	run := &Run{Title: "compared", Dataset: "picai"}
	for _, l := range []struct {
		name, title string
		dice        func(i int) float64
	}{
		{"fl", "FL", func(i int) float64 { return 0.5 }},
		{"afl", "A-FL", func(i int) float64 { return 0.51 + 0.01*float64(i) }},
		{"dice", "Dice", func(i int) float64 { return 0.51 + 0.01*float64(i) + 0.002*float64(i+1)*float64(1-i%2*2) }},
	} {
		for seed := range uint64(2) {
			r := outcome.Result{
				Run: "1f2e", Network: "unet_resnet50", NetworkTitle: "UNet with ResNet50", Loss: l.name, Title: l.title,
				Rule: "sigmoid of channel 1 above 0.5", Seed: seed, BestEpoch: 1,
			}
			for i := range 10 {
				// The seeds of a case differ by 0.2.
				d := l.dice(i) - 0.1 + 0.2*float64(seed)
				c := valuesOf(fmt.Sprintf("p%02d", i), map[outcome.Measure]float64{
					outcome.Dice: d, outcome.Sensitivity: d / 2, outcome.Specificity: 0.99, outcome.SoftDice: 0.5 + d/2, outcome.SoftIoU: 0.4 + d/2,
				})
				c.Reference = &outcome.Reference{Volume: float64(i + 1), Smoothness: 0.6 - 0.01*float64(i)}
				r.Cases = append(r.Cases, c)
			}
			none := valuesOf("p10", map[outcome.Measure]float64{outcome.Specificity: 1, outcome.SoftDice: 0.5})
			none.Reference = &outcome.Reference{}
			r.Cases = append(r.Cases, none)
			run.Results = append(run.Results, r)
		}
	}
	return run
}

func TestComparisonsGolden(t *testing.T) {
	assertGolden(t, "comparisons.md", comparedRun().Markdown())
}

// TestComparisons computes the numbers by hand.
func TestComparisons(t *testing.T) {
	run := comparedRun()
	all, err := run.comparisons(outcome.Dice)
	require.NoError(t, err)
	require.Len(t, all, 2)
	fl, dice := all[0], all[1]
	assert.Equal(t, []string{"afl", "fl", "afl", "dice"}, []string{fl.reference.Loss, fl.against.Loss, dice.reference.Loss, dice.against.Loss})
	assert.Equal(t, 10, fl.N, "cases, not seeds; without the one that has no lesion")
	assert.Equal(t, [3]int{10, 0, 0}, [3]int{fl.Larger, fl.Equal, fl.Smaller})
	assert.InDelta(t, 0.055, fl.Mean, 1e-12)
	assert.InDelta(t, 0.055, fl.Median, 1e-12)
	assert.Equal(t, math.Pow(2, -9), fl.P)
	assert.Equal(t, math.Pow(2, -8), fl.holm)
	assert.Equal(t, 1.0, fl.RankBiserial)
	// Dice is larger by 2, 6, 10, 14, 18 thousandths and smaller by 4, 8, 12, 16, 20: ranks
	// 1+3+5+7+9 = 25 against 30.
	assert.Equal(t, [3]int{5, 0, 5}, [3]int{dice.Larger, dice.Equal, dice.Smaller})
	assert.InDelta(t, 5.0/55, dice.RankBiserial, 1e-12)
	assert.Equal(t, dice.P, dice.holm)

	// A training that goes on takes no part, and leaves the other comparison alone.
	run.Results[1].Ongoing = "in epoch 2 of 9"
	all, err = run.comparisons(outcome.Dice)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.Equal(t, "dice", all[0].against.Loss)

	for i := range run.Results {
		run.Results[i].Loss = []string{"ce", "ce", "bce", "bce", "dice", "dice"}[i]
	}
	assert.Empty(t, run.comparisonTables(), "no A-FL")
}

// TestComparisonsStayInNetworkAndRun compares the first A-FL of each network and run with
// every other loss there, its variants included.
func TestComparisonsStayInNetworkAndRun(t *testing.T) {
	run := &Run{}
	for _, k := range [][3]string{{"", "unet", "fl"}, {"", "unet", "afl-paper"}, {"", "unet", "afl"}, {"", "vnet", "fl"}, {"second", "unet", "dice"}, {"second", "unet", "afl"}, {"", "vnet", "afl-balanced"}} {
		run.Results = append(run.Results, outcome.Result{Run: k[0], RunTitle: k[0], Network: k[1], NetworkTitle: k[1], Loss: k[2], Title: k[2],
			Cases: []outcome.Case{valuesOf("a", map[outcome.Measure]float64{outcome.Dice: 0.5})}})
	}
	all, err := run.comparisons(outcome.Dice)
	require.NoError(t, err)
	var got []string
	for _, c := range all {
		got = append(got, c.reference.Loss+" − "+run.comparisonName(&c))
	}
	assert.Equal(t, []string{"afl-paper − fl in unet of ", "afl-paper − afl in unet of ", "afl-balanced − fl in vnet of ", "afl − dice in unet of second"}, got)
}

func TestConclusion(t *testing.T) {
	run := comparedRun()
	all, err := run.comparisons(outcome.Dice)
	require.NoError(t, err)
	assert.Equal(t, "Shown at the level of 0.05, after the adjustment: fg Dice is larger with A-FL than with FL. One comparison shows no difference, which is no evidence that the losses are equal.", run.conclusion(all))
	assert.Equal(t, "No difference in fg Dice is shown at the level of 0.05. This is no evidence that the losses are equal: see the intervals for the differences that remain possible.", run.conclusion(all[1:]))
	all[0].RankBiserial, all[1].holm = -1, 0.01
	assert.Equal(t, "Shown at the level of 0.05, after the adjustment: fg Dice is larger with A-FL than with Dice, and smaller with A-FL than with FL.", run.conclusion(all))

	// With 4 cases p is at least 1/8; 7 comparisons need 2¹⁻ⁿ ≤ 0.05/7, so 9 cases.
	few := make([]comparison, 7)
	for i := range few {
		few[i].measure, few[i].N, few[i].holm = outcome.SoftDice, 4, 0.875
	}
	assert.Equal(t, "No difference can be shown: with 4 cases the smallest possible p is 0.1250, 0.8750 after the adjustment for 7 comparisons. It takes at least 9 cases to come below 0.05.", run.conclusion(few))
	assert.Equal(t, "No difference can be shown: with 4 cases the smallest possible p is 0.1250. It takes at least 6 cases to come below 0.05.", run.conclusion(few[:1]))
}

func TestComparisonsOfSegments(t *testing.T) {
	run := segmentedRun(t)
	other := run.Results[0]
	other.Loss, other.Title = "afl-multiclass", "A-FL (multiclass)"
	other.Cases = append([]outcome.Case(nil), other.Cases...)
	other.Cases[0] = segmentCase("a", [2]float64{0.75, 0.75}, [2]float64{2, 4})
	run.Results = append(run.Results, other)
	all, err := run.comparisons(outcome.Dice)
	require.NoError(t, err)
	require.Len(t, all, 3)
	for i, want := range []struct {
		segment string
		n       int
		mean    float64
	}{{"front", 2, 0.125}, {"back", 2, 0}, {"mean", 3, 0.125 / 3}} {
		assert.Equal(t, want.segment, all[i].segment)
		assert.Equal(t, want.n, all[i].N)
		assert.InDelta(t, want.mean, all[i].Mean, 1e-15)
	}
	got := squeeze(run.Markdown())
	assert.Contains(t, got, "| Difference | Class | n |")
	assert.Contains(t, got, "| A-FL (multiclass) − CE | front | 2 | +0.125 |")
	assert.NotContains(t, got, "paper:")

	path := filepath.Join(t.TempDir(), "comparisons.csv")
	require.NoError(t, run.WriteComparisonsCSV(path))
	col, rows := readCSV(t, path)
	require.Len(t, rows, 6)
	assert.Equal(t, "back", rows[1][col["segment"]])
}

func TestComparisonsCSV(t *testing.T) {
	run, path := comparedRun(), filepath.Join(t.TempDir(), "comparisons.csv")
	require.NoError(t, run.WriteComparisonsCSV(path))
	col, rows := readCSV(t, path)
	require.Len(t, rows, 4)
	assert.Equal(t, []string{"1f2e", "unet_resnet50", "foreground_dice", "afl", "fl", "10", "10", "0", "0"}, rows[0][:col["worse"]+1])
	assert.Equal(t, []string{"0.001953125", "2", "0.00390625", "1"}, rows[0][col["p"]:])
	assert.Equal(t, "soft_dice", rows[2][col["measure"]])
	for _, row := range rows {
		lower, err := strconv.ParseFloat(row[col["median_lower"]], 64)
		require.NoError(t, err)
		median, err := strconv.ParseFloat(row[col["median_difference"]], 64)
		require.NoError(t, err)
		assert.LessOrEqual(t, lower, median)
	}

	run.Results = nil
	require.NoError(t, run.WriteComparisonsCSV(path))
	_, rows = readCSV(t, path)
	assert.Empty(t, rows)
}

func TestSigned(t *testing.T) {
	for v, want := range map[float64]string{0.1234: "+0.123", -0.1234: "-0.123", -0.0004: "0.000", 0.0004: "0.000", 0: "0.000", 10: "+10.000"} {
		assert.Equal(t, want, signed(v, 3))
	}
}

// TestFoldsAreToldBesideTests: networks of different folds share training cases.
func TestFoldsAreToldBesideTests(t *testing.T) {
	run := pooledRun()
	note := func() string { return unwrapped(strings.Join(run.comparisonNotes(1), "\n")) }
	assert.Contains(t, note(), "share most of their training cases")
	run.Results = run.Results[:1]
	assert.NotContains(t, note(), "share most of their training cases")
}

func TestFormatP(t *testing.T) {
	for p, want := range map[float64]string{1: "1.0000", 0.0078125: "0.0078", 0.0001: "0.0001", 0.00009: "<0.0001"} {
		assert.Equal(t, want, formatP(p))
	}
}
