package nn

import (
	"errors"
	"fmt"
	"runtime/debug"

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

// freeAbove is the number of values from which on memory that held them on the host is returned
// to the operating system at once: training allocates so little in Go that the next garbage
// collection could be minutes away.
const freeAbove = 4 << 20

func initialize(b Backend, params []*Param, buffers []*Buffer) error {
	type target struct {
		name  string
		value *Array
	}
	var targets []target
	largest := 0
	add := func(name string, value *Array) {
		if u, ok := (*value).(unset); ok {
			targets = append(targets, target{name, value})
			largest = max(largest, Elements(u.shape))
		}
	}
	for _, p := range params {
		add(p.Name, &p.Value)
	}
	for _, f := range buffers {
		add(f.Name, &f.Value)
	}
	draw := drawer(b, largest)
	for _, t := range targets {
		a, err := draw((*t.value).(unset))
		if err != nil {
			return fmt.Errorf("nn: %s: %w", t.name, err)
		}
		*t.value = a
	}
	if largest > freeAbove {
		debug.FreeOSMemory()
	}
	return nil
}

// drawer returns a function that draws the initial values of arrays with at most the given
// number of elements.
func drawer(b Backend, largest int) func(unset) (Array, error) {
	if _, ok := b.(Numberless); ok {
		return func(u unset) (Array, error) { return b.Zeros(u.shape) }
	}
	if b.DType() == Float32 {
		return drawInto(b, make([]float32, largest))
	}
	return drawInto(b, make([]float64, largest))
}

func drawInto[T float32 | float64](b Backend, scratch []T) func(unset) (Array, error) {
	return func(u unset) (Array, error) {
		values, next := scratch[:Elements(u.shape)], u.initial()
		for i := range values {
			values[i] = T(next())
		}
		return b.FromHost(tensor.New(tensor.WithShape(u.shape...), tensor.WithBacking(values)), Kept)
	}
}
