// Package portable is a backend of the training engine in pure Go: it needs no C library and
// runs wherever Go does. Arrays are plain row-major memory.
//
// Results are bit-identical on every machine and for any number of goroutines: the order of
// summation depends only on the shapes, and the vector kernels give the same results as the
// corresponding plain Go loops. The build tag noasm excludes the vector kernels.
package portable

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/nn"
)

// New returns a backend whose arrays have the given element type. In float32 it uses vector
// instructions if the machine has AVX2 or AVX-512; float64, which is intended for checking,
// is plain Go.
func New(dtype nn.DType) (nn.Backend, error) {
	switch dtype {
	case nn.Float32:
		return &backend[float32]{dtype: dtype, kernels: tiers()[0]}, nil
	case nn.Float64:
		return &backend[float64]{dtype: dtype, kernels: plain[float64]()}, nil
	}
	return nil, fmt.Errorf("portable: dtype is %v, want %v or %v", dtype, nn.Float32, nn.Float64)
}

// backend implements nn.Backend for one element type.
type backend[T float] struct {
	dtype   nn.DType
	kernels kernels[T]
	pool    pool[T]
	step    []*array[T] // arrays that EndStep releases
}

// Name implements nn.Backend.
func (b *backend[T]) Name() string { return "portable" }

// DType implements nn.Backend.
func (b *backend[T]) DType() nn.DType { return b.dtype }

// array is a row-major array. Its data is nil after it was released or its step has ended.
type array[T float] struct {
	owner *backend[T]
	shape []int
	data  []T
	kept  bool
}

// Shape implements nn.Array.
func (a *array[T]) Shape() []int { return a.shape }

// DType implements nn.Array.
func (a *array[T]) DType() nn.DType { return a.owner.dtype }

// newArray returns an array of the current step with arbitrary content.
func (b *backend[T]) newArray(shape ...int) *array[T] {
	a := &array[T]{owner: b, shape: shape, data: b.pool.get(nn.Elements(shape))}
	b.step = append(b.step, a)
	return a
}

// Release implements nn.Backend.
func (b *backend[T]) Release(x nn.Array) {
	if a, err := b.arg("", x); err == nil && !a.kept {
		b.pool.put(a.data)
		a.data = nil
	}
}

// EndStep implements nn.Backend.
func (b *backend[T]) EndStep(keep ...nn.Array) {
	kept := map[nn.Array]bool{}
	for _, a := range keep {
		kept[a] = true
	}
	b.step = slices.DeleteFunc(b.step, func(a *array[T]) bool {
		if kept[a] {
			return false
		}
		if a.data != nil {
			b.pool.put(a.data)
			a.data = nil
		}
		return true
	})
	b.pool.endStep()
}

// arg checks that an argument of an operation is a valid array of this backend.
func (b *backend[T]) arg(name string, x nn.Array) (*array[T], error) {
	if x == nil {
		return nil, fmt.Errorf("%s is nil", name)
	}
	a, ok := x.(*array[T])
	switch {
	case !ok || a.owner != b:
		return nil, fmt.Errorf("%s %w", name, nn.Foreign(x))
	case a.data == nil:
		return nil, fmt.Errorf("%s is used after its release or the end of its step", name)
	}
	return a, nil
}

// volume checks that an argument has the shape N×C×X×Y×Z.
func (b *backend[T]) volume(name string, x nn.Array) (*array[T], error) {
	a, err := b.arg(name, x)
	if err == nil && len(a.shape) != 5 {
		err = fmt.Errorf("%s has shape %v, want N×C×X×Y×Z", name, a.shape)
	}
	return a, err
}

// vector checks that an argument has one axis of length n.
func (b *backend[T]) vector(name string, x nn.Array, n int) (*array[T], error) {
	a, err := b.arg(name, x)
	if err == nil && (len(a.shape) != 1 || a.shape[0] != n) {
		err = fmt.Errorf("%s has shape %v, want [%d]", name, a.shape, n)
	}
	return a, err
}

// like checks that an argument has the given shape.
func (b *backend[T]) like(name string, x nn.Array, shape []int) (*array[T], error) {
	a, err := b.arg(name, x)
	if err == nil && !slices.Equal(a.shape, shape) {
		err = fmt.Errorf("%s has shape %v, want %v", name, a.shape, shape)
	}
	return a, err
}

// pullback wraps a gradient function: it checks the arguments, and that none of the arrays
// saved for the function was released or belongs to a step that has ended.
func (b *backend[T]) pullback(op string, y *array[T], inputs int, saved []*array[T], f func(g *array[T], need []bool) []nn.Array) nn.Pullback {
	return func(g nn.Array, need []bool) ([]nn.Array, error) {
		gy, err := b.like("the gradient", g, y.shape)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		if len(need) != inputs {
			return nil, fmt.Errorf("%s: need has %d entries, want %d", op, len(need), inputs)
		}
		for _, s := range saved {
			if s != nil && s.data == nil {
				return nil, fmt.Errorf("%s: the pullback is used after an array that it needs was released or the end of its step", op)
			}
		}
		return f(gy, need), nil
	}
}
