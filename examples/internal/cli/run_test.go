package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/runlock"
)

// quick are flags of a run that takes seconds.
var quick = []string{"-size", "32,16,16", "-max_cases", "1"}

// runQuick runs tinyPICAI with quick in dir, and checks the exit code.
func runQuick(t *testing.T, want int, dir string, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := runProgram(tinyPICAI(), append(append([]string{"-model_dir", dir}, quick...), args...)...)
	require.Equal(t, want, code, "%s%s", stdout, stderr)
	return stdout, stderr
}

// long skips a test of several trainings in short mode.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
}

// TestGrownRunEqualsOneFromTheStart lets a run grow by epochs, losses and a network.
func TestGrownRunEqualsOneFromTheStart(t *testing.T) {
	long(t)
	whole := filepath.Join(t.TempDir(), "whole")
	runQuick(t, exitOK, whole, "-epochs", "2", "-loss", "dice,fl", "-model", "unet,mrrn")
	dir := filepath.Join(t.TempDir(), "grown")
	runQuick(t, exitOK, dir, "-epochs", "1", "-loss", "dice")
	assert.NoDirExists(t, filepath.Join(dir, "mrrn"))
	out, _ := runQuick(t, exitOK, dir, "-resume", "-epochs", "2")
	assert.Contains(t, out, "Loss 1 of 1: dice, at the start of epoch 2 of 2")
	runQuick(t, exitOK, dir, "-resume", "-loss", "dice,fl", "-model", "unet,mrrn")
	assertSameRun(t, filesOf(t, whole), filesOf(t, dir), "grown twice")

	_, errs := runQuick(t, exitUsage, dir, "-resume", "-loss", "fl,afl")
	assert.Contains(t, errs, "-loss is fl,afl, but the run in "+dir+" was started with dice,fl, and a run can only grow")
	r := parseRecord(t, filesOf(t, dir)[recordName])
	require.Len(t, r.Sessions, 3, "the refused one does not count")
	assert.Equal(t, "2", r.Sessions[1].Flags["epochs"])
	assert.Equal(t, "unet,mrrn", r.Sessions[2].Flags["model"])
	runQuick(t, exitOK, dir, "-resume")
	assert.Equal(t, "dice,fl", parseRecord(t, filesOf(t, dir)[recordName]).Flags["loss"], "what was added is restored")
}

func TestGrown(t *testing.T) {
	for _, c := range []struct {
		was, now string
		want     bool
	}{
		{"9", "10", true}, {"10", "9", false}, {"10", "10", true},
		{"afl", "afl,fl", true}, {"afl,fl", "fl,dice,afl", true}, {"afl,fl", "afl", false}, {"fl", "afl", false},
	} {
		assert.Equal(t, c.want, grown(c.was, c.now), "%s to %s", c.was, c.now)
	}
}

// TestRecord checks what run.json says, and that every file names the run.
func TestRecord(t *testing.T) {
	long(t)
	dir := filepath.Join(t.TempDir(), "run")
	out, _ := runQuick(t, exitOK, dir, "-epochs", "1", "-loss", "dice")
	files := filesOf(t, dir)
	r := parseRecord(t, files[recordName])
	assert.Len(t, r.ID, 16)
	for name, text := range files {
		switch filepath.Ext(name) {
		case ".png": // a curve has the ID as pixels
		case ".csv": // one loss has no comparisons
			header, rows, _ := strings.Cut(text, "\n")
			assert.True(t, strings.HasPrefix(header, "run,"), name)
			assert.Equal(t, strings.Count(rows, "\n"), strings.Count("\n"+rows, "\n"+r.ID+","), name)
		default:
			assert.Contains(t, text, r.ID, name)
		}
	}
	assert.Contains(t, out, "Run: "+r.ID+".\n")
	require.Len(t, r.Sessions, 1)
	s := r.Sessions[0]
	assert.WithinDuration(t, time.Now(), s.Started, 10*time.Minute)
	for _, text := range []string{s.Version, s.Go, s.Host, s.System, s.CPU} {
		assert.NotEmpty(t, text)
	}
	assert.Positive(t, s.Cores)
	require.Len(t, r.Data.Train, 1)
	require.Len(t, r.Data.Train[0].Images, 3)
	raw, err := os.ReadFile(filepath.Join(dir, "phantom", "TrainImage", "phantom_001_adc.nii.gz"))
	require.NoError(t, err)
	assert.EqualValues(t, len(raw), r.Data.Train[0].Images[1].Size)

	// The ID follows from what determines the bits, and from nothing else.
	same, other := filepath.Join(t.TempDir(), "same"), filepath.Join(t.TempDir(), "other")
	runQuick(t, exitOK, same, "-epochs", "2", "-loss", "fl", "-cache", "0")
	assert.Equal(t, r.ID, parseRecord(t, filesOf(t, same)[recordName]).ID)
	runQuick(t, exitOK, other, "-epochs", "1", "-loss", "dice", "-lr", "0.05")
	assert.NotEqual(t, r.ID, parseRecord(t, filesOf(t, other)[recordName]).ID)

	// Weights copied from another run are not taken for those of this one.
	foreign := filepath.Join("unet", "dice", "checkpoint.safetensors")
	require.NoError(t, os.WriteFile(filepath.Join(dir, foreign), []byte(filesOf(t, other)[filepath.ToSlash(foreign)]), 0o644))
	_, errs := runQuick(t, exitError, dir, "-resume")
	assert.Contains(t, errs, "it belongs to the run ")
}

func TestFoldersOfOtherVersionsAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"format 0, want 3": `{"program": "picai", "flags": {"epochs": "1"}, "train": ["a"], "valid": ["b"]}`,
		"format 4, want 3": `{"format": 4, "flags": 7}`,
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, recordName), []byte(text), 0o644))
		for _, args := range [][]string{nil, {"-resume"}} {
			_, errs := runQuick(t, exitError, dir, args...)
			assert.Contains(t, errs, recordName+" was written by another version of this program ("+name+")")
		}
		assert.Len(t, filesOf(t, dir), 1)
	}
}

// TestChangedDataAreRefused exchanges two cases under their names, and moves the data.
func TestChangedDataAreRefused(t *testing.T) {
	long(t)
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, phantom.Generate(data, phantom.Options{Kind: phantom.PICAI, Train: 2, Valid: 1, Size: [3]int{16, 16, 8}}))
	require.NoError(t, os.Remove(filepath.Join(data, "phantom.json")), "so that it passes for patients")
	dir := filepath.Join(t.TempDir(), "run")
	flags := []string{"-model_dir", dir, "-size", "32,16,16", "-loss", "dice"}
	code, _, errs := runProgram(tinyPICAI(), append(flags, "-data_dir", data, "-epochs", "1")...)
	require.Equal(t, exitOK, code, errs)
	before := filesOf(t, dir)
	assert.Contains(t, before["report.html"], "This page contains no images of patients; -page_images 8 embeds those of eight cases.")
	assert.NotContains(t, before["report.html"], "<img")
	assert.NotContains(t, before["report.html"], "Synthetic data.")

	exchange := func() {
		for _, name := range []string{"TrainImage/phantom_00%d_t2w", "TrainImage/phantom_00%d_adc", "TrainImage/phantom_00%d_hbv", "TrainLabel/phantom_00%d_gt"} {
			a, b := filepath.Join(data, fmt.Sprintf(name, 1)+".nii.gz"), filepath.Join(data, fmt.Sprintf(name, 2)+".nii.gz")
			require.NoError(t, os.Rename(a, a+".x"))
			require.NoError(t, os.Rename(b, a))
			require.NoError(t, os.Rename(a+".x", b))
		}
	}
	exchange()
	code, _, errs = runProgram(tinyPICAI(), append(flags, "-resume", "-epochs", "2")...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-data_dir: "+data+": the training case phantom_001 has changed since the run started: image file 1 of 3 had ")
	assert.Equal(t, before, filesOf(t, dir), "nothing is written")
	exchange()

	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(data, moved))
	code, _, errs = runProgram(tinyPICAI(), append(flags, "-resume")...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-data_dir: dataset: stat "+data+": no such file or directory; if the data have moved, add -data_dir with their new folder")
	code, out, errs := runProgram(tinyPICAI(), append(flags, "-resume", "-data_dir", moved, "-epochs", "2", "-page_images", "1")...)
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, filesOf(t, dir)["report.html"], "This page contains images of patients: one case, and slices in the figure.")
	assert.Contains(t, out, "Data: "+moved+", layout TrainImage.")
	r := parseRecord(t, filesOf(t, dir)[recordName])
	assert.Equal(t, moved, r.Flags["data_dir"])
	assert.Equal(t, parseRecord(t, before[recordName]).ID, r.ID)

	// Other data in the new place are refused.
	data = moved
	exchange()
	code, _, errs = runProgram(tinyPICAI(), append(flags, "-resume")...)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-data_dir: "+moved+": the training case phantom_001 has changed")

	// A run on the phantom cannot go on with other data.
	_, errs = runQuick(t, exitUsage, trained(t, tinyPICAI(), append(quick, "-epochs", "1", "-loss", "dice")...), "-resume", "-data_dir", moved)
	assert.Contains(t, errs, "-data_dir is "+moved+", but the run in ")
}

