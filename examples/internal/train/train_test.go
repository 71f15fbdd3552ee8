package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/phantom"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/weights"
)

// tinySet generates a phantom that all tests of this package share.
var tinySet = sync.OnceValues(func() (*dataset.Set, error) {
	dir, err := os.MkdirTemp("", "train-test-*")
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "phantom")
	if err := phantom.Generate(dir, phantom.Options{Kind: phantom.PICAI, Train: 3, Valid: 2, Size: [3]int{16, 12, 8}, Seed: 3}); err != nil {
		return nil, err
	}
	return dataset.Find(dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if set, err := tinySet(); err == nil {
		// <temporary>/phantom/TrainImage/<file>
		os.RemoveAll(filepath.Dir(filepath.Dir(filepath.Dir(set.Train[0].Images[0]))))
	}
	os.Exit(code)
}

// countingBackend calls step after every update and every predicted case.
type countingBackend struct {
	nn.Backend
	step func()
}

func (b countingBackend) EndStep(keep ...nn.Array) {
	b.Backend.EndStep(keep...)
	if len(keep) == 0 { // within an update, its gradients are kept
		b.step()
	}
}

// tinyJob returns a complete job that takes seconds: two losses and two epochs, each with
// three steps and two validation cases.
func tinyJob(t *testing.T, dir string, step func()) *Job {
	t.Helper()
	set, err := tinySet()
	require.NoError(t, err)
	protocol := dataset.PICAI()
	protocol.Size = [3]int{16, 12, 8}
	backend, err := portable.New(nn.Float32)
	require.NoError(t, err)
	if step != nil {
		backend = countingBackend{backend, step}
	}
	return &Job{
		ID: "0123456789abcdef", Guard: func() error { return nil }, Select: "soft_dice",
		Dir: dir, Title: "tiny", Facts: []string{"a fact"},
		Splits: []dataset.Split{{Train: set.Train, Valid: set.Valid}},
		Networks: []Network{{
			Name: "unet", Title: "UNet",
			New: func(uint64) (nn.Network, error) {
				net := models.UNet{Channels: []int{2, 4, 6}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}}, ResUnits: 2, Norm: models.BatchNorm}
				return models.New(models.Config{Architecture: net, InChannels: set.Channels}, backend, 5)
			},
			Source:      dataset.NewCache(protocol, 1<<30),
			WeightsInfo: map[string]string{"model": "unet"},
		}},
		Losses:  []string{"afl", "dice-ce"},
		Backend: backend,
		Epochs:  2, Seed: 7, LearningRate: 0.1, Momentum: 0.9, WeightDecay: 1e-5,
		Progress: report.NewProgress(&bytes.Buffer{}),
	}
}

// filesOf reads every file below dir.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = raw
		return err
	}))
	return files
}

func assertSameFiles(t *testing.T, want, got map[string][]byte, message string) {
	t.Helper()
	for name := range want {
		assert.True(t, bytes.Equal(want[name], got[name]), "%s: %s differs", message, name)
	}
	assert.Len(t, got, len(want), message)
}

