package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/backends"
	"github.com/x/afl/examples/internal/dist"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/mpi"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// measurement is what the first of the processes has measured.
type measurement struct {
	Model     string
	Size      [3]int
	Backend   string
	Library   string
	Processes int
	// Threads is the number of threads of each process.
	Threads int
	// Step is the median time of a step in seconds; Waiting is the share of the steps in which
	// the process waited for gradients.
	Step, Waiting float64
	// Bytes is the size of all gradients, MultiplyAdds the number in the convolutions of a
	// forward pass.
	Bytes        int
	MultiplyAdds int64
	// Ready has, for every parameter in the order in which its gradient is final, the time since
	// the start of the last step.
	Ready []ready
}

type ready struct {
	At    float64 // seconds
	Bytes int
}

// timeout ends a measurement of which a process hangs.
const timeout = 2 * time.Minute

// asProcess trains as one of the processes and prints the measurement in the first.
func (s *settings) asProcess() error {
	world, err := mpi.Open(mpi.Options{Timeout: timeout})
	if err != nil {
		return err
	}
	m, err := s.train(world)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scalebench:", err)
		world.Abort(1)
	}
	if world.Rank() == 0 {
		if err := json.NewEncoder(os.Stdout).Encode(m); err != nil {
			world.Abort(1)
		}
	}
	world.Exit(0)
	return nil
}

// inChannels is the number of channels of the volumes.
const inChannels = 3

// train takes steps of one volume in each process.
func (s *settings) train(world *mpi.World) (m measurement, err error) {
	group := dist.NewGroup(world)
	b, err := backends.Open(s.backend, backends.Options{})
	if err != nil {
		return m, err
	}
	arch, err := models.ByName(s.models)
	if err != nil {
		return m, err
	}
	wanted := [3]int{160, 128, 24}
	if s.models == "r2unet" {
		wanted = [3]int{64, 64, 32} // it needs three million multiplications per voxel
	}
	fit := models.Fit(models.Config{Architecture: arch, InChannels: inChannels}, wanted)
	net, err := models.New(fit.Config, b, 1)
	if err != nil {
		return m, err
	}
	counter, err := cost.New(func(b nn.Backend) (nn.Network, error) { return models.New(fit.Config, b, 1) })
	if err != nil {
		return m, err
	}
	newSGD := func() *nn.SGD { return &nn.SGD{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 1e-5, Nesterov: true} }
	shape := []int{1, inChannels, fit.Size[0], fit.Size[1], fit.Size[2]}
	counted, err := counter.Step(shape, newSGD())
	if err != nil {
		return m, err
	}
	params, sgd := net.Parameters(), newSGD()
	position := map[*nn.Param]int{}
	var sizes []int
	for i, p := range params {
		position[p] = i
		sizes = append(sizes, nn.Elements(p.Value.Shape()))
	}
	reducer, err := dist.NewReducer(group, sizes)
	if err != nil {
		return m, err
	}
	m = measurement{
		Model: s.models, Size: fit.Size, Backend: s.backend, Library: world.Library(), Processes: world.Size(),
		Threads: runtime.GOMAXPROCS(0), Bytes: reducer.Bytes, MultiplyAdds: counted.MultiplyAdds,
	}
	image, label := volume(fit.Size, uint64(world.Rank()))
	loss := afl.NewAdaptiveFocal()
	var times []float64
	var total time.Duration
	for step := range s.steps + 1 {
		if err := group.Agree("start", nil); err != nil { // all start together
			return m, err
		}
		if step == 1 {
			reducer.Waited, total = 0, 0 // the first step compiles and allocates
		}
		start := time.Now()
		m.Ready = m.Ready[:0]
		tape := nn.NewTape(b, nn.Training, uint64(step))
		tape.OnGradient(func(p *nn.Param) error {
			i := position[p]
			err := reducer.Put(i, func(dst []float32) error {
				return b.ToHost(p.Grad, tensor.New(tensor.WithShape(p.Grad.Shape()...), tensor.WithBacking(dst)))
			})
			m.Ready = append(m.Ready, ready{time.Since(start).Seconds(), 4 * sizes[i]})
			return err
		})
		if err := pass(b, net, tape, image, label, loss); err != nil {
			return m, err
		}
		if err := reducer.Finish(); err != nil {
			return m, err
		}
		for i, p := range params {
			sum, ok := reducer.Sum(i)
			if p.Grad = nil; !ok {
				continue
			}
			if p.Grad, err = b.FromHost(tensor.New(tensor.WithShape(p.Value.Shape()...), tensor.WithBacking(sum)), nn.Step); err != nil {
				return m, err
			}
			if p.Grad, err = b.Scale(p.Grad, 1/float64(world.Size())); err != nil {
				return m, err
			}
		}
		if err := sgd.Step(b, params); err != nil {
			return m, err
		}
		// A copy to the host waits for the update.
		if err := b.ToHost(params[0].Value, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(params[0].Value.Shape()...))); err != nil {
			return m, err
		}
		b.EndStep()
		took := time.Since(start)
		total += took
		if step > 0 {
			times = append(times, took.Seconds())
		}
	}
	slices.Sort(times)
	m.Step = times[len(times)/2]
	m.Waiting = reducer.Waited.Seconds() / total.Seconds()
	return m, nil
}

// pass computes the gradients of one volume.
func pass(b nn.Backend, net nn.Network, tape *nn.Tape, image, label *tensor.Dense, loss afl.Loss) error {
	x, err := b.FromHost(image, nn.Step)
	if err != nil {
		return err
	}
	y, err := net.Forward(tape, tape.Input(x))
	if err != nil {
		return err
	}
	inside := nn.Box{Size: [3]int(y.Shape()[2:])}
	gy, err := nn.RunLoss(b, y.Array(), inside, label, func(logits, label, grad *tensor.Dense) error {
		_, err := afl.GradInto(loss, logits, label, grad)
		return err
	})
	if err != nil {
		return err
	}
	return tape.Backward(y, gy)
}

// volume returns random voxels and the label of a box in the middle.
func volume(size [3]int, seed uint64) (image, label *tensor.Dense) {
	n := size[0] * size[1] * size[2]
	rng := rand.New(rand.NewPCG(seed, 1))
	values, classes := make([]float32, inChannels*n), make([]uint8, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	for i := range classes {
		x, y, z := i/(size[1]*size[2]), i/size[2]%size[1], i%size[2]
		if 3*x >= size[0] && 2*x < size[0] && 3*y >= size[1] && 2*y < size[1] && 3*z >= size[2] && 2*z < size[2] {
			classes[i] = 1
		}
	}
	return tensor.New(tensor.WithShape(1, inChannels, size[0], size[1], size[2]), tensor.WithBacking(values)),
		tensor.New(tensor.WithShape(1, 1, size[0], size[1], size[2]), tensor.WithBacking(classes))
}
