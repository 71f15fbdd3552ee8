package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/phantom"
)

// foldData generates five cases, three for training and two for validation, and a list of
// their folds.
func foldData(t *testing.T) (dir, list string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	require.NoError(t, phantom.Generate(dir, phantom.Options{Kind: phantom.PICAI, Train: 3, Valid: 2, Size: [3]int{16, 16, 8}}))
	list = filepath.Join(dir, "folds.csv")
	text := "case,fold\n"
	for i, fold := range []int{2, 0, 1, 2, 0} {
		text += fmt.Sprintf("phantom_%03d,%d\n", i+1, fold)
	}
	require.NoError(t, os.WriteFile(list, []byte(text), 0o644))
	return dir, list
}

// TestFoldsFromAList trains on listed folds, resumes without the list, adds a seed and joins.
func TestFoldsFromAList(t *testing.T) {
	long(t)
	data, list := foldData(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "run")
	run := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		code, out, errs := runProgram(tinyPICAI(), args...)
		require.Equal(t, want, code, errs)
		return out, errs
	}
	base := []string{"-model", "mrrn", "-size", "32,16,16", "-epochs", "1", "-steps", "1", "-loss", "dice"}
	out, _ := run(exitOK, append(base, "-data_dir", data, "-model_dir", dir, "-folds", list, "-report", "next_fold")...)
	assert.Contains(t, out, "Data: "+data+", a SYNTHETIC phantom; it contains no patient data, and its figures say nothing about patients.\n")
	assert.Contains(t, out, ", 3 folds (synthetic phantom)\n")
	assert.Contains(t, out, "Cases: 5 in 3 folds of 2, 1, 2; image channels: 3.\n")
	assert.Contains(t, out, "Folds: those of "+list+". Each training validates one fold, is reported on the next and trains on the others.\n")
	assert.Contains(t, out, "Trainings: 3 (networks × losses × seeds × folds: 1 × 1 × 1 × 3).\n")
	files := filesOf(t, dir)
	r := parseRecord(t, files[recordName])
	assert.Equal(t, dataset.Folds{"phantom_001": 2, "phantom_002": 0, "phantom_003": 1, "phantom_004": 2, "phantom_005": 0}, r.Folds)
	assert.Len(t, r.Data.Train, 5)
	assert.Empty(t, r.Data.Valid)
	assert.Contains(t, files["cases.csv"], "\n"+r.ID+",mrrn,dice,0,2,1,phantom_002,", "fold 2 reports fold 0")
	assert.Contains(t, files, "fold1/mrrn/dice/best.safetensors")

	// The record has the folds, so that the list is not needed again.
	require.NoError(t, os.Remove(list))
	out, _ = run(exitOK, "-model_dir", dir, "-resume", "-seeds", "2")
	assert.Contains(t, out, "Training 4 of 6: seed 1 fold 0\n")
	grown := filesOf(t, dir)
	for name, text := range files {
		if strings.HasPrefix(name, "fold") {
			assert.True(t, text == grown[name], name)
		}
	}
	assert.Equal(t, 1+2*5, strings.Count(grown["cases.csv"], "\n"))
	assert.Contains(t, grown["results.md"], "3 folds × 2 seeds")
	_, errs := run(exitUsage, "-model_dir", dir, "-resume", "-seeds", "1")
	assert.Contains(t, errs, "-seeds is 1, but the run in "+dir+" was started with 2, and a run can only grow")
	_, errs = run(exitUsage, "-model_dir", dir, "-resume", "-folds", "4")
	assert.Contains(t, errs, "-folds is 4, but the run in ")

	// Temporary files of the deepest folders are removed, and checkpoints in them noticed.
	temporary := filepath.Join(dir, "seed1", "fold2", "mrrn", "dice", ".last.safetensors.0123456789abcdef.tmp")
	require.NoError(t, os.WriteFile(temporary, nil, 0o644))
	run(exitOK, "-model_dir", dir, "-resume")
	assert.NoFileExists(t, temporary)

	// A run whose tables report a test set of its own.
	test := filepath.Join(parent, "test")
	require.NoError(t, phantom.Generate(test, phantom.Options{Kind: phantom.PICAI, Train: 6, Valid: 1, Size: [3]int{16, 16, 8}, Seed: 9}))
	for i := range 5 {
		for _, pattern := range []string{"TrainImage/phantom_%03d_t2w", "TrainImage/phantom_%03d_adc", "TrainImage/phantom_%03d_hbv", "TrainLabel/phantom_%03d_gt"} {
			require.NoError(t, os.Remove(filepath.Join(test, fmt.Sprintf(pattern, i+1)+".nii.gz")))
		}
	}
	apart := filepath.Join(parent, "apart")
	out, _ = run(exitOK, append(base, "-data_dir", data, "-model_dir", apart, "-test_dir", test)...)
	assert.Contains(t, out, "Test data: "+test+", layout TrainImage.\nCases: 3 for training, 2 for validation, 2 for the test; image channels: 3.\n")
	assert.Contains(t, out, "## Test, best weights of each loss")
	r = parseRecord(t, filesOf(t, apart)[recordName])
	require.Len(t, r.Data.Test, 2)
	assert.Equal(t, "phantom_006", r.Data.Test[0].ID)
	assert.NotEmpty(t, r.Data.Test[0].Images[0].SHA256)
	assert.Equal(t, "test_dir", r.Flags["report"])
	moved := filepath.Join(parent, "moved")
	require.NoError(t, os.Rename(test, moved))
	_, errs = run(exitError, "-model_dir", apart, "-resume")
	assert.Contains(t, errs, "-test_dir: ")
	run(exitOK, "-model_dir", apart, "-resume", "-test_dir", moved)

	joint := filepath.Join(parent, "joint")
	_, errs = run(exitUsage, "-join", "-model_dir", joint, dir, apart)
	assert.Contains(t, errs, dir+" has -report next_fold and "+apart+" has -report test_dir, so that their figures cannot be compared")
	_, errs = run(exitUsage, "-join", "-model_dir", joint, dir, dir)
	assert.Contains(t, errs, "contain the same training: mrrn dice, seed 0, fold 0 of the run ")
	other := filepath.Join(parent, "other")
	run(exitOK, append(base, "-data_dir", data, "-model_dir", other, "-folds", "3", "-report", "next_fold")...)
	out, _ = run(exitOK, "-join", "-model_dir", joint, dir, other)
	assert.Contains(t, out, "- Test cases: 5, the same files in all runs.\n")
	assert.Contains(t, out, ", other folds than "+dir+".\n")
	assert.Regexp(t, `\| run   \| Dice \| .*\n\| other \| Dice \| `, out)
	assert.Equal(t, 1+2*5+5, strings.Count(filesOf(t, joint)["cases.csv"], "\n"))

	// A copy of a case under another name is found out by its content.
	for _, name := range []string{"TrainImage/phantom_006_adc.nii.gz"} {
		raw, err := os.ReadFile(filepath.Join(data, "TrainImage", "phantom_001_adc.nii.gz"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(moved, name), raw, 0o644))
	}
	leak := filepath.Join(parent, "leak")
	_, errs = run(exitError, append(base, "-data_dir", data, "-model_dir", leak, "-test_dir", moved)...)
	assert.Contains(t, errs, "-test_dir: image file 2 of 3 of the test case phantom_006 has the same content as image file 2 of 3 of the training case phantom_001")
	assert.NoFileExists(t, filepath.Join(leak, recordName))
}

