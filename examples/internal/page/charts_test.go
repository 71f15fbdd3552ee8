package page

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
)

// TestCharts draws two networks, of which one was trained from two seeds.
func TestCharts(t *testing.T) {
	training := func(network string, seed uint64, losses ...float64) outcome.Result {
		r := outcome.Result{Network: network, NetworkTitle: "title of " + network, Loss: "fl", Title: "FL", Seed: seed}
		for i, l := range losses {
			e := outcome.Epoch{Epoch: i + 1, TrainLoss: l}
			for m := range e.Valid {
				e.Valid[m].Value = outcome.Undefined
			}
			e.Valid[outcome.Dice] = outcome.Mean{Value: outcome.Number(l / 8), N: 1}
			r.Epochs = append(r.Epochs, e)
		}
		return r
	}
	run := &report.Run{Results: outcome.Store{
		training("unet", 1, 4, 2), training("unet", 2, 8, 2), training("vnet", 1, 1, 0.5), training("none", 1),
	}}
	all, err := charts(run)
	require.NoError(t, err)
	require.Len(t, all, 4, "a chart without a curve is left out")
	assert.Contains(t, all[0].Title, "title of unet: Training loss")
	assert.Contains(t, all[1].Title, "title of unet: Validation Dice")
	assert.Equal(t, "epoch", all[0].X.Label)
	loss := all[0].Curves
	require.Len(t, loss, 1)
	assert.Equal(t, Curve{Name: "FL", Color: "#0072b2", X: []Number{1, 2}, Y: []Number{1, 0.375}, Low: []Number{1, 0.25}, High: []Number{1, 0.5}}, loss[0])
	dice := all[3].Curves
	require.Len(t, dice, 1, "the soft Dice is undefined")
	assert.Equal(t, []Number{0.125, 0.0625}, dice[0].Y)
	assert.Empty(t, dice[0].Low)
}
