package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/infer"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/weights"
)

// member is one network of an ensemble, or the only network.
type member struct {
	path string
	file *weights.File
	use  *use
	net  nn.Network  // nil until load
	plan *infer.Plan // that of the last case
}

// openMembers opens the weights files. They must segment the same and take their channels in
// one order.
func (o *predictOptions) openMembers(flags *flag.FlagSet) (members []*member, err error) {
	defer func() {
		if err != nil {
			for _, m := range members {
				m.file.Close()
			}
			members = nil
		}
	}()
	for _, path := range o.weights {
		file, err := openWeights(path, "")
		if err != nil {
			return members, err
		}
		m := &member{path: path, file: file}
		members = append(members, m)
		if m.use, err = o.use(flags, path, file.Metadata()); err != nil {
			return members, err
		}
		if known := channelsOf(members); m.use.Channels != nil && !slices.Equal(lower(known), lower(m.use.Channels)) {
			return members, usageErrorf("-weights: %s takes the channels %s, but a network before it %s", path, strings.Join(m.use.Channels, ", "), strings.Join(known, ", "))
		}
	}
	return members, sameScheme(members)
}

// channelsOf returns the names of the channels of the first network that records them, or nil.
func channelsOf(members []*member) []string {
	for _, m := range members {
		if m.use.Channels != nil {
			return m.use.Channels
		}
	}
	return nil
}

// load creates the network for images of the given number of channels, the first time, and
// loads its weights.
func (m *member) load(p *predictor, id string, channels int) error {
	if m.use.Config.InChannels == 0 {
		m.use.Config.InChannels = channels
	}
	if want := m.use.Config.InChannels; channels != want {
		return fmt.Errorf("case %s has %d image channels, but the network in %s takes %d", id, channels, m.path, want)
	}
	if m.net != nil {
		return nil
	}
	net, err := models.NewUninitialized(m.use.Config, p.backend, 0)
	if err != nil {
		return err
	}
	fitted, err := fitWeights(m.file, net, p.options.weightsPrefix)
	if err != nil {
		return err
	}
	if err := nn.LoadStateDict(p.backend, net, fitted.State); err != nil {
		return fmt.Errorf("-weights: %s: %w", m.path, err)
	}
	m.net = net
	p.printf("Network: %s, %d parameters; weights: %s.%s", m.use.Config.Name(), nn.CountParameters(net), m.path, describeFit(fitted))
	return nil
}
