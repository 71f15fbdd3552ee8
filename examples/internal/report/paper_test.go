package report

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/models"
)

// TestPaperIsComplete checks that the paper's eight losses and eight networks have figures.
func TestPaperIsComplete(t *testing.T) {
	for name, data := range paper {
		require.Len(t, data.losses, len(afl.PaperNames()))
		for _, loss := range afl.PaperNames() {
			assert.Equal(t, 1, data.losses[loss].table, "%s %s", name, loss)
		}
		require.Len(t, data.networks, len(models.PaperNames()))
		for _, network := range models.PaperNames() {
			require.Len(t, data.networks[network], 2)
			for _, f := range data.networks[network] {
				assert.Equal(t, 2, f.table)
				for _, v := range []float64{f.iou, f.dice, f.sensitivity, f.specificity} {
					assert.True(t, v > 0.5 && v < 1, "%s %s: %v", name, network, v)
				}
				assert.Less(t, f.iou, f.dice)
			}
		}
	}
	for _, network := range paperVariants {
		assert.Contains(t, models.PaperNames(), network)
	}
}

func TestOfPaper(t *testing.T) {
	assert.Equal(t, []paperFigures{{1, 0.665, 0.739, 0.904, 0.952}}, ofPaper("picai", "unet_resnet50", "dice"))
	assert.Equal(t, []paperFigures{{1, 0.884, 0.927, 0.960, 0.955}, {2, 0.898, 0.951, 0.962, 0.949}}, ofPaper("brats", "unet_resnet50", "afl"))
	assert.Equal(t, ofPaper("brats", "unet_resnet50", "afl"), ofPaper("brats", "unet_resnet50", "afl-paper"))
	assert.Equal(t, []paperFigures{{2, 0.593, 0.656, 0.570, 0.958}}, ofPaper("picai", "vnet_monai", "fl"))
	for _, none := range [][3]string{{"picai", "unet", "dice"}, {"picai", "unet_resnet50", "bce"}, {"picai", "unet_resnet50", "dice-afl"}, {"", "unet", "fl"}, {"picai", "other", "fl"}} {
		assert.Empty(t, ofPaper(none[0], none[1], none[2]), none)
	}
}

func TestPaperTable(t *testing.T) {
	run := comparedRun()
	tables := run.paperTable()
	require.Len(t, tables, 1)
	var rows []string
	for _, row := range tables[0].Table.Rows {
		rows = append(rows, row[0]+" "+row[len(row)-1])
		assert.Len(t, row, len(tables[0].Table.Header))
	}
	assert.Equal(t, []string{"FL 1", "FL 2", "A-FL 1", "A-FL 2", "Dice 1"}, rows)

	run.Dataset = "" // a phantom
	assert.Empty(t, run.paperTable())
	assert.NotContains(t, run.Markdown(), "paper:")
	run = sample()
	run.Dataset, run.Results = "picai", run.Results[1:]
	assert.Empty(t, run.paperTable(), "no figures of UNet with CE")
}
