package nn

import "fmt"

// PReLU is an activation with a learned slope for negative values.
type PReLU struct{ Slope *Param }

// PReLU returns an activation with the given number of slopes: one for all channels, or one
// per channel. The parameter is named name + ".weight", and its initial value is 0.25.
func (b *Builder) PReLU(name string, slopes int) *PReLU {
	return &PReLU{Slope: b.param(name+".weight", constant(0.25), slopes)}
}

// Forward applies the activation to x.
func (p *PReLU) Forward(t *Tape, x Var) (Var, error) {
	slope := t.Param(p.Slope)
	y, pullback, err := t.backend.PReLU(x.array, slope.array)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", p.Slope.Name, err)
	}
	return t.Record(y, pullback, x, slope)
}

// LeakyReLU is x where x > 0 and a fixed multiple of x elsewhere.
type LeakyReLU struct {
	name  string
	slope Array
}

// LeakyReLU returns an activation with the given slope for negative values, which is not
// trained and not part of the network's state.
func (b *Builder) LeakyReLU(slope float64) *LeakyReLU {
	l := &LeakyReLU{name: fmt.Sprintf("LeakyReLU(%g)", slope)}
	l.slope = b.fixed(l.name, slope)
	return l
}

// Forward applies the activation to x.
func (l *LeakyReLU) Forward(t *Tape, x Var) (Var, error) {
	slope := t.Input(l.slope)
	y, pullback, err := t.backend.PReLU(x.array, slope.array)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", l.name, err)
	}
	return t.Record(y, pullback, x, slope)
}

// ELU returns the activation that is x where x > 0 and alpha·(eˣ − 1) elsewhere.
func (b *Builder) ELU(alpha float64) Layer {
	if alpha == 1 {
		return ELU
	}
	// The ELU of alpha 1 has the sign of x.
	return Sequence{ELU, b.LeakyReLU(alpha)}
}

// Activation is a function without parameters that is applied to every element of its input.
// It is a [Layer].
type Activation uint8

const (
	// ReLU is max(x, 0); its derivative at 0 is 0.
	ReLU Activation = iota
	// ELU is x where x > 0 and eˣ − 1 elsewhere.
	ELU
	// Sigmoid is 1 / (1 + e⁻ˣ).
	Sigmoid
)

// String returns the function's name.
func (f Activation) String() string {
	switch f {
	case ReLU:
		return "ReLU"
	case ELU:
		return "ELU"
	case Sigmoid:
		return "Sigmoid"
	}
	return fmt.Sprintf("Activation(%d)", uint8(f))
}

// Forward applies the activation to x.
func (f Activation) Forward(t *Tape, x Var) (Var, error) {
	y, pullback, err := t.backend.Activate(x.array, f)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}
