package cli

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// ignoredLabel is the label of nnU-Net for voxels of unknown class.
const ignoredLabel = "ignore"

// schemeFlags holds the values of the flags that say what is segmented.
type schemeFlags struct{ classes, regions string }

// addTo defines the flags in f.
func (s *schemeFlags) addTo(f *flag.FlagSet) {
	f.StringVar(&s.classes, "classes", "", "comma-separated `labels` to segment as classes that exclude each other, by a softmax: values such as\n1,2,3, or names in the dataset.json of -data_dir (or the JSON of -cases), or all; every other label is background.\nScans are flipped in training, so classes that only their side tells apart cannot be learned;\nempty: every nonzero label is foreground")
	f.StringVar(&s.regions, "regions", "", "`regions` to segment, by a sigmoid each: unions of labels that may overlap, such as\nWT=1,2,4;TC=1,4;ET=4, larger ones first; empty: every nonzero label is foreground")
}

// kind returns the kind of scheme that the flags ask for.
func (s *schemeFlags) kind() segment.Kind {
	switch {
	case s.classes != "":
		return segment.Classes
	case s.regions != "":
		return segment.Regions
	}
	return segment.Binary
}

// scheme returns the scheme, with the label names of the data set's description, which may
// be nil.
func (s *schemeFlags) scheme(d *dataset.Description) (segment.Scheme, error) {
	var named []segment.Segment
	for _, name := range d.LabelNames() {
		l, _ := d.Label(name)
		if l.Name == ignoredLabel && s.kind() != segment.Binary {
			return segment.Scheme{}, usageErrorf("-%s: %s has the label %q, whose voxels nnU-Net leaves out of its loss; this program cannot, so that they would count as background", s.kind(), dataset.DescriptionName, ignoredLabel)
		}
		named = append(named, segment.Segment{Name: l.Name, Labels: l.Values})
	}
	switch s.kind() {
	case segment.Classes:
		scheme, err := segment.ParseClasses(s.classes, named)
		if err != nil {
			return scheme, usageErrorf("-classes: %v", err)
		}
		return scheme, nil
	case segment.Regions:
		scheme, err := segment.ParseRegions(s.regions, named)
		if err != nil {
			return scheme, usageErrorf("-regions: %v", err)
		}
		return scheme, nil
	}
	return segment.Scheme{}, nil
}

// checkScheme returns an error if a loss has no form for the classes or regions. The default
// of -loss and the losses of a group are replaced by those that have one.
func (o *options) checkScheme(flags *flag.FlagSet) error {
	scheme := segment.Scheme{Kind: o.scheme.kind()}
	if o.scheme.classes != "" && o.scheme.regions != "" {
		return usageErrorf("-classes and -regions both say what to segment; use only one of them")
	}
	if scheme.Kind == segment.Classes && o.labelArea {
		return usageErrorf("-label_area averages a label, which has no meaning for -classes; leave one of them out")
	}
	given := false
	flags.Visit(func(g *flag.Flag) { given = given || g.Name == "loss" })
	var losses lossList
	for _, name := range o.loss {
		other := scheme.Substitute(name)
		if other != name && given && !o.loss.inGroup(name) {
			return usageErrorf("-loss: %s has no form for -%s; use %s", name, scheme.Kind, other)
		}
		if other == name || !slices.Contains(o.loss, other) && !slices.Contains(losses, other) {
			losses = append(losses, other)
		}
	}
	o.loss = losses
	return nil
}

// checkSegments returns an error if no training case has a voxel of a class or region, for
// example because a label is misspelled. It reads labels until all have been seen.
func checkSegments(scheme segment.Scheme, cases []dataset.Case) error {
	found, missing := map[int]bool{}, slices.Clone(scheme.Segments)
	for _, c := range cases {
		if len(missing) == 0 {
			return nil
		}
		v, err := volume.ReadLabel(c.Label)
		if err != nil {
			return err
		}
		for _, x := range v.Data {
			found[int(x)] = true
		}
		missing = slices.DeleteFunc(missing, func(g segment.Segment) bool {
			return slices.ContainsFunc(g.Labels, func(label int) bool { return found[label] })
		})
	}
	if len(missing) == 0 {
		return nil
	}
	names := make([]string, len(missing))
	for i, g := range missing {
		names[i] = g.Name
	}
	labels := strings.Trim(strings.ReplaceAll(fmt.Sprint(slices.Sorted(maps.Keys(found))), " ", ", "), "[]")
	return usageErrorf("-%s: no training case has a voxel of %s; the labels of the training cases are %s", scheme.Kind, strings.Join(names, ", "), labels)
}

// schemeFact describes the network's channels.
func schemeFact(scheme segment.Scheme) string {
	switch scheme.Kind {
	case segment.Classes:
		return fmt.Sprintf("Segmented: %s; every other label is background. The network has %d channels, of which channel 0 is the background, and a softmax.", scheme, scheme.Channels())
	case segment.Regions:
		return fmt.Sprintf("Segmented: %s; every other label is background. The network has a channel with a sigmoid for each region.", scheme)
	}
	return ""
}

// channelNames returns the names of a data set's image channels, nil if they are not known.
// set may be nil, for a phantom that is not generated yet.
func channelNames(set *dataset.Set, description *dataset.Description) []string {
	switch {
	case set != nil:
		return set.ChannelNames
	case description != nil:
		return description.Channels
	}
	return nil
}
