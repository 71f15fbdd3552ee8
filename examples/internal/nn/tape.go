package nn

import (
	"errors"
	"fmt"
	"slices"
)

// Mode says what a forward pass is for.
type Mode uint8

const (
	// Training uses batch statistics and dropout and records pullbacks.
	Training Mode = iota
	// Inference uses running statistics, leaves dropout out and records nothing.
	Inference
)

// Var is a value on a tape. The zero Var is not valid.
type Var struct {
	tape  *Tape
	node  int
	array Array
}

// Array returns the value, an array of the tape's backend.
func (v Var) Array() Array { return v.array }

// Shape returns the value's shape, nil for the zero Var; the caller must not
// modify it.
func (v Var) Shape() []int {
	if v.array == nil {
		return nil
	}
	return v.array.Shape()
}

// Tape records the operations of one forward pass and replays their pullbacks
// in reverse order. A tape is good for one step: make a new one for the next.
type Tape struct {
	backend  Backend
	mode     Mode
	seed     uint64
	draws    uint64
	nodes    []node
	params   map[*Param]Var
	replayed bool
	holders  map[Array]int // how many nodes hold an array as their gradient, in Backward
}

// node is one recorded value.
type node struct {
	value    Array // of a recorded operation
	inputs   []int
	pullback Pullback
	needed   bool // whether a gradient has to reach this value
	keep     bool // whether that gradient is asked for by Grad
	shape    []int
	grad     Array
}

// NewTape returns an empty tape. The seed decides the dropout masks of a
// training pass and is not used otherwise; give every step its own.
func NewTape(b Backend, mode Mode, seed uint64) *Tape {
	return &Tape{backend: b, mode: mode, seed: seed, params: map[*Param]Var{}}
}

// Backend returns the backend that computes for this tape.
func (t *Tape) Backend() Backend { return t.backend }

// Mode returns what the tape is for.
func (t *Tape) Mode() Mode { return t.mode }

// Input puts an array on the tape that no gradient is wanted for.
func (t *Tape) Input(a Array) Var { return t.leaf(a, false) }

// InputWithGrad puts an array on the tape whose gradient Grad returns after
// Backward. The tape must be a training tape.
func (t *Tape) InputWithGrad(a Array) Var { return t.leaf(a, t.mode == Training) }

// Param puts a parameter on the tape; the same one twice is one value, whose
// gradient is the sum over its uses.
func (t *Tape) Param(p *Param) Var {
	if v, ok := t.params[p]; ok {
		return v
	}
	v := t.leaf(p.Value, t.mode == Training)
	t.params[p] = v
	return v
}

func (t *Tape) leaf(a Array, needed bool) Var {
	t.nodes = append(t.nodes, node{needed: needed, keep: needed, shape: a.Shape()})
	return Var{tape: t, node: len(t.nodes) - 1, array: a}
}

// Record puts the result of a backend operation on the tape. inputs are the
// operation's array arguments in the order of its pullback's result; leave an
// absent one (such as the bias of a layer without) as the zero Var. Layers use
// it; it is exported for operations that this package does not know.
func (t *Tape) Record(out Array, pullback Pullback, inputs ...Var) (Var, error) {
	n := node{value: out, shape: out.Shape()}
	for i, in := range inputs {
		if in.tape == nil {
			n.inputs = append(n.inputs, -1)
			continue
		}
		if in.tape != t {
			return Var{}, fmt.Errorf("nn: input %d was recorded on another tape", i)
		}
		n.inputs = append(n.inputs, in.node)
		n.needed = n.needed || t.nodes[in.node].needed
	}
	if n.needed {
		n.pullback = pullback
	}
	t.nodes = append(t.nodes, n)
	return Var{tape: t, node: len(t.nodes) - 1, array: out}, nil
}

// Done tells that nothing will use v again. An inference tape releases it at once,
// so that a prediction holds only what it still needs; a training tape keeps it for
// the pullbacks. It does nothing where v is one of kept, which a layer that passes
// its input on makes possible, nor for the values of Input and Param, which belong
// to others.
func (t *Tape) Done(v Var, kept ...Var) {
	if t.mode == Training || v.tape != t || t.nodes[v.node].value == nil {
		return
	}
	for _, k := range kept {
		if k.tape == t && k.node == v.node {
			return
		}
	}
	t.backend.Release(v.array)
	t.nodes[v.node].value = nil
}

