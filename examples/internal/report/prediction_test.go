package report

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
)

func TestPrediction(t *testing.T) {
	scan, network := outcome.NoValues(), outcome.NoValues()
	scan[outcome.Dice], scan[outcome.Hausdorff95], scan[outcome.LesionTP] = 0.123456789, outcome.Number(math.Inf(1)), 3
	network[outcome.Dice], network[outcome.SoftDice], network[outcome.Hausdorff95] = 0.5, 1, 12.3456
	p := Prediction{Facts: map[string]string{"case": "a"}, Grids: []GridValues{{Grid: "scan", Values: scan}, {Grid: "network", Values: network}}}

	table := p.Table()
	for _, row := range []string{
		"| Measure                     |   scan | network |\n",
		"| soft_dice                   |      – |  1.0000 |\n",
		"| foreground_dice             | 0.1235 |  0.5000 |\n",
		"| hausdorff95_mm              |      ∞ |   12.35 |\n",
		"| lesions_found               |      3 |       – |\n",
	} {
		assert.Contains(t, table, row)
	}

	path := filepath.Join(t.TempDir(), "p")
	require.NoError(t, p.WriteCSV(path))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "grid,soft_dice,soft_iou,brier_score,calibration_error,foreground_dice,foreground_iou,foreground_sensitivity,foreground_specificity,"+
		"hausdorff95_mm,average_surface_distance_mm,surface_dice_1mm,lesion_f1,lesion_f1_iou10,lesions_found,lesions_false,lesions_missed\n"+
		"scan,,,,,0.123456789,,,,+Inf,,,,,3,,\nnetwork,1,,,,0.5,,,,12.3456,,,,,,,\n", string(raw))

	require.NoError(t, p.WriteJSON(path))
	raw, err = os.ReadFile(path)
	require.NoError(t, err)
	var got struct {
		Facts    map[string]string
		Measures map[string]map[string]outcome.Number
	}
	require.NoError(t, json.Unmarshal(raw, &got))
	assert.Equal(t, "a", got.Facts["case"])
	assert.Len(t, got.Measures["scan"], int(outcome.MeasureCount))
	assert.Equal(t, outcome.Number(0.123456789), got.Measures["scan"]["foreground_dice"])
	assert.True(t, math.IsInf(float64(got.Measures["scan"]["hausdorff95_mm"]), 1))
	assert.False(t, got.Measures["network"]["lesions_found"].Defined())
}
