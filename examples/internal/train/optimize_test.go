package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/weights"
)

// optimized is a job with options that the paper did not use, and the same training by hand.
type optimized struct {
	set       func(j *Job)
	optimizer func() nn.Optimizer
	rates     []float64 // of each epoch
	clip      float64
	n         int // samples per update
	updates   int // per epoch
	drawn     int // cases of the figure
}

var optimizedJobs = map[string]optimized{
	"adamw, cosine, warm-up": {
		set: func(j *Job) {
			j.Optimizer, j.LearningRate, j.Momentum, j.WeightDecay = AdamW, 1e-3, 0, 0.01
			j.Schedule = nn.Schedule{Decay: nn.Cosine, WarmUp: 1}
		},
		optimizer: func() nn.Optimizer { return nn.NewAdamW(0) },
		rates:     []float64{1e-3 * (1.0 / 3), 1e-3, 1e-3 * ((1 + math.Cos(math.Pi/2)) / 2)},
		n:         1, updates: 3, drawn: 1,
	},
	"sgd, poly, clipping, accumulation": {
		set: func(j *Job) {
			j.Optimizer, j.Schedule, j.ClipNorm, j.Accumulate = SGD, nn.Schedule{Decay: nn.Polynomial}, 0.05, 2
		},
		optimizer: func() nn.Optimizer { return &nn.SGD{Momentum: 0.9, WeightDecay: 1e-5, Nesterov: true} },
		rates:     []float64{0.1, 0.1 * math.Pow(2.0/3, 0.9), 0.1 * math.Pow(1-2.0/3, 0.9)},
		clip:      0.05, n: 2, updates: 2, drawn: 1,
	},
	"batches, accumulation": {
		set: func(j *Job) {
			useSynthetic(j)
			j.Batch, j.Accumulate, j.Schedule = 2, 2, nn.Schedule{Decay: nn.Polynomial}
		},
		optimizer: func() nn.Optimizer { return &nn.SGD{Momentum: 0.9, WeightDecay: 1e-5, Nesterov: true} },
		rates:     []float64{0.1, 0.1 * math.Pow(2.0/3, 0.9), 0.1 * math.Pow(1-2.0/3, 0.9)},
		n:         4, updates: 2, drawn: 2, // updates of four and of three samples
	},
}

func (c optimized) job(t *testing.T, dir string, step func()) *Job {
	j := tinyJob(t, dir, step)
	j.Losses, j.Epochs = []string{"dice-ce"}, 3
	c.set(j)
	return j
}

// weights trains by hand and returns the state_dict. The mean of the gradients is computed on
// the host, and every sample is a step of the backend of its own.
func (c optimized) weights(t *testing.T) map[string]*tensor.Dense {
	j := c.job(t, t.TempDir(), nil)
	b := j.Backend
	net, err := j.Networks[0].New(j.Seed)
	require.NoError(t, err)
	loss, _, err := j.Scheme.Loss("dice-ce")
	require.NoError(t, err)
	optimizer, clipped := c.optimizer(), 0
	for epoch, rate := range c.rates {
		optimizer.SetLearningRate(rate)
		var samples []*dataset.Sample
		loader := dataset.Loader{Source: j.Networks[0].Source}
		for s, err := range loader.Train(context.Background(), j.Splits[0].Train, j.Seed, epoch+1) {
			require.NoError(t, err)
			samples = append(samples, s)
		}
		for group := range slices.Chunk(samples, c.n) {
			gradients := make([][][]float32, len(net.Parameters())) // of each sample
			var found []nn.Statistics                               // of batch norms
			for _, s := range group {
				tape := nn.NewTape(b, nn.Training, 0)
				if c.n > 1 {
					tape.KeepStatistics()
				}
				x, err := b.FromHost(s.Image, nn.Step)
				require.NoError(t, err)
				y, err := net.Forward(tape, tape.Input(x))
				require.NoError(t, err)
				logits := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...))
				require.NoError(t, b.ToHost(y.Array(), logits))
				_, gradient, err := afl.Grad(loss, logits, s.Label)
				require.NoError(t, err)
				g, err := b.FromHost(gradient, nn.Step)
				require.NoError(t, err)
				require.NoError(t, tape.Backward(y, g))
				passes, err := tape.Statistics()
				require.NoError(t, err)
				found = append(found, passes...)
				for i, p := range net.Parameters() {
					one := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(p.Grad.Shape()...))
					require.NoError(t, b.ToHost(p.Grad, one))
					gradients[i] = append(gradients[i], one.Data().([]float32))
				}
				b.EndStep()
			}
			for i, p := range net.Parameters() {
				values := treeSum(gradients[i])
				for k := range values {
					values[k] *= float32(1 / float64(len(group)))
				}
				p.Grad, err = b.FromHost(tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.WithBacking(values)), nn.Step)
				require.NoError(t, err)
			}
			if c.clip > 0 {
				norm, err := nn.ClipGradients(b, net.Parameters(), c.clip)
				require.NoError(t, err)
				if norm > c.clip {
					clipped++
				}
			}
			require.NoError(t, optimizer.Step(b, net.Parameters()))
			require.NoError(t, nn.UpdateStatistics(b, found))
			b.EndStep()
		}
	}
	assert.True(t, c.clip == 0 || clipped > 0, "a gradient is clipped")
	state, err := nn.StateDict(b, net)
	require.NoError(t, err)
	return state
}

