package weights

import "strings"

// torchScript begins the names of the classes in an archive written by torch.jit.save.
const torchScript = "__torch__."

// attribute returns an attribute of an object, the last one of that name.
func (o *object) attribute(name string) any {
	d, ok := o.state.(*dict)
	if !ok {
		return nil
	}
	for i := len(d.entries) - 1; i >= 0; i-- {
		if d.entries[i].key == any(name) {
			return d.entries[i].value
		}
	}
	return nil
}

// isModule reports whether an object is a torch.nn.Module, judged by its attributes, or a
// module of TorchScript.
func (o *object) isModule() bool {
	if strings.HasPrefix(o.of, torchScript) {
		_, ok := o.state.(*dict)
		return ok
	}
	_, parameters := o.attribute("_parameters").(*dict)
	_, modules := o.attribute("_modules").(*dict)
	return parameters && modules
}

// isTensor reports whether an object is a call that describes a tensor, such as a
// quantized or a sparse one.
func (o *object) isTensor() bool {
	return strings.HasPrefix(o.of, "torch.") && (strings.Contains(o.of, "._rebuild_") || strings.HasSuffix(o.of, "Storage"))
}

// module collects the state_dict of a module: its parameters, its persistent buffers and
// those of the modules in it. In TorchScript all of them are attributes.
func (c *collector) module(at *keyPath, o *object, dictionary, depth int) error {
	if err := c.count(1, depth); err != nil {
		return err
	}
	if c.active[o] {
		return nil
	}
	c.active[o], c.seen[o] = true, true
	defer delete(c.active, o)

	member := func(key string, v any) error {
		switch v := v.(type) {
		case *stridedTensor:
			return c.tensor(at.join(key), item{tensor: v, dictionary: dictionary})
		case *object:
			switch {
			case v.isModule():
				return c.module(at.join(key), v, dictionary, depth+1)
			case v.isTensor():
				return c.tensor(at.join(key), item{of: v.of, dictionary: dictionary})
			}
		}
		return nil
	}
	if strings.HasPrefix(o.of, torchScript) {
		return eachEntry(o.state.(*dict).entries, member)
	}
	transient := map[any]bool{}
	if set, ok := o.attribute("_non_persistent_buffers_set").(*object); ok {
		for _, name := range set.items {
			if name, ok := name.(string); ok {
				transient[name] = true
			}
		}
	}
	for _, of := range []string{"_parameters", "_buffers", "_modules"} {
		d, ok := o.attribute(of).(*dict)
		if !ok {
			continue
		}
		err := eachEntry(d.entries, func(key string, v any) error {
			if of == "_buffers" && transient[key] {
				return nil
			}
			return member(key, v)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
