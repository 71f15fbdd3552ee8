package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/cli"
	"github.com/x/afl/examples/internal/outcome"
)

// patients returns results of n patients of a fold, every fourth of them without a lesion. The
// Dice of patient i is base + i/1000.
func patients(fold, n int, base float64) []outcome.Case {
	var cases []outcome.Case
	for i := range n {
		c := outcome.Case{ID: fmt.Sprintf("p%d%02d", fold, i), Values: outcome.NoValues(), Reference: &outcome.Reference{}}
		c.Values[outcome.LesionFP], c.Values[outcome.Brier] = outcome.Number(i%3), 0.01
		c.Detection = &outcome.Detection{Confidence: base}
		if i%4 > 0 {
			c.Reference.Volume, c.Reference.Smoothness = float64(i), 1/float64(i)
			c.Values[outcome.Dice] = outcome.Number(base + float64(i)/1000)
			c.Values[outcome.Sensitivity] = 0.5
			c.Detection.Confidence += 0.1
			c.Detection.Entries = []outcome.DetectionEntry{{Lesion: true, Confidence: base + 0.1, Overlap: 0.5}}
		}
		cases = append(cases, c)
	}
	return cases
}

// result returns a finished training whose best of two epochs has a validation Dice.
func result(loss string, fold int, validated, base float64) outcome.Result {
	r := outcome.Result{Loss: loss, Title: strings.ToUpper(loss), Fold: fold, BestEpoch: 2, Cases: patients(fold, 12, base), Epochs: make([]outcome.Epoch, 2)}
	r.Epochs[0].Valid[outcome.Dice].Value = 0.9 // not that of the best epoch
	r.Epochs[1].Valid[outcome.Dice].Value = outcome.Number(validated)
	return r
}

func TestArmsTakeTheBetterRate(t *testing.T) {
	diverged := result("fl", 0, 0, 0)
	diverged.BestEpoch, diverged.Cases, diverged.Diverged = 0, nil, &outcome.Divergence{}
	ongoing := result("fl", 1, 0.5, 0.5)
	ongoing.Ongoing = "in epoch 1"
	runs := []run{
		{0.1, outcome.Store{result("afl", 0, 0.3, 0.3), result("fl", 0, 0.4, 0.4), result("dice", 0, 0.2, 0.2), result("afl", 1, 0.3, 0.3), ongoing, result("dice", 1, 0.1, 0.1)}},
		{0.01, outcome.Store{result("afl", 0, 0.3, 0.6), diverged, result("dice", 0, 0.21, 0.7), result("afl", 1, 0.3, 0.3), result("fl", 1, 0.1, 0.1), result("dice", 1, 0.1, 0.1)}},
	}
	all, err := arms(runs)
	require.NoError(t, err)
	require.Len(t, all, 3)
	first := training{0, 0}
	assert.Equal(t, []map[training]float64{{first: 0.1}, {first: 0.1}, {first: 0.01}}, []map[training]float64{all[0].chosen, all[1].chosen, all[2].chosen},
		"equal values keep the first rate, a diverged training is not taken, and fold 1 is not finished")
	assert.Equal(t, "AFL", all[0].title)
	require.Len(t, all[2].cases, 12)
	assert.InDelta(t, 0.705, float64(all[2].cases[5].Values[outcome.Dice]), 1e-12, "the one at the rate 0.01")

	// A training that diverged at every rate has empty masks.
	runs[0].results[1] = diverged
	all, err = arms(runs)
	require.NoError(t, err)
	empty := all[1].cases
	require.Len(t, empty, 12)
	assert.Equal(t, []outcome.Number{0, 0, 0}, []outcome.Number{empty[1].Values[outcome.Dice], empty[1].Values[outcome.Sensitivity], empty[1].Values[outcome.LesionFP]})
	assert.False(t, empty[0].Values[outcome.Dice].Defined(), "a patient without a lesion")
	assert.False(t, empty[0].Values[outcome.Brier].Defined())
	assert.Equal(t, &outcome.Detection{Entries: []outcome.DetectionEntry{{Lesion: true}}}, empty[1].Detection)
	auroc, err := all[1].auroc()
	require.NoError(t, err)
	assert.Equal(t, 0.5, auroc.value)

	runs[1].results[0].Loss = "other"
	_, err = arms(runs)
	assert.EqualError(t, err, "the run with the rate 0.01 has the loss other, which that with the rate 0.1 has not")
}