// treeSum adds the sum of the first half of the terms, rounded up, and that of the others.
func treeSum(terms [][]float32) []float32 {
	if len(terms) == 1 {
		return terms[0]
	}
	half := (len(terms) + 1) / 2
	first, second := treeSum(terms[:half]), treeSum(terms[half:])
	sum := make([]float32, len(first))
	for k := range sum {
		sum[k] = first[k] + second[k]
	}
	return sum
}

// TestOptimization compares trainings with the same ones by hand, bit for bit, and with
// trainings that are interrupted in each of their epochs.
func TestOptimization(t *testing.T) {
	for name, c := range optimizedJobs {
		t.Run(name, func(t *testing.T) {
			whole, steps := t.TempDir(), 0
			_, err := c.job(t, whole, func() { steps++ }).Run(context.Background())
			require.NoError(t, err)
			require.Equal(t, 3*(c.updates+2)+2+c.drawn, steps, "three epochs of updates and two cases, an evaluation of two cases, and the cases of the figure")
			last, _, err := weights.Load(filepath.Join(whole, "unet", "dice-ce", "last.safetensors"))
			require.NoError(t, err)
			want := c.weights(t)
			require.Len(t, last, len(want))
			for parameter, values := range want {
				assert.Equal(t, values.Data(), last[parameter].Data(), parameter)
			}

			dir := t.TempDir()
			for range 3 {
				// After the first update of the first epoch, and then of the following ones.
				n := 1
				if dirFiles := filesOf(t, dir); len(dirFiles) > 0 {
					n = c.updates - 1 + 2 + 1
				}
				stopAfter(t, n, func(step func()) *Job { return c.job(t, dir, step) })
				trainings, err := c.job(t, dir, nil).trainings()
				require.NoError(t, err)
				assert.Len(t, trainings[0].state.Done, c.n, "interrupted between two updates")
			}
			_, err = c.job(t, dir, nil).Run(context.Background())
			require.NoError(t, err)
			assertSameFiles(t, filesOf(t, whole), filesOf(t, dir), "interrupted in every epoch")

			grown := c.job(t, dir, nil)
			grown.Epochs = 4
			_, err = grown.Run(context.Background())
			assert.ErrorContains(t, err, "its learning rates are those of a training of 3 epochs, which cannot become one of 4")
		})
	}
}

// TestConstantRateGrows gives a run with a warm-up and a constant rate more epochs.
func TestConstantRateGrows(t *testing.T) {
	job := func(dir string, epochs int) *Job {
		j := tinyJob(t, dir, nil)
		j.Losses, j.Epochs, j.Schedule = []string{"dice-ce"}, epochs, nn.Schedule{WarmUp: 1}
		return j
	}
	whole, grown := t.TempDir(), t.TempDir()
	_, err := job(whole, 3).Run(context.Background())
	require.NoError(t, err)
	for _, epochs := range []int{2, 3} {
		_, err = job(grown, epochs).Run(context.Background())
		require.NoError(t, err)
	}
	assertSameFiles(t, filesOf(t, whole), filesOf(t, grown), "grown")
}

