package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestModel checks the estimate against cases that can be computed by hand.
func TestModel(t *testing.T) {
	f := fabric{Latency: 1e-3, Bandwidth: 1e9, Adding: 2e9}
	// Two processes: 1 + 1 messages, half of the bytes in each direction twice, added once.
	assert.InDelta(t, 2e-3+1e6/1e9+0.5e6/2e9, f.exchange(1e6, 2), 1e-12)
	assert.InDelta(t, (3+2)*1e-3+1.5e6/1e9+0.75e6/2e9, f.exchange(1e6, 4), 1e-12)

	m := measurement{Step: 1, MultiplyAdds: 1e12, Ready: []ready{{0.4, bucketBytes}, {0.9, 1e6}}}
	step, alone := f.step(m, 1)
	assert.Equal(t, 1.0, step)
	assert.Equal(t, 1.0, alone)
	// The first bucket is hidden behind the computation, the last one is not.
	step, _ = f.step(m, 2)
	assert.InDelta(t, 1+f.exchange(1e6, 2), step, 1e-12)
	// A slow fabric delays the last bucket by the first.
	slow := fabric{Latency: 1e-3, Bandwidth: 5e6, Adding: 2e9}
	step, _ = slow.step(m, 2)
	assert.InDelta(t, 0.4+slow.exchange(bucketBytes, 2)+slow.exchange(1e6, 2)+0.1, step, 1e-12)
	f.Accelerated = true
	_, alone = f.step(m, 2)
	assert.InDelta(t, 6e12/acceleratorRate, alone, 1e-12)

	for _, f := range fabrics { // more processes never have a shorter step
		before := 0.0
		for _, p := range modeled() {
			step, alone := f.step(m, p)
			assert.GreaterOrEqual(t, step, max(before, alone))
			before = step
		}
	}
}

// TestTablesKeepModelApart writes both tables.
func TestTablesKeepModelApart(t *testing.T) {
	dir := t.TempDir()
	m := measurement{Model: "unet", Processes: 1, Threads: 2, Step: 1, MultiplyAdds: 1e12, Ready: []ready{{0.9, 1e6}}}
	two := m
	two.Processes, two.Waiting = 2, 0.25
	measured, model, chart := filepath.Join(dir, "measured.csv"), filepath.Join(dir, "model.csv"), filepath.Join(dir, "scaling.png")
	require.NoError(t, writeMeasured(measured, []measurement{m, two}))
	require.NoError(t, writeModel(model, chart, []measurement{m, two}))
	read := func(path string) [][]string {
		raw, err := os.Open(path)
		require.NoError(t, err)
		defer raw.Close()
		rows, err := csv.NewReader(raw).ReadAll()
		require.NoError(t, err)
		return rows
	}
	assert.Len(t, read(measured), 1+2)
	assert.Equal(t, []string{"2", "2", "1", "2", "0.25"}, read(measured)[2][4:9])
	rows := read(model)
	assert.Len(t, rows, 1+len(fabrics)*11)
	assert.Equal(t, []string{"unet", "10 GbE", "1", "1", "1"}, rows[1])
	assert.FileExists(t, chart)
}
