package nn

import (
	"errors"
	"fmt"
)

// Builder creates the layers of a network: it names their parameters and buffers, determines
// their initial values, and maintains the lists that a [Network] returns. Its methods must be
// called in state_dict order. After an error it does nothing more; Err returns the first
// error, so that the constructor of a network is a plain list of layers.
//
// Parameters and buffers have no values until [Initialize], [Builder.Initialize] or
// [LoadStateDict] has set them.
type Builder struct {
	backend Backend
	seed    uint64
	params  []*Param
	buffers []*Buffer
	names   map[string]bool
	err     error
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

// Initialize is [Initialize] for the layers created so far. It returns the first error.
func (b *Builder) Initialize() error {
	if b.err == nil {
		b.err = initialize(b.backend, b.params, b.buffers)
	}
	return b.err
}

// param creates a parameter with the given initial values.
func (b *Builder) param(name string, initial func() fill, shape ...int) *Param {
	p := &Param{Name: name}
	if p.Value = b.array(name, initial, shape); b.err == nil {
		b.params = append(b.params, p)
	}
	return p
}

// buffer creates a buffer with the given initial values.
func (b *Builder) buffer(name string, initial func() fill, shape ...int) *Buffer {
	f := &Buffer{Name: name}
	if f.Value = b.array(name, initial, shape); b.err == nil {
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
func (b *Builder) redraw(p *Param, initial func() fill) {
	p.Value = unset{p.Value.Shape(), b.backend.DType(), initial}
}

func (b *Builder) array(name string, initial func() fill, shape []int) Array {
	b.claim(name)
	if b.err != nil {
		return nil
	}
	if err := CheckShape(shape); err != nil {
		b.err = fmt.Errorf("nn: %s: %w", name, err)
		return nil
	}
	return unset{shape, b.backend.DType(), initial}
}

// fixed returns an array of one value that is neither a parameter nor a buffer.
func (b *Builder) fixed(name string, value float64) Array {
	if b.err != nil {
		return nil
	}
	a, err := drawer(b.backend, 1)(unset{[]int{1}, b.backend.DType(), constant(value)})
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
