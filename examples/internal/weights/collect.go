package weights

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// item is a tensor of a file.
type item struct {
	name string
	// tensor is nil if the element type or the layout is not supported.
	tensor *stridedTensor
	// of names the class or function that describes an unsupported tensor.
	of string
	// dictionary numbers the dictionary that holds the tensor, or the module.
	dictionary int
}

// maxDepth limits how deep values can be nested.
const maxDepth = 1000

// maxRepeats limits the number of values that are visited and the total length of the
// names, as a multiple of the size of the values' description: a value can be part of
// others any number of times.
const maxRepeats = 16

// collector collects the tensors of a value. The name of a tensor is the path to it: the
// keys of dictionaries, the attributes of objects and the indices of lists, joined by
// dots. Those of a module are the names of its state_dict.
type collector struct {
	items        []item
	seen         map[any]bool // the containers that were visited
	active       map[any]bool // the modules that contain the current one, and that one
	dictionaries int
	left         int64 // number of values and bytes of names that may still follow
}

// collect returns the tensors in a value that a file of the given size describes.
func collect(value any, described int64) ([]item, error) {
	c := &collector{seen: map[any]bool{}, active: map[any]bool{}, left: maxRepeats * (described + 64)}
	if err := c.value(nil, value, -1, 0); err != nil {
		return nil, err
	}
	return c.items, nil
}

// keyPath is a list of keys, the last one first.
type keyPath struct {
	parent *keyPath
	key    string
}

func (p *keyPath) join(key string) *keyPath { return &keyPath{p, key} }

func (p *keyPath) size() int {
	n := 0
	for ; p != nil; p = p.parent {
		n += len(p.key) + 1
	}
	return n
}

func (p *keyPath) String() string {
	b := make([]byte, 0, p.size())
	var keys []string
	for ; p != nil; p = p.parent {
		keys = append(keys, p.key)
	}
	for i, key := range slices.Backward(keys) {
		b = append(b, key...)
		if i > 0 {
			b = append(b, '.')
		}
	}
	return string(b)
}

// value collects the tensors of a value that a dictionary, or no one, contains.
func (c *collector) value(at *keyPath, v any, dictionary, depth int) error {
	if err := c.count(1, depth); err != nil {
		return err
	}
	switch v := v.(type) {
	case *stridedTensor:
		return c.tensor(at, item{tensor: v, dictionary: dictionary})
	case *ndarray:
		return c.tensor(at, item{tensor: v.tensor, of: "numpy.ndarray", dictionary: dictionary})
	case tuple:
		return c.sequence(at, v, depth)
	case *list:
		if c.first(v) {
			return c.sequence(at, v.items, depth)
		}
	case *dict:
		if c.first(v) {
			return c.dict(at, v.entries, depth)
		}
	case *object:
		return c.object(at, v, dictionary, depth)
	}
	return nil
}

// count counts a value, or the bytes of a name, and checks the limits.
func (c *collector) count(n, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("its values are nested more than %d deep", maxDepth)
	}
	if c.left -= int64(n); c.left < 0 {
		return errors.New("its values contain each other so often that their names are far longer than the file")
	}
	return nil
}

// first reports whether a container is visited for the first time.
func (c *collector) first(container any) bool {
	if c.seen[container] {
		return false
	}
	c.seen[container] = true
	return true
}

func (c *collector) tensor(at *keyPath, t item) error {
	if at == nil {
		return errors.New("it contains a single tensor, want a dictionary of them")
	}
	if err := c.count(at.size(), 0); err != nil {
		return err
	}
	t.name = at.String()
	c.items = append(c.items, t)
	return nil
}

func (c *collector) sequence(at *keyPath, values []any, depth int) error {
	c.dictionaries++
	dictionary := c.dictionaries
	for i, v := range values {
		if err := c.value(at.join(strconv.Itoa(i)), v, dictionary, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) dict(at *keyPath, entries []entry, depth int) error {
	c.dictionaries++
	dictionary := c.dictionaries
	return eachEntry(entries, func(key string, v any) error {
		return c.value(at.join(key), v, dictionary, depth+1)
	})
}

// eachEntry calls f with the entries whose keys are strings or ints, in their order, each key
// once, with its last value.
func eachEntry(entries []entry, f func(key string, v any) error) error {
	last := make(map[any]int, len(entries))
	for i, e := range entries {
		switch e.key.(type) {
		case string, int64:
			last[e.key] = i
		}
	}
	for i, e := range entries {
		switch key := e.key.(type) {
		case string:
			if last[key] == i {
				if err := f(key, e.value); err != nil {
					return err
				}
			}
		case int64:
			if last[key] == i {
				if err := f(strconv.FormatInt(key, 10), e.value); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// object collects the tensors of an object: of a module the state_dict, of others the
// arguments of their call, their items and attributes.
func (c *collector) object(at *keyPath, o *object, dictionary, depth int) error {
	if !c.first(o) {
		return nil
	}
	if o.isModule() {
		c.dictionaries++
		return c.module(at, o, c.dictionaries, depth)
	}
	if o.isTensor() {
		return c.tensor(at, item{of: o.of, dictionary: dictionary})
	}
	if err := c.sequence(at, o.args, depth); err != nil {
		return err
	}
	if err := c.dict(at, o.entries, depth); err != nil {
		return err
	}
	if err := c.sequence(at, o.items, depth); err != nil {
		return err
	}
	return c.value(at, o.state, -1, depth+1)
}
