package nn

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// Builder creates the layers of a network: it allocates their parameters and buffers on a
// backend, draws the initial values, and maintains the lists that a [Network] returns. Its
// methods must be called in state_dict order. After an error it does nothing more; Err
// returns the first error, so that the constructor of a network is a plain list of layers.
type Builder struct {
	backend Backend
	seed    uint64
	params  []*Param
	buffers []*Buffer
	names   map[string]bool
	err     error
}

// Numberless is implemented by a [Backend] whose arrays have a shape but no values, for
// counting the resources that a network needs. For it, a Builder draws no initial values.
type Numberless interface {
	// Empty returns a Kept array.
	Empty(shape []int) Array
}

// NewBuilder returns a Builder that draws initial values from the seed.
func NewBuilder(b Backend, seed uint64) *Builder {
	return &Builder{backend: b, seed: seed, names: map[string]bool{}}
}

// Err returns the first error, or nil.
func (b *Builder) Err() error { return b.err }

// Parameters returns the parameters created so far.
func (b *Builder) Parameters() []*Param { return b.params }

// Buffers returns the buffers created so far.
func (b *Builder) Buffers() []*Buffer { return b.buffers }

// fill returns the next value of a tensor under construction.
type fill func() float64

func constant(v float64) fill { return func() float64 { return v } }

// symmetric returns uniform values from [−bound, bound).
func (b *Builder) symmetric(name string, bound float64) fill {
	u := stream(b.seed, name)
	return func() float64 { return (2*u.Float64() - 1) * bound }
}

// gaussian returns values from the normal distribution with mean 0.
func (b *Builder) gaussian(name string, deviation float64) fill {
	u := stream(b.seed, name)
	return func() float64 { return u.NormFloat64() * deviation }
}

// param creates a parameter with the given initial values.
func (b *Builder) param(name string, next fill, shape ...int) *Param {
	p := &Param{Name: name}
	if p.Value = b.array(name, next, shape); b.err == nil {
		b.params = append(b.params, p)
	}
	return p
}

// buffer creates a buffer with the given initial values.
func (b *Builder) buffer(name string, next fill, shape ...int) *Buffer {
	f := &Buffer{Name: name}
	if f.Value = b.array(name, next, shape); b.err == nil {
		b.buffers = append(b.buffers, f)
	}
	return f
}

// counter creates a buffer that counts from zero.
func (b *Builder) counter(name string) *Buffer {
	f := &Buffer{Name: name}
	b.claim(name)
	if b.err == nil {
		b.buffers = append(b.buffers, f)
	}
	return f
}

func (b *Builder) claim(name string) {
	if b.err == nil && b.names[name] {
		b.err = fmt.Errorf("nn: two parameters or buffers have the name %q", name)
	}
	b.names[name] = true
}

// redraw replaces the initial values of a parameter.
func (b *Builder) redraw(p *Param, next fill) {
	p.Value = b.values(p.Name, next, p.Value.Shape())
}

func (b *Builder) array(name string, next fill, shape []int) Array {
	b.claim(name)
	if b.err != nil {
		return nil
	}
	return b.values(name, next, shape)
}

func (b *Builder) values(name string, next fill, shape []int) Array {
	if err := CheckShape(shape); err != nil {
		b.err = fmt.Errorf("nn: %s: %w", name, err)
		return nil
	}
	if e, ok := b.backend.(Numberless); ok {
		return e.Empty(shape)
	}
	values := make([]float64, Elements(shape))
	for i := range values {
		values[i] = next()
	}
	a, err := b.backend.FromHost(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values)), Kept)
	if err != nil {
		b.err = fmt.Errorf("nn: %s: %w", name, err)
	}
	return a
}

// Fail records an error found by the constructor of a network, unless there already is one.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		if err == nil {
			err = errors.New("nn: Fail called without an error")
		}
		b.err = err
	}
}
