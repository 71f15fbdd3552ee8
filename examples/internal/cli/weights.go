package cli

import (
	"fmt"
	"path/filepath"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/weights"
)

// initialName is the copy of -weights in the run's folder. A resumed run, and
// every loss of a run, begins with it, whatever has become of the file.
const initialName = "initial.safetensors"

// initial is what -weights names.
type initial struct {
	state map[string]*tensor.Dense
	fact  string
}

// initialWeights reads the weights that training begins with and keeps a copy
// of them in the folder of a new run; nil without -weights. They must fit the
// network.
func (o *options) initialWeights(resumed bool, backend nn.Backend, config models.Config) (*initial, error) {
	if o.weights == "" {
		return nil, nil
	}
	copied := filepath.Join(o.modelDir, initialName)
	from := o.weights
	if resumed {
		from = copied
	}
	state, metadata, err := weights.Load(from)
	if err != nil {
		return nil, fmt.Errorf("-weights: %w", err)
	}
	trained, known, err := settings.Read(metadata)
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", from, err)
	}
	if known && trained.Model != string(o.model) {
		return nil, usageErrorf("-weights: %s holds weights of %s, but -model is %s", o.weights, trained.Model, o.model)
	}
	in := &initial{state: state, fact: fmt.Sprintf("Initial weights: %s.", o.weights)}
	if _, err := in.network(string(o.model), backend, config, o.seed); err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	if was, now := stridesInWords(trained.Config.Strides), stridesInWords(config.Strides); known && was != now {
		in.fact += fmt.Sprintf(" They were trained with the strides %s; here they are %s.", orOwn(was), orOwn(now))
	}
	if resumed {
		return in, nil
	}
	return in, weights.Save(copied, state, metadata)
}

// network makes the network with its initial weights: drawn from the seed, or
// those of -weights.
func (in *initial) network(model string, backend nn.Backend, config models.Config, seed uint64) (nn.Network, error) {
	net, err := models.New(model, backend, config, seed)
	if err != nil || in == nil {
		return net, err
	}
	return net, nn.LoadStateDict(backend, net, in.state)
}

// orOwn names strides that were not set.
func orOwn(strides string) string {
	if strides == "" {
		return "of the network's default"
	}
	return strides
}
