package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// stateDictKeys are the keys under which training programs keep a state_dict
// beside their other state.
var stateDictKeys = []string{
	"state_dict", "model_state_dict", "network_state_dict", "net_state_dict",
	"model_state", "model", "network", "net", "model_weights", "weights",
}

// wrappers are the prefixes that wrappers of a module put before its names.
var wrappers = []string{"module.", "_orig_mod."}

// findStateDict returns the tensors of the state_dict that a file's value is or
// holds.
func findStateDict(value any) (map[string]*stridedTensor, error) {
	top, ok := value.(*dict)
	if !ok {
		return nil, fmt.Errorf("it holds %s, want a state_dict or a dictionary that holds one", typeName(value))
	}
	found := map[string]*dict{}
	for _, e := range top.entries {
		key, _ := e.key.(string)
		if d, ok := e.value.(*dict); ok && slices.Contains(stateDictKeys, key) && d.holdsTensor() {
			found[key] = d
		}
	}
	switch len(found) {
	case 0:
		if !top.holdsTensor() {
			return nil, fmt.Errorf("it holds no state_dict; its keys are %s, and a state_dict is looked for under %s",
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
	return nil, fmt.Errorf("it holds more than one state_dict, under the keys %s; save the wanted one alone",
		strings.Join(slices.Sorted(maps.Keys(found)), ", "))
}

func (d *dict) holdsTensor() bool {
	return slices.ContainsFunc(d.entries, func(e entry) bool { _, ok := e.value.(*stridedTensor); return ok })
}

// keys lists the first keys for an error.
func (d *dict) keys() string {
	const most = 12
	var names []string
	for _, e := range d.entries[:min(most, len(d.entries))] {
		if s, ok := e.key.(string); ok {
			names = append(names, quote(s))
		} else {
			names = append(names, typeName(e.key))
		}
	}
	if len(d.entries) > most {
		names = append(names, "…")
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// tensors returns the dictionary, which holds a tensor, as a state_dict without
// wrappers' prefixes.
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
