package cli

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/volume"
	"github.com/x/afl/examples/internal/weights"
)

// column returns the cells of a column of a CSV file.
func column(t *testing.T, path, name string) (cells []string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	for i, header := range rows[0] {
		if header != name {
			continue
		}
		for _, row := range rows[1:] {
			cells = append(cells, row[i])
		}
	}
	return cells
}

func TestTrainingClassesAndRegions(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	for _, c := range []struct {
		args     []string
		kind     segment.Kind
		channels int
		rule     afl.PredictionRule
		losses   string
		names    []string
		fact     string
	}{
		{[]string{"-classes", "all", "-loss", "all"}, segment.Classes, 4, afl.Argmax,
			"tversky,ce,iou,dice,dice-ce,dice-focal,fl,afl-multiclass", []string{"necrotic core", "edema", "enhancing tumor", "mean"},
			"Segmented: classes necrotic core (label 1), edema (label 2), enhancing tumor (label 4); every other label is background."},
		{[]string{"-regions", "WT=1,edema,4;TC=1,4;ET=4"}, segment.Regions, 3, afl.SigmoidPerChannel,
			"afl-multiclass", []string{"WT", "TC", "ET", "mean"},
			"Segmented: regions WT (labels 1, 2, 4), TC (labels 1, 4), ET (label 4); every other label is background."},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		code, out, errs := runProgram(tinyBraTS(), append(c.args, "-model_dir", dir, "-epochs", "1", "-steps", "1", "-max_cases", "1")...)
		require.Equal(t, exitOK, code, errs)
		assert.Contains(t, out, c.fact)
		losses := strings.Split(c.losses, ",")
		var want []string
		for range losses {
			want = append(want, c.names...)
		}
		assert.Equal(t, want, column(t, filepath.Join(dir, "cases.csv"), "segment"))
		for _, loss := range losses {
			_, metadata, err := weights.Load(filepath.Join(dir, "unet", loss, "best.safetensors"))
			require.NoError(t, err)
			got, _, err := settings.Read(metadata)
			require.NoError(t, err)
			assert.Equal(t, c.kind, got.Protocol.Scheme.Kind)
			assert.Len(t, got.Protocol.Scheme.Segments, 3)
			assert.Equal(t, c.channels, got.Config.OutChannels)
			assert.Equal(t, []string{"FLAIR", "T1", "T1ce", "T2"}, got.Channels)
			rule, _, err := settings.ReadRule(metadata)
			require.NoError(t, err)
			assert.Equal(t, c.rule, rule)
		}

		code, _, errs = runProgram(tinyBraTS(), "-model_dir", dir, "-resume")
		assert.Equal(t, exitOK, code, errs)
		code, _, errs = runProgram(tinyBraTS(), append(c.args, "-model_dir", dir, "-resume")...)
		assert.Equal(t, exitOK, code, errs)
		code, _, errs = runProgram(tinyBraTS(), "-model_dir", dir, "-resume", "-classes", "1,2")
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, errs, "but the run in "+dir+" was started with")
	}
}

func TestSchemeFlagErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-classes", "1", "-regions", "a=1"}, "-classes and -regions both say what to segment"},
		{[]string{"-classes", "1,2", "-loss", "dice,afl"}, "-loss: afl has no form for -classes; use afl-multiclass"},
		{[]string{"-classes", "1,2", "-loss", "bce"}, "-loss: bce has no form for -classes; use ce"},
		{[]string{"-regions", "a=1", "-loss", "ce"}, "-loss: ce has no form for -regions; use bce"},
		{[]string{"-classes", "1,0"}, "-classes: segment: class 0 has the label 0"},
		{[]string{"-classes", "tumor"}, `-classes: "tumor" is not a label, want a whole number or one of grade 2, grade 3, grade 4, grade 5`},
		{[]string{"-regions", "ET=4;WT=2,4"}, "-regions: segment: every label of region ET belongs to a later region too"},
		{[]string{"-classes", "2,3", "-label_area"}, "-label_area averages a label"},
		{[]string{"-classes", "grade 3,7,8"}, "-classes: no training case has a voxel of 7, 8; the labels of the training cases are 0, 3, 5"},
	} {
		code, _, errs := runProgram(tinyPICAI(), append(c.args, "-model_dir", dir, "-size", "16,16,16")...)
		assert.Equal(t, exitUsage, code, c.args)
		assert.Contains(t, errs, c.want)
		assert.NoFileExists(t, filepath.Join(dir, recordName))
	}
}

// TestLabelNamesMustKeepTheirMeaning resumes a run after a change of dataset.json, and starts
// one on labels that no class has.
func TestLabelNamesMustKeepTheirMeaning(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, part := range []string{"Train", "Valid"} {
		for _, folder := range []string{"Image", "Label"} {
			require.NoError(t, os.MkdirAll(filepath.Join(data, part+folder), 0o755))
		}
		label := make([]float64, 32*32*32)
		label[100], label[200] = 1, 2
		v := &volume.Volume{Dims: [3]int{32, 32, 32}, Channels: 1, Data: label, Affine: [4][4]float64{{1}, {0, 1}, {0, 0, 1}, {3: 1}}}
		require.NoError(t, volume.Write(filepath.Join(data, part+"Image", part+"_image.nii"), v, volume.WriteOptions{}))
		require.NoError(t, volume.Write(filepath.Join(data, part+"Label", part+"_gt.nii"), v, volume.WriteOptions{}))
	}
	describe := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(data, dataset.DescriptionName), []byte(text), 0o644))
	}
	describe(`{"labels": {"background": 0, "front": 1, "back": 2}}`)
	args := []string{"-data_dir", data, "-model_dir", filepath.Join(t.TempDir(), "run"), "-patch", "32,32,32", "-epochs", "1", "-loss", "ce"}
	code, _, errs := runProgram(tinyBraTS(), append(args, "-classes", "front,back")...)
	require.Equal(t, exitOK, code, errs)
	describe(`{"labels": {"background": 0, "back": 1, "front": 2}}`)
	code, _, errs = runProgram(tinyBraTS(), append(args, "-classes", "front,back", "-resume")...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-classes stood for classes front (label 1), back (label 2) when the run started, but now stands for classes front (label 2), back (label 1)")

	describe(`{"labels": {"background": 0, "front": 1, "ignore": 2}}`)
	code, _, errs = runProgram(tinyBraTS(), "-data_dir", data, "-model_dir", filepath.Join(t.TempDir(), "run"), "-classes", "front")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, `-classes: dataset.json has the label "ignore"`)

	require.NoError(t, os.Remove(filepath.Join(data, dataset.DescriptionName)))
	code, _, errs = runProgram(tinyBraTS(), "-data_dir", data, "-model_dir", filepath.Join(t.TempDir(), "run"), "-patch", "32,32,32", "-epochs", "1", "-regions", "any=1,2;front=1")
	assert.Equal(t, exitOK, code, errs)
	dir := filepath.Join(t.TempDir(), "other")
	code, _, errs = runProgram(tinyBraTS(), "-data_dir", data, "-model_dir", dir, "-regions", "any=1,2,3;third=3")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-regions: no training case has a voxel of third; the labels of the training cases are 0, 1, 2")
	assert.NoDirExists(t, dir)
}
