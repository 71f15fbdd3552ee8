package report

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStrata divides volumes of 1 to 10 ml at 4 and 7 ml.
func TestStrata(t *testing.T) {
	run := comparedRun()
	tables := run.strataTables()
	require.Len(t, tables, 2)
	volume, smoothness := tables[0], tables[1]
	assert.Equal(t, []string{"Loss", "fg Dice, small", "fg Dice, medium", "fg Dice, large", "Sens., small", "Sens., medium", "Sens., large"}, volume.Table.Header)
	require.Len(t, volume.Table.Rows, 3)
	// A-FL: means of 0.51 to 0.54, 0.55 to 0.57 and 0.58 to 0.60.
	assert.Equal(t, []string{"A-FL", "0.525", "0.560", "0.590", "0.263", "0.280", "0.295"}, volume.Table.Rows[1])
	assert.Contains(t, volume.Notes[0], "small up to 4 ml (4 cases), medium up to 7 ml (3 cases), large above (3 cases).")
	// Smoothness falls with the volume: 0.6, 0.59 … 0.51, cut at 0.54 and 0.57.
	assert.Equal(t, "A-FL", smoothness.Table.Rows[1][0])
	assert.Contains(t, smoothness.Notes[0], "low up to 0.54 (4 cases), medium up to 0.57 (3 cases), high above (3 cases).")
	assert.Equal(t, []string{"0.585", "0.550", "0.520"}, smoothness.Table.Rows[1][1:4])

	path := filepath.Join(t.TempDir(), "strata.csv")
	require.NoError(t, run.WriteStrataCSV(path))
	col, rows := readCSV(t, path)
	require.Len(t, rows, 2*3*3)
	assert.Equal(t, []string{"1f2e", "unet_resnet50", "afl", "volume", "medium", "4", "7", "3"}, rows[4][:col["cases"]+1])
	assert.Equal(t, []string{"", "4"}, rows[3][col["above"]:col["cases"]])
	assert.Equal(t, "3", rows[4][col["foreground_sensitivity_n"]])
	sd, err := strconv.ParseFloat(rows[4][col["foreground_dice_sd"]], 64)
	require.NoError(t, err)
	assert.InDelta(t, 0.01, sd, 1e-12)

	// Labels that do not differ, and cases that were not described.
	for i := range run.Results {
		for _, c := range run.Results[i].Cases {
			c.Reference.Volume = 2
		}
	}
	assert.Len(t, run.strataTables(), 1)
	for i := range run.Results {
		for j := range run.Results[i].Cases {
			run.Results[i].Cases[j].Reference = nil
		}
	}
	assert.Empty(t, run.strataTables())
	require.NoError(t, run.WriteStrataCSV(path))
	_, rows = readCSV(t, path)
	assert.Empty(t, rows)
}
