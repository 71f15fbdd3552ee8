package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// DescriptionName is the name of the file in the folder of a data set that names its
// channels and labels.
const DescriptionName = "dataset.json"

// Description is what a dataset.json says about a data set: the names of its channels
// and of its label values. Three formats are read:
//
//	"modality": {"0": "FLAIR", "1": "T1w"}        Medical Segmentation Decathlon, nnU-Net 1
//	"labels":   {"0": "background", "1": "edema"}
//
//	"channel_names": {"0": "FLAIR", "1": "T1w"}   nnU-Net 2
//	"labels":        {"background": 0, "edema": 1}
//
//	"labels": {"background": 0, "whole tumor": [1, 2, 3], "enhancing": 3}   its regions
//
// Other keys, among them the number of cases, are not read.
type Description struct {
	// Name is the name of the data set, empty if it has none.
	Name string
	// Channels are the names of the channels in channel order, nil if there are none.
	Channels []string
	// Labels are the named label values, in the order of their smallest value and then
	// by name. The background is one of them if the file names it.
	Labels []Label
}

// Label is a name for one or more values of the label images.
type Label struct {
	Name string
	// Values are the values, ascending and without repetition. Regions of several
	// labels may have values in common.
	Values []int
}

// Label returns the values of the named label. The case of letters is ignored unless
// two names differ only in it. The second result is false if there is no such label.
func (d *Description) Label(name string) (Label, bool) {
	if d == nil {
		return Label{}, false
	}
	at := slices.IndexFunc(d.Labels, func(l Label) bool { return l.Name == name })
	if at < 0 {
		same := func(l Label) bool { return strings.EqualFold(l.Name, name) }
		at = slices.IndexFunc(d.Labels, same)
		if at < 0 || slices.ContainsFunc(d.Labels[at+1:], same) {
			return Label{}, false
		}
	}
	return d.Labels[at], true
}

// LabelNames returns the names of the labels other than the background, the label whose
// only value is 0.
func (d *Description) LabelNames() []string {
	if d == nil {
		return nil
	}
	var names []string
	for _, l := range d.Labels {
		if !slices.Equal(l.Values, []int{0}) {
			names = append(names, l.Name)
		}
	}
	return names
}

// ReadDescription reads a dataset.json.
func ReadDescription(path string) (*Description, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	d, err := parseDescription(raw)
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	return d, nil
}

func parseDescription(raw []byte) (*Description, error) {
	top, err := jsonObject(raw)
	if err != nil {
		return nil, err
	}
	d := &Description{}
	for _, m := range top {
		switch m.key {
		case "name":
			if err := json.Unmarshal(m.value, &d.Name); err != nil {
				return nil, fmt.Errorf("name is %.40s, want a string", m.value)
			}
		case "modality", "channel_names":
			if d.Channels != nil {
				return nil, fmt.Errorf("modality and channel_names both name the channels; want only one of them")
			}
			if d.Channels, err = channelList(m); err != nil {
				return nil, err
			}
		case "labels":
			if d.Labels, err = labelList(m); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// channelList returns the names of an object of channel numbers, in channel order. A
// plain list of names is accepted as well.
func channelList(m member) ([]string, error) {
	names := []string{}
	if json.Unmarshal(m.value, &names) == nil && names != nil {
		return names, nil
	}
	members, err := jsonObject(m.value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.key, err)
	}
	names = make([]string, len(members))
	given := make([]bool, len(members))
	for _, c := range members {
		n, err := strconv.Atoi(c.key)
		if err != nil || n < 0 || n >= len(names) || given[n] {
			return nil, fmt.Errorf("%s has the key %q, want the channel numbers 0 to %d", m.key, c.key, len(names)-1)
		}
		if err := json.Unmarshal(c.value, &names[n]); err != nil {
			return nil, fmt.Errorf("%s: the name of channel %d is %.40s, want a string", m.key, n, c.value)
		}
		given[n] = true
	}
	return names, nil
}

// labelList returns the labels of an object that maps either values to names or names
// to values.
func labelList(m member) ([]Label, error) {
	members, err := jsonObject(m.value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.key, err)
	}
	values := map[string][]int{}
	for _, l := range members {
		name, vs, err := namedValues(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		values[name] = append(values[name], vs...)
	}
	var labels []Label
	for _, name := range sortedKeys(values) {
		vs := values[name]
		slices.Sort(vs)
		labels = append(labels, Label{Name: name, Values: slices.Compact(vs)})
	}
	slices.SortStableFunc(labels, func(a, b Label) int { return a.Values[0] - b.Values[0] })
	return labels, nil
}

// namedValues returns the name and the values of one member of labels.
func namedValues(l member) (name string, values []int, err error) {
	var text string
	if json.Unmarshal(l.value, &text) == nil {
		if value, err := strconv.Atoi(l.key); err == nil {
			name, values = text, []int{value} // "1": "edema"
		} else if value, err := strconv.Atoi(text); err == nil {
			name, values = l.key, []int{value} // "edema": "1"
		}
	} else {
		name = l.key
		var value int
		if json.Unmarshal(l.value, &value) == nil {
			values = []int{value} // "edema": 1
		} else if json.Unmarshal(l.value, &values) != nil {
			values = nil // "edema": [1, 2] otherwise
		}
	}
	if len(values) == 0 || slices.Min(values) < 0 {
		return "", nil, fmt.Errorf("%q: %.40s, want a name and its values, the whole numbers 0, 1, 2, …", l.key, l.value)
	}
	if strings.TrimSpace(name) == "" {
		return "", nil, fmt.Errorf("the label with the value %d has no name", values[0])
	}
	return name, values, nil
}

// member is a member of a JSON object.
type member struct {
	key   string
	value json.RawMessage
}

// jsonObject returns the members of a JSON object in the order of the text. Unlike a
// map, it does not lose a repeated key silently: that is an error.
func jsonObject(raw []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\uFEFF"))))
	open, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", noEOF(err))
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("is %.40s, want a JSON object", raw)
	}
	var members []member
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w", noEOF(err))
		}
		m := member{key: key.(string)}
		if seen[m.key] {
			return nil, fmt.Errorf("%q appears twice", m.key)
		}
		seen[m.key] = true
		if err := dec.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("%q: not JSON: %w", m.key, noEOF(err))
		}
		members = append(members, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("not JSON: %w", noEOF(err))
	}
	if dec.More() {
		return nil, fmt.Errorf("not JSON: text follows the object")
	}
	return members, nil
}

// noEOF converts io.EOF to io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
