package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
	"github.com/x/afl/examples/internal/weights"
)

// patchJob is tinyJob with every option of patches, deep supervision and prediction.
func patchJob(t *testing.T, dir string, step func()) *Job {
	j := tinyJob(t, dir, step)
	protocol := dataset.PICAI()
	protocol.Size, protocol.Crop, protocol.Foreground = [3]int{16, 12, 8}, [3]int{8, 8, 4}, 0.5
	n := &j.Networks[0]
	n.Source = dataset.NewCache(protocol, 1<<30)
	cfg := models.Config{Architecture: models.UNet{Channels: []int{2, 4, 6}, Strides: [][3]int{{2, 2, 2}, {2, 2, 1}}, ResUnits: 2, Norm: models.BatchNorm}, InChannels: 3}
	n.New = func(seed uint64) (nn.Network, error) {
		net, err := models.New(cfg, j.Backend, seed)
		if err != nil {
			return nil, err
		}
		return models.NewDeepSupervision(cfg, net, j.Backend, seed)
	}
	j.Losses = []string{"afl"}
	j.Epochs, j.EarlyStop, j.Batch, j.Patches, j.VolumeStatistics = 3, 2, 2, 2, true
	j.Window, j.Mirror = infer.Window{Size: [3]int{8, 12, 8}, Overlap: 0.5, Blend: infer.Gaussian}, []int{1}
	return j
}

// TestPatches trains on patches, with deep supervision and a sliding window, once in one go
// and once stopped after every second step, and compares all files.
func TestPatches(t *testing.T) {
	run := func(dir string, every int) (steps, runs int) {
		for {
			ctx, cancel := context.WithCancel(context.Background())
			n := 0
			job := patchJob(t, dir, func() {
				if n++; n == every {
					cancel()
				}
			})
			_, err := job.Run(ctx)
			cancel()
			steps, runs = steps+n, runs+1
			if err == nil {
				return steps, runs
			}
			require.ErrorIs(t, err, ErrInterrupted)
			require.Less(t, runs, 50)
		}
	}
	whole := t.TempDir()
	steps, _ := run(whole, 0)
	// Two patches of each of three cases in batches of two, two validation cases in three
	// windows mirrored along one axis; the final evaluation, and a case of the figure.
	assert.Equal(t, 3*(3*2/2+2*3*2)+3*3*2, steps)

	files := filesOf(t, whole)
	for name, heads := range map[string]bool{"unet/afl/best.safetensors": false, "unet/afl/last.safetensors": false, "unet/afl/checkpoint.safetensors": true} {
		assert.Equal(t, heads, strings.Contains(string(files[name]), "deep_supervision.1.weight"), name)
	}
	trained, _, err := weights.Load(whole + "/unet/afl/last.safetensors")
	require.NoError(t, err)
	job := patchJob(t, t.TempDir(), nil)
	net, err := job.Networks[0].New(7)
	require.NoError(t, err)
	require.NoError(t, nn.LoadStateDict(job.Backend, net.(nn.DeeplySupervised).WithoutHeads(), trained), "the weights are those of the network without heads")

	// A validation that is interrupted starts over, so it must fit between two stops.
	stopped := t.TempDir()
	_, runs := run(stopped, 13)
	assert.Greater(t, runs, 3)
	assertSameFiles(t, files, filesOf(t, stopped), "stopped repeatedly")
}

// supervisedOutputs are the outputs of a network with two heads for a sample of the given
// size, whose scan is a box of it.
func supervisedOutputs(t *testing.T, b nn.Backend, size [3]int, scan dataset.Box) ([]nn.Array, []*tensor.Dense, *dataset.Sample) {
	t.Helper()
	n := size[0] * size[1] * size[2]
	label := make([]uint8, n)
	for i, v := range nntest.HashValues("label", n, 1) {
		if v > 0.3 {
			label[i] = 1
		}
	}
	s := &dataset.Sample{ID: "x", Scan: scan, Label: tensor.New(tensor.WithShape(1, size[0], size[1], size[2]), tensor.WithBacking(label))}
	var arrays []nn.Array
	var outputs []*tensor.Dense
	for i, stride := range [][3]int{{1, 1, 1}, {2, 2, 1}, {4, 4, 2}} {
		shape := []int{1, 2, size[0] / stride[0], size[1] / stride[1], size[2] / stride[2]}
		values := make([]float32, nn.Elements(shape))
		for k, v := range nntest.HashValues("output", len(values), uint64(i)) {
			values[k] = float32(3 * v)
		}
		outputs = append(outputs, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)))
		y, err := b.FromHost(outputs[i], nn.Step)
		require.NoError(t, err)
		arrays = append(arrays, y)
	}
	return arrays, outputs, s
}

