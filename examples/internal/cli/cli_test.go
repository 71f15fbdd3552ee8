package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/phantom"
)

// filesOf reads every file below dir, except the phantom.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "phantom" {
				return fs.SkipDir
			}
			return nil
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(raw)
		return err
	}))
	return files
}

// assertSameRun checks that two run folders have the same files, except for the sessions of
// run.json.
func assertSameRun(t *testing.T, want, got map[string]string, message string) {
	t.Helper()
	for name := range want {
		if name != recordName {
			assert.True(t, want[name] == got[name], "%s: %s differs", message, name)
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)), message)
	a, b := parseRecord(t, want[recordName]), parseRecord(t, got[recordName])
	assert.NotEmpty(t, b.Sessions, message)
	a.Sessions, b.Sessions = nil, nil
	assert.Equal(t, a.withoutVersions(), b.withoutVersions(), message)
}

func parseRecord(t *testing.T, raw string) *record {
	t.Helper()
	var r record
	require.NoError(t, json.Unmarshal([]byte(raw), &r))
	return &r
}

// withoutVersions removes what identifies the files on their disk.
func (r *record) withoutVersions() *record {
	for _, cases := range [][]fingerprint.Case{r.Data.Train, r.Data.Valid} {
		for i := range cases {
			cases[i].Label.Version = ""
			for k := range cases[i].Images {
				cases[i].Images[k].Version = ""
			}
		}
	}
	return r
}

// cancelAt is a buffer that calls cancel when text is written to it.
type cancelAt struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (c *cancelAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) {
		c.cancel()
	}
	return c.Buffer.Write(p)
}

func TestPhantomRunFromStartToEnd(t *testing.T) {
	for _, c := range []struct {
		program Program
		args    string
		want    []string
	}{
		{tinyPICAI(), "-size 32,32,24", []string{
			"Network strides: (2,2,2), (2,2,2), (2,2,2), (2,2,1); 32×32×24 voxels cannot be divided once more along Z.",
			"Size: images resized to 32×32×24 voxels by averaging, labels by nearest neighbor.",
			"Network: unet, 302377 parameters. A training step on 32×32×24 voxels takes 0.1 GFLOP and about ",
		}},
		{tinyBraTS(), "-patch 32,48,32", []string{
			"Training patches: 32×48×32 voxels, drawn anywhere; a volume that is shorter along an axis is kept whole along that axis.",
			"Prediction: validation and reported cases whole, in one pass of the network.",
			"Network: unet, 302593 parameters. A training step on 32×32×32 voxels (case phantom_001) takes 0.1 GFLOP and about 64 MiB of memory, a prediction of 32×32×32 voxels (case phantom_004) 56 MiB.",
			"Training steps per epoch: at most 2",
		}},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		args := append([]string{"-model_dir", dir, "-epochs", "1", "-steps", "2", "-loss", "afl,dice-ce"}, strings.Fields(c.args)...)
		code, out, errs := runProgram(c.program, args...)
		require.Equal(t, exitOK, code, errs)
		assert.Empty(t, errs)
		for _, want := range append(c.want,
			"SYNTHETIC phantom", "Cases: 3 for training, 2 for validation",
			"Loss 1 of 2: afl", "Loss 2 of 2: dice-ce", "afl  epoch 1/1  loss ",
			"| Loss    |", "| A-FL    |", "| Dice CE |", "Written to "+dir,
		) {
			assert.Contains(t, out, want, c.program.Name)
		}
		files := filesOf(t, dir)
		for _, name := range []string{
			"run.json", "results.md", "epochs.csv", "cases.csv", "comparisons.csv", "strata.csv", "qualitative.png", "report.html", "unet/loss.png", "unet/dice.png",
			"unet/afl/best.safetensors", "unet/afl/last.safetensors", "unet/dice-ce/best.safetensors", "unet/dice-ce/last.safetensors",
		} {
			assert.NotEmpty(t, files[name], name)
		}
		_, tables, found := strings.Cut(files["results.md"], "\n## ")
		require.True(t, found)
		tables, figures, found := strings.Cut(tables, "\n## Figures\n")
		require.True(t, found)
		assert.Contains(t, out, tables)
		assert.Contains(t, figures, "[report.html](report.html)\n- [qualitative.png](qualitative.png)\n- [unet/loss.png](unet/loss.png)\n")
		assert.Contains(t, files["results.md"], "SYNTHETIC")
		assert.NotContains(t, files["results.md"], "paper:", "the paper has no figures for a phantom")
		assert.NotContains(t, out, "NaN")

		code, _, errs = runProgram(c.program, args...)
		assert.Equal(t, exitUsage, code)
		assert.Contains(t, errs, "already contains a run")
		assert.Equal(t, files, filesOf(t, dir), "nothing is overwritten")
	}
}

