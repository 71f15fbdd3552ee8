package train

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/weights"
)

//go:embed testdata/batch.json
var batchJSON []byte

// TestBatchIsPyTorchs repeats trainings of PyTorch, in which the volumes of a batch pass the
// network together. With a group norm they do not depend on each other there, with a batch norm
// they do; the loss is a mean over samples.
func TestBatchIsPyTorchs(t *testing.T) {
	var ref struct {
		Size          [3]int
		Batch, Epochs int
		Images        [][]float64
		Labels        [][]int
		Initial       map[string]struct {
			Shape  []int
			Values []float64
		}
		Runs []struct {
			Optimizer  string
			Norm       string
			Losses     []float64 // of each update
			Norms      []float64
			Parameters [][]float64
			Running    [][]float64
		}
	}
	require.NoError(t, json.Unmarshal(batchJSON, &ref))
	require.Len(t, ref.Runs, 3)
	loss, _, err := segment.Scheme{}.Loss("dice-ce")
	require.NoError(t, err)
	size := ref.Size
	var samples []*dataset.Sample
	for i, image := range ref.Images {
		single, label := make([]float32, len(image)), make([]uint8, len(image))
		for k := range image {
			single[k], label[k] = float32(image[k]), uint8(ref.Labels[i][k])
		}
		samples = append(samples, &dataset.Sample{
			ID:    fmt.Sprint(i),
			Image: tensor.New(tensor.WithShape(1, 1, size[0], size[1], size[2]), tensor.WithBacking(single)),
			Label: tensor.New(tensor.WithShape(1, size[0], size[1], size[2]), tensor.WithBacking(label)),
			Scan:  dataset.Box{Size: size},
		})
	}
	for _, run := range ref.Runs {
		t.Run(run.Optimizer+" "+run.Norm, func(t *testing.T) {
			b, err := portable.New(nn.Float64)
			require.NoError(t, err)
			build := nn.NewBuilder(b, 1)
			norm := func() nn.Layer {
				if run.Norm == "batch" {
					return build.BatchNorm("n", 3)
				}
				return build.GroupNorm("n", 1, 3)
			}
			net := nn.Sequence{
				build.Conv3D("a", 1, 3, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, true),
				norm(),
				build.PReLU("p", 3),
				build.Conv3D("b", 3, 2, [3]int{1, 1, 1}, nn.ConvSpec{}, true),
			}
			require.NoError(t, build.Err())
			for _, p := range build.Parameters() {
				initial := ref.Initial[p.Name]
				require.Equal(t, initial.Shape, p.Value.Shape(), p.Name)
				p.Value, err = b.FromHost(tensor.New(tensor.WithShape(initial.Shape...), tensor.WithBacking(initial.Values)), nn.Kept)
				require.NoError(t, err)
			}
			require.NoError(t, build.Initialize())
			job := &Job{Backend: b, Optimizer: run.Optimizer, SyncBatchNorm: run.Norm == "batch", LearningRate: 0.1, Momentum: 0.9, WeightDecay: 1e-3, ClipNorm: 0.5, Batch: ref.Batch}
			if run.Optimizer == AdamW {
				job.LearningRate, job.Momentum, job.WeightDecay = 0.01, 0, 0.1
			}
			trainer := &trainer{
				job: job, plan: &Plan{Batch: ref.Batch}, loss: loss, clock: &clock{networks: make([]timing, 1)},
				net: built{net, build.Parameters(), build.Buffers()}, optimizer: job.NewOptimizer(),
			}
			update := 0
			for range ref.Epochs {
				for from := 0; from < len(samples); from += ref.Batch {
					batch := samples[from:min(from+ref.Batch, len(samples))]
					inputs := make([]*input, len(batch))
					for i, s := range batch {
						inputs[i], err = trainer.input(s)
						require.NoError(t, err)
					}
					u, err := trainer.update(inputs, 0, len(batch), nil)
					require.NoError(t, err)
					require.NoError(t, u.read())
					assert.InEpsilon(t, run.Losses[update], u.meanLoss(), 1e-12, "loss before update %d", update+1)
					var got, running []float64
					values := func(a nn.Array) []float64 {
						host := tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(a.Shape()...))
						require.NoError(t, b.ToHost(a, host))
						return host.Data().([]float64)
					}
					for _, p := range build.Parameters() {
						got = append(got, values(p.Value)...)
					}
					for _, f := range build.Buffers() {
						if f.Value != nil {
							running = append(running, values(f.Value)...)
						}
					}
					assert.LessOrEqual(t, nntest.RelativeError(run.Parameters[update], got), 1e-11, "after update %d", update+1)
					require.Len(t, running, len(run.Running[update]))
					if len(running) > 0 {
						assert.LessOrEqual(t, nntest.RelativeError(run.Running[update], running), 1e-11, "after update %d", update+1)
					}
					update++
				}
			}
			assert.Len(t, run.Losses, update)
		})
	}
}

