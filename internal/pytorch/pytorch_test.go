package pytorch

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProcess uses shell scripts, because sh takes -c as Python does.
func TestProcess(t *testing.T) {
	p, err := Start(t.Context(), "sh", `while read line; do echo '{"seconds": [1, 2.5]}'; done`)
	require.NoError(t, err)
	var answer struct{ Seconds []float64 }
	for range 3 {
		require.NoError(t, p.Ask(map[string]any{"do": "step"}, &answer))
		assert.Equal(t, []float64{1, 2.5}, answer.Seconds)
	}
	require.NoError(t, p.Ask(map[string]any{"do": "nothing"}, nil))
	require.NoError(t, p.Close())

	for script, want := range map[string]string{
		`read line; echo '{"error": "no such loss"}'`: "no such loss",
		`read line; echo 'Traceback'`:                 `answered "Traceback"`,
		`read line`:                                   `ended without an answer to {"do":"loss"}`,
	} {
		p, err := Start(t.Context(), "sh", script)
		require.NoError(t, err)
		assert.ErrorContains(t, p.Ask(map[string]any{"do": "loss"}, nil), want)
		require.NoError(t, p.Close())
	}
	_, err = Start(t.Context(), "no-such-interpreter", "")
	assert.Error(t, err)
}