// lossOf is the loss of a sample as the loader returns it.
func lossOf(t *trainer, ys []nn.Array, s *dataset.Sample) (float64, []nn.Array, error) {
	in, err := t.input(s)
	if err != nil {
		return 0, nil, err
	}
	late, gys, err := t.lossOf(ys, in)
	if err != nil {
		return 0, nil, err
	}
	value, err := late()
	return value, gys, err
}

func hostValues(t *testing.T, b nn.Backend, a nn.Array) []float32 {
	t.Helper()
	host := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(a.Shape()...))
	require.NoError(t, b.ToHost(a, host))
	return host.Data().([]float32)
}

// TestDeepSupervisionLoss compares the loss of a sample without padding with
// afl.DeepSupervision, and that of a padded sample with the loss of the voxels in the scan.
func TestDeepSupervisionLoss(t *testing.T) {
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	defer b.EndStep()
	tr := &trainer{job: &Job{Backend: b}, loss: afl.NewAdaptiveFocal()}
	size := [3]int{8, 12, 6}
	ys, outputs, s := supervisedOutputs(t, b, size, dataset.Box{Size: size})
	value, gys, err := lossOf(tr, ys, s)
	require.NoError(t, err)
	want, grads, err := afl.NewDeepSupervision(tr.loss).Grad(outputs, s.Label)
	require.NoError(t, err)
	assert.InDelta(t, want, value, 1e-12)
	for i, g := range grads {
		assert.Equal(t, g.Data(), hostValues(t, b, gys[i]), "output %d", i)
	}

	// Padding at both ends; the third axis has no voxel of the coarsest output but one.
	s.Scan = dataset.Box{Start: [3]int{1, 3, 2}, Size: [3]int{6, 5, 3}}
	value, gys, err = lossOf(tr, ys, s)
	require.NoError(t, err)
	want = 0
	for i, stride := range [][3]int{{1, 1, 1}, {2, 2, 1}, {4, 4, 2}} {
		shape := outputs[i].Shape()
		var inside []int
		var box [3]int
		var label []uint8
		seen := [3]map[int]bool{{}, {}, {}}
		for v := range shape[2] * shape[3] * shape[4] {
			at := [3]int{v / (shape[3] * shape[4]), v / shape[4] % shape[3], v % shape[4]}
			in, full := true, 0
			for axis := range at {
				p := at[axis] * stride[axis]
				in = in && p >= s.Scan.Start[axis] && p < s.Scan.Start[axis]+s.Scan.Size[axis]
				full = full*size[axis] + p
			}
			if in {
				inside, label = append(inside, v), append(label, s.Label.Data().([]uint8)[full])
				for axis := range at {
					seen[axis][at[axis]] = true
				}
			}
		}
		for axis := range box {
			box[axis] = len(seen[axis])
		}
		require.Len(t, inside, box[0]*box[1]*box[2])
		logits, n := make([]float32, 2*len(inside)), shape[2]*shape[3]*shape[4]
		for c := range 2 {
			for k, v := range inside {
				logits[c*len(inside)+k] = outputs[i].Data().([]float32)[c*n+v]
			}
		}
		weight := math.Ldexp(1, -i) / 1.75
		v, g, err := afl.Grad(afl.NewSum(afl.Term{Weight: weight, Loss: tr.loss}),
			tensor.New(tensor.WithShape(1, 2, box[0], box[1], box[2]), tensor.WithBacking(logits)),
			tensor.New(tensor.WithShape(1, box[0], box[1], box[2]), tensor.WithBacking(label)))
		require.NoError(t, err)
		want += v
		expected := make([]float32, 2*n)
		for c := range 2 {
			for k, v := range inside {
				expected[c*n+v] = g.Data().([]float32)[c*len(inside)+k]
			}
		}
		assert.Equal(t, expected, hostValues(t, b, gys[i]), "output %d", i)
	}
	assert.InDelta(t, want, value, 1e-12)

	// No voxel of the coarsest output is in this scan.
	s.Scan = dataset.Box{Start: [3]int{1, 0, 0}, Size: [3]int{3, 12, 6}}
	_, gys, err = lossOf(tr, ys, s)
	require.NoError(t, err)
	for _, g := range hostValues(t, b, gys[2]) {
		require.Zero(t, g)
	}
}

