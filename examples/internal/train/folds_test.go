package train

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
)

// foldJob returns a job of one loss and one epoch on three folds of five cases, a number of
// seeds, and either the validation cases or the next folds reported.
func foldJob(t *testing.T, dir string, seeds int, next bool, step func()) *Job {
	t.Helper()
	job := tinyJob(t, dir, step)
	cases := slices.Concat(job.Splits[0].Train, job.Splits[0].Valid)
	folds, err := dataset.DealFolds(cases, 3, 1)
	require.NoError(t, err)
	job.Splits, err = folds.Splits(cases, next, nil)
	require.NoError(t, err)
	job.Losses, job.Epochs, job.Seeds = []string{"afl"}, 1, seeds
	job.Networks[0].New = func(seed uint64) (nn.Network, error) {
		net := models.UNet{Channels: []int{2, 4}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.BatchNorm}
		return models.New(models.Config{Architecture: net, InChannels: 3}, job.Backend, seed)
	}
	if next {
		job.Report = outcome.OnNextFold
	}
	return job
}

// usedCases is a Source that records which cases each training trains on.
type usedCases struct {
	dataset.Source
	mu    sync.Mutex
	train []string
}

func (s *usedCases) Train(c dataset.Case, seed uint64) (*dataset.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.train = append(s.train, c.ID)
	return s.Source.Train(c, seed)
}

// TestFolds checks that every case is reported once a seed, that no training has seen the cases
// that it reports or selects by, and what the files say.
func TestFolds(t *testing.T) {
	for _, next := range []bool{false, true} {
		dir := t.TempDir()
		job := foldJob(t, dir, 2, next, nil)
		source := &usedCases{Source: job.Networks[0].Source}
		job.Networks[0].Source = source
		var out bytes.Buffer
		job.Progress = report.NewProgress(&out)
		run, err := job.Run(context.Background())
		require.NoError(t, err)
		require.Len(t, run.Results, 6)

		trained := 0
		for i, l := range run.Results {
			assert.Equal(t, [2]int{7 + i/3, i % 3}, [2]int{int(l.Seed), l.Fold}, "by seed, then by fold")
			s := job.Splits[l.Fold]
			var ids []string
			for _, c := range l.Cases {
				ids = append(ids, c.ID)
			}
			assert.Equal(t, caseIDs(s.Reported()), ids)
			assert.Equal(t, len(s.Valid), l.Epochs[0].Cases)
			used := source.train[trained : trained+len(s.Train)]
			trained += len(s.Train)
			assert.ElementsMatch(t, caseIDs(s.Train), used)
			for _, id := range append(ids, caseIDs(s.Valid)...) {
				assert.NotContains(t, used, id)
			}
		}
		assert.Len(t, source.train, trained)

		pooled := run.Results.Pool()
		require.Len(t, pooled, 1)
		require.Len(t, pooled[0].Cases, 2*5)
		for i, c := range pooled[0].Cases {
			assert.EqualValues(t, 7+i%2, c.Seed)
			assert.Equal(t, pooled[0].Cases[i/2*2].ID, c.ID)
		}
		assert.NotEqual(t, run.Results[0].Epochs[0].TrainLoss, run.Results[3].Epochs[0].TrainLoss, "another seed")
		assert.Len(t, outcome.OverSeeds(pooled[0].Cases), 5)

		files := filesOf(t, dir)
		for _, name := range []string{
			"fold0/unet/afl/best.safetensors", "fold2/unet/afl/checkpoint.safetensors", "seed8/fold1/unet/afl/last.safetensors",
			"unet/dice.png", "unet/loss.png", "qualitative.png", "report.html",
		} {
			assert.Contains(t, files, name)
		}
		assert.Len(t, files, 6*3+2+7)
		assert.Equal(t, 1+2*5, strings.Count(string(files["cases.csv"]), "\n"))
		assert.Contains(t, string(files["epochs.csv"]), "\n0123456789abcdef,unet,afl,8,1,1,")
		md := string(files["results.md"])
		assert.Equal(t, !next, strings.Contains(md, "optimistic"))
		assert.Contains(t, md, "pools the trainings of 3 folds × 2 seeds")
		assert.Contains(t, out.String(), "Training 4 of 6: seed 8 fold 0\n")
		assert.Contains(t, out.String(), "afl seed 8 fold 2  epoch 1/1  loss ")
	}
}

func caseIDs(cases []dataset.Case) (ids []string) {
	for _, c := range cases {
		ids = append(ids, c.ID)
	}
	return ids
}