func TestScores(t *testing.T) {
	two := append(patients(0, 12, 0.2), patients(0, 12, 0.4)...)
	for i := range two {
		two[i].Seed = uint64(i / 12)
	}
	two[12].Values[outcome.LesionFP] = 5
	a := arm{loss: "afl", cases: two}
	scores, err := a.scores()
	require.NoError(t, err)
	byName := map[string]score{}
	for _, s := range scores {
		byName[s.name] = s
	}
	// Patients 1, 2, 3, 5, 6, 7, 9, 10, 11 have a lesion; 0, 4 and 8 none.
	assert.Equal(t, 9, byName["Dice"].n)
	assert.InDelta(t, 0.3+0.006, byName["Dice"].value, 1e-12)
	assert.Less(t, byName["Dice"].lower, byName["Dice"].value)
	assert.Greater(t, byName["Dice"].upper, byName["Dice"].value)
	assert.InDelta(t, (2.5+1+2)/3, byName["false lesions"].value, 1e-12)
	assert.InDelta(t, (0.5+1+1)/3, byName["with any"].value, 1e-12)
	assert.Equal(t, 1.0, byName["AUROC"].value)
	assert.Equal(t, 12, byName["Brier score"].n)
	assert.True(t, math.IsNaN(byName["surface Dice"].value))

	thirds := a.inStrata()
	require.Len(t, thirds, 6)
	assert.InDelta(t, 0.3+0.002, thirds[0].value, 1e-12, "patients 1 to 3 have the smallest lesions")
	assert.InDelta(t, thirds[0].value, thirds[5].value, 1e-12, "and the roughest")
	assert.InDelta(t, 0.3+0.010, thirds[2].value, 1e-12)
}

func TestVerdictFollowsTheProtocol(t *testing.T) {
	constant := func(loss string, base float64) arm {
		return arm{loss: loss, title: strings.ToUpper(loss), cases: patients(0, 40, base)}
	}
	judge := func(all ...arm) string {
		comparisons, err := compare(all, released)
		require.NoError(t, err)
		return verdict(comparisons)
	}
	ours := constant("afl", 0.5)
	assert.Equal(t, "confirmed: the mean Dice is larger than that of FL and DICE (adjusted p below 0.05 for each).", judge(constant("fl", 0.4), ours, constant("dice", 0.3)))
	assert.Equal(t, "not confirmed: the difference to DICE is not a significant gain.", judge(constant("fl", 0.4), ours, constant("dice", 0.5)))
	assert.Equal(t, "contradicted: BLOB has a larger mean Dice (adjusted p below 0.05).", judge(ours, constant("fl", 0.4), constant("blob", 0.6)))
	assert.Equal(t, "confirmed: the mean Dice is larger than that of FL (adjusted p below 0.05 for each).", judge(ours, constant("fl", 0.4), constant("blob", 0.5)), "a loss that is not the paper's need not be beaten")
	assert.Contains(t, judge(ours), "no patient")

	assert.Equal(t, "of the third with the small lesions A-FL is number 2 of the paper's 3 and 3 of all 4 by mean Dice",
		rankIn([]arm{ours, constant("fl", 0.6), constant("dice", 0.4), constant("blob", 0.7)}, "small"))
	assert.Empty(t, rankIn([]arm{constant("fl", 0.6)}, "small"))

	comparisons, err := compare([]arm{ours, constant("fl", 0.4)}, released)
	require.NoError(t, err)
	assert.InDelta(t, 0.1, comparisons[0].Mean, 1e-12)
	assert.Equal(t, 30, comparisons[0].N)
	assert.Equal(t, 1.0, comparisons[0].RankBiserial)
}

