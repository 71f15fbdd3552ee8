package weights

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/tensor"
)

// Entry describes a tensor that a network needs.
type Entry struct {
	Name string
	// Shape is nil if any shape is right.
	Shape []int
	// Counter marks an int64 counter, such as num_batches_tracked. Files of PyTorch before
	// 0.4.1 and many that were converted lack it, so it is set to 0 if it is missing.
	Counter bool
}

// Fitted holds the tensors of a network.
type Fitted struct {
	// State maps the name of each Entry to its tensor.
	State map[string]*tensor.Dense
	// Prefix precedes the network's names in the file.
	Prefix string
	// Filled lists the counters that the file lacks.
	Filled []string
	// Extra lists the tensors that are in the same dictionaries of the file but not in the
	// network, such as the weight of a criterion.
	Extra []string
	// Others lists other prefixes under which the file has tensors that fit as well, such
	// as those of an exponential moving average.
	Others []string
}

// wrappers are the names of the submodules by which wrappers hold a module: DataParallel
// and AveragedModel, torch.compile, FSDP, and activation checkpointing.
var wrappers = []string{"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

// plainKeys are common keys and attributes for the trained network itself, rather than an
// average of its weights, another network or the state of an optimizer.
var plainKeys = append([]string{
	"state_dict", "model_state_dict", "network_state_dict", "net_state_dict", "module_state_dict",
	"model_state", "model", "network", "net", "model_weights", "network_weights", "weights",
}, wrappers...)

// Fit finds the tensors of a network in the file. Its names may follow any prefix, lack the
// name of a module that holds all of them, and have names of wrappers anywhere in them. Of several prefixes that one is taken under
// which most of the network is found, and then that whose shapes are right; under, if it is
// not empty, is the only prefix to consider. Entries that are missing or have a wrong shape
// give a *FitError. If several prefixes fit equally well and not exactly one of them has
// only names like state_dict or model in it, the error lists them.
func (f *File) Fit(network []Entry, under string) (*Fitted, error) {
	fitted, err := fit(f.items, network, under)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", f.path, err)
	}
	return fitted, nil
}

// match is a set of tensors of a file whose names are a prefix and names of the network.
type match struct {
	prefix string
	items  map[string]item // by name in the network
	found  int             // number of entries that are found, without counters
	twice  []string        // names of different tensors that stand for the same entry
	right  int             // number of those with the right shape
}

func fit(items []item, network []Entry, under string) (*Fitted, error) {
	s := newSegments(network)
	if under = s.strip(strings.Trim(under, ".")); under != "" {
		under += "."
		items = slices.DeleteFunc(slices.Clone(items), func(t item) bool { return !strings.HasPrefix(s.strip(t.name), under) })
	}
	switch {
	case len(items) > 0:
	case under == "":
		return nil, errors.New("it contains no tensors")
	default:
		return nil, fmt.Errorf("it contains no tensors under %s", quote(under))
	}
	best, others, err := choose(s.matches(items, network))
	if err != nil {
		return nil, err
	}
	d := &FitError{Entries: len(network), Prefix: best.prefix}
	out := &Fitted{Prefix: strings.TrimSuffix(best.prefix, ".")}
	var taken, fitting []item
	for _, m := range others {
		out.Others = append(out.Others, strings.TrimSuffix(m.prefix, "."))
		fitting = slices.AppendSeq(fitting, maps.Values(m.items))
	}
	for _, e := range network {
		t, ok := best.items[e.Name]
		switch {
		case ok:
			if why := misfit(t, e); why != "" {
				d.Misfit = append(d.Misfit, e.Name+" "+why)
			}
			taken = append(taken, t)
		case e.Counter:
			out.Filled = append(out.Filled, e.Name)
		default:
			d.Missing = append(d.Missing, Absent{Name: e.Name})
		}
	}
	out.Extra = extra(items, taken, fitting)
	if d.Missing != nil || d.Misfit != nil {
		d.Extra = out.Extra
		if len(taken) == 0 {
			d.Extra = nil
			for _, t := range items {
				d.Extra = append(d.Extra, t.name)
			}
			slices.Sort(d.Extra)
		}
		d.findNearest(items, network, s)
		return nil, d
	}
	tensors, err := read(taken)
	if err != nil {
		return nil, err
	}
	out.State = make(map[string]*tensor.Dense, len(network))
	for _, e := range network {
		t, ok := best.items[e.Name]
		switch {
		case !ok:
			out.State[e.Name] = tensor.New(tensor.FromScalar(int64(0)))
		case e.Counter:
			n, err := wholeNumber(tensors[t.name])
			if err != nil {
				return nil, fmt.Errorf("tensor %s: %w", quote(t.name), err)
			}
			out.State[e.Name] = tensor.New(tensor.FromScalar(n))
		default:
			out.State[e.Name] = tensors[t.name]
		}
	}
	return out, nil
}

