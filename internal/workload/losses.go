package workload

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl"
)

// ParseLosses reads the value of a flag -losses: all, or a list of names of
// [afl.ByName], none of them twice.
func ParseLosses(list string) ([]string, error) {
	if list == "all" {
		return afl.Names(), nil
	}
	var names []string
	for _, name := range strings.Split(list, ",") {
		name, err := afl.CanonicalName(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("-losses: %w", err)
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("-losses names %s twice", name)
		}
		names = append(names, name)
	}
	return names, nil
}