// built is a network of built layers.
type built struct {
	nn.Sequence
	parameters []*nn.Param
	buffers    []*nn.Buffer
}

func (b built) Parameters() []*nn.Param { return b.parameters }
func (b built) Buffers() []*nn.Buffer   { return b.buffers }
func (built) CheckSize([3]int) error    { return nil }

// synthetic is a source of random samples. A case whose ID begins with "large" has a larger
// volume.
type synthetic struct{}

func (synthetic) Train(c dataset.Case, seed uint64) (*dataset.Sample, error) {
	size := [3]int{16, 12, 8}
	if strings.HasPrefix(c.ID, "large") {
		size[1] = 16
	}
	n := size[0] * size[1] * size[2]
	rng := rand.New(rand.NewPCG(seed, uint64(len(c.ID))))
	image, label := make([]float32, 3*n), make([]uint8, n)
	for i := range image {
		image[i] = float32(rng.NormFloat64())
	}
	for i := range label {
		if image[i] > 1 {
			label[i] = 1
		}
	}
	return &dataset.Sample{
		ID: c.ID, Spacing: [3]float64{1, 1, 1}, Scan: dataset.Box{Size: size},
		Image: tensor.New(tensor.WithShape(1, 3, size[0], size[1], size[2]), tensor.WithBacking(image)),
		Label: tensor.New(tensor.WithShape(1, size[0], size[1], size[2]), tensor.WithBacking(label)),
	}, nil
}

func (s synthetic) Valid(c dataset.Case) (*dataset.Sample, error) { return s.Train(c, 1) }

// batchJob is a job on seven synthetic training cases.
func batchJob(t *testing.T, dir string, step func()) *Job {
	j := tinyJob(t, dir, step)
	j.Losses = []string{"dice-ce"}
	useSynthetic(j)
	return j
}

// useSynthetic replaces the cases of a job.
func useSynthetic(j *Job) {
	j.Networks[0].Source = synthetic{}
	cases := func(prefix string, n int) (all []dataset.Case) {
		for i := range n {
			id := fmt.Sprintf("%s%d", prefix, i)
			all = append(all, dataset.Case{ID: id, Label: id})
		}
		return all
	}
	j.Splits = []dataset.Split{{Train: cases("train", 7), Valid: cases("valid", 2)}}
}

// TestBatchesAreAccumulatedSteps compares the ways to divide an update of four samples.
func TestBatchesAreAccumulatedSteps(t *testing.T) {
	var want map[string]*tensor.Dense
	var epochs []byte
	for _, divided := range [][2]int{{4, 1}, {1, 4}, {2, 2}} {
		dir := t.TempDir()
		j := batchJob(t, dir, nil)
		j.Batch, j.Accumulate = divided[0], divided[1]
		_, err := j.Run(context.Background())
		require.NoError(t, err)
		last, _, err := weights.Load(filepath.Join(dir, "unet", "dice-ce", "last.safetensors"))
		require.NoError(t, err)
		csv := filesOf(t, dir)["epochs.csv"]
		if want == nil {
			want, epochs = last, csv
			continue
		}
		for name := range want {
			assert.Equal(t, want[name].Data(), last[name].Data(), "%v: %s", divided, name)
		}
		assert.Equal(t, string(epochs), string(csv), "%v", divided)
	}
}

// TestStepsOfBatches checks the numbers of steps that a user sees.
func TestStepsOfBatches(t *testing.T) {
	for _, c := range []struct{ batch, limit, samples, steps int }{
		{0, 0, 7, 7}, {1, 3, 3, 3}, {2, 0, 7, 4}, {2, 3, 6, 3}, {2, 4, 7, 4}, {7, 0, 7, 1}, {8, 2, 7, 1}, {math.MaxInt, math.MaxInt, 7, 1},
	} {
		p := &Plan{Train: [][]string{make([]string, 7)}, Batch: c.batch, Steps: c.limit}
		assert.Equal(t, c.samples, p.samples(0), "%+v", c)
		assert.Equal(t, c.steps, p.steps(p.samples(0)), "%+v", c)
	}
	assert.Equal(t, math.MaxInt, (&Job{Batch: math.MaxInt / 2, Accumulate: 3}).UpdateSamples())

	dir := t.TempDir()
	var out bytes.Buffer
	job := func(step func()) *Job {
		j := batchJob(t, dir, step)
		j.Batch, j.Steps, j.Progress = 2, 3, report.NewProgress(&out)
		return j
	}
	stopAfter(t, 2, job)
	assert.Contains(t, out.String(), "Stopped dice-ce in epoch 1 of 2 after step 2 of 3;")
	trainings, err := job(nil).trainings()
	require.NoError(t, err)
	assert.Len(t, trainings[0].state.Done, 4)
	assert.Equal(t, []amount{{0, 2*6 - 4, 2*2 + 2}}, job(nil).work(trainings), "in samples and cases")

	j := batchJob(t, t.TempDir(), nil)
	j.Batch, j.LearningRate = 2, 1e30
	run, err := j.Run(context.Background())
	require.NoError(t, err)
	require.NotNil(t, run.Results[0].Diverged)
	assert.Equal(t, 2, run.Results[0].Diverged.Step, "the first update ruins the weights")
}

