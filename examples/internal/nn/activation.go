package nn

import "fmt"

// PReLU is an activation with a learned slope for negative values.
type PReLU struct{ Slope *Param }

// PReLU makes an activation with the given number of slopes: one for all
// channels, or one per channel. They are called name + ".weight" and start at
// 0.25.
func (b *Builder) PReLU(name string, slopes int) *PReLU {
	return &PReLU{Slope: b.param(name+".weight", constant(0.25), slopes)}
}

// Forward records the activation of x.
func (p *PReLU) Forward(t *Tape, x Var) (Var, error) {
	slope := t.Param(p.Slope)
	y, pullback, err := t.backend.PReLU(x.array, slope.array)
	if err != nil {
		return Var{}, fmt.Errorf("%s: %w", p.Slope.Name, err)
	}
	return t.Record(y, pullback, x, slope)
}

// ReLU is max(x, 0).
type ReLU struct{}

// Forward records the activation of x.
func (ReLU) Forward(t *Tape, x Var) (Var, error) {
	y, pullback, err := t.backend.ReLU(x.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}
