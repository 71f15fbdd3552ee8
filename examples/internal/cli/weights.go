package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/fingerprint"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/settings"
	"github.com/x/afl/examples/internal/train"
	"github.com/x/afl/examples/internal/weights"
	"github.com/x/afl/internal/atomicfile"
)

// initialName is the name of the copy of -weights in the run's folder. Every loss of a
// run starts from it, also after a resume, even if the original file has changed.
const initialName = "initial.safetensors"

const weightsPrefixUsage = "`keys` in the file of -weights under which to look for the network, joined by dots, such as state_dict\nor ema_model; empty: those under which it is found"

// noteKey is the key of the copy's metadata for what was noted about the original file.
const noteKey = "note"

// initial holds the initial weights given by -weights.
type initial struct {
	state    map[string]*tensor.Dense
	images   bool // state is that of a network for 2-D images
	metadata map[string]string
	fact     string
	trained  settings.Settings // of the network, zero if they are not known
}

// openWeights opens the file given by -weights. If that is a checkpoint, the error
// suggests other files, followed by the text alternative.
func openWeights(path, alternative string) (*weights.File, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, fmt.Errorf("-weights: %w", err)
	}
	if train.IsCheckpoint(f.Metadata()) {
		f.Close()
		return nil, usageErrorf("-weights: %s is a checkpoint of a run; use best.safetensors or last.safetensors in the same folder%s", path, alternative)
	}
	return f, nil
}

// entries returns what a network needs of a file.
func entries(net nn.Network) []weights.Entry {
	var all []weights.Entry
	for _, p := range net.Parameters() {
		all = append(all, weights.Entry{Name: p.Name, Shape: p.Value.Shape()})
	}
	for _, f := range net.Buffers() {
		if f.Value == nil {
			all = append(all, weights.Entry{Name: f.Name, Counter: true})
		} else {
			all = append(all, weights.Entry{Name: f.Name, Shape: f.Value.Shape()})
		}
	}
	return all
}

// fitWeights finds the tensors of a network in the file given by -weights, under the
// prefix given by -weights_prefix.
func fitWeights(f *weights.File, net nn.Network, under string) (*weights.Fitted, error) {
	return fit(f, entries(net), under)
}

// fit is [weights.File.Fit] with errors for the flags.
func fit(f *weights.File, network []weights.Entry, under string) (*weights.Fitted, error) {
	fitted, err := f.Fit(network, under)
	var misfit *weights.FitError
	var ambiguous *weights.AmbiguousError
	switch {
	case err == nil:
		return fitted, nil
	case errors.As(err, &ambiguous):
		return nil, usageErrorf("-weights: %v; choose one with -weights_prefix", err)
	case errors.As(err, &misfit) && misfit.Long():
		return nil, fmt.Errorf("-weights: %w; %s", err, writeListing(f.Path(), misfit))
	}
	return nil, fmt.Errorf("-weights: %w", err)
}

// writeListing writes all differences into a text file next to the weights and returns
// where they are. If it cannot be written there, it returns the differences.
func writeListing(path string, misfit *weights.FitError) string {
	path += ".misfit.txt"
	err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, misfit.Listing())
		return err
	})
	if err != nil {
		return "all of them:\n" + misfit.Listing()
	}
	return "all names are in " + path
}

// describeFit tells what in a file was used other than tensors under the network's own
// names, and what was not.
func describeFit(f *weights.Fitted) string {
	var b strings.Builder
	if f.Prefix != "" {
		fmt.Fprintf(&b, " They are those under %q.", f.Prefix)
	}
	if len(f.Others) > 0 {
		fmt.Fprintf(&b, " Those under %s fit as well (-weights_prefix).", quoted(f.Others))
	}
	if n := len(f.Filled); n > 0 {
		fmt.Fprintf(&b, " %d counters of batches, which the file lacks, start at 0.", n)
	}
	if n := len(f.Extra); n > 0 {
		const most = 6
		fmt.Fprintf(&b, " Not part of the network: %s", quoted(f.Extra[:min(n, most)]))
		if n > most {
			fmt.Fprintf(&b, " and %d more", n-most)
		}
		b.WriteByte('.')
	}
	return b.String()
}

func quoted(names []string) string {
	return `"` + strings.Join(names, `", "`) + `"`
}

