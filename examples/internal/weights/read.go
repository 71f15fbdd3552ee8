package weights

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"
)

// maxSharing limits the total number of elements in the distinct views of a storage, as a
// multiple of its number of elements. Tied parameters are a single view. A file with more
// would need far more memory than it has bytes.
const maxSharing = 4

// read returns tensors by name. It reads one storage at a time, so that only its bytes are
// in memory.
func read(items []item) (map[string]*tensor.Dense, error) {
	var order []*storage
	users := map[*storage][]item{}
	for _, t := range items {
		if t.tensor == nil {
			return nil, fmt.Errorf("tensor %s: element type %s is not supported", quote(t.name), quote(t.of))
		}
		s := t.tensor.storage
		if users[s] == nil {
			order = append(order, s)
		}
		users[s] = append(users[s], t)
	}
	tensors := make(map[string]*tensor.Dense, len(items))
	for _, s := range order {
		if err := s.tensors(users[s], tensors); err != nil {
			return nil, err
		}
	}
	return tensors, nil
}

// tensors reads the storage and adds the tensors that view it to out.
func (s *storage) tensors(views []item, out map[string]*tensor.Dense) error {
	raw, err := s.read()
	if err != nil {
		return err
	}
	made := map[string]*tensor.Dense{}
	total := 0
	for _, view := range views {
		v := view.tensor
		fail := func(err error) error { return fmt.Errorf("tensor %s: %w", quote(view.name), err) }
		if out[view.name] != nil {
			return fail(errors.New("it is in the file twice"))
		}
		if want := s.count * s.element.size; len(raw) != want {
			return fail(fmt.Errorf("its storage has %d bytes, want %d", len(raw), want))
		}
		n, err := v.elements()
		if err != nil {
			return fail(err)
		}
		same := v.layout()
		if made[same] == nil {
			if total += n; total > maxSharing*s.count {
				return fail(fmt.Errorf("the views of its storage of %d elements have more than %d times as many", s.count, maxSharing))
			}
			made[same] = s.element.tensor(v.gather(raw, n), s.order, v.shape)
		}
		out[view.name] = made[same]
	}
	return nil
}

// layout identifies a view of a storage.
func (t *stridedTensor) layout() string { return fmt.Sprint(t.offset, t.shape, t.strides) }

// same reports whether two tensors are the same view of the same storage.
func (t *stridedTensor) same(u *stridedTensor) bool {
	return t.storage == u.storage && t.layout() == u.layout()
}
