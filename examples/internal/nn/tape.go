package nn

import (
	"errors"
	"fmt"
	"slices"
)

// Mode is the mode of a forward pass.
type Mode uint8

const (
	// Training uses batch statistics and dropout, and records pullbacks.
	Training Mode = iota
	// Inference uses running statistics and no dropout, and records no pullbacks.
	Inference
)

// Var is a value on a tape. The zero Var is invalid.
type Var struct {
	tape  *Tape
	node  int
	array Array
}

// Array returns the value, an array of the tape's backend.
func (v Var) Array() Array { return v.array }

// Shape returns the shape of the value, or nil for the zero Var. The caller must not modify
// it.
func (v Var) Shape() []int {
	if v.array == nil {
		return nil
	}
	return v.array.Shape()
}

// Tape records the operations of one forward pass and calls their pullbacks in reverse order.
// A tape is used for a single step.
type Tape struct {
	backend  Backend
	mode     Mode
	seed     uint64
	draws    uint64
	nodes    []node
	params   map[*Param]Var
	final    func(*Param) error // of OnGradient
	replayed bool
	keeps    bool // of KeepStatistics
	kept     []keptStatistics
	sync     SyncFunc      // of SyncBatchNorm
	holders  map[Array]int // in Backward, the number of nodes whose gradient an array is
}

// node is a recorded value.
type node struct {
	value    Array // result of a recorded operation
	inputs   []int
	pullback Pullback
	needed   bool // the gradient of this value is needed
	leaf     bool // Grad may return the gradient after Backward
	param    *Param
	shape    []int
	grad     Array
}

// NewTape returns an empty tape. The seed determines the dropout masks of a training pass and
// is not used otherwise. Every step should have its own seed.
func NewTape(b Backend, mode Mode, seed uint64) *Tape {
	return &Tape{backend: b, mode: mode, seed: seed, params: map[*Param]Var{}}
}

// Backend returns the backend of the tape.
func (t *Tape) Backend() Backend { return t.backend }

// Mode returns the mode of the tape.
func (t *Tape) Mode() Mode { return t.mode }

// Input adds an array to the tape as an input without a gradient.
func (t *Tape) Input(a Array) Var { return t.leaf(a, false) }

// InputWithGrad adds an array to the tape as an input whose gradient Grad returns after
// Backward. The tape must be a training tape.
func (t *Tape) InputWithGrad(a Array) Var { return t.leaf(a, t.mode == Training) }

// Param adds a parameter to the tape. A parameter that is added more than once is a single
// value, whose gradient is the sum over its uses.
func (t *Tape) Param(p *Param) Var {
	if v, ok := t.params[p]; ok {
		return v
	}
	v := t.leaf(p.Value, t.mode == Training)
	t.nodes[v.node].param = p
	t.params[p] = v
	return v
}

func (t *Tape) leaf(a Array, needed bool) Var {
	t.nodes = append(t.nodes, node{needed: needed, leaf: needed, shape: a.Shape()})
	return Var{tape: t, node: len(t.nodes) - 1, array: a}
}

// Record adds the result of a backend operation to the tape. inputs are the array arguments
// of the operation in the order of the pullback's result; an absent one (such as the bias of
// a layer without) is the zero Var. Layers call it; it is exported for operations defined in
// other packages.
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

// Done declares that v will not be used again. An inference tape releases it immediately, so
// that a prediction holds only what it still needs; a training tape retains it for the
// pullbacks. Done has no effect if v is one of except, which can happen because a layer may
// return its input, and for the values of Input and Param, which belong to the caller.
func (t *Tape) Done(v Var, except ...Var) {
	if t.mode == Training || v.tape != t || t.nodes[v.node].value == nil {
		return
	}
	for _, e := range except {
		if e.tape == t && e.node == v.node {
			return
		}
	}
	t.backend.Release(v.array)
	t.nodes[v.node].value = nil
}

// OnGradient sets a function that Backward calls once for every parameter that has a gradient,
// as soon as the gradient is final and stored in Grad: no pullback yet to be called adds to it.
// This allows gradients to be exchanged between processes while Backward computes others. The
// order of the calls is determined by the order in which the forward pass used the parameters:
// roughly its reverse. The function may replace Grad. If it returns an error, Backward
// returns that error.
func (t *Tape) OnGradient(f func(p *Param) error) { t.final = f }

// Backward calls the pullbacks in reverse order, starting from y with the gradient gy, and
// stores the gradient of every parameter on the tape in its Grad field, or nil if y does not
// depend on the parameter. It can be called only once.
//
// It releases values and gradients as soon as they are no longer needed, so that a step needs
// little more memory than its forward pass. Afterward only the values of Input, InputWithGrad
// and Param can be used.
func (t *Tape) Backward(y Var, gy Array) error { return t.BackwardAll([]Var{y}, []Array{gy}) }

