//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// training is a network with batch norms and dropout, its optimizer, and how steps run.
type training struct {
	t         *testing.T
	b         nn.Backend
	net       nn.Network
	optimizer nn.Optimizer
	clip      float64
	run       func(b nn.Backend, step func() error) error
}

// eagerly runs a step's operations one by one, each of which waits for the numbers that it
// returns.
func eagerly(_ nn.Backend, step func() error) error { return step() }

func newTraining(t *testing.T, b nn.Backend, o nn.Optimizer, clip float64, run func(nn.Backend, func() error) error) *training {
	t.Helper()
	net, err := models.New(models.Config{InChannels: 4, OutChannels: 2, Architecture: models.UNet{
		Channels: []int{4, 8}, Strides: [][3]int{{2, 2, 2}}, ResUnits: 1, Norm: models.BatchNorm}}, b, 1)
	require.NoError(t, err)
	return &training{t, b, net, o, clip, run}
}

// stepShapes are the sizes of the steps' volumes and the parts of them that have a label.
var stepShapes = []struct {
	size   [3]int
	inside nn.Box
}{
	{[3]int{8, 8, 8}, nn.Box{Size: [3]int{8, 8, 8}}},
	{[3]int{8, 4, 8}, nn.Box{Start: [3]int{1, 0, 2}, Size: [3]int{7, 4, 5}}},
}

// step runs a step of a number, with its own data, dropout and learning rate, and returns what
// reads its loss and the norm of its gradients.
func (r *training) step(number int, change func(x []float64)) (loss, norm nn.LateNumber, err error) {
	r.t.Helper()
	r.optimizer.SetLearningRate(0.05 / float64(1+number))
	shape := stepShapes[number%len(stepShapes)]
	x := nntest.HashValues("x", nn.Elements(shape.size[:]), uint64(number))
	if change != nil {
		change(x)
	}
	classes := make([]uint8, nn.Elements(shape.inside.Size[:]))
	for i, v := range nntest.HashValues("label", len(classes), uint64(number)) {
		if v > 0.3 {
			classes[i] = 1
		}
	}
	label := tensor.New(tensor.WithShape(append([]int{1}, shape.inside.Size[:]...)...), tensor.WithBacking(classes))
	err = r.run(r.b, func() error {
		defer r.b.EndStep()
		image, err := r.b.FromHost(tensor.New(tensor.WithShape(append([]int{1, 1}, shape.size[:]...)...), tensor.WithBacking(x)), nn.Step)
		if err != nil {
			return err
		}
		tape := nn.NewTape(r.b, nn.Training, uint64(number))
		y, err := nn.RepeatChannels(tape, tape.Input(image), 4)
		if err != nil {
			return err
		}
		if y, err = (nn.Dropout3D{Probability: 0.4}).Forward(tape, y); err != nil {
			return err
		}
		if y, err = r.net.Forward(tape, y); err != nil {
			return err
		}
		var gy nn.Array
		loss, gy, err = nn.EvalLoss(r.b, y.Array(), shape.inside, label, func(logits, label, grad *tensor.Dense) (*tensor.Dense, error) {
			return afl.NewDiceCE().Eval(logits, label, grad)
		})
		if err != nil {
			return err
		}
		if err := tape.Backward(y, gy); err != nil {
			return err
		}
		if r.clip > 0 {
			if norm, err = nn.ClipGradientsLater(r.b, r.net.Parameters(), r.clip); err != nil {
				return err
			}
		}
		return r.optimizer.Step(r.b, r.net.Parameters())
	})
	return loss, norm, err
}

// state returns the bits of all parameters, running statistics and the optimizer's state.
func (r *training) state() map[string][]uint32 {
	r.t.Helper()
	all := map[string][]uint32{}
	for _, of := range []func() (map[string]*tensor.Dense, error){
		func() (map[string]*tensor.Dense, error) { return nn.StateDict(r.b, r.net) },
		func() (map[string]*tensor.Dense, error) { return r.optimizer.StateDict(r.b) },
	} {
		state, err := of()
		require.NoError(r.t, err)
		for name, t := range state {
			if values, ok := t.Data().([]float32); ok {
				for _, v := range values {
					all[name] = append(all[name], math.Float32bits(v))
				}
			}
		}
	}
	return all
}

// differing returns the names of what differs.
func differing(want, got map[string][]uint32) (names []string) {
	for name := range want {
		if !slices.Equal(want[name], got[name]) {
			names = append(names, name)
		}
	}
	return names
}

func optimizers() map[string]func() nn.Optimizer {
	return map[string]func() nn.Optimizer{
		"sgd":   func() nn.Optimizer { return &nn.SGD{Momentum: 0.9, WeightDecay: 1e-3, Nesterov: true} },
		"adamw": func() nn.Optimizer { return nn.NewAdamW(1) },
	}
}

