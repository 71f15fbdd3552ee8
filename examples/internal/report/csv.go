package report

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteEpochsCSV writes one row per run, network, loss and epoch to path: the training loss,
// the means of the overlap measures over the validation cases, and the number of cases
// in the mean of each hard measure. Numbers have full precision; an undefined number is
// an empty cell.
func WriteEpochsCSV(path string, results []Result) error {
	header := []string{"run", "network", "loss", "epoch", "train_loss", "cases"}
	for m := range Measure(overlapCount) {
		header = append(header, m.String())
		if m >= Dice {
			header = append(header, m.String()+"_n")
		}
	}
	rows := [][]string{header}
	for _, l := range results {
		for _, e := range l.Epochs {
			row := []string{l.Run, l.Network, l.Loss, strconv.Itoa(e.Epoch), Number(e.TrainLoss).cell(), strconv.Itoa(e.Cases)}
			for m := range Measure(overlapCount) {
				row = append(row, e.Valid[m].Value.cell())
				if m >= Dice {
					row = append(row, strconv.Itoa(e.Valid[m].N))
				}
			}
			rows = append(rows, row)
		}
	}
	return writeCSV(path, rows)
}

// WriteCasesCSV writes one row per run, network, loss and validation case to path: every
// measure of the best weights on that case. Numbers have full precision; an undefined
// number is an empty cell, and an infinite one is +Inf.
func WriteCasesCSV(path string, results []Result) error {
	header := []string{"run", "network", "loss", "best_epoch", "case"}
	for m := range MeasureCount {
		header = append(header, m.String())
	}
	rows := [][]string{header}
	for _, l := range results {
		for _, c := range l.Cases {
			row := []string{l.Run, l.Network, l.Loss, strconv.Itoa(l.BestEpoch), c.ID}
			for m := range MeasureCount {
				row = append(row, c.Values[m].cell())
			}
			rows = append(rows, row)
		}
	}
	return writeCSV(path, rows)
}

func writeCSV(path string, rows [][]string) error {
	return writeFile(path, func(w io.Writer) error {
		return csv.NewWriter(w).WriteAll(rows)
	})
}
