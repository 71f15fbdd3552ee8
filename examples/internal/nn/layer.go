package nn

// Layer is anything that maps one value to another: a single operation or a
// whole block.
type Layer interface {
	Forward(t *Tape, x Var) (Var, error)
}

// Sequence is layers one after the other.
type Sequence []Layer

// Forward records every layer in turn.
func (s Sequence) Forward(t *Tape, x Var) (Var, error) {
	for _, layer := range s {
		var err error
		if x, err = layer.Forward(t, x); err != nil {
			return Var{}, err
		}
	}
	return x, nil
}

// Dropout3D drops whole channels while training and does nothing otherwise.
type Dropout3D struct {
	// Probability of dropping a channel, in [0, 1).
	Probability float64
}

// Forward records the dropout of x.
func (d Dropout3D) Forward(t *Tape, x Var) (Var, error) {
	if t.mode != Training || d.Probability == 0 {
		return x, nil
	}
	y, pullback, err := t.backend.Dropout3D(x.array, d.Probability, t.nextSeed())
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// Concat records the join of xs along the channel axis.
func Concat(t *Tape, xs ...Var) (Var, error) {
	arrays := make([]Array, len(xs))
	for i, x := range xs {
		arrays[i] = x.array
	}
	y, pullback, err := t.backend.Concat(arrays...)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, xs...)
}

// Add records a + b.
func Add(t *Tape, a, b Var) (Var, error) {
	y, pullback, err := t.backend.Add(a.array, b.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, a, b)
}