// initialWeights reads the initial weights, from the copy in the run's folder if the run
// with the record rec is resumed. It returns nil without -weights. The weights must fit the
// network.
func (o *options) initialWeights(rec *record, backend nn.Backend, config models.Config) (*initial, error) {
	if o.weights == "" {
		return nil, nil
	}
	from, under := o.weights, o.weightsPrefix
	if rec != nil {
		from, under = filepath.Join(o.modelDir, initialName), ""
		now, err := fingerprint.OfFile(from)
		if err != nil {
			return nil, fmt.Errorf("-weights: %w", err)
		}
		if rec.Weights == nil || !now.Equal(*rec.Weights) {
			return nil, fmt.Errorf("-weights: %s has changed since the run started", from)
		}
	}
	f, err := openWeights(from, ", or -resume")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	trained, known, err := settings.Read(f.Metadata())
	if err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", from, err)
	}
	if known && trained.Config.Name() != config.Name() {
		return nil, usageErrorf("-weights: %s holds weights of %s, but -model is %s", o.weights, trained.Config.Name(), config.Name())
	}
	net, err := models.NewUninitialized(config, backend, o.seed)
	if err != nil {
		return nil, err
	}
	in, err := newInitial(f, net, under)
	if err != nil {
		return nil, err
	}
	if err := in.load(backend, net); err != nil {
		return nil, fmt.Errorf("-weights: %s: %w", o.weights, err)
	}
	in.trained = trained
	in.fact = fmt.Sprintf("Initial weights: %s.", o.weights)
	if in.images {
		in.fact = fmt.Sprintf("Initial weights of the encoder: %s, inflated from 2-D to 3-D; the decoder's are drawn from the seed.", o.weights)
	}
	in.fact += in.metadata[noteKey]
	if known && !reflect.DeepEqual(trained.Config.Architecture, config.Architecture) {
		in.fact += fmt.Sprintf(" They were trained with different options: %+v; this network uses %+v.", trained.Config.Architecture, config.Architecture)
	}
	return in, nil
}

// newInitial finds the tensors of a network, or of a 2-D ResNet-50 for its encoder, in a
// file.
func newInitial(f *weights.File, net nn.Network, under string) (*initial, error) {
	fitted, err := fitWeights(f, net, under)
	images := false
	var misfit *weights.FitError
	if need := models.ImageEntries(net); need != nil && errors.As(err, &misfit) {
		var other *weights.FitError
		fittedImages, errImages := fit(f, need, under)
		if !errors.As(errImages, &other) || len(other.Missing)+len(other.Misfit) < len(need)/2 {
			fitted, err, images = fittedImages, errImages, true
		}
	}
	if err != nil {
		return nil, err
	}
	in := &initial{state: fitted.State, images: images, metadata: maps.Clone(f.Metadata())}
	if note := describeFit(fitted); note != "" {
		if in.metadata == nil {
			in.metadata = map[string]string{}
		}
		in.metadata[noteKey] += note
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

// load loads the weights, if there are any, into a network. Those of a 2-D ResNet-50 go to the
// encoder.
func (in *initial) load(backend nn.Backend, net nn.Network) error {
	switch {
	case in == nil:
		return nil
	case in.images:
		return models.LoadImageNet(backend, net, in.state)
	}
	return nn.LoadStateDict(backend, net, in.state)
}

// compare returns an error if the network of the initial weights takes the channels of the
// data in another order. Other names of channels, and other classes or regions than scheme,
// are added to the fact.
func (in *initial) compare(file string, scheme segment.Scheme, channels []string) error {
	if in == nil || in.trained.Config.Architecture == nil {
		return nil
	}
	if was, now := lower(in.trained.Channels), lower(channels); len(was) > 0 && len(now) > 0 && !slices.Equal(was, now) {
		if sameNames(was, now) {
			return usageErrorf("-weights: the network of %s takes the channels %s, but the data have them in the order %s",
				file, strings.Join(in.trained.Channels, ", "), strings.Join(channels, ", "))
		}
		in.fact += fmt.Sprintf(" Their channels were %s; those of the data are %s.", strings.Join(in.trained.Channels, ", "), strings.Join(channels, ", "))
	}
	if was := in.trained.Protocol.Scheme; !reflect.DeepEqual(was, scheme) {
		in.fact += fmt.Sprintf(" They segment %v; this network segments %v.", was, scheme)
	}
	return nil
}
