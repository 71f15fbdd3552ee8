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
	// Overlap is the IoU of the lesion and its candidate, 0 without one.
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

// DetectionSet returns the set of the cases. It is nil if there is none or if lesion
// candidates were not looked for in one.
func DetectionSet(cases []Case) (*detection.Set, error) {
	if len(cases) == 0 || slices.ContainsFunc(cases, func(c Case) bool { return c.Detection == nil }) {
		return nil, nil
	}
	matched := make([]detection.Case, len(cases))
	for i, c := range cases {
		matched[i] = detection.Case{Name: c.ID, Confidence: c.Detection.Confidence}
		for _, e := range c.Detection.Entries {
			matched[i].Entries = append(matched[i].Entries, detection.Entry(e))
		}
	}
	return detection.NewSet(matched, nil, nil)
}
