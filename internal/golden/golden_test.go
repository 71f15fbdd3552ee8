package golden_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/golden"
)

// TestCommittedSubset: the subset has a fixed number of cases of every kind, and a file
// that can be read for each. Tests of the full set take however many it has.
func TestCommittedSubset(t *testing.T) {
	text, err := os.ReadFile("testdata/losses/index.json")
	require.NoError(t, err)
	var index struct{ Cases []struct{ Kind, File string } }
	require.NoError(t, json.Unmarshal(text, &index))
	counts := map[string]int{}
	for _, c := range index.Cases {
		counts[c.Kind]++
		_, err := golden.Read(filepath.Join("testdata/losses", c.File))
		assert.NoError(t, err)
	}
	assert.Equal(t, map[string]int{"afl": 16, "bce": 4, "ce": 5, "dice": 8, "dice_ce": 5, "dice_focal": 6, "focal": 10, "focal_tversky": 3, "generalized_dice": 5, "hard_metric": 6, "iou": 4, "lesion": 7, "smoothness": 12, "soft_metric": 3, "surface": 10, "t_interval": 2, "tversky": 5, "wilcoxon": 9}, counts)
	models, err := filepath.Glob("testdata/models/*.safetensors")
	require.NoError(t, err)
	assert.Len(t, models, 10)
}