// Steps that are launched as graphs compute the bits of steps whose operations run one by one.
func TestRepeatedSteps(t *testing.T) {
	const steps = 10
	for name, optimizer := range optimizers() {
		t.Run(name, func(t *testing.T) {
			b, _ := emulated.Open(t)
			one := newTraining(t, b, optimizer(), 0.3, eagerly)
			var losses, norms []float64
			for i := range steps {
				loss, norm, err := one.step(i, nil)
				require.NoError(t, err)
				for _, late := range []struct {
					to  *[]float64
					get nn.LateNumber
				}{{&losses, loss}, {&norms, norm}} {
					v, err := late.get()
					require.NoError(t, err)
					*late.to = append(*late.to, v)
				}
			}
			assert.Greater(t, norms[0], 0.3, "gradients are clipped")
			want := one.state()

			b, engine := emulated.Open(t)
			count := func(string) int64 { return 0 } // of what a GPU does not count
			if !emulated.OnGPU() {
				count = emulated.Load(t).Count
			}
			many := newTraining(t, b, optimizer(), 0.3, nn.RunStep)
			// The emulator executes work when somebody waits for it: nobody does before the steps
			// are over.
			var late [][2]nn.LateNumber
			for i := range steps {
				launches, graphs, memory := count("launches"), count("graph_launches"), count("allocated")
				loss, norm, err := many.step(i, nil)
				require.NoError(t, err)
				late = append(late, [2]nn.LateNumber{loss, norm})
				if i >= 3*len(stepShapes) {
					assert.Equal(t, launches, count("launches"), "step %d launches no kernel by itself", i)
					if !emulated.OnGPU() {
						assert.Equal(t, graphs+1, count("graph_launches"), "step %d is a graph", i)
					}
				}
				if i >= 2*len(stepShapes) {
					assert.Equal(t, memory, count("allocated"), "step %d allocates no memory", i)
				}
			}
			for i, numbers := range late {
				for k, want := range []float64{losses[i], norms[i]} {
					got, err := numbers[k]()
					require.NoError(t, err)
					assert.Equal(t, want, got, "step %d, number %d", i, k)
				}
			}
			assert.Empty(t, differing(want, many.state()))
			assert.Contains(t, cuda.DescribeSteps(b), "launched as one of 2 graphs")
			require.NoError(t, engine.Synchronize())
		})
	}
}

// Numbers that are not finite are found when a step's results are read. Until then, no step
// changes weights, running statistics or the optimizer's state.
func TestStepsThatAreNotFinite(t *testing.T) {
	nan := func(x []float64) { x[17] = math.NaN() }
	for name, optimizer := range optimizers() {
		t.Run(name, func(t *testing.T) {
			b, _ := emulated.Open(t)
			r := newTraining(t, b, optimizer(), 0, nn.RunStep)
			for i := range 3 {
				_, _, err := r.step(i, nil)
				require.NoError(t, err)
			}
			before := r.state()
			bad, _, err := r.step(3, nan)
			require.NoError(t, err)
			_, err = bad()
			assert.ErrorAs(t, err, new(*nn.NonFiniteError))
			after := r.state()
			for i := range 2 {
				_, _, err := r.step(4+i, nil)
				require.NoError(t, err)
			}
			assert.Empty(t, differing(after, r.state()), "later steps change nothing")
			for _, name := range differing(before, after) {
				assert.Contains(t, name, "running_", "only the step's own pass has changed statistics")
			}
			require.NoError(t, nn.ResumeUpdates(b))
			_, _, err = r.step(6, nil)
			require.NoError(t, err)
			assert.NotEmpty(t, differing(after, r.state()))
		})
	}
}

// A gradient that is not finite stops the updates, and its parameter is named.
func TestClippedLater(t *testing.T) {
	b, _ := emulated.Open(t)
	var params []*nn.Param
	for i, values := range [][]float64{{3, 0}, {4}, {math.Inf(1), 1, 2}, {math.NaN()}} {
		p := &nn.Param{Name: string(rune('a' + i))}
		value, err := b.Zeros([]int{len(values)})
		require.NoError(t, err)
		p.Value = value
		params = append(params, p)
	}
	give := func(count int) func() error {
		return func() error {
			for i, values := range [][]float64{{3, 0}, {4}, {math.Inf(1), 1, 2}, {math.NaN()}} {
				params[i].Grad = nil
				if i < count {
					params[i].Grad = upload(t, b, values, len(values))
				}
			}
			return nil
		}
	}
	for _, c := range []struct {
		count int
		most  float64
		want  []float64
	}{{2, 10, []float64{3, 0}}, {2, 1, []float64{3 / 5.0, 0}}, {1, 1, []float64{1, 0}}, {3, 1, nil}, {4, 1, nil}} {
		var norm nn.LateNumber
		var got []float64
		require.NoError(t, nn.RunStep(b, func() (err error) {
			defer b.EndStep()
			if err := give(c.count)(); err != nil {
				return err
			}
			if norm, err = nn.ClipGradientsLater(b, params, c.most); err == nil && c.want != nil {
				got = download(t, b, params[0].Grad)
			}
			return err
		}))
		_, err := norm()
		if c.want != nil {
			require.NoError(t, err)
			assert.InDeltaSlice(t, c.want, got, 1e-6)
			continue
		}
		var bad *nn.NonFiniteGradientError
		require.ErrorAs(t, err, &bad)
		assert.Equal(t, "c", bad.Parameter)
		require.NoError(t, nn.ResumeUpdates(b))
	}
	err := nn.RunStep(b, func() error {
		_, err := nn.ClipGradientsLater(b, params, 0)
		return err
	})
	assert.EqualError(t, err, "nn: ClipGradientsLater: maxNorm is 0, want a number greater than 0")
}
