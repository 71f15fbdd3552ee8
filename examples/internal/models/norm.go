package models

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Norm selects the normalization of a network that offers a choice. A group norm has the
// number of its groups behind a colon: "group:8".
type Norm string

const (
	// BatchNorm has a scale, a shift and running statistics.
	BatchNorm Norm = "batch"
	// InstanceNorm has no parameters and no running statistics.
	InstanceNorm Norm = "instance"
	// InstanceNormAffine is InstanceNorm with a scale and a shift for each channel.
	InstanceNormAffine Norm = "instance_affine"
	// NoNorm leaves the norm out.
	NoNorm Norm = "none"

	groupNorm = "group:"
)

// check returns an error for a norm that there is not, or that does not divide the channels
// of some layer.
func (n Norm) check(channels ...int) error {
	switch n {
	case BatchNorm, InstanceNorm, InstanceNormAffine, NoNorm:
		return nil
	}
	groups, err := n.groups()
	if err != nil {
		return fmt.Errorf("setting Norm is %q, want batch, instance, instance_affine, group:8 (with any number of groups) or none", n)
	}
	for _, c := range channels {
		if c%groups != 0 {
			return fmt.Errorf("setting Norm is %q, want a number of groups that divides %d channels", n, c)
		}
	}
	return nil
}

func (n Norm) groups() (int, error) {
	text, ok := strings.CutPrefix(string(n), groupNorm)
	groups, err := strconv.Atoi(text)
	if !ok || err != nil || groups < 1 {
		return 0, fmt.Errorf("%q is no group norm", n)
	}
	return groups, nil
}

// layer returns the norm, which must pass check, or nil for none.
func (n Norm) layer(b *nn.Builder, name string, channels int) nn.Layer {
	switch n {
	case BatchNorm:
		return b.BatchNorm(name, channels)
	case InstanceNorm:
		return nn.InstanceNorm{}
	case InstanceNormAffine:
		return b.GroupNorm(name, channels, channels)
	case NoNorm:
		return nil
	}
	groups, err := n.groups()
	if err != nil {
		b.Fail(err)
		return nil
	}
	return b.GroupNorm(name, groups, channels)
}
