package cli

import (
	"fmt"
	"path/filepath"
	"reflect"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/train"
	"github.com/x/afl/examples/internal/weights"
)

// initialName is the name of the copy of -weights in the run's folder. Every loss of a
// run starts from it, also after a resume, even if the original file has changed.
const initialName = "initial.safetensors"

// initial holds the initial weights given by -weights.
type initial struct {
	state    map[string]*tensor.Dense
	metadata map[string]string
	fact     string
}

// loadWeights reads the file given by -weights. If that is a checkpoint, the error
// suggests other files, followed by the text alternative.
func loadWeights(path, alternative string) (map[string]*tensor.Dense, map[string]string, error) {
	state, metadata, err := weights.Load(path)
	if err != nil {
		return nil, nil, fmt.Errorf("-weights: %w", err)
	}
	if train.IsCheckpoint(metadata) {
		return nil, nil, usageErrorf("-weights: %s is a checkpoint of a run; use best.safetensors or last.safetensors in the same folder%s", path, alternative)
	}
	return state, metadata, nil
}

// initialWeights reads the initial weights, from the copy in the run's folder if the run
// with the record rec is resumed. It returns nil without -weights. The weights must fit the
// network.
func (o *options) initialWeights(rec *record, backend nn.Backend, config models.Config) (*initial, error) {
	if o.weights == "" {
		return nil, nil
	}
	from := o.weights
	if rec != nil {
		from = filepath.Join(o.modelDir, initialName)
		now, err := fingerprint.OfFile(from)
		if err != nil {
			return nil, fmt.Errorf("-weights: %w", err)
		}
		if rec.Weights == nil || !now.Equal(*rec.Weights) {
			return nil, fmt.Errorf("-weights: %s has changed since the run started", from)
		}
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
		in.fact = fmt.Sprintf("Initial weights of the encoder: %s, inflated from 2-D to 3-D; the decoder's are drawn from the seed.", o.weights)
	}
	if _, err := in.network(backend, config, o.seed); err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	if known && !reflect.DeepEqual(trained.Config.Architecture, config.Architecture) {
		in.fact += fmt.Sprintf(" They were trained with different options: %+v; this network uses %+v.", trained.Config.Architecture, config.Architecture)
	}
	return in, nil
}

// save writes the copy into the folder of a new run.
func (in *initial) save(dir string) error {
	if in == nil {
		return nil
	}
	return weights.Save(filepath.Join(dir, initialName), in.state, in.metadata)
}

// network creates the network with its initial weights: drawn from the seed, or taken
// from -weights. The weights of a 2-D ResNet-50 go to the encoder.
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

// images reports whether the weights belong to a network for 2-D images, judged by the
// kernel of its first convolution.
func (in *initial) images() bool {
	first, ok := in.state["conv1.weight"]
	return ok && first != nil && first.Dims() == 4
}