// TestDivisionFlags checks the messages for divisions that cannot be.
func TestDivisionFlags(t *testing.T) {
	data, list := foldData(t)
	bad := filepath.Join(t.TempDir(), "bad.csv")
	require.NoError(t, os.WriteFile(bad, []byte("case,fold\nphantom_001,0\nnobody,1\n"), 0o644))
	one := filepath.Join(t.TempDir(), "one.csv")
	require.NoError(t, os.WriteFile(one, []byte("case,fold\nphantom_001,0\nphantom_002,1\nphantom_003,2\nphantom_004,1\nphantom_005,2\n"), 0o644))
	for _, c := range []struct {
		args string
		want string
	}{
		{"-folds 1", "want at least 2 folds, or a CSV file"},
		{"-folds 6", "-folds: dataset: 5 cases cannot be divided into 6 folds"},
		{"-folds 3 -max_cases 2", "-folds: dataset: 2 cases cannot be divided into 3 folds"},
		{"-folds " + bad, "the data have no case nobody; and case phantom_002, phantom_003, phantom_004, phantom_005 of the data is not listed"},
		{"-folds " + one + " -max_cases 2", "fold 2 of 3 has none of the 2 cases"},
		{"-folds " + filepath.Join(data, "absent.csv"), "no such file"},
		{"-report next_fold", "-report next_fold: -folds is missing"},
		{"-report next_fold -folds 2", "-report next_fold: want at least 3 folds, -folds is 2"},
		{"-report test_dir", "-report test_dir: -test_dir is missing"},
		{"-report validation -test_dir " + data, "-report validation leaves the cases of -test_dir unused"},
		{"-report best", "want validation or next_fold or test_dir"},
		{"-test_dir " + data, "-test_dir: case phantom_001 is also a case of " + data},
		{"-test_dir " + filepath.Join(data, "TrainImage"), "-test_dir: dataset: "},
		{"-seeds 0", "-seeds is 0; it must be at least 1"},
		{"-seeds 3 -seed 18446744073709551614", "-seeds: 3 seeds from 18446744073709551614 on exceed the largest seed"},
		{"-max_cases -1", "-max_cases is -1"},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		_, _, errs := runProgram(tinyPICAI(), append([]string{"-data_dir", data, "-model_dir", dir}, strings.Fields(c.args)...)...)
		assert.Contains(t, errs, c.want, c.args)
		assert.NoDirExists(t, dir, c.args)
	}
	_, _, errs := runProgram(tinyPICAI(), "-model_dir", filepath.Join(t.TempDir(), "run"), "-test_dir", data)
	assert.Contains(t, errs, "-test_dir has no effect on the phantom")

	brain := filepath.Join(t.TempDir(), "brain")
	require.NoError(t, phantom.Generate(brain, phantom.Options{Kind: phantom.BraTS, Train: 1, Valid: 1, Size: [3]int{16, 16, 8}}))
	_, _, errs = runProgram(tinyPICAI(), "-data_dir", data, "-model_dir", filepath.Join(t.TempDir(), "run"), "-test_dir", brain)
	assert.Contains(t, errs, "-test_dir: the images have 4 channels, but those of the other cases 3")

	// -max_cases is the number of cases in all folds together, of dealt and of listed ones.
	for _, folds := range []string{"3", list} {
		flags, o := newFlags(tinyPICAI())
		require.NoError(t, flags.Parse([]string{"-data_dir", data, "-folds", folds, "-max_cases", "4"}))
		require.NoError(t, o.check(flags))
		set, err := o.findData()
		require.NoError(t, err)
		assert.Len(t, set.Train, 5)
		d, err := o.divide(set, nil, nil)
		require.NoError(t, err)
		assert.Len(t, d.folds, 4)
		assert.NotContains(t, d.folds, "phantom_005")
		splits, err := d.splits()
		require.NoError(t, err)
		assert.Len(t, splits, 3)
	}
}

// TestPatientsAreStated checks what the report says of patients with several cases.
func TestPatientsAreStated(t *testing.T) {
	d := &division{folds: dataset.Folds{"10_1": 0, "10_2": 0, "11_3": 1}}
	for id := range d.folds {
		d.used.Train = append(d.used.Train, dataset.Case{ID: id})
	}
	_, o := newFlags(tinyPICAI())
	assert.Contains(t, d.facts(o, 3), "Patients: by their IDs, the 3 cases are of 2 patients; those of one patient are in the same fold.")
	d.folds["10_2"] = 1
	assert.Contains(t, d.facts(o, 3), "Warning: by their IDs, 3 cases are of 2 patients, of whom 1 have cases in several folds (the first is 10): their figures are too optimistic.")
}
