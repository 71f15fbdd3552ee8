package nn

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// fill returns the next value of an array, in row-major order.
type fill func() float64

func constant(v float64) func() fill { return func() fill { return func() float64 { return v } } }

// symmetric returns uniform values from [−bound, bound).
func (b *Builder) symmetric(name string, bound float64) func() fill {
	return func() fill {
		u := stream(b.seed, name)
		return func() float64 { return (2*u.Float64() - 1) * bound }
	}
}

// gaussian returns values from the normal distribution with mean 0.
func (b *Builder) gaussian(name string, deviation float64) func() fill {
	return func() fill {
		u := stream(b.seed, name)
		return func() float64 { return u.NormFloat64() * deviation }
	}
}

// unset stands for the value of a parameter or buffer that has not been set yet. It takes no
// memory, and backends reject it.
type unset struct {
	shape   []int
	dtype   DType
	initial func() fill
}

// Shape implements Array.
func (u unset) Shape() []int { return u.shape }

// DType implements Array.
func (u unset) DType() DType { return u.dtype }

// Foreign returns the reason why an array that a backend has not created cannot be an
// argument of its operations, as a predicate: either it is a parameter without a value, or it
// belongs to another backend.
func Foreign(a Array) error {
	if _, ok := a.(unset); ok {
		return errors.New("has no value yet; call Initialize or LoadStateDict")
	}
	return errors.New("belongs to another backend")
}

// Numberless is implemented by a [Backend] whose arrays have a shape but no values, for
// counting the resources that a network needs. For it, Initialize draws nothing.
type Numberless interface{ Numberless() }

// Initialize gives every parameter and buffer of a network that has no value yet its initial
// value. Random values are determined by the seed of the network's Builder and the name of
// the parameter. It does not change parameters and buffers that have values.
func Initialize(b Backend, net Network) error {
	return initialize(b, net.Parameters(), net.Buffers())
}

func initialize(b Backend, params []*Param, buffers []*Buffer) error {
	var scratch []float64
	set := func(name string, value *Array) error {
		u, ok := (*value).(unset)
		if !ok {
			return nil
		}
		if n := Elements(u.shape); n > len(scratch) {
			scratch = make([]float64, n)
		}
		a, err := draw(b, u, scratch)
		if err != nil {
			return fmt.Errorf("nn: %s: %w", name, err)
		}
		*value = a
		return nil
	}
	for _, p := range params {
		if err := set(p.Name, &p.Value); err != nil {
			return err
		}
	}
	for _, f := range buffers {
		if err := set(f.Name, &f.Value); err != nil {
			return err
		}
	}
	return nil
}

// draw returns the initial value of an array. It uses scratch, unless that is too short.
func draw(b Backend, u unset, scratch []float64) (Array, error) {
	if _, ok := b.(Numberless); ok {
		return b.Zeros(u.shape)
	}
	n := Elements(u.shape)
	if n > len(scratch) {
		scratch = make([]float64, n)
	}
	values, next := scratch[:n], u.initial()
	for i := range values {
		values[i] = next()
	}
	return b.FromHost(tensor.New(tensor.WithShape(u.shape...), tensor.WithBacking(values)), Kept)
}