// TestOneRunPerFolder starts a second run while the first one trains.
func TestOneRunPerFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var errs [2]string
	var code [2]int
	args := append([]string{"-model_dir", dir, "-epochs", "1", "-loss", "dice"}, quick...)
	out := &cancelAt{text: "Loss 1 of 1", cancel: func() {
		code[0], _, errs[0] = runProgram(tinyPICAI(), append(args, "-lr", "0.01")...)
		code[1], _, errs[1] = runProgram(tinyPICAI(), append(args, "-resume")...)
	}}
	var stderr bytes.Buffer
	require.Equal(t, exitOK, Run(context.Background(), tinyPICAI(), args, out, &stderr), stderr.String())
	for i := range errs {
		assert.Equal(t, exitError, code[i])
		assert.Contains(t, errs[i], fmt.Sprintf("picai: -model_dir: %s is in use by process %d (picai) on host ", dir, os.Getpid()))
		assert.Equal(t, 1, strings.Count(errs[i], "\n"))
	}
	files := filesOf(t, dir)
	assert.NotContains(t, files, runlock.Name, "the lock is released")
	assert.Contains(t, files["results.md"], "learning rate 0.1,")
}

// TestLostFolder replaces the folder of a run by another run's while the first one trains.
func TestLostFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{"-model_dir", dir, "-epochs", "1", "-loss", "dice"}, quick...)
	var other map[string]string
	out := &cancelAt{text: "Loss 1 of 1", cancel: func() {
		require.NoError(t, os.RemoveAll(dir))
		runQuick(t, exitOK, dir, "-epochs", "1", "-loss", "dice", "-lr", "0.01")
		other = filesOf(t, dir)
	}}
	var stderr bytes.Buffer
	assert.Equal(t, exitError, Run(context.Background(), tinyPICAI(), args, out, &stderr))
	assert.Contains(t, stderr.String(), "the folder "+dir+" no longer belongs to this process")
	assert.NotContains(t, out.String(), "To resume")
	assert.Equal(t, other, filesOf(t, dir), "the other run's files are left alone")
}

// TestLockIsReleasedByFailures checks that no failed start leaves a lock or a new folder.
func TestLockIsReleasedByFailures(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "run")
	for want, args := range map[string][]string{
		"contains no run":      {"-resume"},
		"absent":               {"-data_dir", filepath.Join(parent, "absent")},
		"no such file":         {"-weights", filepath.Join(parent, "absent")},
		"want the folders of ": {"-join"},
	} {
		_, _, errs := runProgram(tinyPICAI(), append([]string{"-model_dir", dir}, args...)...)
		assert.Contains(t, errs, want)
		assert.NoDirExists(t, dir, want)
	}
	require.NoError(t, os.WriteFile(dir, nil, 0o644))
	_, errs := runQuick(t, exitError, dir)
	assert.Contains(t, errs, "-model_dir: ")
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	long(t)
	dir := trained(t, tinyPICAI(), append(quick, "-epochs", "1", "-loss", "dice")...)
	temporary := []string{".run.json.0123456789abcdef.tmp", "unet/dice/.checkpoint.safetensors.0123456789abcdef.tmp", "unet/.loss.png.0123456789abcdef.tmp", ".phantom-1/TrainImage/a.nii"}
	// Other programs may be writing these.
	kept := []string{".mask.nii.gz.0123456789abcdef.tmp", "unet/dice/.checkpoint.safetensors.tmp", "unet/dice/mine.tmp", "unet/.phantom-1/a",
		"other/run.lock", "other/.run.json.0123456789abcdef.tmp", "other/unet/.loss.png.0123456789abcdef.tmp"}
	for _, name := range append(append([]string(nil), temporary...), kept...) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	runQuick(t, exitOK, dir, "-resume")
	for _, name := range temporary {
		assert.NoFileExists(t, filepath.Join(dir, filepath.FromSlash(name)))
	}
	assert.NoDirExists(t, filepath.Join(dir, ".phantom-1"))
	for _, name := range kept {
		assert.FileExists(t, filepath.Join(dir, filepath.FromSlash(name)))
	}
}

