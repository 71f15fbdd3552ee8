package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// stateDictKeys are the keys under which training programs store a state_dict along with
// their other state.
var stateDictKeys = []string{
	"state_dict", "model_state_dict", "network_state_dict", "net_state_dict",
	"model_state", "model", "network", "net", "model_weights", "weights",
}

// wrappers are the prefixes that wrappers of a module add to its names.
var wrappers = []string{"module.", "_orig_mod."}

// findStateDict returns the tensors of a state_dict, given the value of a file, which is
// either the state_dict or a dictionary that contains it.
func findStateDict(value any) (map[string]*stridedTensor, error) {
	top, ok := value.(*dict)
	if !ok {
		return nil, fmt.Errorf("it contains %s, want a state_dict or a dictionary that contains one", typeName(value))
	}
	found := map[string]*dict{}
	for _, e := range top.entries {
		key, _ := e.key.(string)
		if d, ok := e.value.(*dict); ok && slices.Contains(stateDictKeys, key) && d.hasTensor() {
			found[key] = d
		}
	}
	switch len(found) {
	case 0:
		if !top.hasTensor() {
			return nil, fmt.Errorf("it contains no state_dict; its keys are %s, and the keys of a state_dict can be %s",
				top.keys(), strings.Join(stateDictKeys, ", "))
		}
		return top.tensors()
	case 1:
		for key, d := range found {
			tensors, err := d.tensors()
			if err != nil {
				return nil, fmt.Errorf("under the key %q: %w", key, err)
			}
			return tensors, nil
		}
	}
	return nil, fmt.Errorf("it contains more than one state_dict, under the keys %s; save only the one to load",
		strings.Join(slices.Sorted(maps.Keys(found)), ", "))
}

func (d *dict) hasTensor() bool {
	return slices.ContainsFunc(d.entries, func(e entry) bool { _, ok := e.value.(*stridedTensor); return ok })
}

// keys returns the first keys for an error.
func (d *dict) keys() string {
	const limit = 12
	var names []string
	for _, e := range d.entries[:min(limit, len(d.entries))] {
		if s, ok := e.key.(string); ok {
			names = append(names, quote(s))
		} else {
			names = append(names, typeName(e.key))
		}
	}
	if len(d.entries) > limit {
		names = append(names, "…")
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// tensors returns the entries of a state_dict, without the prefixes of wrappers. All of
// them must be tensors.
func (d *dict) tensors() (map[string]*stridedTensor, error) {
	values := make(map[string]any, len(d.entries))
	for _, e := range d.entries {
		name, ok := e.key.(string)
		if !ok {
			return nil, fmt.Errorf("a name of the state_dict is %s, want a string", typeName(e.key))
		}
		values[name] = e.value
	}
	tensors := make(map[string]*stridedTensor, len(values))
	for name, value := range values {
		t, ok := value.(*stridedTensor)
		if !ok {
			return nil, fmt.Errorf("entry %s of the state_dict is %s, want a tensor", quote(name), typeName(value))
		}
		tensors[name] = t
	}
	for _, prefix := range wrappers {
		all := true
		for name := range tensors {
			all = all && strings.HasPrefix(name, prefix) && name != prefix
		}
		if !all {
			continue
		}
		bare := make(map[string]*stridedTensor, len(tensors))
		for name, t := range tensors {
			bare[strings.TrimPrefix(name, prefix)] = t
		}
		tensors = bare
	}
	return tensors, nil
}
