package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/x/afl/examples/internal/outcome"
)

// Names of the files of detection.
const (
	detectionName       = "detection.csv"
	detectionCurvesName = "detection_curves.csv"
	detectionFigureName = "detection.png"
)

// DetectionNames returns the names of the files that [Run.WriteDetection] writes.
func DetectionNames() []string {
	return []string{detectionName, detectionCurvesName, detectionFigureName}
}

// Detects reports whether lesion candidates were looked for in the results of any training.
func (r *Run) Detects() bool {
	for _, l := range r.Results {
		if len(l.Cases) > 0 && l.Cases[0].Detection != nil {
			return true
		}
	}
	return false
}

// WriteDetection writes the files of detection: detection.csv and detection_curves.csv into
// dir, and detection.png into the folder of each network in it, which is created if it does
// not exist. guard is called before each file, and an error of it is returned. Nothing is
// written if no lesion candidates were looked for.
func (r *Run) WriteDetection(dir string, guard func() error) error {
	if !r.Detects() {
		return nil
	}
	for _, f := range []struct {
		name  string
		write func(path string) error
	}{{detectionName, r.WriteDetectionCSV}, {detectionCurvesName, r.WriteDetectionCurvesCSV}} {
		if err := guard(); err != nil {
			return err
		}
		if err := f.write(filepath.Join(dir, f.name)); err != nil {
			return err
		}
	}
	drawn := map[string]bool{}
	for _, l := range r.Results {
		if drawn[l.Network] || len(l.Cases) == 0 {
			continue
		}
		drawn[l.Network] = true
		if err := guard(); err != nil {
			return err
		}
		folder := filepath.Join(dir, l.Network)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if err := r.WriteDetectionPNG(filepath.Join(folder, detectionFigureName), l.Network); err != nil {
			return err
		}
	}
	return nil
}

// WriteDetectionCSV writes one row per run, network and loss to path: every score of
// detection, its interval and the number of resamples without a value, the counts, and the
// p-value against A-FL. Numbers have full precision; an undefined number is an empty cell.
// Several trainings are in one row, as in the tables.
func (r *Run) WriteDetectionCSV(path string) error {
	all, err := r.detection()
	if err != nil {
		return err
	}
	header := []string{"run", "network", "loss", "results_per_case", "cases", "positive_cases", "lesions", "found", "candidates"}
	for _, s := range detectionStatistics {
		header = append(header, s.name, s.name+"_lower", s.name+"_upper", s.name+"_undefined_resamples")
	}
	rows := [][]string{append(header, "p_afl_larger_picai_score")}
	for _, d := range all {
		row := []string{d.Run, d.Network, d.Loss, strconv.Itoa(len(d.sets)), strconv.Itoa(d.cases), strconv.Itoa(d.positive)}
		for _, n := range []float64{d.lesions, d.found, d.candidates} {
			row = append(row, cell(outcome.Number(n)))
		}
		for _, s := range d.scores {
			row = append(row, cell(s.value), cell(s.lower), cell(s.upper), strconv.Itoa(s.undefined))
		}
		rows = append(rows, append(row, cell(d.p)))
	}
	return writeCSV(path, rows)
}
