package report

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/outcome"
)

// PredictedDetection holds the lesion candidates of one case.
type PredictedDetection struct {
	// Method is how they were found, as in flags.
	Method string `json:"method"`
	// Confidences are those of the candidates.
	Confidences []float64 `json:"confidences"`
	// Matched holds them and the lesions of the label, nil without a label.
	Matched *outcome.Detection `json:"matched,omitempty"`
}

// String describes the candidates.
func (d *PredictedDetection) String() string {
	switch n := len(d.Confidences); n {
	case 0:
		return "no lesion candidate"
	case 1:
		return fmt.Sprintf("1 lesion candidate of confidence %.3g", d.Confidences[0])
	default:
		return fmt.Sprintf("%d lesion candidates of confidences %.3g to %.3g", n, slices.Min(d.Confidences), slices.Max(d.Confidences))
	}
}

// WriteDetectionEntriesCSV writes one row to path for each lesion of the cases and each
// candidate that finds none, with full precision. A case without either has no row.
func WriteDetectionEntriesCSV(path string, cases []outcome.Case) error {
	rows := [][]string{{"case", "lesion", "confidence", "overlap"}}
	for _, c := range cases {
		for _, e := range c.Detection.Entries {
			lesion := "0"
			if e.Lesion {
				lesion = "1"
			}
			rows = append(rows, []string{c.ID, lesion, cell(outcome.Number(e.Confidence)), cell(outcome.Number(e.Overlap))})
		}
	}
	return writeCSV(path, rows)
}

// DetectionSummary returns the scores of detection over several cases as a Markdown table
// with notes.
func DetectionSummary(cases []outcome.Case) (string, error) {
	sets, err := outcome.DetectionSets(cases)
	if err != nil || len(sets) == 0 {
		return "", err
	}
	d := detectionResult{sets: sets}
	if err := d.score(); err != nil {
		return "", err
	}
	t := Table{Header: []string{"Score", "Value", "95% interval"}}
	for i, s := range d.scores {
		interval := dash
		if s.lower.Defined() {
			interval = fmt.Sprintf("%.3f to %.3f", s.lower, s.upper)
		}
		t.Rows = append(t.Rows, []string{detectionStatistics[i].name, decimals(s.value, 3), interval})
	}
	for _, count := range []struct {
		name  string
		value float64
	}{{"cases", float64(d.cases)}, {"cases with lesions", float64(d.positive)}, {"lesions", d.lesions}, {"lesions found", d.found}, {"candidates", d.candidates}} {
		t.Rows = append(t.Rows, []string{count.name, decimals(outcome.Number(count.value), 0)})
	}
	text := t.String() + "\n"
	for _, n := range detectionNotes([]detectionResult{d}, false) {
		text += wrap("- "+n, 80, "  ") + "\n"
	}
	return text, nil
}