// TestResult writes the result of two rates and reads it back.
func TestResult(t *testing.T) {
	of := func(base float64) outcome.Store {
		return outcome.Store{result("afl", 0, base, base), result("dice", 0, 0.35, 0.35)}
	}
	tables, err := tablesOf([]run{{0.1, of(0.3)}, {0.01, of(0.4)}})
	require.NoError(t, err)
	to := t.TempDir()
	require.NoError(t, writeResult(to, tables, 3, 4))
	page, err := os.ReadFile(filepath.Join(to, "README.md"))
	require.NoError(t, err)
	for _, want := range []string{
		"3 of 4 trainings are finished; a table has", "## Learning rate 0.1 for all losses", "## The better learning rate of each loss",
		"seeds times folds: 1. Patients that are scored: 12, of whom 9 have a lesion.",
		"The claim is **contradicted**: DICE has a larger mean Dice (adjusted p below 0.05).\n", "The claim is **confirmed**: the mean Dice is larger than that of DICE",
		"- Of the third with the rough lesions A-FL is number 1 of the paper's 2", "| chosen rates |", "|     0.01 (1) |", "-0.050 | [-0.050, -0.050] | 0.004 |",
	} {
		assert.Contains(t, string(page), want)
	}
	rows := func(name string) [][]string {
		f, err := os.Open(filepath.Join(to, name))
		require.NoError(t, err)
		defer f.Close()
		rows, err := csv.NewReader(f).ReadAll()
		require.NoError(t, err)
		return rows
	}
	patients := rows("patients.csv")
	assert.Len(t, patients, 1+3*2*12, "tables × losses × patients")
	assert.Equal(t, []string{"rate-0.1", "afl", "0", "0", "0.1", "p001"}, patients[2][:6])
	assert.Len(t, rows("comparisons.csv"), 1+3)
	losses := rows("losses.csv")
	assert.Equal(t, []string{"rate-0.1", "afl", "dice", "9"}, losses[1][:4])
	assert.Equal(t, "dice_small", losses[10][2])
	figure, err := os.ReadFile(filepath.Join(to, "dice.png"))
	require.NoError(t, err)
	assert.True(t, bytes.HasPrefix(figure, []byte("\x89PNG")))
}

func TestLossesWithoutAnyMaskAreNamed(t *testing.T) {
	empty := arm{title: "Hausdorff", cases: patients(0, 3, 0)}
	for i := range empty.cases {
		empty.cases[i].Values[outcome.LesionTP], empty.cases[i].Values[outcome.LesionFP] = 0, 0
	}
	one := arm{title: "Dice", cases: slices.Clone(empty.cases)}
	one.cases[2].Values[outcome.LesionTP] = 1
	alarm := arm{title: "CE", cases: slices.Clone(empty.cases)}
	alarm.cases[0].Values[outcome.LesionFP] = 1
	missing := arm{title: "FL"}
	assert.Equal(t, []string{"Hausdorff"}, (&table{arms: []arm{empty, one, alarm, missing}}).withoutMask())
}

// TestReportOfARun trains for a moment and reports.
func TestReportOfARun(t *testing.T) {
	dir := t.TempDir()
	trained, to := filepath.Join(dir, "run"), filepath.Join(dir, "result")
	var out bytes.Buffer
	require.Zero(t, cli.Run(t.Context(), brats, []string{"-model_dir", trained, "-lr", "0.01", "-epochs", "1", "-steps", "1", "-folds", "3", "-report", "next_fold",
		"-model", "unet_few_slices", "-patch", "whole", "-phantom_size", "16,16,8", "-phantom_train", "2", "-phantom_valid", "1",
		"-select", "soft_dice", "-detection", "static:0.5", "-loss", "afl-gamma-0"}, io.Discard, &out), "%s", &out)
	require.NoError(t, runCommand([]string{"report", "-complete", "-out", to, "-runs", trained}, &out))
	assert.Contains(t, out.String(), "rate 0.01, 3 of 3 trainings finished")
	page, err := os.ReadFile(filepath.Join(to, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "seeds times folds: 3. Patients that are scored: 3, of whom ")
	assert.Contains(t, string(page), "| A-FL, γ = 0 ")

	for want, args := range map[string][]string{
		"-runs and -out are required": {"report", "-out", to},
		"two runs have the rate 0.01": {"report", "-out", to, "-runs", trained + "," + trained},
		"contains no run":             {"report", "-out", to, "-runs", dir},
	} {
		assert.ErrorContains(t, runCommand(args, &out), want)
	}
}