// BackwardAll is Backward from several values at once: the gradient of a parameter is that of
// Σ_i ⟨ys[i], gys[i]⟩.
func (t *Tape) BackwardAll(ys []Var, gys []Array) error {
	switch {
	case t.mode != Training:
		return errors.New("nn: Backward: an inference tape has no pullbacks")
	case t.replayed:
		return errors.New("nn: Backward: already called on this tape; record a new one")
	case len(ys) == 0 || len(gys) != len(ys):
		return fmt.Errorf("nn: Backward: there are %d values and %d gradients, want one for each of at least one value", len(ys), len(gys))
	}
	for i, y := range ys {
		switch gy := gys[i]; {
		case y.tape != t:
			return errors.New("nn: Backward: y was recorded on another tape")
		case gy == nil:
			return errors.New("nn: Backward: gy is nil")
		case !slices.Equal(gy.Shape(), y.Shape()):
			return fmt.Errorf("nn: Backward: gy has shape %v, want the shape %v of y", gy.Shape(), y.Shape())
		}
	}
	t.replayed = true
	for p := range t.params {
		p.Grad = nil
	}
	t.holders = map[Array]int{}
	for _, gy := range gys {
		t.holders[gy]++ // it belongs to the caller and is never released
	}
	end := 0
	for i, y := range ys {
		if err := t.addGrad(y.node, gys[i]); err != nil {
			return fmt.Errorf("nn: Backward: %w", err)
		}
		end = max(end, y.node)
	}
	last := t.lastUses(ys)
	for _, y := range ys {
		if last[y.node] >= 0 {
			continue // an operation will add to the gradient
		}
		if err := t.deliver(y.node); err != nil {
			return fmt.Errorf("nn: Backward: %w", err)
		}
	}
	for i := end; i >= 0; i-- {
		n := &t.nodes[i]
		if n.grad == nil || n.pullback == nil {
			continue
		}
		if err := t.replay(n); err != nil {
			return fmt.Errorf("nn: Backward: %w", err)
		}
		for _, in := range n.inputs {
			if in < 0 || last[in] != i {
				continue
			}
			last[in] = -1 // an operation may use a parameter twice
			if err := t.deliver(in); err != nil {
				return fmt.Errorf("nn: Backward: %w", err)
			}
		}
	}
	return nil
}

// lastUses returns, for every node that is a parameter, the node of the operation whose
// pullback is the last one to add to its gradient when Backward starts from ys, and −1 if
// there is none.
func (t *Tape) lastUses(ys []Var) []int {
	last := make([]int, len(t.nodes))
	for i := range last {
		last[i] = -1
	}
	reached := make([]bool, len(t.nodes))
	for _, y := range ys {
		reached[y.node] = true
	}
	for i := len(t.nodes) - 1; i >= 0; i-- {
		if n := &t.nodes[i]; reached[i] && n.pullback != nil {
			for _, in := range n.inputs {
				if in >= 0 && t.nodes[in].needed {
					reached[in] = true
					if t.nodes[in].param != nil {
						last[in] = i
					}
				}
			}
		}
	}
	return last
}

// deliver stores the final gradient of a node in its parameter, if it is one.
func (t *Tape) deliver(i int) error {
	p := t.nodes[i].param
	if p == nil {
		return nil
	}
	p.Grad = t.nodes[i].grad
	if t.final == nil {
		return nil
	}
	if err := t.final(p); err != nil {
		return fmt.Errorf("gradient of %s: %w", p.Name, err)
	}
	return nil
}

// hold sets the gradient of a node to g.
func (t *Tape) hold(i int, g Array) {
	t.holders[g]++
	t.nodes[i].grad = g
}

// drop removes one holder of g and releases g after the last one.
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
		t.holders[grads[j]]++ // until all inputs have their gradients, since two may share one
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
	// All uses of this value were recorded later, so their pullbacks have been called.
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

// Grad returns the gradient of an InputWithGrad or Param value after Backward, or nil if the
// result does not depend on the value.
func (t *Tape) Grad(v Var) (Array, error) {
	switch {
	case v.tape != t:
		return nil, errors.New("nn: Grad: v was recorded on another tape")
	case !t.replayed:
		return nil, errors.New("nn: Grad: called before Backward")
	case !t.nodes[v.node].leaf:
		return nil, errors.New("nn: Grad: v is neither an InputWithGrad nor a Param value")
	}
	return t.nodes[v.node].grad, nil
}

// nextSeed returns a new seed for an operation that draws random numbers.
func (t *Tape) nextSeed() uint64 {
	t.draws++
	return splitmix64(t.seed + t.draws*0x9E3779B97F4A7C15)
}