// choose returns the best match and others that are as good.
func choose(matches []*match) (*match, []*match, error) {
	if len(matches) == 0 {
		return &match{}, nil, nil
	}
	slices.SortFunc(matches, func(a, b *match) int {
		return cmp.Or(cmp.Compare(b.found, a.found), cmp.Compare(b.right, a.right), cmp.Compare(a.prefix, b.prefix))
	})
	best := []*match{matches[0]}
	for _, m := range matches[1:] {
		if m.found == matches[0].found && m.right == matches[0].right && !slices.ContainsFunc(best, m.same) {
			best = append(best, m)
		}
	}
	if twice := best[0].twice; twice != nil {
		return nil, nil, fmt.Errorf("both %s and %s stand for the same tensor of the network", quote(twice[0]), quote(twice[1]))
	}
	if len(best) == 1 {
		return best[0], nil, nil
	}
	var prefixes []string
	plain := -1
	for i, m := range best {
		prefixes = append(prefixes, strings.TrimSuffix(m.prefix, "."))
		if !slices.ContainsFunc(strings.Split(m.prefix, "."), func(s string) bool { return s != "" && !slices.Contains(plainKeys, s) }) {
			if plain >= 0 {
				plain = len(best)
			} else {
				plain = i
			}
		}
	}
	if plain < 0 || plain == len(best) {
		return nil, nil, &AmbiguousError{Prefixes: prefixes}
	}
	chosen := best[plain]
	return chosen, slices.Delete(best, plain, plain+1), nil
}

// AmbiguousError says that several sets of tensors of a file fit a network equally well.
type AmbiguousError struct {
	// Prefixes precede the network's names in the file.
	Prefixes []string
}

// Error lists the prefixes.
func (e *AmbiguousError) Error() string {
	quoted := make([]string, len(e.Prefixes))
	for i, p := range e.Prefixes {
		quoted[i] = quote(p)
	}
	return "several state_dicts fit the network equally well, those under " + strings.Join(quoted, ", ")
}

// same reports whether two matches have the same tensors.
func (m *match) same(o *match) bool {
	for name, t := range m.items {
		u, ok := o.items[name]
		if !ok || t.tensor == nil || u.tensor == nil || !t.tensor.same(u.tensor) {
			return false
		}
	}
	return len(m.items) == len(o.items)
}

// matches returns, for every prefix under which the file has names of the network, what it
// has.
func (s segments) matches(items []item, network []Entry) []*match {
	// The state_dict of the submodule that holds all of a network lacks its name.
	whole := commonPrefix(network)
	entries := make(map[string]Entry, 2*len(network))
	for _, e := range network {
		entries[strings.TrimPrefix(e.Name, whole)] = e
	}
	for _, e := range network {
		entries[e.Name] = e
	}
	all := map[string]*match{}
	for _, t := range items {
		name := s.strip(t.name)
		for at := 0; at >= 0; {
			prefix, rest := name[:at], name[at:]
			if next := strings.IndexByte(rest, '.'); next >= 0 {
				at += next + 1
			} else {
				at = -1
			}
			e, ok := entries[rest]
			if !ok {
				continue
			}
			m := all[prefix]
			if m == nil {
				m = &match{prefix: prefix, items: map[string]item{}}
				all[prefix] = m
			}
			if first, twice := m.items[e.Name]; twice {
				if first.tensor == nil || t.tensor == nil || !first.tensor.same(t.tensor) {
					m.twice = []string{first.name, t.name}
				}
				continue
			}
			m.items[e.Name] = t
			if !e.Counter {
				m.found++
				if misfit(t, e) == "" {
					m.right++
				}
			}
		}
	}
	return slices.Collect(maps.Values(all))
}

