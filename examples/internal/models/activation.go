package models

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/x/afl/examples/internal/nn"
)

// Activation selects the activation of a network that offers a choice. Some take a number
// behind a colon: the α of "elu:0.5", the slope of "leaky_relu:0.1".
type Activation string

const (
	// ReLU is max(x, 0).
	ReLU Activation = "relu"
	// ELU is x where x > 0 and α·(eˣ − 1) elsewhere; α is 1 if none is given.
	ELU Activation = "elu"
	// LeakyReLU is x where x > 0 and a fixed multiple of x elsewhere, 0.01·x if no other is
	// given.
	LeakyReLU Activation = "leaky_relu"
	// PReLU is x where x > 0 and a learned multiple of x elsewhere, one for all channels.
	PReLU Activation = "prelu"
	// PReLUPerChannel learns a multiple for each channel.
	PReLUPerChannel Activation = "prelu_per_channel"
	// Sigmoid is 1 / (1 + e⁻ˣ).
	Sigmoid Activation = "sigmoid"
	// NoActivation leaves the activation out.
	NoActivation Activation = "none"
)

const activations = "relu, elu, elu:0.5 (any α), leaky_relu, leaky_relu:0.1 (any slope), prelu, prelu_per_channel, sigmoid or none"

// split returns the name and the number of an activation, the default one if none is given.
func (a Activation) split() (name Activation, number float64, err error) {
	text, given, ok := strings.Cut(string(a), ":")
	name, number = Activation(text), map[Activation]float64{ELU: 1, LeakyReLU: 0.01}[Activation(text)]
	switch name {
	case ELU, LeakyReLU:
		if ok {
			number, err = strconv.ParseFloat(given, 64)
		}
		if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
			return "", 0, fmt.Errorf("%q has no finite number behind its colon", a)
		}
		return name, number, nil
	case ReLU, PReLU, PReLUPerChannel, Sigmoid, NoActivation:
		if !ok {
			return name, 0, nil
		}
	}
	return "", 0, fmt.Errorf("%q is no activation", a)
}

// check returns an error for an activation that there is not. setting is its name.
func (a Activation) check(setting string) error {
	if _, _, err := a.split(); err != nil {
		return fmt.Errorf("setting %s is %q, want %s", setting, a, activations)
	}
	return nil
}

// learned reports whether the activation has parameters.
func (a Activation) learned() bool { return a == PReLU || a == PReLUPerChannel }

// layer returns the activation, which must pass check, or nil for none.
func (a Activation) layer(b *nn.Builder, name string, channels int) nn.Layer {
	function, number, err := a.split()
	if err != nil {
		b.Fail(err)
		return nil
	}
	switch function {
	case ReLU:
		return nn.ReLU
	case ELU:
		return b.ELU(number)
	case LeakyReLU:
		return b.LeakyReLU(number)
	case PReLU:
		return b.PReLU(name, 1)
	case PReLUPerChannel:
		return b.PReLU(name, channels)
	case Sigmoid:
		return nn.Sigmoid
	}
	return nil
}
