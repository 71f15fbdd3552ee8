// Package models holds 3-D segmentation networks, one a file. They take volumes
// N×Cin×X×Y×Z and return raw logits N×Cout×X×Y×Z; none applies a final sigmoid
// or softmax. Parameters carry the names that the same network has in a PyTorch
// state_dict.
package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Norm selects a network's normalisation where it leaves a choice.
type Norm string

const (
	// BatchNorm has a scale, a shift and running statistics.
	BatchNorm Norm = "batch"
	// InstanceNorm has no parameters and no running statistics.
	InstanceNorm Norm = "instance"
)

// Config holds the settings of a network. A zero field takes the default that
// the network's own documentation states.
type Config struct {
	// InChannels is the number of input channels (modalities). Required.
	InChannels int
	// OutChannels is the number of logit channels. Default 2: background and
	// foreground.
	OutChannels int
	// Channels are the widths of the levels, from the finest to the coarsest.
	Channels []int
	// Strides are the steps X, Y, Z between two levels; one fewer than Channels.
	Strides [][3]int
	// Norm is the normalisation. Default BatchNorm.
	Norm Norm
}

// network is one entry of the list of networks.
type network struct {
	name string
	make func(b *nn.Builder, cfg Config) (nn.Network, error)
}

// networks lists what New can make, by name.
var networks = []network{
	{"unet", newUNet},
}

// Names returns the names that New accepts, sorted.
func Names() []string {
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.name
	}
	slices.Sort(names)
	return names
}

// New makes the network of that name on the backend, in the backend's
// precision. The initial parameters follow the same distribution as PyTorch's
// and are decided by the seed.
func New(name string, backend nn.Backend, cfg Config, seed uint64) (nn.Network, error) {
	i := slices.IndexFunc(networks, func(n network) bool { return n.name == name })
	if i < 0 {
		return nil, fmt.Errorf("models: no network is called %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	if backend == nil {
		return nil, fmt.Errorf("models: %s: backend is nil", name)
	}
	if cfg.InChannels < 1 {
		return nil, fmt.Errorf("models: %s: InChannels is %d, want at least 1", name, cfg.InChannels)
	}
	if cfg.OutChannels == 0 {
		cfg.OutChannels = 2
	}
	if cfg.OutChannels < 1 {
		return nil, fmt.Errorf("models: %s: OutChannels is %d, want at least 1", name, cfg.OutChannels)
	}
	if cfg.Norm == "" {
		cfg.Norm = BatchNorm
	}
	b := nn.NewBuilder(backend, seed)
	net, err := networks[i].make(b, cfg)
	if err == nil {
		err = b.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w", name, err)
	}
	return net, nil
}

// normLayer makes the configured norm.
func normLayer(b *nn.Builder, norm Norm, name string, channels int) nn.Layer {
	switch norm {
	case BatchNorm:
		return b.BatchNorm(name, channels)
	case InstanceNorm:
		return nn.InstanceNorm{}
	}
	b.Fail(fmt.Errorf("setting Norm is %q, want %q or %q", norm, BatchNorm, InstanceNorm))
	return nil
}

// checkLevels checks the settings of a network made of levels.
func checkLevels(cfg Config) error {
	if len(cfg.Channels) < 2 {
		return fmt.Errorf("setting Channels has %d entries, want at least 2 levels", len(cfg.Channels))
	}
	if len(cfg.Strides) != len(cfg.Channels)-1 {
		return fmt.Errorf("setting Strides has %d entries, want %d, one fewer than Channels", len(cfg.Strides), len(cfg.Channels)-1)
	}
	for i, c := range cfg.Channels {
		if c < 1 {
			return fmt.Errorf("setting Channels[%d] is %d, want at least 1", i, c)
		}
	}
	for i, s := range cfg.Strides {
		if s[0] < 1 || s[1] < 1 || s[2] < 1 {
			return fmt.Errorf("setting Strides[%d] is %v, want at least 1 on every axis", i, s)
		}
	}
	return nil
}

// product multiplies strides axis by axis.
func product(strides [][3]int) [3]int {
	p := [3]int{1, 1, 1}
	for _, s := range strides {
		for axis := range p {
			p[axis] *= s[axis]
		}
	}
	return p
}