// TestSeveralNetworks trains three networks that pad the volumes differently and
// checks for the paper's second table.
func TestSeveralNetworks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, out, errs := runProgram(tinyPICAI(), "-model_dir", dir, "-epochs", "1", "-steps", "1", "-max_cases", "1",
		"-model", "unet,mrrn,regunet", "-loss", "fl,afl", "-size", "16,16,20")
	require.Equal(t, exitOK, code, errs)
	for _, want := range []string{
		"Network: unet, 302377 parameters.", "Network: mrrn, 309634 parameters.", "Network: regunet, 2207696 parameters. A training step on 16×16×24 voxels",
		"Volumes of 16×16×20 voxels are padded with zeros to 16×16×32: unet requires multiples of 16×16×16.",
		"Volumes of 16×16×20 voxels are padded with zeros to 16×16×24: regunet requires multiples of 8×8×8.",
		"Network 3 of 3: regunet", "mrrn fl  epoch 1/1  loss ",
		"# picai: unet, mrrn, regunet, epochs 1, seed 0 (synthetic phantom)",
		"\n| Model   | Loss |", "\n| UNet    | FL   |", "\n| UNet    | A-FL |", "\n| RegUNet | A-FL |",
	} {
		assert.Contains(t, out, want)
	}
	files := filesOf(t, dir)
	for _, name := range []string{"results.md", "epochs.csv", "cases.csv", "mrrn/dice.png", "mrrn/afl/best.safetensors", "regunet/fl/last.safetensors"} {
		assert.NotEmpty(t, files[name], name)
	}
	assert.Contains(t, files["mrrn/afl/best.safetensors"], `\"network\":\"mrrn\",\"in_channels\":3`)

	code, _, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-model", "unet,mrrn", "-lr", "0.003")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-model_dir: "+dir+" already contains a run")
	code, _, errs = runProgram(tinyPICAI(), "-model_dir", dir, "-resume", "-model", "unet")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-model is unet, but the run in "+dir+" was started with unet,mrrn,regunet")
}

func TestStopAndResume(t *testing.T) {
	p := tinyPICAI()
	run := func(stopAt, dir string, args ...string) (int, string, string) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		out, errs := &cancelAt{text: stopAt, cancel: cancel}, &bytes.Buffer{}
		code := Run(ctx, p, append([]string{"-model_dir", dir}, args...), out, errs)
		return code, out.String(), errs.String()
	}
	settings := []string{"-epochs", "2", "-loss", "afl,dice", "-size", "32,32,16", "-seed", "4"}
	const never = "text that is never written"

	whole := filepath.Join(t.TempDir(), "whole")
	code, _, errs := run(never, whole, settings...)
	require.Equal(t, exitOK, code, errs)

	dir := filepath.Join(t.TempDir(), "stopped")
	code, out, errs := run("afl  epoch 1/2", dir, settings...)
	require.Equal(t, exitInterrupted, code, errs)
	assert.Contains(t, out, "Stopped afl")
	assert.Contains(t, out, "To resume, use the flags: -model_dir "+dir+" -resume\n")
	assert.NotContains(t, filesOf(t, dir), "results.md")

	// A flag with another value is rejected by name, and no file changes.
	before := filesOf(t, dir)
	for flag, value := range map[string]string{
		"epochs": "1", "loss": "afl", "model": "mrrn", "select": "last", "size": "48,32,16", "seed": "5", "lr": "0.2", "momentum": "0.5", "weight_decay": "0",
		"steps": "1", "max_cases": "1", "label_area": "true", "data_dir": "/elsewhere", "phantom_train": "9",
	} {
		code, _, errs := run(never, dir, "-resume", "-"+flag+"="+value)
		assert.Equal(t, exitUsage, code, flag)
		assert.Contains(t, errs, "-"+flag+" is "+value+", but the run in "+dir+" was started with", flag)
		assert.Equal(t, 1, strings.Count(errs, "\n"))
	}
	code, _, errs = run(never, dir, settings...)
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "-resume")
	assert.Equal(t, before, filesOf(t, dir))

	// The same flags again, then none, which restores them from the record.
	code, _, errs = run("dice  epoch 1/2", dir, append(settings, "-resume", "-cache", "0")...)
	require.Equal(t, exitInterrupted, code, errs)
	code, out, errs = run(never, dir, "-resume")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "afl: already finished")
	want, got := filesOf(t, whole), filesOf(t, dir)
	assertSameRun(t, want, got, "stopped twice")

	other := tinyBraTS()
	code, _, errs = runProgram(other, "-model_dir", dir, "-resume")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "was started by picai")
}