// TestFoldsResumeAndGrow stops a run of folds at its boundaries and in between, adds seeds to
// it, and compares every file with those of a run that had them from the start.
func TestFoldsResumeAndGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for minutes under the race detector, and other tests cover the same concurrency")
	}
	whole, steps := t.TempDir(), 0
	_, err := foldJob(t, whole, 2, true, func() { steps++ }).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)
	job := foldJob(t, whole, 2, true, nil)
	var ends []int // the last step of each training
	for range 2 {
		for _, s := range job.Splits {
			last := 0
			if len(ends) > 0 {
				last = ends[len(ends)-1]
			}
			ends = append(ends, last+len(s.Train)+len(s.Valid)+len(s.Test))
		}
	}
	require.Greater(t, steps, ends[5], "and the figure")
	for name, stop := range map[string]int{
		"the end of fold 0": ends[0], "the validation of fold 1": ends[0] + len(job.Splits[1].Train) + 1,
		"the evaluation of fold 1": ends[1] - 1, "fold 1 of seed 8": ends[3] + 1, "the figure": ends[5] + 1,
	} {
		dir := t.TempDir()
		stopAfter(t, stop, func(step func()) *Job { return foldJob(t, dir, 2, true, step) })
		_, err := foldJob(t, dir, 2, true, nil).Run(context.Background())
		require.NoError(t, err, name)
		assertSameFiles(t, want, filesOf(t, dir), "stopped at "+name)
	}

	dir := t.TempDir()
	stopAfter(t, ends[1]+1, func(step func()) *Job { return foldJob(t, dir, 1, true, step) })
	_, err = foldJob(t, dir, 2, true, nil).Run(context.Background())
	require.NoError(t, err)
	assertSameFiles(t, want, filesOf(t, dir), "one seed, stopped in its last fold, grown to two")

	// Weights and states of another fold or seed are not taken for those of a training.
	for _, file := range []string{"fold1/unet/afl/checkpoint.safetensors", "seed8/fold0/unet/afl/checkpoint.safetensors"} {
		dir := filepath.Join(whole, "fold0", "unet", "afl")
		require.NoError(t, os.WriteFile(filepath.Join(dir, CheckpointName), want[file], 0o644))
		_, err = foldJob(t, whole, 2, true, nil).Run(context.Background())
		assert.ErrorContains(t, err, ", not to 7 and 0")
		require.NoError(t, os.WriteFile(filepath.Join(dir, CheckpointName), want["fold0/unet/afl/checkpoint.safetensors"], 0o644))
	}
	best := filepath.Join(whole, "fold0", "unet", "afl", BestName)
	for file, wrong := range map[string]string{"fold1": `its fold is "1", want "0"`, "seed8/fold0": `its seed is "8", want "7"`} {
		require.NoError(t, os.WriteFile(best, want[file+"/unet/afl/"+BestName], 0o644))
		_, err = foldJob(t, whole, 2, true, nil).Run(context.Background())
		assert.ErrorContains(t, err, wrong)
	}
}

// TestSeedsWithoutFolds checks that the first seed of a run is where it is in a run of one.
func TestSeedsWithoutFolds(t *testing.T) {
	job := func(dir string, seeds int) *Job {
		j := foldJob(t, dir, seeds, false, nil)
		j.Splits = tinyJob(t, dir, nil).Splits
		return j
	}
	grown := t.TempDir()
	_, err := job(grown, 1).Run(context.Background())
	require.NoError(t, err)
	one := filesOf(t, grown)
	assert.Contains(t, one, "unet/afl/best.safetensors")
	_, err = job(grown, 3).Run(context.Background())
	require.NoError(t, err)
	whole := t.TempDir()
	_, err = job(whole, 3).Run(context.Background())
	require.NoError(t, err)
	want := filesOf(t, whole)
	assertSameFiles(t, want, filesOf(t, grown), "grown from one seed to three")
	for _, name := range WeightsNames() {
		assert.Equal(t, one["unet/afl/"+name], want["unet/afl/"+name])
		assert.NotEqual(t, want["seed8/unet/afl/"+name], want["seed9/unet/afl/"+name])
	}

	// The work left is that of all trainings.
	j := job(t.TempDir(), 3)
	trainings, err := j.trainings()
	require.NoError(t, err)
	assert.Equal(t, []amount{{0, 3, 2 + 2}, {0, 3, 2 + 2}, {0, 3, 2 + 2}}, j.work(trainings))
	next := foldJob(t, t.TempDir(), 2, true, nil)
	trainings, err = next.trainings()
	require.NoError(t, err)
	steps, cases := 0, 0
	for _, a := range next.work(trainings) {
		steps += a.samples
		cases += a.cases
	}
	assert.Equal(t, []int{2 * 5, 2 * (5 + 5)}, []int{steps, cases}, "with three folds, each case is trained on, validated and reported once a seed")
}

// TestTestCases reports cases that are kept apart.
func TestTestCases(t *testing.T) {
	dir := t.TempDir()
	job := foldJob(t, dir, 2, false, nil)
	all := tinyJob(t, dir, nil).Splits[0]
	job.Splits = []dataset.Split{{Train: all.Train[1:], Valid: all.Valid, Test: all.Train[:1]}}
	job.Report = outcome.OnTestDir
	run, err := job.Run(context.Background())
	require.NoError(t, err)
	for _, l := range run.Results {
		require.Len(t, l.Cases, 1)
		assert.Equal(t, all.Train[0].ID, l.Cases[0].ID)
		assert.Equal(t, 2, l.Epochs[0].Cases)
	}
	md := string(filesOf(t, dir)["results.md"])
	assert.Contains(t, md, "## Test, best weights of each loss")
	assert.NotContains(t, md, "optimistic")
}
