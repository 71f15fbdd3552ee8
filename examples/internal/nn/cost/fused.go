package cost

import "github.com/x/afl/examples/internal/nn"

// A fused backend returns norms, activations of norms, and sums as formulas, which take no
// memory until an operation needs the values: the next activation or sum computes them from
// the memory that the formula reads. So the result of a norm is usually never stored, nor is a
// sum that an activation follows. The gradient of an activation of a norm is a formula too,
// which the gradient of the norm evaluates.

// formula is what an array without memory is computed from.
type formula struct {
	kind  kind
	reads []*memory
}

type kind uint8

const (
	normed          kind = iota // a norm
	activated                   // an activation of a norm
	summed                      // a sum
	activationSlope             // the gradient of an activation of a norm
)

// lazy returns an array that is computed from the given memory.
func (b *backend) lazy(shape []int, k kind, reads ...*memory) *array {
	for _, m := range reads {
		if m != nil {
			m.users++
		}
	}
	return &array{shape: append([]int(nil), shape...), formula: &formula{k, reads}}
}

// forget ends an array's use of what its formula reads.
func (b *backend) forget(a *array) {
	if a.formula == nil {
		return
	}
	for _, m := range a.formula.reads {
		b.drop(m)
	}
	a.formula = nil
}

// stored computes an array's formula, if it has one, and returns its memory.
func (b *backend) stored(x nn.Array) *memory {
	a, ok := x.(*array)
	if !ok {
		return nil // absent
	}
	if a.formula != nil {
		a.memory = b.allocate(count(a.shape))
		b.forget(a)
	}
	return a.memory
}

// is reports whether an array is a formula of the given kind.
func is(x nn.Array, k kind) bool {
	a, ok := x.(*array)
	return ok && a.formula != nil && a.formula.kind == k
}

// gradients allocates the gradients of inputs, in their order.
func (b *backend) gradients(need []bool, inputs []nn.Array) []nn.Array {
	grads := make([]nn.Array, len(inputs))
	for i, in := range inputs {
		if need[i] {
			grads[i] = b.step(in.Shape())
		}
	}
	return grads
}

// norm returns a norm of x.
func (b *backend) norm(x, weight, bias nn.Array) (nn.Array, nn.Pullback, error) {
	if !b.fused {
		return b.result(x.Shape(), x, weight, bias)
	}
	return b.lazy(x.Shape(), normed, b.stored(x)), func(g nn.Array, need []bool) ([]nn.Array, error) {
		if !is(g, activationSlope) {
			b.stored(g)
		}
		return b.gradients(need, []nn.Array{x, weight, bias}), nil
	}, nil
}

// activation returns an activation of x; others are its parameters.
func (b *backend) activation(x nn.Array, others ...nn.Array) (nn.Array, nn.Pullback, error) {
	inputs := append([]nn.Array{x}, others...)
	switch {
	case is(x, normed):
		from := x.(*array).formula.reads[0]
		return b.lazy(x.Shape(), activated, from), func(g nn.Array, need []bool) ([]nn.Array, error) {
			of := b.stored(g)
			grads := make([]nn.Array, len(inputs))
			for i, in := range inputs {
				switch {
				case !need[i]:
				case i == 0:
					grads[0] = b.lazy(in.Shape(), activationSlope, of, from)
				default:
					grads[i] = b.step(in.Shape())
				}
			}
			return grads, nil
		}, nil
	case is(x, summed) && len(others) == 0:
		return b.step(x.Shape()), func(g nn.Array, need []bool) ([]nn.Array, error) {
			b.stored(g)
			return b.gradients(need, inputs), nil
		}, nil
	}
	return b.result(x.Shape(), inputs...)
}

// sum returns the sum of two arrays.
func (b *backend) sum(x0, x1 nn.Array) *array {
	if !b.fused || len(x0.Shape()) != 5 {
		b.stored(x0)
		b.stored(x1)
		return b.step(x0.Shape())
	}
	if is(x0, activated) && is(x1, activated) {
		b.stored(x1)
	}
	var reads []*memory
	for _, x := range []nn.Array{x0, x1} {
		if is(x, normed) || is(x, activated) {
			reads = append(reads, x.(*array).formula.reads[0])
		} else {
			reads = append(reads, b.stored(x))
		}
	}
	return b.lazy(x0.Shape(), summed, reads...)
}