// commonPrefix returns the names, each with its dot, of the modules that hold all tensors of
// a network.
func commonPrefix(network []Entry) string {
	if len(network) == 0 {
		return ""
	}
	prefix := network[0].Name
	for _, e := range network {
		for !strings.HasPrefix(e.Name, prefix) || !strings.HasSuffix(prefix, ".") {
			if prefix == "" {
				return ""
			}
			prefix = prefix[:strings.LastIndexByte(strings.TrimSuffix(prefix, "."), '.')+1]
		}
	}
	return prefix
}

// segments strips the names of wrappers from names.
type segments struct{ drop []string }

// newSegments returns those wrappers whose names do not occur in the network's own names.
func newSegments(network []Entry) segments {
	own := map[string]bool{}
	for _, e := range network {
		for segment := range strings.SplitSeq(e.Name, ".") {
			own[segment] = true
		}
	}
	return segments{slices.DeleteFunc(slices.Clone(wrappers), func(w string) bool { return own[w] })}
}

func (s segments) strip(name string) string {
	parts := strings.Split(name, ".")
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return slices.Contains(s.drop, p) }), ".")
}

// misfit says what is wrong with a tensor for an entry, or returns "".
func misfit(t item, e Entry) string {
	switch {
	case t.tensor == nil:
		return fmt.Sprintf("has the unsupported element type or layout %s", quote(t.of))
	case e.Counter:
		if n, err := t.tensor.elements(); err != nil || n != 1 {
			return fmt.Sprintf("has shape %v, want a single number", t.tensor.shape)
		}
	case e.Shape != nil && !slices.Equal(t.tensor.shape, e.Shape):
		return fmt.Sprintf("has shape %v, want %v", t.tensor.shape, e.Shape)
	case t.tensor.storage.element.integer():
		return fmt.Sprintf("has elements of type %s, want floating point", quote(string(t.tensor.storage.class)))
	}
	return ""
}

// extra lists the tensors in the dictionaries of the taken ones that are neither taken nor
// the same tensor under another name, nor among those that fit as well.
func extra(items, taken, fitting []item) []string {
	dictionaries, names, views := map[int]bool{}, map[string]bool{}, map[string]bool{}
	identity := func(t *stridedTensor) string { return fmt.Sprintf("%p %s", t.storage, t.layout()) }
	for _, t := range taken {
		dictionaries[t.dictionary], names[t.name] = true, true
		if t.tensor != nil {
			views[identity(t.tensor)] = true
		}
	}
	for _, t := range fitting {
		names[t.name] = true
	}
	var out []string
	for _, t := range items {
		if dictionaries[t.dictionary] && !names[t.name] && (t.tensor == nil || !views[identity(t.tensor)]) {
			out = append(out, t.name)
		}
	}
	slices.Sort(out)
	return out
}

// wholeNumber returns the value of a counter. Averages of weights turn counters into
// floating-point numbers, whose fraction is dropped, as PyTorch does.
func wholeNumber(t *tensor.Dense) (int64, error) {
	var v float64
	switch x := t.Data().(type) {
	case int64:
		return x, nil
	case []int64:
		return x[0], nil
	case float32:
		v = float64(x)
	case []float32:
		v = float64(x[0])
	case float64:
		v = x
	case []float64:
		v = x[0]
	}
	if !(v > -1<<63 && v < 1<<63) {
		return 0, fmt.Errorf("the counter is %v", v)
	}
	return int64(v), nil
}
