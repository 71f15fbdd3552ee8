package nn

// Layer is anything that maps one value to another: a single operation or a
// whole block. What it returns is its input or a value of its own.
type Layer interface {
	Forward(t *Tape, x Var) (Var, error)
}

// Sequence is layers one after the other.
type Sequence []Layer

// Forward records every layer in turn.
func (s Sequence) Forward(t *Tape, x Var) (Var, error) {
	y := x
	for _, layer := range s {
		next, err := layer.Forward(t, y)
		if err != nil {
			return Var{}, err
		}
		t.Done(y, x, next)
		y = next
	}
	return y, nil
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

// MaxPool3D is max pooling as a layer.
type MaxPool3D struct{ Spec PoolSpec }

// Forward records the pooling of x.
func (p MaxPool3D) Forward(t *Tape, x Var) (Var, error) {
	y, pullback, err := t.backend.MaxPool3D(x.array, p.Spec)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// Upsample enlarges each axis by a whole factor.
type Upsample struct {
	Factor [3]int
	Mode   ResizeMode
}

// Forward records the enlargement of x.
func (u Upsample) Forward(t *Tape, x Var) (Var, error) {
	var size [3]int
	if s := x.Shape(); len(s) == 5 {
		for axis, f := range u.Factor {
			size[axis] = s[2+axis] * f
		}
	}
	return Resize(t, x, size, u.Mode)
}

// Resize records x sampled anew on a grid of the given spatial size.
func Resize(t *Tape, x Var, size [3]int, mode ResizeMode) (Var, error) {
	y, pullback, err := t.backend.Resize(x.array, size, mode)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// RepeatChannels records x with its channels repeated in turn up to the given
// number.
func RepeatChannels(t *Tape, x Var, channels int) (Var, error) {
	y, pullback, err := t.backend.RepeatChannels(x.array, channels)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// Concat records the join of xs along the channel axis.
func Concat(t *Tape, xs ...Var) (Var, error) {
	y, pullback, err := t.backend.Concat(arrays(xs)...)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, xs...)
}

// Mean records the average of values of equal shape.
func Mean(t *Tape, xs ...Var) (Var, error) {
	y, pullback, err := t.backend.Mean(arrays(xs)...)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, xs...)
}

func arrays(xs []Var) []Array {
	out := make([]Array, len(xs))
	for i, x := range xs {
		out[i] = x.array
	}
	return out
}

// Add records a + b.
func Add(t *Tape, a, b Var) (Var, error) {
	y, pullback, err := t.backend.Add(a.array, b.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, a, b)
}

// Gate records x with every channel multiplied by gate, which has one channel.
func Gate(t *Tape, x, gate Var) (Var, error) {
	y, pullback, err := t.backend.Gate(x.array, gate.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x, gate)
}
