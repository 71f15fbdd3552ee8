package report

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"

	"github.com/x/afl/examples/internal/outcome"
)

// WriteEpochsCSV writes one row per run, network, loss, seed, fold and epoch to path: the training loss,
// the means of the overlap measures over the validation cases, and the number of cases
// in the mean of each hard measure. Numbers have full precision; an undefined number is
// an empty cell. If there are classes or regions, a column segment names them, and each
// epoch has a row for each and for their mean.
func WriteEpochsCSV(path string, results []outcome.Result) error {
	segments := segmented(results)
	header := []string{"run", "network", "loss", "seed", "fold", "epoch", "train_loss", "cases"}
	if segments {
		header = append(header, "segment")
	}
	for m := range outcome.Measure(outcome.OverlapCount) {
		header = append(header, m.String())
		if m >= outcome.Dice {
			header = append(header, m.String()+"_n")
		}
	}
	rows := [][]string{header}
	for _, l := range results {
		for _, e := range l.Epochs {
			means := append(slices.Clone(e.Segments), outcome.SegmentMeans{Name: meanNameOf(&l), Means: e.Valid})
			for _, part := range means {
				row := append(trainingCells(&l), strconv.Itoa(e.Epoch), cell(outcome.Number(e.TrainLoss)), strconv.Itoa(e.Cases))
				if segments {
					row = append(row, part.Name)
				}
				for m := range outcome.Measure(outcome.OverlapCount) {
					row = append(row, cell(part.Means[m].Value))
					if m >= outcome.Dice {
						row = append(row, strconv.Itoa(part.Means[m].N))
					}
				}
				rows = append(rows, row)
			}
		}
	}
	return writeCSV(path, rows)
}

// WriteCasesCSV writes one row per run, network, loss, seed, fold and case to path: every
// measure of the best weights of that training on a case that the tables report, and the
// facts of its label. Numbers have full precision; an undefined number is an empty cell, and
// an infinite one is +Inf. If there are classes or regions, a column segment names them, and
// each case has a row for each and for their mean.
func WriteCasesCSV(path string, results []outcome.Result) error {
	segments := segmented(results)
	header := []string{"run", "network", "loss", "seed", "fold", "best_epoch", "case"}
	if segments {
		header = append(header, "segment")
	}
	for m := range outcome.MeasureCount {
		header = append(header, m.String())
	}
	header = append(header, "reference_volume_ml", "reference_boundary_smoothness")
	rows := [][]string{header}
	for _, l := range results {
		for _, c := range l.Cases {
			reference := []string{"", ""}
			if c.Reference != nil {
				reference = []string{cell(outcome.Number(c.Reference.Volume)), cell(outcome.Number(c.Reference.Smoothness))}
			}
			for _, part := range append(slices.Clone(c.Segments), outcome.SegmentValues{Name: meanNameOf(&l), Values: c.Values}) {
				row := append(trainingCells(&l), strconv.Itoa(l.BestEpoch), c.ID)
				if segments {
					row = append(row, part.Name)
				}
				for m := range outcome.MeasureCount {
					row = append(row, cell(part.Values[m]))
				}
				row = append(row, reference...)
				rows = append(rows, row)
			}
		}
	}
	return writeCSV(path, rows)
}

// trainingCells returns the cells that identify a training.
func trainingCells(l *outcome.Result) []string {
	return []string{l.Run, l.Network, l.Loss, strconv.FormatUint(l.Seed, 10), strconv.Itoa(l.Fold)}
}

func writeCSV(path string, rows [][]string) error {
	return writeFile(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(rows)
	})
}

// cell formats a number for a CSV file: with full precision, or empty if undefined.
func cell(n outcome.Number) string {
	if !n.Defined() {
		return ""
	}
	return strconv.FormatFloat(float64(n), 'g', -1, 64)
}
