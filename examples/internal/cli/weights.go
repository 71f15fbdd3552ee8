package cli

import (
	"fmt"
	"path/filepath"
	"reflect"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/train"
	"github.com/x/afl/examples/internal/weights"
)

// initialName is the copy of -weights in the run's folder. A resumed run, and
// every loss of a run, begins with it, whatever has become of the file.
const initialName = "initial.safetensors"

// initial is what -weights names.
type initial struct {
	state    map[string]*tensor.Dense
	metadata map[string]string
	fact     string
}

// loadWeights reads the file of -weights; besides is what else the program
// offers to those who name a checkpoint.
func loadWeights(path, besides string) (map[string]*tensor.Dense, map[string]string, error) {
	state, metadata, err := weights.Load(path)
	if err != nil {
		return nil, nil, fmt.Errorf("-weights: %w", err)
	}
	if train.IsCheckpoint(metadata) {
		return nil, nil, usageErrorf("-weights: %s is a checkpoint of a run; use best.safetensors or last.safetensors beside it%s", path, besides)
	}
	return state, metadata, nil
}

// initialWeights reads the weights that training begins with, for a resumed run
// their copy in its folder; nil without -weights. They must fit the network.
func (o *options) initialWeights(resumed bool, backend nn.Backend, config models.Config) (*initial, error) {
	if o.weights == "" {
		return nil, nil
	}
	from := o.weights
	if resumed {
		from = filepath.Join(o.modelDir, initialName)
	}
	state, metadata, err := loadWeights(from, ", or -resume")
	if err != nil {
		return nil, err
	}
	trained, known, err := settings.Read(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", from, err)
	}
	if known && trained.Config.Name() != config.Name() {
		return nil, usageErrorf("-weights: %s holds weights of %s, but -model is %s", o.weights, trained.Config.Name(), config.Name())
	}
	in := &initial{state: state, metadata: metadata, fact: fmt.Sprintf("Initial weights: %s.", o.weights)}
	if in.images() {
		in.fact = fmt.Sprintf("Initial weights of the encoder: %s, inflated from two axes to three; the decoder's are drawn from the seed.", o.weights)
	}
	if _, err := in.network(backend, config, o.seed); err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	if known && !reflect.DeepEqual(trained.Config.Architecture, config.Architecture) {
		in.fact += fmt.Sprintf(" They were trained with other options: %+v there, %+v here.", trained.Config.Architecture, config.Architecture)
	}
	return in, nil
}

// keep saves the copy in the folder of a new run.
func (in *initial) keep(dir string) error {
	if in == nil {
		return nil
	}
	return weights.Save(filepath.Join(dir, initialName), in.state, in.metadata)
}

// network makes the network with its initial weights: drawn from the seed, or
// those of -weights, of which a 2-D ResNet-50's go to the encoder.
func (in *initial) network(backend nn.Backend, config models.Config, seed uint64) (nn.Network, error) {
	net, err := models.New(config, backend, seed)
	if err != nil || in == nil {
		return net, err
	}
	if in.images() {
		return net, models.LoadImageNet(backend, net, in.state)
	}
	return net, nn.LoadStateDict(backend, net, in.state)
}

// images reports whether the weights are those of a network for images, by the
// kernel of its first convolution.
func (in *initial) images() bool {
	first, ok := in.state["conv1.weight"]
	return ok && first != nil && first.Dims() == 4
}
