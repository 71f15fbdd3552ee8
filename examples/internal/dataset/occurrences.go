package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// occurrences counts the cases in which something was found, so that it is said once.
type occurrences struct {
	count int
	first string // ID of the first case
}

// note counts the case with the given ID for a text.
func note[K comparable](m map[K]*occurrences, key K, id string) {
	if m[key] == nil {
		m[key] = &occurrences{first: id}
	}
	m[key].count++
}

// of describes the count, as in "3 of 75 cases (the first is c12)".
func (o *occurrences) of(total int) string {
	switch {
	case o.count == total && total == 1:
		return "case " + o.first
	case o.count == total:
		return fmt.Sprintf("all %d cases", total)
	}
	return fmt.Sprintf("%d of %d cases (the first is %s)", o.count, total, o.first)
}

// wrongCases begins an error that lists the problems of several cases.
func wrongCases(wrong, total int) string {
	if wrong == 1 {
		return fmt.Sprintf("1 of %d cases is wrong: ", total)
	}
	return fmt.Sprintf("%d of %d cases are wrong: ", wrong, total)
}

// Hints end the descriptions of problems.
const (
	resampleHint = "; -resample_labels resamples the label by nearest neighbor"
	fillHint     = "; -fill_nan replaces the others"
)

// listed joins problems, of which it shows the first 20. It gives each hint once, at the end.
func listed(problems []string) string {
	more := ""
	if n := len(problems); n > maxProblems {
		problems, more = problems[:maxProblems], fmt.Sprintf("; and %d more", n-maxProblems)
	}
	problems = slices.Clone(problems)
	for _, hint := range []string{fillHint, resampleHint} {
		given := false
		for i, text := range problems {
			if bare, ok := strings.CutSuffix(text, hint); ok {
				problems[i], given = bare, true
			}
		}
		if given {
			more += hint
		}
	}
	return strings.Join(problems, "; ") + more
}
