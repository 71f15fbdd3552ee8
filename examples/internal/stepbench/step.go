package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/onednn"
)

// networks are the paper's eight, which peer.py implements too.
var networks = []string{"unet", "attunet", "regunet", "r2unet", "unet_resnet50", "segresnet", "vnet_authors", "mrrn"}

// workload is one network at one size.
type workload struct {
	name string
	cfg  models.Config
	size [3]int
}

// workloads returns those of a list of networks, or of all.
func workloads(names, size string, channels int) (work []workload, err error) {
	list := networks
	if names != "all" {
		list = strings.Split(names, ",")
	}
	for _, name := range list {
		w, err := newWorkload(name, size, channels)
		if err != nil {
			return nil, err
		}
		work = append(work, w)
	}
	return work, nil
}

func newWorkload(name, size string, channels int) (workload, error) {
	known := false
	for _, n := range networks {
		known = known || n == name
	}
	if !known {
		return workload{}, fmt.Errorf("unknown network %q, want one of %s", name, strings.Join(networks, ", "))
	}
	arch, err := models.ByName(name)
	if err != nil {
		return workload{}, err
	}
	wanted := [3]int{160, 128, 24}
	if name == "r2unet" {
		wanted = [3]int{64, 64, 32} // it needs three million multiplications per voxel
	}
	if size != "" {
		parts := strings.Split(size, ",")
		if len(parts) != 3 {
			return workload{}, fmt.Errorf("-size is %q, want three numbers such as 160,128,24", size)
		}
		for i, p := range parts {
			if wanted[i], err = strconv.Atoi(p); err != nil || wanted[i] < 1 {
				return workload{}, fmt.Errorf("-size: %q is not a number of voxels", p)
			}
		}
	}
	fitted := models.Fit(models.Config{Architecture: arch, InChannels: channels}, wanted)
	return workload{name, fitted.Config, fitted.Size}, nil
}

func (w workload) input() string {
	return fmt.Sprintf("1×%d×%d×%d×%d", w.cfg.InChannels, w.size[0], w.size[1], w.size[2])
}

// strides returns those of a network that has some for each size, else nil.
func (w workload) strides() [][3]int {
	switch a := w.cfg.Architecture.(type) {
	case models.UNet:
		return a.Strides
	case models.AttUNet:
		return a.Strides
	case models.ResNetUNet:
		return a.Strides
	}
	return nil
}

func (w workload) String() string { return w.name + " at " + w.input() }

// stepper trains one network on one volume.
type stepper struct {
	backend    nn.Backend
	net        nn.Network
	sgd        nn.SGD
	loss       afl.Loss
	x, label   *tensor.Dense
	size       [3]int
	parameters int
	steps      uint64
}

// newStepper creates the network.
func newStepper(w workload, b nn.Backend) (*stepper, error) {
	net, err := models.New(w.cfg, b, 1)
	if err != nil {
		return nil, err
	}
	voxels := w.size[0] * w.size[1] * w.size[2]
	rng := rand.New(rand.NewPCG(1, 1))
	values := make([]float32, w.cfg.InChannels*voxels)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	label := make([]uint8, voxels)
	for i := range label {
		in := true
		for axis, at := range []int{i / (w.size[1] * w.size[2]), i / w.size[2] % w.size[1], i % w.size[2]} {
			in = in && at >= w.size[axis]/3 && at < w.size[axis]/2
		}
		if in {
			label[i] = 1
		}
	}
	return &stepper{
		backend: b, net: net, loss: afl.NewAdaptiveFocal(),
		sgd:   nn.SGD{LearningRate: 0.01, Momentum: 0.9, WeightDecay: 1e-5, Nesterov: true},
		x:     tensor.New(tensor.WithShape(1, w.cfg.InChannels, w.size[0], w.size[1], w.size[2]), tensor.WithBacking(values)),
		label: tensor.New(tensor.WithShape(1, 1, w.size[0], w.size[1], w.size[2]), tensor.WithBacking(label)),
		size:  w.size,

		parameters: nn.CountParameters(net),
	}, nil
}

// step performs one update and returns the loss before it. Like a training, it lets a GPU repeat
// the work of earlier steps as a whole.
func (s *stepper) step() (float64, error) {
	s.steps++
	var loss nn.LateNumber
	err := nn.RunStep(s.backend, func() error {
		defer s.backend.EndStep()
		x, err := s.backend.FromHost(s.x, nn.Step)
		if err != nil {
			return err
		}
		tape := nn.NewTape(s.backend, nn.Training, s.steps)
		y, err := s.net.Forward(tape, tape.Input(x))
		if err != nil {
			return err
		}
		var g nn.Array
		loss, g, err = nn.EvalLoss(s.backend, y.Array(), nn.Box{Size: s.size}, s.label, func(logits, label, grad *tensor.Dense) (*tensor.Dense, error) {
			return s.loss.Eval(logits, label, grad)
		})
		if err != nil {
			return err
		}
		if err := tape.Backward(y, g); err != nil {
			return err
		}
		return s.sgd.Step(s.backend, s.net.Parameters())
	})
	if err != nil {
		return 0, err
	}
	// The work may still be queued; reading the last parameter synchronizes with it.
	all := s.net.Parameters()
	last := all[len(all)-1].Value
	if err := s.backend.ToHost(last, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(last.Shape()...))); err != nil {
		return 0, err
	}
	return loss()
}

// profile returns the times since its last call, or nil if profiling is off.
func (s *stepper) profile() []onednn.Entry { return onednn.Profile(s.backend) }