func TestEveryTrainingDiverged(t *testing.T) {
	long(t)
	dir := filepath.Join(t.TempDir(), "run")
	out, errs := runQuick(t, exitError, dir, "-epochs", "1", "-loss", "dice,ce", "-lr", "1e30", "-max_cases", "2")
	assert.Contains(t, errs, "every training diverged; a smaller -lr may help")
	assert.Contains(t, out, "– (diverged)", "the table is printed all the same")
	assert.Contains(t, out, "of each training, no best.safetensors of one that diverged in its first epoch.\n")
	assert.NoFileExists(t, filepath.Join(dir, "unet", "ce", "best.safetensors"))
	assert.FileExists(t, filepath.Join(dir, "results.md"))
	_, errs = runQuick(t, exitError, dir, "-resume", "-max_cases", "2")
	assert.Contains(t, errs, "every training diverged")
}

func TestSpace(t *testing.T) {
	f := fitted{step: cost.Cost{KeptBytes: 1 << 20}, prediction: cost.Cost{KeptBytes: 1 << 19}}
	var s space
	s.add(&f, 3)
	assert.Equal(t, space{files: 3 * (2 << 20), temporary: 1 << 20}, s)
	dir := t.TempDir()
	require.NoError(t, s.check(dir))
	s.files = 1 << 60
	err := s.check(dir)
	assert.ErrorContains(t, err, "-model_dir: the run needs about 1073741824.0 GiB on the disk of "+dir+", but ")
	assert.ErrorContains(t, err, " are free; free some space or use another folder")

	// What the run has written already is not needed again.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "unet", "dice"), 0o755))
	f2, err := os.Create(filepath.Join(dir, "unet", "dice", "best.safetensors"))
	require.NoError(t, err)
	require.NoError(t, f2.Truncate(1<<40)) // takes no space
	require.NoError(t, f2.Close())
	s.files = 1 << 40
	assert.NoError(t, s.check(dir))
}

// TestSpaceOfANetwork compares the estimate with the files of a run.
func TestSpaceOfANetwork(t *testing.T) {
	long(t)
	dir := trained(t, tinyPICAI(), append(quick, "-epochs", "1", "-loss", "dice")...)
	net, err := narrow("unet")
	require.NoError(t, err)
	f := fitted{config: models.Config{Architecture: net, InChannels: 3}}
	f.counter, err = cost.New(func(b nn.Backend) (nn.Network, error) { return models.New(f.config, b, 0) })
	require.NoError(t, err)
	require.NoError(t, f.count(volumes{step: []int{1, 3, 16, 16, 16}, prediction: []int{1, 3, 16, 16, 16}}, &optimizationFlags{momentum: 0.9}, 3, nil, nil))
	var s space
	s.add(&f, 1)
	var total int64
	for name, text := range filesOf(t, dir) {
		if strings.HasSuffix(name, ".safetensors") {
			total += int64(len(text))
		}
	}
	assert.InEpsilon(t, total, s.files, 0.02)
}