// TestSignalNamesCurrentUnit sends SIGINT to this process.
func TestSignalNamesCurrentUnit(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	defer write.Close()
	stderr := os.Stderr
	os.Stderr = write
	defer func() { os.Stderr = stderr }()
	lines := bufio.NewScanner(read)
	var notice string
	code := interruptible("window", func(ctx context.Context) int {
		require.NoError(t, self.Signal(os.Interrupt))
		<-ctx.Done()
		for notice == "" && lines.Scan() {
			notice = lines.Text()
		}
		return exitInterrupted
	})
	assert.Equal(t, exitInterrupted, code)
	assert.Equal(t, "Stopping after the current window; interrupt again to stop immediately.", notice)
}

// TestSecondInterruptKills interrupts a process that does not stop, again and again.
func TestSecondInterruptKills(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted from outside on Windows")
	}
	const hang = "CLI_TEST_HANG"
	if os.Getenv(hang) != "" {
		interruptible("step", func(context.Context) int {
			fmt.Println("ready")
			time.Sleep(10 * time.Minute)
			return exitOK
		})
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestSecondInterruptKills$")
	cmd.Env = append(os.Environ(), hang+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		cmd.Process.Signal(os.Interrupt) // an error once it has ended
		select {
		case err := <-ended:
			require.Error(t, err)
			assert.Equal(t, -1, cmd.ProcessState.ExitCode(), "ended by a signal")
			return
		case <-time.After(sameRequest / 4):
		}
	}
}

func TestResumeNeedsTheSameCases(t *testing.T) {
	p := tinyBraTS()
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, phantom.Generate(data, phantom.Options{Kind: phantom.BraTS, Train: 3, Valid: 1, Size: [3]int{32, 32, 16}}))
	require.NoError(t, os.Remove(filepath.Join(data, "phantom.json")), "so that it passes for patients")
	dir := t.TempDir()
	code, out, errs := runProgram(p, "-data_dir", data, "-model_dir", dir, "-epochs", "1", "-max_cases", "2", "-loss", "fl")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Data: "+data+", layout TrainImage.")
	assert.Contains(t, out, "Cases: 2 for training, 1 for validation; image channels: 4.")
	assert.NotContains(t, out, "SYNTHETIC")
	assert.Regexp(t, `## Beside the paper's figures for BraTS\n\n.*\n.*\n\| FL .*\| +0\.831 \|.*\| +0\.894 \|.*\| +2 \|\n`, out)

	for _, name := range []string{"TrainImage/phantom_001_image.nii.gz", "TrainLabel/phantom_001_gt.nii.gz"} {
		require.NoError(t, os.Remove(filepath.Join(data, name)))
	}
	code, _, errs = runProgram(p, "-model_dir", dir, "-resume")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "-data_dir: "+data+": the training case phantom_001, which the run started with, is missing")
}

func TestCheckpointsWithoutRecordAreRejected(t *testing.T) {
	for _, folder := range []string{"afl", "unet/afl"} { // of a run of one network and of several
		dir := filepath.Join(t.TempDir(), "a[b*?") // a name that must not be read as a pattern
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, folder, "checkpoint.safetensors"), nil, 0o644))
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(dir, link))
		for _, dir := range []string{dir, link} {
			code, _, errs := runProgram(tinyPICAI(), "-model_dir", dir)
			assert.Equal(t, exitUsage, code)
			assert.Contains(t, errs, filepath.Join(dir, folder, "checkpoint.safetensors")+" exists, but")
		}
	}
}

func TestUnsuitableDefaultSizeIsPadded(t *testing.T) {
	p := tinyPICAI()
	p.Protocol.Size = [3]int{32, 32, 20}
	code, out, errs := runProgram(p, "-model_dir", t.TempDir(), "-epochs", "1", "-steps", "1", "-max_cases", "1", "-label_area")
	require.Equal(t, exitOK, code, errs)
	assert.Contains(t, out, "Size: images resized to 32×32×20 voxels by averaging, labels by averaging, which enlarges lesions (-label_area).\n")
	assert.Contains(t, out, "Volumes of 32×32×20 voxels are padded with zeros to 32×32×32: unet requires multiples of 16×16×16.\n")
}

func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, recordName), []byte("{"), 0o644))
	code, _, errs := runProgram(tinyPICAI(), "-model_dir", dir, "-resume")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, recordName)
}