// TestEarlyStop trains with a rate so small that no epoch improves on the first.
func TestEarlyStop(t *testing.T) {
	var out bytes.Buffer
	job := func(dir string, epochs int) *Job {
		j := tinyJob(t, dir, nil)
		j.Losses, j.Epochs, j.EarlyStop = []string{"dice-ce"}, epochs, 2
		j.LearningRate, j.WeightDecay, j.Select = 1e-30, 0, "foreground_iou"
		out.Reset()
		j.Progress = report.NewProgress(&out)
		return j
	}
	whole := t.TempDir()
	run, err := job(whole, 9).Run(context.Background())
	require.NoError(t, err)
	result := run.Results[0]
	epochs := len(result.Epochs)
	require.Less(t, epochs, 9)
	assert.Equal(t, result.BestEpoch+2, epochs)
	assert.True(t, result.StoppedEarly)
	assert.Empty(t, result.Ongoing)
	assert.Len(t, result.Cases, 2)
	assert.Contains(t, out.String(), fmt.Sprintf("dice-ce: stopped early after epoch %d of 9; foreground_iou has not improved since epoch %d", epochs, result.BestEpoch))
	assert.Contains(t, run.Markdown(), fmt.Sprintf("Dice CE stopped early after epoch %d, because no epoch after epoch %d was better.", epochs, result.BestEpoch))
	read, err := Read(whole, result.Run, job(whole, 9).plan())
	require.NoError(t, err)
	assert.True(t, read[0].StoppedEarly)

	// A run whose last epoch is the one in which it stops has the same weights and does not
	// continue when it is given more epochs.
	grown := t.TempDir()
	run, err = job(grown, epochs).Run(context.Background())
	require.NoError(t, err)
	assert.False(t, run.Results[0].StoppedEarly)
	assert.NotContains(t, out.String(), "stopped early")
	_, err = job(grown, 9).Run(context.Background())
	require.NoError(t, err)
	assert.Contains(t, out.String(), "already finished")
	assertSameFiles(t, filesOf(t, whole), filesOf(t, grown), "grown")
}

func TestClippingAnInfiniteGradientIsADivergence(t *testing.T) {
	j := tinyJob(t, t.TempDir(), nil)
	j.ClipNorm = 1
	trainings, err := j.trainings()
	require.NoError(t, err)
	trainer := trainings[0]
	require.NoError(t, trainer.restore())
	b := j.Backend
	for _, p := range trainer.net.Parameters() {
		huge := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(p.Value.Shape()...))
		huge.Data().([]float32)[0] = float32(math.Inf(1))
		p.Grad, err = b.FromHost(huge, nn.Step)
		require.NoError(t, err)
	}
	var d *divergence
	_, err = trainer.optimize()
	require.ErrorAs(t, err, &d)
	assert.Contains(t, d.what, "is not finite")
}

func TestOptimizationCheck(t *testing.T) {
	for want, change := range map[string]func(*Job){
		`Optimizer is "adam", want sgd or adamw`: func(j *Job) { j.Optimizer = "adam" },
		"LearningRate is NaN":                    func(j *Job) { j.LearningRate = math.NaN() },
		"Momentum is 0.9, want 0":                func(j *Job) { j.Optimizer = AdamW },
		"WarmUp is 2":                            func(j *Job) { j.Schedule.WarmUp = 2 },
		`Decay is "step"`:                        func(j *Job) { j.Schedule.Decay = "step" },
		"ClipNorm is NaN":                        func(j *Job) { j.ClipNorm = math.NaN() },
		"ClipNorm is -1":                         func(j *Job) { j.ClipNorm = -1 },
		"Batch is -1":                            func(j *Job) { j.Batch = -1 },
		"Accumulate is -1":                       func(j *Job) { j.Accumulate = -1 },
		"EarlyStop is -1":                        func(j *Job) { j.EarlyStop = -1 },
		`EarlyStop is 3, want 0, because Job.Select is "last"`: func(j *Job) { j.EarlyStop, j.Select = 3, SelectLast },
	} {
		j := tinyJob(t, t.TempDir(), nil)
		change(j)
		_, err := j.Run(context.Background())
		assert.ErrorContains(t, err, want)
	}
}
