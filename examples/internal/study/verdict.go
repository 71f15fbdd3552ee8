package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/x/afl"
)

// released is A-FL as its authors released it, whose claim is judged.
const released = "afl"

// significant is the largest adjusted p-value that counts.
const significant = 0.05

// verdict says, by the rule of the protocol, what the comparisons of A-FL with the other losses
// mean for the claim that it is better than each of the paper's.
func verdict(comparisons []comparison) string {
	var better, open, worse []string
	for _, c := range comparisons {
		certain := c.adjusted < significant
		switch {
		case c.Mean < 0 && certain:
			worse = append(worse, c.against.title)
		case !slices.Contains(afl.PaperNames(), c.against.loss):
		case c.Mean > 0 && certain:
			better = append(better, c.against.title)
		default:
			open = append(open, c.against.title)
		}
	}
	switch {
	case len(comparisons) == 0:
		return "no patient with a lesion is scored yet."
	case len(worse) > 0:
		return fmt.Sprintf("contradicted: %s %s a larger mean Dice (adjusted p below %g).", listed(worse), has(worse), significant)
	case len(open) > 0:
		return fmt.Sprintf("not confirmed: the difference to %s is not a significant gain.", listed(open))
	}
	return fmt.Sprintf("confirmed: the mean Dice is larger than that of %s (adjusted p below %g for each).", listed(better), significant)
}

func has(names []string) string {
	if len(names) == 1 {
		return "has"
	}
	return "have"
}

func listed(names []string) string {
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// rankIn says which place A-FL has by the mean Dice of a stratum, among the paper's losses and
// among all.
func rankIn(all []arm, name string) string {
	var own float64
	values := map[string]float64{}
	for i := range all {
		for _, s := range all[i].inStrata() {
			if s.name == name && !math.IsNaN(s.value) {
				values[all[i].loss] = s.value
			}
		}
	}
	own, ok := values[released]
	if !ok {
		return ""
	}
	paper, every, papers := 1, 1, 0
	for loss, v := range values {
		of := slices.Contains(afl.PaperNames(), loss)
		if of {
			papers++
		}
		if v > own {
			every++
			if of {
				paper++
			}
		}
	}
	return fmt.Sprintf("of the third with the %s lesions A-FL is number %d of the paper's %d and %d of all %d by mean Dice", name, paper, papers, every, len(values))
}
