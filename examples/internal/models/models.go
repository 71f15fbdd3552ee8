// Package models holds 3-D segmentation networks, one a file. They take volumes
// N×Cin×X×Y×Z and return raw logits N×Cout×X×Y×Z; none applies a final sigmoid
// or softmax. Parameters carry the names that the same network has in a PyTorch
// state_dict, and start from the distributions that PyTorch draws them from.
//
// An [Architecture] is a plain struct whose fields are its options; its
// constructor ([NewUNet], [NewVNet], …) or [ByName] fills in the published
// settings. [New] makes the network:
//
//	cfg := models.Config{Architecture: models.NewUNet(), InChannels: 3}
//	net, err := models.New(cfg, backend, seed)
package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Architecture is the design of a network: one of the structs of this package.
type Architecture interface {
	// Name returns the name that ByName knows it by, such as "unet".
	Name() string
	// Multiple returns what each axis X, Y, Z of a volume has to be a positive
	// multiple of.
	Multiple() [3]int

	// build makes the layers, in state_dict order.
	build(b *nn.Builder, in, out int) (nn.Layer, error)
}

// Config says which network to make.
type Config struct {
	// Architecture is the network's design with its options. Required.
	Architecture
	// InChannels is the number of input channels (modalities). Required.
	InChannels int
	// OutChannels is the number of logit channels. Default 2: background and
	// foreground.
	OutChannels int
}

// entry is one network of the list.
type entry struct {
	title string
	make  func() Architecture
}

// entries lists the networks: those of the paper's second table in its order,
// then their variants.
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
}

// paper is the number of networks in the paper's second table.
const paper = 8

// Names returns the names that ByName accepts: the paper's eight networks in the
// order of its second table, then their variants.
func Names() []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.make().Name()
	}
	return names
}

// PaperNames returns the names of the eight networks of the paper's second table,
// in its order.
func PaperNames() []string { return Names()[:paper] }

// ByName returns the architecture of that name with its published settings.
func ByName(name string) (Architecture, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	return e.make(), nil
}

// Title returns the name that tables print for a network.
func Title(name string) (string, error) {
	e, err := find(name)
	return e.title, err
}

func find(name string) (entry, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return entry{}, fmt.Errorf("models: no network is called %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return entries[i], nil
}

// New makes a network on the backend, in the backend's precision. The initial
// parameters follow the same distributions as PyTorch's and are decided by the
// seed.
func New(cfg Config, backend nn.Backend, seed uint64) (nn.Network, error) {
	if cfg.Architecture == nil {
		return nil, fmt.Errorf("models: Architecture is nil; take one from a constructor such as NewUNet or from ByName")
	}
	name := cfg.Name()
	if cfg.OutChannels == 0 {
		cfg.OutChannels = 2
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

// network is an architecture's layers with their parameters.
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
