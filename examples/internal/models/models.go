// Package models implements 3-D segmentation networks, one per file. They map volumes
// N×Cin×X×Y×Z to raw logits N×Cout×X×Y×Z; none applies a final sigmoid or softmax.
// Parameters have the names of the same network in a PyTorch state_dict, and their initial
// values have the same distributions as in PyTorch.
//
// An [Architecture] is a plain struct whose fields are its options; its constructor
// ([NewUNet], [NewVNet], …) or [ByName] sets the published values. [New] creates the
// network:
//
//	cfg := models.Config{Architecture: models.NewUNet(), InChannels: 3}
//	net, err := models.New(cfg, backend, seed)
//
// [NewDeepSupervision] adds heads with which the lower levels of a decoder are trained too.
package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Architecture is the design of a network: one of the structs of this package.
type Architecture interface {
	// Name returns the name accepted by ByName, such as "unet".
	Name() string
	// Multiple returns the numbers of which the axes X, Y, Z of a volume must be positive
	// multiples.
	Multiple() [3]int

	// build creates the layers, in state_dict order.
	build(b *nn.Builder, in, out int) (nn.Layer, error)
}

// Config specifies a network.
type Config struct {
	// Architecture is the design of the network with its options. Required.
	Architecture
	// InChannels is the number of input channels (modalities). Required.
	InChannels int
	// OutChannels is the number of logit channels. Default 2: background and
	// foreground.
	OutChannels int
}

const defaultOutChannels = 2

// entry describes a network.
type entry struct {
	title string
	make  func() Architecture
}

// entries lists the networks: those of the paper's second table, in its order, followed by
// variants.
var entries = []entry{
	{"UNet", func() Architecture { return NewUNet() }},
	{"AttUNet", func() Architecture { return NewAttUNet() }},
	{"RegUNet", func() Architecture { return NewRegUNet() }},
	{"RRUNet (R2U-Net)", func() Architecture { return NewR2UNet() }},
	{"UNet with ResNet50", func() Architecture { return NewResNetUNet() }},
	{"SegResNet", func() Architecture { return NewSegResNet() }},
	{"VNet", func() Architecture { return NewVNet() }},
	{"MRRN", func() Architecture { return NewMRRN() }},

	{"RRUNet (released, plain)", func() Architecture { return NewPlainUNet() }},
	{"RRUNet (R2U-Net, untied)", func() Architecture { return NewR2UNetUntied() }},
	{"VNet (MONAI)", func() Architecture { return NewVNetMONAI() }},
	{"UNet (few slices)", func() Architecture { return NewFewSlicesUNet() }},
}

// paper is the number of networks in the paper's second table.
const paper = 8

// Names returns the names that [ByName] accepts: the paper's eight networks in the order of
// its second table, followed by variants.
func Names() []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.make().Name()
	}
	return names
}

// PaperNames returns the names of the eight networks of the paper's second table, in its
// order.
func PaperNames() []string { return Names()[:paper] }

// ByName returns the architecture with the given name and its published settings.
func ByName(name string) (Architecture, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.make(), nil
}

// Title returns the name of a network in tables.
func Title(name string) (string, error) {
	e, err := find(name)
	return e.title, err
}

func find(name string) (entry, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return entry{}, fmt.Errorf("models: unknown network %q, want one of %s", name, strings.Join(Names(), ", "))
	}
	return entries[i], nil
}

// New creates a network on the backend, in the backend's precision. The initial parameters
// have the same distributions as in PyTorch and are determined by the seed.
func New(cfg Config, backend nn.Backend, seed uint64) (nn.Network, error) {
	net, err := NewUninitialized(cfg, backend, seed)
	if err != nil {
		return nil, err
	}
	if err := nn.Initialize(backend, net); err != nil {
		return nil, fmt.Errorf("models: %s: %w", cfg.Name(), err)
	}
	return net, nil
}

// NewUninitialized is New for a network whose state is loaded: its parameters and buffers have
// shapes but no values, and take neither time nor memory, until nn.LoadStateDict or
// [LoadImageNet] has set them. Those that remain get the initial values of New from
// nn.Initialize. A pass of a network fails while a parameter has no value.
func NewUninitialized(cfg Config, backend nn.Backend, seed uint64) (nn.Network, error) {
	if cfg.Architecture == nil {
		return nil, fmt.Errorf("models: Architecture is nil; use a constructor such as NewUNet, or ByName")
	}
	name := cfg.Name()
	if cfg.OutChannels == 0 {
		cfg.OutChannels = defaultOutChannels
	}
	switch {
	case backend == nil:
		return nil, fmt.Errorf("models: %s: backend is nil", name)
	case cfg.InChannels < 1:
		return nil, fmt.Errorf("models: %s: InChannels is %d, want at least 1", name, cfg.InChannels)
	case cfg.OutChannels < 1:
		return nil, fmt.Errorf("models: %s: OutChannels is %d, want at least 1", name, cfg.OutChannels)
	}
	b := nn.NewBuilder(backend, seed)
	layers, err := cfg.build(b, cfg.InChannels, cfg.OutChannels)
	if err == nil {
		err = b.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w", name, err)
	}
	return &network{Builder: b, name: name, multiple: cfg.Multiple(), layers: layers}, nil
}

// network holds the layers of an architecture with their parameters.
type network struct {
	*nn.Builder
	name     string
	multiple [3]int
	layers   nn.Layer
}

// CheckSize implements nn.Network.
func (n *network) CheckSize(spatial [3]int) error {
	return nn.CheckMultiple(n.name, spatial, n.multiple)
}

// Forward implements nn.Network.
func (n *network) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) {
	if s := x.Shape(); len(s) == 5 {
		if err := n.CheckSize([3]int(s[2:])); err != nil {
			return nn.Var{}, err
		}
	}
	return n.layers.Forward(t, x)
}