// Backward replays the tape from y, whose gradient is gy, and stores the
// gradient of every parameter on the tape in its Grad. A parameter that y does
// not depend on gets nil. It can be called once.
//
// On the way it releases the values and gradients that it has done with, so that
// a step needs little more memory than its forward pass. Of the recorded values
// only those of Input, InputWithGrad and Param can be used afterwards.
func (t *Tape) Backward(y Var, gy Array) error {
	switch {
	case t.mode != Training:
		return errors.New("nn: Backward: the tape was made for inference and recorded nothing")
	case t.replayed:
		return errors.New("nn: Backward: the tape was replayed before; record a new one")
	case y.tape != t:
		return errors.New("nn: Backward: y was recorded on another tape")
	case gy == nil:
		return errors.New("nn: Backward: gy is nil")
	case !slices.Equal(gy.Shape(), y.Shape()):
		return fmt.Errorf("nn: Backward: gy has shape %v, want the shape %v of y", gy.Shape(), y.Shape())
	}
	t.replayed = true
	t.holders = map[Array]int{gy: 1} // the caller's; never released
	t.hold(y.node, gy)
	for i := y.node; i >= 0; i-- {
		n := &t.nodes[i]
		if n.grad == nil || n.pullback == nil {
			continue
		}
		if err := t.replay(n); err != nil {
			return fmt.Errorf("nn: Backward: %w", err)
		}
	}
	for p, v := range t.params {
		p.Grad = t.nodes[v.node].grad
	}
	return nil
}

// hold makes g the gradient of a node.
func (t *Tape) hold(i int, g Array) {
	t.holders[g]++
	t.nodes[i].grad = g
}

// drop takes one holder from g and releases it after the last.
func (t *Tape) drop(g Array) {
	if t.holders[g]--; t.holders[g] == 0 {
		delete(t.holders, g)
		t.backend.Release(g)
	}
}

func (t *Tape) replay(n *node) error {
	need := make([]bool, len(n.inputs))
	for j, in := range n.inputs {
		need[j] = in >= 0 && t.nodes[in].needed
	}
	grads, err := n.pullback(n.grad, need)
	if err != nil {
		return err
	}
	if len(grads) != len(n.inputs) {
		return fmt.Errorf("a pullback returned %d gradients for %d inputs", len(grads), len(n.inputs))
	}
	for j := range grads {
		if !need[j] {
			continue
		}
		if grads[j] == nil {
			return fmt.Errorf("a pullback returned no gradient for input %d", j)
		}
		t.holders[grads[j]]++ // until all inputs have theirs: two may share one
	}
	for j, in := range n.inputs {
		if !need[j] {
			continue
		}
		if err := t.addGrad(in, grads[j]); err != nil {
			return err
		}
		t.drop(grads[j])
	}
	// Whatever used this value was recorded later and has been replayed.
	t.drop(n.grad)
	t.backend.Release(n.value)
	n.grad, n.pullback, n.value = nil, nil, nil
	return nil
}

// addGrad adds g to the gradient of a node.
func (t *Tape) addGrad(i int, g Array) error {
	old := t.nodes[i].grad
	if old == nil {
		t.hold(i, g)
		return nil
	}
	sum, _, err := t.backend.Add(old, g)
	if err != nil {
		return err
	}
	t.hold(i, sum)
	t.drop(old)
	return nil
}

// Grad returns the gradient of an InputWithGrad or Param value after Backward,
// nil where the result does not depend on it.
func (t *Tape) Grad(v Var) (Array, error) {
	switch {
	case v.tape != t:
		return nil, errors.New("nn: Grad: v was recorded on another tape")
	case !t.replayed:
		return nil, errors.New("nn: Grad: called before Backward")
	case !t.nodes[v.node].keep:
		return nil, errors.New("nn: Grad: v is not a value whose gradient the tape keeps (see InputWithGrad)")
	}
	return t.nodes[v.node].grad, nil
}

// nextSeed returns a new seed for an operation that draws random numbers.
func (t *Tape) nextSeed() uint64 {
	t.draws++
	return splitmix64(t.seed + t.draws*0x9E3779B97F4A7C15)
}