// TestVolumeStatistics compares the loss of a patch with that of the statistics of its case.
func TestVolumeStatistics(t *testing.T) {
	job := patchJob(t, t.TempDir(), nil)
	all, err := job.trainings()
	require.NoError(t, err)
	tr := all[0]
	var patch *dataset.Sample
	var stats afl.LabelStats
	for _, c := range tr.split.Train {
		whole, err := tr.network.Source.Valid(c)
		require.NoError(t, err)
		require.Equal(t, [3]int{16, 12, 8}, whole.Scan.Size)
		stats, err = afl.StatsOf(tensor.New(tensor.WithShape(16, 12, 8), tensor.WithBacking(whole.Label.Data())), afl.IgnoreIndex{})
		require.NoError(t, err)
		if stats.Foreground > 0 {
			patch, err = tr.network.Source.Train(c, 1)
			require.NoError(t, err)
			break
		}
	}
	require.NotNil(t, patch, "a case has foreground")

	defer job.Backend.EndStep()
	values := make([]float32, 2*8*8*4)
	for i, v := range nntest.HashValues("logits", len(values), 1) {
		values[i] = float32(v)
	}
	logits := tensor.New(tensor.WithShape(1, 2, 8, 8, 4), tensor.WithBacking(values))
	y, err := job.Backend.FromHost(logits, nn.Step)
	require.NoError(t, err)
	got, _, err := lossOf(tr, []nn.Array{y}, patch)
	require.NoError(t, err)
	want, err := afl.Value(tr.loss, logits, patch.Label, afl.WithStats(stats))
	require.NoError(t, err)
	own, err := afl.Value(tr.loss, logits, patch.Label)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.NotEqual(t, own, got)
	assert.Len(t, tr.volumes.known, 1)
}

// TestInfer compares predictions with windows and mirrored ones with those of package infer,
// and a window that covers the volume with a prediction of the whole volume.
func TestInfer(t *testing.T) {
	job := patchJob(t, t.TempDir(), nil)
	all, err := job.trainings()
	require.NoError(t, err)
	tr := all[0]
	tr.net, err = tr.network.New(1)
	require.NoError(t, err)
	s, err := tr.network.Source.Valid(tr.split.Valid[0])
	require.NoError(t, err)
	predict := func(w infer.Window, mirror []int) []float32 {
		job.Window, job.Mirror = w, mirror
		require.NoError(t, tr.infer(context.Background(), s))
		assert.Equal(t, s.Label.Data(), tr.scan.label.Data())
		return append([]float32{}, tr.scan.logits.Data().([]float32)...)
	}
	whole := predict(infer.Window{}, nil)
	assert.Equal(t, whole, predict(infer.Window{Size: [3]int{64, 64, 64}}, nil))

	w := infer.Window{Size: [3]int{8, 8, 8}, Overlap: 0.25}
	plan, err := infer.NewPlan(tr.net, [3]int{16, 12, 8}, w)
	require.NoError(t, err)
	passes, err := plan.Mirrored(context.Background(), job.Backend, tr.net, s.Image, []int{0, 2}, nil)
	require.NoError(t, err)
	assert.Equal(t, passes[0].Data(), predict(w, nil))
	combined, err := infer.Combine(tr.rule, passes...)
	require.NoError(t, err)
	assert.Equal(t, combined.Data(), predict(w, []int{0, 2}))
	assert.NotEqual(t, whole, predict(w, nil))
}

func TestPatchJobCheck(t *testing.T) {
	for want, change := range map[string]func(*Job){
		"Job.Patches is -1":       func(j *Job) { j.Patches = -1 },
		"Job.Window: infer: Wind": func(j *Job) { j.Window.Overlap = 1 },
		"Job.Mirror is [2 0]":     func(j *Job) { j.Mirror = []int{2, 0} },
	} {
		j := patchJob(t, t.TempDir(), nil)
		change(j)
		_, err := j.Run(context.Background())
		assert.ErrorContains(t, err, want)
	}
}
