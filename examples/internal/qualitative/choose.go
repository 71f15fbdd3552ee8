package qualitative

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/outcome"
)

// Kind is what a case is an example of.
type Kind int

// The kinds of cases.
const (
	Large Kind = iota
	Small
	LowGamma
	HighGamma
	kinds
)

// String returns "large" and the like.
func (k Kind) String() string {
	if k < 0 || k >= kinds {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return [kinds]string{"large", "small", "low " + subscripted, "high " + subscripted}[k]
}

// Choice is a case of the figure.
type Choice struct {
	Index int    // index of the case
	Kinds []Kind // what it is an example of; none if there is no other case to compare it with
}

// Choose returns the cases for the figure: the largest and the smallest lesion, then the
// of the others those with the lowest and the highest γ_mSa over the boundary
// ([outcome.Reference.Smoothness]). Empty labels are left out, and the first of equal cases is
// chosen. With fewer than four lesions the last two are those of all, so that a case may be an
// example of a kind of both pairs.
func Choose(lesions []outcome.Reference) []Choice {
	var all []int
	for i, l := range lesions {
		if l.Volume > 0 {
			all = append(all, i)
		}
	}
	if len(all) == 1 {
		return []Choice{{Index: all[0]}}
	}
	var chosen []Choice
	for kind := range kinds {
		if len(all) == 0 {
			break
		}
		best := slices.MinFunc(candidates(all, chosen, kind), func(a, b int) int {
			return kind.compare(lesions[a], lesions[b])
		})
		if at := slices.IndexFunc(chosen, func(c Choice) bool { return c.Index == best }); at >= 0 {
			chosen[at].Kinds = append(chosen[at].Kinds, kind)
		} else {
			chosen = append(chosen, Choice{Index: best, Kinds: []Kind{kind}})
		}
	}
	return chosen
}

// candidates returns the cases of all that may be chosen for a kind: those not chosen yet
// or, where there are fewer cases than kinds, not chosen for the opposite.
func candidates(all []int, chosen []Choice, kind Kind) []int {
	opposite := kind ^ 1 // Large and Small, LowGamma and HighGamma
	return slices.DeleteFunc(slices.Clone(all), func(index int) bool {
		return slices.ContainsFunc(chosen, func(c Choice) bool {
			return c.Index == index && (len(all) >= int(kinds) || slices.Contains(c.Kinds, opposite))
		})
	})
}

// compare returns a negative number if a is a better example of the kind than b.
func (k Kind) compare(a, b outcome.Reference) int {
	switch k {
	case Large:
		return cmp.Compare(b.Volume, a.Volume)
	case Small:
		return cmp.Compare(a.Volume, b.Volume)
	case LowGamma:
		return cmp.Compare(a.Smoothness, b.Smoothness)
	}
	return cmp.Compare(b.Smoothness, a.Smoothness)
}