// TestBatchOfDifferentSizes trains on volumes of two sizes.
func TestBatchOfDifferentSizes(t *testing.T) {
	job := func(batch, accumulate int) *Job {
		j := batchJob(t, t.TempDir(), nil)
		j.Batch, j.Accumulate, j.Epochs = batch, accumulate, 1
		train := j.Splits[0].Train
		for i := range train {
			if i != 3 {
				train[i].ID = "large" + train[i].ID
			}
		}
		return j
	}
	_, err := job(7, 1).Run(context.Background())
	require.Error(t, err)
	assert.Regexp(t, `^train: case (largetrain\d has 16×16×8|train3 has 16×12×8) voxels, but case (largetrain\d|train3) in the same batch of 7 has 16×1[26]×8; `, err.Error())
	assert.Contains(t, err.Error(), "resize all volumes to one size or take patches no larger than any of them (-patch), or accumulate")
	_, err = job(1, 7).Run(context.Background())
	assert.NoError(t, err)
}

// TestLossOfABatch compares every loss of two samples with the mean of the losses of each. A
// training computes the mean; the two are different only for the losses that pool the statistics
// of a batch's labels.
func TestLossOfABatch(t *testing.T) {
	const n = 4 * 5 * 3
	pooled := map[string]bool{"afl": true, "dice-afl": true}
	for _, scheme := range []segment.Scheme{
		{},
		{Kind: segment.Classes, Segments: []segment.Segment{{Name: "a", Labels: []int{1}}, {Name: "b", Labels: []int{2}}}},
		{Kind: segment.Regions, Segments: []segment.Segment{{Name: "a", Labels: []int{1, 2}}, {Name: "b", Labels: []int{2}}}},
	} {
		for _, name := range afl.Names() {
			name = scheme.Substitute(name)
			t.Run(string(scheme.Kind)+" "+name, func(t *testing.T) {
				loss, _, err := scheme.Loss(name)
				require.NoError(t, err)
				rng := rand.New(rand.NewPCG(5, 5))
				channels := scheme.Channels()
				logits, label := make([]float32, 2*channels*n), make([]uint8, 2*n)
				for i := range logits {
					logits[i] = float32(rng.NormFloat64())
				}
				for i := range label {
					if rng.IntN(3+5*(i/n)) == 0 { // other shares in each sample
						label[i] = uint8(1 + rng.IntN(max(1, channels-1)))
					}
				}
				maps, perSample := []int{4, 5, 3}, n
				if scheme.Kind == segment.Regions {
					maps, perSample = []int{channels, 4, 5, 3}, channels*n
					regions := make([]uint8, 2*channels*n)
					for i := range regions {
						regions[i] = uint8(rng.IntN(3+5*(i/perSample)) / (2 + 5*(i/perSample)))
					}
					label = regions
				}
				eval := func(from, to int) (float64, []float32) {
					x := tensor.New(tensor.WithShape(to-from, channels, 4, 5, 3), tensor.WithBacking(logits[from*channels*n:to*channels*n]))
					y := tensor.New(tensor.WithShape(append([]int{to - from}, maps...)...), tensor.WithBacking(label[from*perSample:to*perSample]))
					value, grad, err := afl.Grad(loss, x, y)
					require.NoError(t, err)
					return value, grad.Data().([]float32)
				}
				batch, gradient := eval(0, 2)
				first, grad0 := eval(0, 1)
				second, grad1 := eval(1, 2)
				mean := (first + second) / 2
				if pooled[name] && scheme.Kind == segment.Binary {
					assert.Greater(t, math.Abs(batch-mean), 1e-3*mean)
					return
				}
				assert.InEpsilon(t, batch, mean, 1e-6)
				var want, got []float64
				for i, g := range append(grad0, grad1...) {
					want, got = append(want, float64(gradient[i])), append(got, float64(g)/2)
				}
				assert.LessOrEqual(t, nntest.RelativeError(want, got), 1e-5)
			})
		}
	}
}
