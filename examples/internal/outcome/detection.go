package outcome

import (
	"slices"

	"github.com/x/afl/detection"
)

// Detection holds the lesions of a case and its lesion candidates, matched.
type Detection struct {
	// Confidence is that the case holds a lesion.
	Confidence float64          `json:"confidence"`
	Entries    []DetectionEntry `json:"entries"`
}

// DetectionEntry is a lesion, found or not, or a candidate that finds none.
type DetectionEntry struct {
	Lesion bool `json:"lesion"`
	// Confidence is that of the candidate, 0 for a lesion without one.
	Confidence float64 `json:"confidence"`
	// Overlap is the intersection over union of the lesion and its candidate, 0 without one.
	Overlap float64 `json:"overlap"`
}

// DetectionOf returns the result of matching a case.
func DetectionOf(c detection.Case) *Detection {
	d := &Detection{Confidence: c.Confidence, Entries: make([]DetectionEntry, len(c.Entries))}
	for i, e := range c.Entries {
		d.Entries[i] = DetectionEntry(e)
	}
	return d
}

// matched returns the case in the form of package detection.
func (d *Detection) matched(id string) detection.Case {
	c := detection.Case{Name: id, Confidence: d.Confidence}
	for _, e := range d.Entries {
		c.Entries = append(c.Entries, detection.Entry(e))
	}
	return c
}

// DetectionSet holds one result of each case.
type DetectionSet struct {
	Set   *detection.Set
	Cases []detection.Case
	// Trainings are those that the cases come from, without repetition.
	Trainings []Training
}

// Training identifies a training among those of a network with a loss.
type Training struct {
	Seed uint64
	Fold int
}

// DetectionSets divides pooled cases into sets that hold each case once: one for each seed
// or, if every fold has the same cases, for each training. A case that has fewer results than
// others, as it does while trainings go on, is missing in the last sets. There is none if
// there are no cases, or if lesion candidates were not looked for in one.
func DetectionSets(cases []Case) ([]DetectionSet, error) {
	results := map[string]int{}
	var sets []DetectionSet
	for _, c := range cases {
		if c.Detection == nil {
			return nil, nil
		}
		i := results[c.ID]
		results[c.ID]++
		if i == len(sets) {
			sets = append(sets, DetectionSet{})
		}
		s := &sets[i]
		s.Cases = append(s.Cases, c.Detection.matched(c.ID))
		if t := (Training{c.Seed, c.Fold}); !slices.Contains(s.Trainings, t) {
			s.Trainings = append(s.Trainings, t)
		}
	}
	for i := range sets {
		var err error
		if sets[i].Set, err = detection.NewSet(sets[i].Cases, nil, nil); err != nil {
			return nil, err
		}
	}
	return sets, nil
}
