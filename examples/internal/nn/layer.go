package nn

// Layer maps one value to another. It can be a single operation or an entire network block.
// It returns its input or a new value.
type Layer interface {
	Forward(t *Tape, x Var) (Var, error)
}

// Sequence applies layers one after another.
type Sequence []Layer

// Forward applies every layer in turn.
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

// Dropout3D drops entire channels in training and does nothing in inference.
type Dropout3D struct {
	// Probability is the probability of dropping a channel, in [0, 1).
	Probability float64
}

// Forward applies dropout to x.
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

// Forward applies the pooling to x.
func (p MaxPool3D) Forward(t *Tape, x Var) (Var, error) {
	y, pullback, err := t.backend.MaxPool3D(x.array, p.Spec)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// Upsample multiplies the size of each axis by an integer factor.
type Upsample struct {
	Factor [3]int
	Mode   ResizeMode
}

// Forward resizes x.
func (u Upsample) Forward(t *Tape, x Var) (Var, error) {
	var size [3]int
	if s := x.Shape(); len(s) == 5 {
		for axis, f := range u.Factor {
			size[axis] = s[2+axis] * f
		}
	}
	return Resize(t, x, size, u.Mode)
}

// Resize resamples x to the given spatial size.
func Resize(t *Tape, x Var, size [3]int, mode ResizeMode) (Var, error) {
	y, pullback, err := t.backend.Resize(x.array, size, mode)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// RepeatChannels repeats the channels of x cyclically up to the given number.
func RepeatChannels(t *Tape, x Var, channels int) (Var, error) {
	y, pullback, err := t.backend.RepeatChannels(x.array, channels)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x)
}

// Concat concatenates xs along the channel axis.
func Concat(t *Tape, xs ...Var) (Var, error) {
	y, pullback, err := t.backend.Concat(arrays(xs)...)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, xs...)
}

// Mean returns the mean of values of equal shape.
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

// Add returns a + b.
func Add(t *Tape, a, b Var) (Var, error) {
	y, pullback, err := t.backend.Add(a.array, b.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, a, b)
}

// Gate multiplies every channel of x by gate, which has one channel.
func Gate(t *Tape, x, gate Var) (Var, error) {
	y, pullback, err := t.backend.Gate(x.array, gate.array)
	if err != nil {
		return Var{}, err
	}
	return t.Record(y, pullback, x, gate)
}
