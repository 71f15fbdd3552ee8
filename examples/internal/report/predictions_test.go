package report

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPredictionsOfSeveralCases(t *testing.T) {
	var cases []CasePrediction
	for _, c := range segmentedRun(t).Results[0].Cases {
		cases = append(cases, CasePrediction{c.ID, &Prediction{Grids: []GridValues{{Grid: "scan", Values: c.Values, Segments: c.Segments}}}})
	}
	path := filepath.Join(t.TempDir(), "measures.csv")
	require.NoError(t, WritePredictionsCSV(path, cases))
	header, rows := readCSV(t, path)
	require.Len(t, rows, 9)
	assert.Equal(t, []int{0, 1, 2}, []int{header["case"], header["grid"], header["segment"]})
	assert.Equal(t, []string{"b", "scan", "back"}, rows[4][:3])
	assert.Equal(t, "", rows[4][header["foreground_dice"]])
	assert.Equal(t, "0.625", rows[2][header["foreground_dice"]])

	table := squeeze(PredictionsTable(cases))
	assert.Contains(t, table, "| Measure | scan front | scan back | scan mean |\n")
	assert.Contains(t, table, "| foreground_dice | 0.3750 (n=2) | 0.8750 (n=2) | 0.6250 |\n")
	assert.Contains(t, table, "| lesions_found | 1.00 | 0.00 | 0.50 |\n")
	assert.Contains(t, table, "| foreground_iou | – | – | – |\n")
}
