package segment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// All stands for every label that the data set names, in [ParseClasses] and [ParseRegions].
const All = "all"

// ParseClasses returns the classes that text lists with commas between: labels, as in
// "1,2,3", or names of labels, as in "anterior,posterior", or [All]. named are the labels
// that the data set names, other than the background; there may be none.
func ParseClasses(text string, named []Segment) (Scheme, error) {
	s := Scheme{Kind: Classes}
	for _, item := range items(text, ",", named) {
		labels, err := labelsOf(item, named)
		if err != nil {
			return Scheme{}, err
		}
		if len(labels) != 1 {
			return Scheme{}, fmt.Errorf("%q names the labels %v, want one label for a class; several form a region", item, labels)
		}
		s.Segments = append(s.Segments, Segment{nameOf(item, labels, named), labels})
	}
	return s, s.Check()
}

// ParseRegions returns the regions of a text such as "WT=1,2,4;TC=1,4;ET=4": a name and the
// labels or names of labels that form its union, with semicolons between regions. The name
// of a label alone is a region too, and so is [All] for each of them. named is that of
// [ParseClasses].
func ParseRegions(text string, named []Segment) (Scheme, error) {
	s := Scheme{Kind: Regions}
	for _, item := range items(text, ";", named) {
		name, list, union := strings.Cut(item, "=")
		if !union {
			labels, err := labelsOf(item, named)
			if err != nil {
				return Scheme{}, fmt.Errorf("%w; a union is written as in WT=1,2,4", err)
			}
			s.Segments = append(s.Segments, Segment{nameOf(item, labels, named), labels})
			continue
		}
		g := Segment{Name: strings.TrimSpace(name)}
		for _, item := range strings.Split(list, ",") {
			labels, err := labelsOf(item, named)
			if err != nil {
				return Scheme{}, err
			}
			g.Labels = append(g.Labels, labels...)
		}
		s.Segments = append(s.Segments, g)
	}
	return s, s.Check()
}

// items splits a list and replaces "all" by the names of all labels.
func items(text, separator string, named []Segment) []string {
	if strings.TrimSpace(text) == All && len(named) > 0 {
		names := make([]string, len(named))
		for i, g := range named {
			names[i] = g.Name
		}
		return names
	}
	return strings.Split(text, separator)
}

// find returns the label of the given name. The case of letters is ignored unless several
// names differ only in it.
func find(name string, named []Segment) (Segment, bool) {
	at := slices.IndexFunc(named, func(g Segment) bool { return g.Name == name })
	if at < 0 {
		same := func(g Segment) bool { return strings.EqualFold(g.Name, name) }
		at = slices.IndexFunc(named, same)
		if at < 0 || slices.ContainsFunc(named[at+1:], same) {
			return Segment{}, false
		}
	}
	return named[at], true
}

// labelsOf reads a label's value or name.
func labelsOf(item string, named []Segment) ([]int, error) {
	item = strings.TrimSpace(item)
	if g, ok := find(item, named); ok {
		return slices.Clone(g.Labels), nil
	}
	label, err := strconv.Atoi(item)
	if err != nil {
		want := "a whole number (the data set names no labels)"
		if len(named) > 0 {
			names := make([]string, len(named))
			for i, g := range named {
				names[i] = g.Name
			}
			want = "a whole number or one of " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("%q is not a label, want %s", item, want)
	}
	return []int{label}, nil
}

// nameOf returns the name of labels: the data set's own if it has one, or else the number.
func nameOf(item string, labels []int, named []Segment) string {
	if g, ok := find(strings.TrimSpace(item), named); ok {
		return g.Name
	}
	for _, g := range named {
		if slices.Equal(g.Labels, labels) {
			return g.Name
		}
	}
	return strconv.Itoa(labels[0])
}
