package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/volume"
)

// FileChannels returns the channel that the end of each file's name identifies, as described
// at [FindCase], and "" for a name that identifies none.
func FileChannels(images []string) []string {
	names := make([]string, len(images))
	for i, path := range images {
		stem, _ := volume.TrimExtension(filepath.Base(path))
		_, names[i] = splitChannel(stem)
	}
	return names
}

// CheckChannelOrder returns an error if the names of a case's images say that its channels
// are in another order than those of a network. channels are the names of the network's
// channels; if it is nil, the order is that of [FindCase]. Names that identify no channel, or
// other channels than the network's, say nothing.
func CheckChannelOrder(images, channels []string) error {
	given := FileChannels(images)
	if len(given) < 2 || slices.Contains(given, "") {
		return nil
	}
	want := channels
	if !sameNames(given, want) {
		// The usual order of the channels, or the numbers of the network's.
		at := slices.IndexFunc(channelNames, func(names []string) bool {
			return sameNames(given, names) && (channels == nil || len(channels) == len(names) && names[0] == "0000")
		})
		if at < 0 {
			return nil
		}
		want = channelNames[at]
	}
	order := make([]string, len(want))
	for i, name := range want {
		order[i] = images[slices.IndexFunc(given, func(g string) bool { return strings.EqualFold(g, name) })]
	}
	if slices.Equal(order, images) {
		return nil
	}
	return fmt.Errorf("the names of the images say that the channels are %s, but their order is %s: %s",
		strings.Join(given, ", "), strings.Join(want, ", "), strings.Join(order, ","))
}

// sameNames reports whether two lists have the same different names in any order, whatever
// the case of letters.
func sameNames(a, b []string) bool {
	sorted := func(names []string) []string {
		low := make([]string, len(names))
		for i, name := range names {
			low[i] = strings.ToLower(name)
		}
		slices.Sort(low)
		return low
	}
	x, y := sorted(a), sorted(b)
	return slices.Equal(x, y) && len(slices.Compact(x)) == len(a)
}
