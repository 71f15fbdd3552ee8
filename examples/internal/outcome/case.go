package outcome

// Case holds the measures of one validation or test case.
type Case struct {
	ID string `json:"id"`
	// Seed and Fold are those of the training whose weights were evaluated. [Store.Pool] sets
	// them; they are not part of a file, which belongs to one training.
	Seed uint64 `json:"-"`
	Fold int    `json:"-"`
	// Reference describes the label. It is nil unless all measures were computed.
	Reference *Reference `json:"reference,omitempty"`
	// Values are the measures of the foreground or, if there are Segments, their means.
	Values Values `json:"values"`
	// Segments are the measures of each class or region, none if the case is binary.
	Segments []SegmentValues `json:"segments,omitempty"`
	// Detection is nil unless lesion candidates were looked for.
	Detection *Detection `json:"detection,omitempty"`
}

// SegmentValues holds the measures of one class or region of a case.
type SegmentValues struct {
	Name   string `json:"name"`
	Values Values `json:"values"`
}

// OfSegment returns the cases with the measures of one class or region.
func OfSegment(cases []Case, index int) []Case {
	one := make([]Case, len(cases))
	for i, c := range cases {
		one[i] = Case{ID: c.ID, Seed: c.Seed, Fold: c.Fold, Values: c.Segments[index].Values}
	}
	return one
}

// MeanOfSegments returns the mean of every measure over the classes or regions for which it
// is finite.
func MeanOfSegments(segments []SegmentValues) Values {
	cases := make([]Case, len(segments))
	for i, s := range segments {
		cases[i].Values = s.Values
	}
	return meanValues(cases)
}
