package nn

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/tensor"
)

// StateDict copies the parameters and buffers of a network to the host, by name, in the
// backend's DType; counters are int64 scalars. The names are those of a PyTorch state_dict.
func StateDict(b Backend, net Network) (map[string]*tensor.Dense, error) {
	state := map[string]*tensor.Dense{}
	for _, p := range net.Parameters() {
		t, err := hostCopy(b, p.Value)
		if err != nil {
			return nil, fmt.Errorf("nn: %s: %w", p.Name, err)
		}
		state[p.Name] = t
	}
	for _, f := range net.Buffers() {
		if f.Value == nil {
			state[f.Name] = tensor.New(tensor.FromScalar(f.Count))
			continue
		}
		t, err := hostCopy(b, f.Value)
		if err != nil {
			return nil, fmt.Errorf("nn: %s: %w", f.Name, err)
		}
		state[f.Name] = t
	}
	return state, nil
}

// LoadStateDict replaces the parameters and buffers of a network by state, which must have
// exactly the network's names and shapes; otherwise a *StateError lists all differences.
// Floating-point tensors may be float32 or float64 and are converted to the backend's DType.
// If LoadStateDict fails, it changes nothing.
func LoadStateDict(b Backend, net Network, state map[string]*tensor.Dense) error {
	if e := differences(net, state); e != nil {
		return e
	}
	return replace(b, net, state)
}

// LoadPartialStateDict is LoadStateDict for a state in which names of the network may be
// missing. Those parameters and buffers do not change.
func LoadPartialStateDict(b Backend, net Network, state map[string]*tensor.Dense) error {
	if e := differences(net, state); e != nil && (e.Extra != nil || e.Misfit != nil) {
		e.Missing = nil
		return e
	}
	return replace(b, net, state)
}

// replace replaces the parameters and buffers that state contains; their shapes must be right.
func replace(b Backend, net Network, state map[string]*tensor.Dense) error {
	values := map[string]Array{}
	load := func(name string) error {
		t, ok := state[name]
		if !ok {
			return nil
		}
		a, err := b.FromHost(t, Kept)
		if err != nil {
			return fmt.Errorf("nn: %s: %w", name, err)
		}
		values[name] = a
		return nil
	}
	for _, p := range net.Parameters() {
		if err := load(p.Name); err != nil {
			return err
		}
	}
	for _, f := range net.Buffers() {
		if f.Value == nil {
			continue
		}
		if err := load(f.Name); err != nil {
			return err
		}
	}
	for _, p := range net.Parameters() {
		if v, ok := values[p.Name]; ok {
			p.Value, p.Grad = v, nil
		}
	}
	for _, f := range net.Buffers() {
		if v, ok := values[f.Name]; ok {
			f.Value = v
		} else if t, ok := state[f.Name]; ok {
			f.Count, _ = scalarInt64(t)
		}
	}
	return nil
}

// StateError lists the differences between a state and a network.
type StateError struct {
	// Missing lists the names of the network that are not in the state, in state_dict
	// order.
	Missing []string
	// Extra lists the names of the state that are not in the network, sorted.
	Extra []string
	// Misfit describes the tensors of the wrong shape or element type, in state_dict
	// order.
	Misfit []string
}

// maxListed is the maximum number of names of each kind in the text of a StateError.
const maxListed = 6

// Error states the number of differences of each kind and names the first of them.
func (e *StateError) Error() string {
	var parts []string
	for _, kind := range []struct {
		what  string
		names []string
	}{{"missing", e.Missing}, {"not in the network", e.Extra}, {"of the wrong shape or type", e.Misfit}} {
		if len(kind.names) == 0 {
			continue
		}
		shown := strings.Join(kind.names[:min(maxListed, len(kind.names))], ", ")
		if more := len(kind.names) - maxListed; more > 0 {
			shown += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, fmt.Sprintf("%d %s: %s", len(kind.names), kind.what, shown))
	}
	return "nn: the state does not fit the network: " + strings.Join(parts, "; ")
}

// differences returns nil if state has exactly the network's names, with the right shapes and
// element types.
func differences(net Network, state map[string]*tensor.Dense) *StateError {
	var e StateError
	known := map[string]bool{}
	check := func(name string, misfit func(t *tensor.Dense) string) {
		known[name] = true
		if t, ok := state[name]; !ok {
			e.Missing = append(e.Missing, name)
		} else if t == nil {
			e.Misfit = append(e.Misfit, name+" is nil")
		} else if m := misfit(t); m != "" {
			e.Misfit = append(e.Misfit, name+" "+m)
		}
	}
	float := func(old Array) func(*tensor.Dense) string {
		return func(t *tensor.Dense) string {
			isFloat := t.Dtype() == tensor.Float32 || t.Dtype() == tensor.Float64
			if isFloat && slices.Equal(t.Shape(), old.Shape()) {
				return ""
			}
			return fmt.Sprintf("is %v of shape %v, want floating point of shape %v", t.Dtype(), []int(t.Shape()), old.Shape())
		}
	}
	for _, p := range net.Parameters() {
		check(p.Name, float(p.Value))
	}
	for _, f := range net.Buffers() {
		if f.Value != nil {
			check(f.Name, float(f.Value))
			continue
		}
		check(f.Name, func(t *tensor.Dense) string {
			if _, ok := scalarInt64(t); ok {
				return ""
			}
			return fmt.Sprintf("is %v of shape %v, want a single int64", t.Dtype(), []int(t.Shape()))
		})
	}
	for name := range state {
		if !known[name] {
			e.Extra = append(e.Extra, name)
		}
	}
	if e.Missing == nil && e.Extra == nil && e.Misfit == nil {
		return nil
	}
	slices.Sort(e.Extra)
	return &e
}

func scalarInt64(t *tensor.Dense) (int64, bool) {
	switch v := t.Data().(type) {
	case int64:
		return v, true
	case []int64:
		if len(v) == 1 {
			return v[0], true
		}
	}
	return 0, false
}

// hostCopy copies an array to a new tensor of the array's DType.
func hostCopy(b Backend, a Array) (*tensor.Dense, error) {
	of := tensor.Float32
	if a.DType() == Float64 {
		of = tensor.Float64
	}
	t := tensor.New(tensor.Of(of), tensor.WithShape(a.Shape()...))
	if err := b.ToHost(a, t); err != nil {
		return nil, err
	}
	return t, nil
}

// loadArray copies t, which must have the given shape, to a Kept array.
func loadArray(b Backend, t *tensor.Dense, shape []int) (Array, error) {
	if t == nil {
		return nil, fmt.Errorf("tensor is nil, want shape %v", shape)
	}
	if !slices.Equal(t.Shape(), shape) {
		return nil, fmt.Errorf("tensor has shape %v, want %v", []int(t.Shape()), shape)
	}
	return b.FromHost(t, Kept)
}
