package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/examples/internal/dataset"
)

// orderChannels compares the channels of a case, which are those that a list of cases names or
// else those that the names of its files identify, with the channels that the network takes,
// which are nil if the weights do not record them. Files found by name or listed by channel
// are put into the network's order. An order given by -image is an error if it is
// another one than the network's or, if that is not known, than the usual one of these names.
// The warning, if any, says that the names do not match.
func orderChannels(c dataset.Case, listed, network []string, given bool) (ordered dataset.Case, warning string, err error) {
	files := lower(listed)
	if len(files) == 0 {
		files = dataset.ChannelNames(c.Images)
	}
	if len(files) < 2 || len(files) != len(c.Images) {
		return c, "", nil
	}
	want, whose := lower(network), "the network takes"
	if !sameNames(want, files) {
		// The numbers of nnU-Net are the order, whatever the channels are named.
		if numbered := strings.Trim(files[0], "0123456789") == ""; network != nil && !numbered {
			warning = fmt.Sprintf("Warning: by their names the channels of case %s are %s, but the network takes %s.",
				c.ID, strings.Join(files, ", "), strings.Join(network, ", "))
		}
		want, whose = dataset.ChannelOrder(files), "the usual order is"
	}
	if want == nil || slices.Equal(files, want) {
		return c, warning, nil
	}
	if given {
		return c, "", usageErrorf("-image: by their names the files are %s, but %s %s; give them in this order, or rename them if their names are wrong",
			strings.Join(files, ", "), whose, strings.Join(want, ", "))
	}
	images := make([]string, len(want))
	for i, name := range want {
		images[i] = c.Images[slices.Index(files, name)]
	}
	c.Images = images
	return c, warning, nil
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}

// sameNames reports whether two lists have the same names in any order.
func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
