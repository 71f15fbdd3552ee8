package weights

import (
	"fmt"
	"slices"
	"strings"

	"github.com/x/afl/internal/editdistance"
)

// FitError lists the differences between a file and a network.
type FitError struct {
	// Entries is the number of tensors of the network.
	Entries int
	// Prefix precedes the network's names in the file, with its last dot.
	Prefix string
	// Missing lists the entries that the file lacks, in the order of the network.
	Missing []Absent
	// Misfit describes the tensors of a wrong shape or element type, in the same order.
	Misfit []string
	// Extra lists the file's tensors that are not in the network, sorted.
	Extra []string
}

// Absent is an entry that a file lacks.
type Absent struct {
	// Name is its name in the network.
	Name string
	// Nearest is the most similar name among the file's tensors that are not in the
	// network, of the same shape if there are any; "" if none is similar.
	Nearest string
}

func (a Absent) String() string {
	if a.Nearest == "" {
		return a.Name
	}
	return fmt.Sprintf("%s (the nearest name in the file is %s)", a.Name, quote(a.Nearest))
}

// maxListed is the number of names of each kind in the text of an error.
const maxListed = 6

// lists returns the differences by kind.
func (e *FitError) lists() (titles []string, lists [][]string) {
	missing := make([]string, len(e.Missing))
	for i, a := range e.Missing {
		missing[i] = a.String()
	}
	return []string{fmt.Sprintf("of %d missing", e.Entries), "of a wrong shape or type", "in the file but not in the network"},
		[][]string{missing, e.Misfit, e.Extra}
}

// Error states the number of differences of each kind and names the first of them.
func (e *FitError) Error() string {
	var parts []string
	titles, lists := e.lists()
	for i, list := range lists {
		if len(list) == 0 {
			continue
		}
		shown := strings.Join(list[:min(maxListed, len(list))], ", ")
		if more := len(list) - maxListed; more > 0 {
			shown += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, fmt.Sprintf("%d %s: %s", len(list), titles[i], shown))
	}
	return "its tensors do not fit the network: " + strings.Join(parts, "; ")
}

// Long reports whether Error leaves out names.
func (e *FitError) Long() bool {
	return max(len(e.Missing), len(e.Misfit), len(e.Extra)) > maxListed
}

// Listing returns all differences, one per line.
func (e *FitError) Listing() string {
	var b strings.Builder
	titles, lists := e.lists()
	for i, list := range lists {
		if len(list) > 0 {
			fmt.Fprintf(&b, "%d %s:\n  %s\n", len(list), titles[i], strings.Join(list, "\n  "))
		}
	}
	return b.String()
}

// maxComparisons limits the number of characters that the search for the nearest names
// compares with one another, which takes a second or so.
const maxComparisons = 300_000_000

// findNearest sets the nearest names of what is missing, among the extra tensors.
func (e *FitError) findNearest(items []item, network []Entry, s segments) {
	shapes := map[string][]int{}
	for _, n := range network {
		shapes[n.Name] = n.Shape
	}
	extra := map[string]bool{}
	for _, name := range e.Extra {
		extra[name] = true
	}
	left := maxComparisons
	for i := range e.Missing {
		a := &e.Missing[i]
		best := len(a.Name)/2 + 1 // less than half of the name may differ
		sameShape := false
		for _, t := range items {
			if !extra[t.name] {
				continue
			}
			fits := t.tensor != nil && slices.Equal(t.tensor.shape, shapes[a.Name])
			if sameShape && !fits {
				continue
			}
			name := strings.TrimPrefix(s.strip(t.name), e.Prefix)
			if left -= len(name) * len(a.Name); left < 0 {
				return
			}
			limit := best
			if fits && !sameShape {
				limit = len(a.Name)/2 + 1
			}
			if d := editdistance.Of(a.Name, name, limit); d < limit {
				best, sameShape, a.Nearest = d, fits, t.name
			}
		}
	}
}
