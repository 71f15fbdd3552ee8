package nn

import (
	"fmt"

	"gorgonia.org/tensor"
)

// StateDict copies a network's parameters and buffers to the host, by name, in
// the backend's DType; counters are int64 scalars. The names are those of a
// PyTorch state_dict.
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

// LoadStateDict replaces a network's parameters and buffers by state, which
// must hold exactly the network's names and shapes. Floating-point tensors may
// be float32 or float64 and are converted to the backend's DType. It changes
// nothing if it fails.
func LoadStateDict(b Backend, net Network, state map[string]*tensor.Dense) error {
	values := map[string]Array{}
	counts := map[string]int64{}
	load := func(name string, old Array) error {
		t, ok := state[name]
		if !ok {
			return fmt.Errorf("nn: the state has no %q", name)
		}
		if t == nil {
			return fmt.Errorf("nn: %s: tensor is nil", name)
		}
		if old == nil {
			n, ok := scalarInt64(t)
			if !ok {
				return fmt.Errorf("nn: %s: have %v of shape %v, want one int64", name, t.Dtype(), t.Shape())
			}
			counts[name] = n
			return nil
		}
		a, err := loadArray(b, t, old.Shape())
		if err != nil {
			return fmt.Errorf("nn: %s: %w", name, err)
		}
		values[name] = a
		return nil
	}
	for _, p := range net.Parameters() {
		if err := load(p.Name, p.Value); err != nil {
			return err
		}
	}
	for _, f := range net.Buffers() {
		if err := load(f.Name, f.Value); err != nil {
			return err
		}
	}
	for name := range state {
		_, value := values[name]
		_, count := counts[name]
		if !value && !count {
			return fmt.Errorf("nn: the state holds %q, which is no parameter or buffer of the network", name)
		}
	}
	for _, p := range net.Parameters() {
		p.Value, p.Grad = values[p.Name], nil
	}
	for _, f := range net.Buffers() {
		f.Value, f.Count = values[f.Name], counts[f.Name]
	}
	return nil
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

// hostCopy returns an array as a new tensor of the backend's DType.
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

// loadArray makes a Kept array from t, which must have the given shape.
func loadArray(b Backend, t *tensor.Dense, shape []int) (Array, error) {
	if t == nil {
		return nil, fmt.Errorf("tensor is nil, want shape %v", shape)
	}
	if !equalShape(t.Shape(), shape) {
		return nil, fmt.Errorf("tensor has shape %v, want %v", t.Shape(), shape)
	}
	return b.FromHost(t, Kept)
}

func zeros(shape []int) *tensor.Dense {
	return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
}