// TestJoin joins runs that are parts of one, and runs that differ.
func TestJoin(t *testing.T) {
	long(t)
	parent := t.TempDir()
	dirs := map[string]string{}
	for name, args := range map[string][]string{
		"a": {"-epochs", "2", "-loss", "dice", "-detection", "static:0.1"}, "b": {"-epochs", "1", "-loss", "fl,dice-ce", "-detection", "static:0.1"},
		"slow": {"-epochs", "1", "-loss", "dice", "-lr", "0.01"},
		"seed": {"-epochs", "1", "-loss", "dice", "-seed", "1"},
	} {
		dirs[name] = filepath.Join(parent, name)
		runQuick(t, exitOK, dirs[name], args...)
	}
	join := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errs := runProgram(tinyPICAI(), append([]string{"-join"}, args...)...)
		require.Equal(t, want, code, errs)
		return out, errs
	}

	parts := filepath.Join(parent, "parts")
	out, _ := join(exitOK, "-model_dir", parts, dirs["a"], dirs["b"])
	files := filesOf(t, parts)
	assert.Len(t, files, 11)
	for _, name := range []string{
		"results.md", "epochs.csv", "cases.csv", "comparisons.csv", "strata.csv", "detection.csv", "detection_curves.csv", "report.html",
		"unet/loss.png", "unet/dice.png", "unet/detection.png",
	} {
		assert.NotEmpty(t, files[name], name)
	}
	md, figures, found := strings.Cut(files["results.md"], "\n## Figures\n")
	require.True(t, found)
	assert.Equal(t, "\n- [report.html](report.html)\n- [unet/loss.png](unet/loss.png)\n- [unet/dice.png](unet/dice.png)\n- [unet/detection.png](unet/detection.png)\n", figures)
	assert.Contains(t, out, md)
	assert.Contains(t, md, "# picai: 2 runs (synthetic phantom)\n\n- Data: SYNTHETIC phantom")
	assert.Contains(t, md, "- Validation cases: 1, the same files in all runs.\n")
	assert.Contains(t, md, ", -epochs 2, -loss dice.\n")
	assert.Regexp(t, `\| Dice +\|.*\n\| FL +\|.*\n\| Dice CE +\|`, md)
	assert.NotContains(t, md, "| Run ")
	for _, want := range []string{"<h1>picai: 2 runs (synthetic phantom)</h1>", "Synthetic data.", "This page contains no images.", `"title":"Validation Dice`} {
		assert.Contains(t, files["report.html"], want)
	}
	// The rows are those of the runs.
	for _, dir := range []string{"a", "b"} {
		for name, text := range filesOf(t, dirs[dir]) {
			if !strings.HasSuffix(name, ".csv") {
				continue
			}
			header, rows, _ := strings.Cut(text, "\n")
			assert.True(t, strings.HasPrefix(files[name], header))
			assert.Contains(t, files[name], rows)
		}
	}

	out, _ = join(exitOK, "-model_dir", filepath.Join(parent, "rates"), dirs["a"], dirs["slow"])
	assert.Regexp(t, `\| Run  \| Loss \| .*\n\| -+ \| -+ \| .*\n\| a    \| Dice \| .*\n\| slow \| Dice \| `, out)
	assert.Contains(t, out, ", -epochs 1, -lr 0.01.\n")
	join(exitOK, "-model_dir", filepath.Join(parent, "rates"), dirs["a"], dirs["slow"], dirs["b"]) // replaces the report

	_, errs := join(exitUsage, "-model_dir", parts, dirs["a"], dirs["a"])
	assert.Contains(t, errs, "contain the same training: unet dice, seed 0, fold 0 of the run ")
	_, errs = join(exitError, "-model_dir", parts, dirs["a"], dirs["seed"])
	assert.Contains(t, errs, "have different validation cases, so that their figures cannot be compared: the validation case phantom_004 has changed")
	_, errs = join(exitUsage, "-model_dir", dirs["a"], dirs["a"], dirs["b"])
	assert.Contains(t, errs, "-model_dir: "+dirs["a"]+" contains a run")
	_, errs = join(exitUsage, "-model_dir", parts, dirs["a"])
	assert.Contains(t, errs, "at least two runs")
	_, errs = join(exitUsage, dirs["a"], dirs["b"])
	assert.Contains(t, errs, "-model_dir is missing")
	_, errs = join(exitUsage, "-model_dir", parts, "-lr", "0.1", dirs["a"], dirs["b"])
	assert.Contains(t, errs, "-lr has no effect with -join")
	_, errs = join(exitUsage, "-model_dir", parts, dirs["a"], parent)
	assert.Contains(t, errs, "contains no run")
	code, _, errs := runProgram(tinyBraTS(), "-join", "-model_dir", parts, dirs["a"], dirs["b"])
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "was started by picai")
	assert.Equal(t, files, filesOf(t, parts), "nothing is written")

	// A checkpoint of another run in the folder is found out.
	name := filepath.Join("unet", "dice", "checkpoint.safetensors")
	foreign, err := os.ReadFile(filepath.Join(dirs["slow"], name))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dirs["a"], name), foreign, 0o644))
	_, errs = join(exitError, "-model_dir", parts, dirs["a"], dirs["b"])
	assert.Contains(t, errs, "it belongs to the run ")
}

// TestInterruptWhileReadingTheData starts with a context that is done.
func TestInterruptWhileReadingTheData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	code := Run(ctx, tinyPICAI(), append([]string{"-model_dir", dir}, quick...), &bytes.Buffer{}, &bytes.Buffer{})
	assert.Equal(t, exitInterrupted, code)
	assert.NoFileExists(t, filepath.Join(dir, recordName))
	runQuick(t, exitOK, dir, "-epochs", "1", "-loss", "dice")
	var r record
	require.NoError(t, json.Unmarshal([]byte(filesOf(t, dir)[recordName]), &r))
	assert.Len(t, r.Sessions, 1)
}