func TestRunWritesEverything(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	job.Detection = &detection.Extraction{}
	run, err := job.Run(context.Background())
	require.NoError(t, err)
	files := filesOf(t, dir)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	assert.Equal(t, []string{
		"cases.csv", "comparisons.csv", "detection.csv", "detection_curves.csv", "epochs.csv", "qualitative.png", "report.html", "results.md", "strata.csv",
		"unet/afl/best.safetensors", "unet/afl/checkpoint.safetensors", "unet/afl/last.safetensors", "unet/detection.png",
		"unet/dice-ce/best.safetensors", "unet/dice-ce/checkpoint.safetensors", "unet/dice-ce/last.safetensors",
		"unet/dice.png", "unet/loss.png",
	}, names)
	assert.Equal(t, run.Markdown()+"\n## Figures\n\n- [report.html](report.html)\n- [qualitative.png](qualitative.png)\n- [unet/loss.png](unet/loss.png)\n- [unet/dice.png](unet/dice.png)\n- [unet/detection.png](unet/detection.png)\n", string(files["results.md"]))
	assert.Equal(t, 1+2, strings.Count(string(files["comparisons.csv"]), "\n"), "A-FL against Dice CE by two measures")
	for _, title := range []string{"Training loss", "Validation Dice", "ROC of cases", "FROC of lesions"} {
		assert.Contains(t, string(files["report.html"]), `"title":"`+title, "a chart")
	}
	assert.Equal(t, 1+2*2, strings.Count(string(files["epochs.csv"]), "\n"))
	assert.Equal(t, 1+2*2, strings.Count(string(files["cases.csv"]), "\n"))
	for name, raw := range files {
		if !strings.HasSuffix(name, "safetensors") && !strings.HasSuffix(name, "png") {
			assert.NotContains(t, string(raw), "NaN", name)
		}
	}

	require.Len(t, run.Results, 2)
	for _, l := range run.Results {
		require.Len(t, l.Epochs, 2)
		require.Len(t, l.Cases, 2)
		best := l.Epochs[l.BestEpoch-1]
		for _, e := range l.Epochs {
			assert.GreaterOrEqual(t, float64(best.Valid[outcome.SoftDice].Value), float64(e.Valid[outcome.SoftDice].Value))
			assert.Greater(t, e.TrainLoss, 0.0)
		}
		// The final evaluation reads the weights back from disk, so equal results mean
		// that the file contains the best epoch's weights.
		means := outcome.MeanOf(l.Cases)
		assert.Equal(t, best.Valid[:outcome.Hausdorff95], means[:outcome.Hausdorff95], l.Loss)
		// The second case of the phantom has no tumor.
		assert.False(t, l.Cases[1].Values[outcome.Sensitivity].Defined())
		assert.True(t, l.Cases[0].Values[outcome.Sensitivity].Defined())
		assert.Equal(t, &outcome.Reference{}, l.Cases[1].Reference)
		assert.Positive(t, l.Cases[0].Reference.Volume)
		assert.Positive(t, l.Cases[0].Reference.Smoothness)
		lesion := func(e outcome.DetectionEntry) bool { return e.Lesion }
		assert.True(t, slices.ContainsFunc(l.Cases[0].Detection.Entries, lesion))
		assert.False(t, slices.ContainsFunc(l.Cases[1].Detection.Entries, lesion))
		assert.Positive(t, l.Cases[1].Detection.Confidence)
	}
	assert.Less(t, run.Results[0].Epochs[1].TrainLoss, run.Results[0].Epochs[0].TrainLoss, "training reduces the loss")

	first, metadata, err := weights.Load(filepath.Join(dir, "unet", "afl", "last.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"run": "0123456789abcdef", "loss": "afl", "seed": "7", "epochs": "2", "selected_by": "soft_dice", "model": "unet", "prediction_rule": "SigmoidChannel1"}, metadata)
	_, metadata, err = weights.Load(filepath.Join(dir, "unet", "afl", "best.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprint(run.Results[0].BestEpoch), metadata["epochs"])
	second, _, err := weights.Load(filepath.Join(dir, "unet", "dice-ce", "last.safetensors"))
	require.NoError(t, err)
	assert.NotEqual(t, first["model.0.conv.unit0.conv.weight"].Data(), second["model.0.conv.unit0.conv.weight"].Data())
}

// TestResumeIsBitIdentical stops a run of one loss after each of its steps in turn, including
// those of the validation and the final evaluation, and one of two losses after every three
// steps. It compares every file of the resumed runs with those of uninterrupted ones.
func TestResumeIsBitIdentical(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	// stoppedAfter runs the job up to its n-th step from now; 0 never stops.
	stoppedAfter := func(dir string, n int, losses ...string) (steps int, err error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		job := tinyJob(t, dir, func() {
			if steps++; steps == n {
				cancel()
			}
		})
		job.Losses = losses
		_, err = job.Run(ctx)
		if n > 0 && err != nil {
			assert.Equal(t, n, steps, "the current step is completed and no other started")
		}
		return steps, err
	}

	whole := t.TempDir()
	steps, err := stoppedAfter(whole, 0, "afl")
	require.NoError(t, err)
	require.Equal(t, 2*(3+2)+2+1, steps, "two epochs of three steps and two cases, a final evaluation of two cases, and one case of the figure")
	want := filesOf(t, whole)
	for n := 1; n < steps; n++ {
		dir := t.TempDir()
		_, err := stoppedAfter(dir, n, "afl")
		require.ErrorIs(t, err, ErrInterrupted, "step %d", n)
		_, err = stoppedAfter(dir, 0, "afl")
		require.NoError(t, err)
		assertSameFiles(t, want, filesOf(t, dir), fmt.Sprintf("stopped after step %d", n))
	}

	whole = t.TempDir()
	steps, err = stoppedAfter(whole, 0, "afl", "dice-ce")
	require.NoError(t, err)
	require.Equal(t, 2*(2*(3+2)+2+1), steps)
	dir, runs := t.TempDir(), 1
	for ; ; runs++ {
		require.Less(t, runs, 100, "every run of three steps makes progress")
		if _, err := stoppedAfter(dir, 3, "afl", "dice-ce"); err == nil {
			break
		}
	}
	assert.Greater(t, runs, 4)
	assertSameFiles(t, filesOf(t, whole), filesOf(t, dir), "stopped repeatedly")
}

// TestSeveralNetworks trains two networks with two losses, and also stops in the second
// network and resumes.
func TestSeveralNetworks(t *testing.T) {
	job := func(dir string, step func()) *Job {
		j := tinyJob(t, dir, step)
		second := j.Networks[0]
		second.Name, second.Title = "mrrn", "MRRN"
		channels := 3
		second.New = func(uint64) (nn.Network, error) {
			return models.New(models.Config{Architecture: models.MRRN{Width: 2, Dropout: 0.5}, InChannels: channels}, j.Backend, 5)
		}
		second.WeightsInfo = map[string]string{"model": "mrrn"}
		j.Networks, j.Epochs = append(j.Networks, second), 1
		return j
	}
	whole := t.TempDir()
	var out bytes.Buffer
	j := job(whole, nil)
	j.Progress = report.NewProgress(&out)
	run, err := j.Run(context.Background())
	require.NoError(t, err)
	var rows []string
	for _, r := range run.Results {
		rows = append(rows, r.Network+" "+r.Loss)
	}
	assert.Equal(t, []string{"unet afl", "unet dice-ce", "mrrn afl", "mrrn dice-ce"}, rows)
	for _, want := range []string{"Network 2 of 2: mrrn", "Loss 2 of 2: dice-ce", "mrrn afl: done", "mrrn dice-ce  epoch 1/1  loss"} {
		assert.Contains(t, out.String(), want)
	}
	files := filesOf(t, whole)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"cases.csv", "comparisons.csv", "epochs.csv"}
	for _, network := range []string{"mrrn", "unet"} {
		for _, name := range []string{
			"afl/best.safetensors", "afl/checkpoint.safetensors", "afl/last.safetensors",
			"dice-ce/best.safetensors", "dice-ce/checkpoint.safetensors", "dice-ce/last.safetensors", "dice.png", "loss.png",
		} {
			want = append(want, network+"/"+name)
		}
		if network == "mrrn" {
			want = append(want, "qualitative.png", "report.html", "results.md", "strata.csv")
		}
	}
	assert.Equal(t, want, names)
	_, metadata, err := weights.Load(filepath.Join(whole, "mrrn", "afl", "last.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, "mrrn", metadata["model"])
	for _, network := range []string{"unet", "mrrn"} {
		assert.Contains(t, string(files["epochs.csv"]), "\n0123456789abcdef,"+network+",afl,7,0,1,")
	}
	assert.Contains(t, string(files["results.md"]), "| MRRN  | Dice CE |")

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	left := 2*(3+2+2) + 4 // both losses of the first network, and a few steps more
	_, err = job(dir, func() {
		if left--; left == 0 {
			cancel()
		}
	}).Run(ctx)
	require.ErrorIs(t, err, ErrInterrupted)
	_, err = job(dir, nil).Run(context.Background())
	require.NoError(t, err)
	assertSameFiles(t, files, filesOf(t, dir), "stopped in the second network")
}

func TestInterruptionWritesAValidCheckpoint(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	var out bytes.Buffer
	job := tinyJob(t, dir, func() {
		if done++; done == 7 { // three steps, two cases, two steps
			cancel()
		}
	})
	job.Progress = report.NewProgress(&out)
	_, err := job.Run(ctx)
	require.ErrorIs(t, err, ErrInterrupted)
	assert.Contains(t, out.String(), "Stopped afl in epoch 2 of 2 after step 2 of 3")

	trainings, err := job.trainings()
	require.NoError(t, err)
	trainer := trainings[0]
	require.NotEmpty(t, trainer.saved)
	assert.Equal(t, 2, trainer.state.Epoch)
	assert.Len(t, trainer.state.Done, 2)
	assert.Len(t, trainer.state.History, 1)
	assert.Nil(t, trainer.state.Evaluation)
	require.NoError(t, trainer.restore())
	velocity, err := trainer.optimizer.StateDict(job.Backend)
	require.NoError(t, err)
	assert.Len(t, velocity, len(trainer.net.Parameters()))
}

func TestContextCanceledBeforeTheFirstStep(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	_, err := tinyJob(t, dir, nil).Run(ctx)
	require.ErrorIs(t, err, ErrInterrupted)
	assert.FileExists(t, filepath.Join(dir, "unet", "afl", "checkpoint.safetensors"))
}

func TestFinishedLossesAreNotRunAgain(t *testing.T) {
	dir := t.TempDir()
	first := tinyJob(t, dir, nil)
	first.Losses = []string{"afl"}
	_, err := first.Run(context.Background())
	require.NoError(t, err)

	steps := 0
	again, err := tinyJob(t, dir, func() { steps++ }).Run(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 2*(3+2)+2+2, steps, "only dice-ce is trained, and the figure drawn with both")
	assert.Equal(t, "afl", again.Results[0].Loss)
	assert.Len(t, again.Results[0].Cases, 2)

	steps = 0
	_, err = tinyJob(t, dir, func() { steps++ }).Run(context.Background())
	require.NoError(t, err)
	assert.Zero(t, steps)

	require.NoError(t, os.Remove(filepath.Join(dir, "qualitative.png")))
	_, err = tinyJob(t, dir, func() { steps++ }).Run(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 2, steps, "only the figure is drawn")
}

func TestStepsBoundsAnEpoch(t *testing.T) {
	dir, steps := t.TempDir(), 0
	job := tinyJob(t, dir, func() { steps++ })
	job.Losses, job.Steps = []string{"dice"}, 2
	_, err := job.Run(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 2*(2+2)+2+1, steps)
}

func TestDivergenceIsReportedAndTheRunContinues(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	job.LearningRate = 1e30
	var out bytes.Buffer
	job.Progress = report.NewProgress(&out)
	run, err := job.Run(context.Background())
	require.NoError(t, err)
	require.Len(t, run.Results, 2)
	for _, l := range run.Results {
		require.NotNil(t, l.Diverged, l.Loss)
		assert.Equal(t, 1, l.Diverged.Epoch)
		assert.Equal(t, 2, l.Diverged.Step, "the first update ruins the weights")
		assert.Empty(t, l.Epochs)
		assert.Empty(t, l.Cases)
		assert.Zero(t, l.BestEpoch)
		assert.Contains(t, out.String(), l.Loss+" diverged in epoch 1 at step 2")
	}
	md := run.Markdown()
	assert.Contains(t, md, "– (diverged)")
	assert.Contains(t, md, "no epoch was completed, so there are no results")
	assert.NotContains(t, md, "| NaN")

	again, err := tinyJob(t, dir, nil).Run(context.Background())
	require.NoError(t, err)
	assert.Equal(t, run.Results[0].Diverged, again.Results[0].Diverged, "the divergence is in the checkpoint")
}

func TestDamagedCheckpointsAreNamed(t *testing.T) {
	whole := t.TempDir()
	job := tinyJob(t, whole, nil)
	job.Losses, job.Epochs = []string{"dice"}, 1
	_, err := job.Run(context.Background())
	require.NoError(t, err)
	path := filepath.Join(whole, "unet", "dice", "checkpoint.safetensors")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	tensors, metadata, err := weights.Load(path)
	require.NoError(t, err)

	resume := func() error {
		job := tinyJob(t, whole, nil)
		job.Losses, job.Epochs = []string{"dice"}, 1
		_, err := job.Run(context.Background())
		return err
	}
	require.NoError(t, resume())
	save := func(tensors map[string]*tensor.Dense, change map[string]string) error {
		changed := maps.Clone(metadata)
		maps.Copy(changed, change)
		return weights.Save(path, tensors, changed)
	}
	before, _, found := strings.Cut(metadata["state"], `"evaluation":`)
	require.True(t, found)
	unfinished := map[string]string{"state": before + `"evaluation":null}`}
	for name, damage := range map[string]func() error{
		"empty":     func() error { return os.WriteFile(path, nil, 0o644) },
		"truncated": func() error { return os.WriteFile(path, good[:len(good)-5], 0o644) },
		"header":    func() error { return os.WriteFile(path, append([]byte{0xff, 0xff, 0xff}, good[3:]...), 0o644) },
		"format": func() error {
			return save(tensors, map[string]string{"format": "another"})
		},
		"no JSON": func() error {
			return save(tensors, map[string]string{"state": "{"})
		},
		"other version": func() error {
			return save(tensors, map[string]string{"format": "afl training state 1"})
		},
		"other run": func() error {
			return save(tensors, map[string]string{"run": "f"})
		},
		"other loss": func() error {
			return save(tensors, map[string]string{"state": strings.Replace(metadata["state"], `"dice"`, `"afl"`, 1)})
		},
		"missing tensor": func() error {
			less := maps.Clone(tensors)
			delete(less, "network.model.0.conv.unit0.conv.weight")
			return save(less, unfinished)
		},
		"stray tensor": func() error {
			more := maps.Clone(tensors)
			more["else"] = more["network.model.0.conv.unit0.conv.weight"]
			return save(more, unfinished)
		},
	} {
		require.NoError(t, damage(), name)
		err := resume()
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "checkpoint", name)
		assert.Contains(t, err.Error(), path, name)
		switch name {
		case "other version":
			assert.ErrorContains(t, err, "written by another version of this project")
		case "other run":
			assert.ErrorContains(t, err, "it belongs to the run f, not to 0123456789abcdef")
		}
	}
}

func TestStateCheck(t *testing.T) {
	job := tinyJob(t, t.TempDir(), nil)
	id := job.Splits[0].Train[0].ID
	epochs := func(n int) []outcome.Epoch { return make([]outcome.Epoch, n) }
	key := Key{Network: "unet", Loss: "afl", Seed: 7}
	good := state{Network: "unet", Loss: "afl", Seed: 7, Epoch: 2, Done: []string{id}, History: epochs(1), BestEpoch: 1}
	require.NoError(t, good.check(key, job.plan()))
	for name, change := range map[string]func(*state){
		"epoch 0":       func(s *state) { s.Epoch = 0 },
		"epoch 4":       func(s *state) { s.Epoch, s.History = 4, epochs(3) },
		"contains the":  func(s *state) { s.History = nil },
		"best epoch":    func(s *state) { s.BestEpoch = 2 },
		"best epoch is": func(s *state) { s.BestEpoch = 0 },
		"nobody":        func(s *state) { s.Done = []string{"nobody"} },
		"more than 1 t": func(s *state) { s.Done = []string{id, id} },
		"belongs to":    func(s *state) { s.Loss = "dice" },
		"to the networ": func(s *state) { s.Network = "mrrn" },
		"to the seed 8": func(s *state) { s.Seed = 8 },
		"the fold 1":    func(s *state) { s.Fold = 1 },
		"an evaluation": func(s *state) { s.Evaluation = &evaluation{Epochs: 2} },
	} {
		s := good
		change(&s)
		assert.ErrorContains(t, s.check(key, job.plan()), name)
	}
}

func TestJobCheck(t *testing.T) {
	for want, change := range map[string]func(*Job){
		"ID is empty":          func(j *Job) { j.ID = "" },
		"Guard is nil":         func(j *Job) { j.Guard = nil },
		"Select is \"luck\"":   func(j *Job) { j.Select = "luck" },
		"Networks is empty":    func(j *Job) { j.Networks = nil },
		"Losses is empty":      func(j *Job) { j.Losses = nil },
		"Splits is empty":      func(j *Job) { j.Splits = nil },
		"validation cases and": func(j *Job) { j.Splits[0].Test = []dataset.Case{} },
		"training and the tes": func(j *Job) { j.Splits[0].Test = j.Splits[0].Train[:1] },
		"training and the val": func(j *Job) { j.Splits[0].Valid = j.Splits[0].Train[:1] },
		"Seeds is -1":          func(j *Job) { j.Seeds = -1 },
		"no seed above":        func(j *Job) { j.Seed, j.Seeds = 1<<64-2, 3 },
		"0 training":           func(j *Job) { j.Splits[0].Train = nil },
		"0 validation":         func(j *Job) { j.Splits[0].Valid = nil },
		"Epochs is 0":          func(j *Job) { j.Epochs = 0 },
		"Steps is -1":          func(j *Job) { j.Steps = -1 },
		"Detection is set, bu": func(j *Job) {
			j.Detection, j.Scheme = &detection.Extraction{}, segment.Scheme{Kind: segment.Classes, Segments: []segment.Segment{{Name: "1", Labels: []int{1}}}}
		},
		"has no label":         func(j *Job) { j.Splits[0].Valid = []dataset.Case{{ID: "bare"}} },
		`"nothing"`:            func(j *Job) { j.Losses = []string{"nothing"} },
		"folder that is a fil": func(j *Job) { j.Dir = filepath.Join(j.Dir, "folder that is a file") },
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "folder that is a file"), nil, 0o644))
		job := tinyJob(t, dir, nil)
		change(job)
		_, err := job.Run(context.Background())
		assert.ErrorContains(t, err, want)
	}
}

func TestMissingImageStopsTheRun(t *testing.T) {
	dir := t.TempDir()
	job := tinyJob(t, dir, nil)
	job.Splits[0].Train = slices.Clone(job.Splits[0].Train)
	job.Splits[0].Train[1].Images = slices.Clone(job.Splits[0].Train[1].Images)
	job.Splits[0].Train[1].Images[0] = filepath.Join(dir, "gone_t2w.nii.gz")
	_, err := job.Run(context.Background())
	require.ErrorContains(t, err, "gone_t2w")
	assert.NotErrorIs(t, err, ErrInterrupted)
}

// failingSource fails once left samples have been requested.
type failingSource struct {
	dataset.Source
	left *atomic.Int64
}

var errSource = errors.New("the disk is gone")

func (s failingSource) Train(c dataset.Case, seed uint64) (*dataset.Sample, error) {
	if s.left.Add(-1) < 0 {
		return nil, errSource
	}
	return s.Source.Train(c, seed)
}

// TestResumeAfterErrorIsBitIdentical resumes after an error, which like a crash leaves the
// checkpoint of the last epoch, possibly together with newer best weights.
func TestResumeAfterErrorIsBitIdentical(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	whole := t.TempDir()
	_, err := tinyJob(t, whole, nil).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)
	// Each loss reads six samples.
	for _, n := range []int64{0, 2, 3, 5, 7, 10} {
		dir := t.TempDir()
		job := tinyJob(t, dir, nil)
		left := &atomic.Int64{}
		left.Store(n)
		job.Networks[0].Source = failingSource{job.Networks[0].Source, left}
		_, err := job.Run(context.Background())
		require.ErrorIs(t, err, errSource, "sample %d", n)
		_, err = tinyJob(t, dir, nil).Run(context.Background())
		require.NoError(t, err)
		assertSameFiles(t, want, filesOf(t, dir), fmt.Sprintf("error at sample %d", n))
	}
}

func TestDropoutSeedsDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range uint64(3) {
		for epoch := range 20 {
			for step := range 20 {
				seen[dropoutSeed(seed, epoch, step)] = true
			}
		}
	}
	assert.Len(t, seen, 3*20*20)
}
