// Package segment says what a network segments: the foreground as a whole, several
// classes, or several regions. A [Scheme] maps the values of a label file to what the
// network's channels are trained on ([Scheme.Code], [Scheme.Maps]), selects the form of a
// loss that suits these channels ([Scheme.Loss]), and maps the channels back to the values
// of a label file ([Scheme.Compose]).
//
//   - Binary, the zero Scheme: two channels, background and foreground. Every nonzero label
//     is foreground. This is what the A-FL paper does.
//   - Classes: C+1 channels activated by a softmax. Channel 0 is the background, channel c
//     the c-th class. Classes exclude each other.
//   - Regions: one channel for each region, activated by a sigmoid. Regions are unions of
//     labels and may overlap, as in BraTS: the whole tumor contains its core, and the core
//     the enhancing tumor.
//
// A label that no class or region has is background.
package segment

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Kind is the kind of a [Scheme].
type Kind string

// The kinds of schemes.
const (
	Binary  Kind = ""
	Classes Kind = "classes"
	Regions Kind = "regions"
)

const (
	// maxClasses is the number of classes that a byte can number.
	maxClasses = 255
	// maxRegions is the number of regions that the bits of a byte can mark.
	maxRegions = 8
	// maxLabel is the largest label that a mask file can hold.
	maxLabel = 1<<16 - 1
)

// Scheme says what a network segments. The zero Scheme is binary.
type Scheme struct {
	Kind Kind `json:"kind"`
	// Segments are the classes or the regions in channel order; none if the scheme is
	// binary.
	Segments []Segment `json:"segments"`
}

// Segment is a class or a region.
type Segment struct {
	Name string `json:"name"`
	// Labels are the values that mark it in a label file: one for a class, one or more for
	// a region.
	Labels []int `json:"labels"`
}

// IsZero reports whether the scheme is binary. Package json omits such a scheme.
func (s Scheme) IsZero() bool { return s.Kind == Binary }

// Channels returns the number of the network's output channels.
func (s Scheme) Channels() int {
	switch s.Kind {
	case Classes:
		return len(s.Segments) + 1
	case Regions:
		return len(s.Segments)
	}
	return 2
}

// Title returns "class" or "region", or "" if the scheme is binary.
func (s Scheme) Title() string {
	switch s.Kind {
	case Classes:
		return "class"
	case Regions:
		return "region"
	}
	return ""
}

// String describes the scheme, as in "regions WT (labels 1, 2, 4), ET (label 4)".
func (s Scheme) String() string {
	if s.Kind == Binary {
		return "foreground (every nonzero label)"
	}
	parts := make([]string, len(s.Segments))
	for i, g := range s.Segments {
		parts[i] = fmt.Sprintf("%s (%s)", g.Name, labelList(g.Labels))
	}
	return string(s.Kind) + " " + strings.Join(parts, ", ")
}

func labelList(labels []int) string {
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(labels), " ", ", "), "[]")
	if len(labels) == 1 {
		return "label " + text
	}
	return "labels " + text
}

// FileName returns the name with every character other than a letter, a digit, "-", "+"
// and "." replaced by "-". It is unique within a scheme.
func (g Segment) FileName() string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-+.", r) {
			return r
		}
		return '-'
	}, g.Name)
}

// Has reports whether the segment contains a label.
func (g Segment) Has(label int) bool { return slices.Contains(g.Labels, label) }

// Check returns an error if the scheme cannot be trained or its masks cannot be written.
// Regions must be in an order in which each has a label that no later region has; otherwise
// the later ones would cover it completely in a label map.
func (s Scheme) Check() error {
	switch {
	case s.Kind == Binary && len(s.Segments) == 0:
		return nil
	case s.Kind != Classes && s.Kind != Regions:
		return fmt.Errorf("segment: kind is %q with %d segments, want %q or %q", s.Kind, len(s.Segments), Classes, Regions)
	case len(s.Segments) == 0:
		return fmt.Errorf("segment: there are no %s", s.Kind)
	case s.Kind == Classes && len(s.Segments) > maxClasses:
		return fmt.Errorf("segment: there are %d classes, want at most %d", len(s.Segments), maxClasses)
	case s.Kind == Regions && len(s.Segments) > maxRegions:
		return fmt.Errorf("segment: there are %d regions, want at most %d", len(s.Segments), maxRegions)
	}
	for i, g := range s.Segments {
		if err := s.checkSegment(i, g); err != nil {
			return err
		}
	}
	return nil
}

func (s Scheme) checkSegment(i int, g Segment) error {
	if g.Name == "" || strings.TrimSpace(g.Name) != g.Name || strings.ContainsFunc(g.Name, unicode.IsControl) {
		return fmt.Errorf("segment: the name of %s %d is %q, want a name without spaces around it and without control characters", s.Title(), i+1, g.Name)
	}
	for _, other := range s.Segments[:i] {
		if g.FileName() == other.FileName() {
			return fmt.Errorf("segment: two %s are named %s and %s, want names that differ in letters or digits", s.Kind, other.Name, g.Name)
		}
	}
	if s.Kind == Classes && len(g.Labels) != 1 || len(g.Labels) == 0 {
		return fmt.Errorf("segment: %s %s has %d labels, want %s", s.Title(), g.Name, len(g.Labels), map[Kind]string{Classes: "1", Regions: "at least 1"}[s.Kind])
	}
	for k, label := range g.Labels {
		if label < 1 || label > maxLabel {
			return fmt.Errorf("segment: %s %s has the label %d, want 1 to %d (0 is the background)", s.Title(), g.Name, label, maxLabel)
		}
		if g.Has(label) && slices.Index(g.Labels, label) < k {
			return fmt.Errorf("segment: %s %s has the label %d twice", s.Title(), g.Name, label)
		}
	}
	if s.Kind == Classes {
		for _, other := range s.Segments[:i] {
			if other.Has(g.Labels[0]) {
				return fmt.Errorf("segment: the classes %s and %s both have the label %d", other.Name, g.Name, g.Labels[0])
			}
		}
		return nil
	}
	if s.own(i) == 0 {
		return fmt.Errorf("segment: every label of region %s belongs to a later region too, which would cover it; put larger regions first", g.Name)
	}
	return nil
}

// own returns the first label of a region that no later region has, or 0 if there is none.
func (s Scheme) own(region int) int {
	for _, label := range s.Segments[region].Labels {
		if !slices.ContainsFunc(s.Segments[region+1:], func(g Segment) bool { return g.Has(label) }) {
			return label
		}
	}
	return 0
}
