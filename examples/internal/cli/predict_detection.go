package cli

import (
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/segment"
	"github.com/x/afl/examples/internal/volume"
)

// detects reports whether lesion candidates are looked for.
func (o *predictOptions) detects() bool { return o.detection.String() != detectionOff }

// checkDetection returns an error for -detection with classes or regions.
func (o *predictOptions) checkDetection(scheme segment.Scheme) error {
	if o.detects() && scheme.Kind != segment.Binary {
		return usageErrorf("-detection: lesion candidates are those of the foreground as a whole, but the network segments %v", scheme)
	}
	return nil
}

// detectionMapPath returns the file of the detection map.
func detectionMapPath(mask string) string {
	ext := niftiExtension(mask)
	return mask[:len(mask)-len(ext)] + "_detection" + ext
}

// detectionCSVPath returns the file of the lesions and candidates.
func detectionCSVPath(mask string) string {
	return mask[:len(mask)-len(niftiExtension(mask))] + "_detection.csv"
}

// detect finds the lesion candidates among the probabilities on the scan's grid, where the
// PI-CAI challenge compares detection maps with labels, and matches them with the label,
// which may be nil.
func (p *predictor) detect(c dataset.Case, probabilities, label *volume.Volume) (*volume.Volume, *report.PredictedDetection, error) {
	extraction, err := p.options.detection.extraction()
	if err != nil {
		return nil, nil, err
	}
	found, err := measure.NewDetectionMap(*extraction, probabilities)
	if err != nil {
		return nil, nil, err
	}
	d := &report.PredictedDetection{Method: p.options.detection.String(), Confidences: append([]float64{}, found.Confidences...)}
	if label != nil {
		if d.Matched, err = found.Match(c.ID, label); err != nil {
			return nil, nil, err
		}
	}
	return found.Volume, d, nil
}

// detected returns the matched lesions and candidates of cases with labels, none if no
// lesion candidates were looked for.
func detected(results []report.CasePrediction) []outcome.Case {
	var cases []outcome.Case
	for _, r := range results {
		if d := r.Prediction.Detection; d != nil && d.Matched != nil {
			cases = append(cases, outcome.Case{ID: r.ID, Detection: d.Matched})
		}
	}
	return cases
}

// detectionSummary prints the scores of detection over all cases, if there are any.
func (p *predictor) detectionSummary(cases []outcome.Case, out outputs) error {
	text, err := report.DetectionSummary(cases)
	if err != nil || text == "" {
		return err
	}
	p.printf("\nLesion detection on the scans' grids:\n\n%s\nWritten to %s.", text, out.files[len(out.files)-1])
	return nil
}
