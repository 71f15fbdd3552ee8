package outcome

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMeasuresAreStoredByName checks that a file survives measures that are added, moved or
// undefined.
func TestMeasuresAreStoredByName(t *testing.T) {
	values := NoValues()
	values[Dice], values[Hausdorff95], values[LesionFN] = 0.1, Number(math.Inf(1)), 0
	raw, err := json.Marshal(Case{ID: "a", Values: values})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"a","values":{"foreground_dice":0.1,"hausdorff95_mm":"inf","lesions_missed":0}}`, string(raw))
	var back Case
	require.NoError(t, json.Unmarshal(raw, &back))
	for m := range MeasureCount {
		assert.Equal(t, values[m].Defined(), back.Values[m].Defined(), m)
		if values[m].Defined() {
			assert.Equal(t, values[m], back.Values[m], m)
		}
	}

	means := MeanOf([]Case{{Values: values}, {Values: NoValues()}})
	raw, err = json.Marshal(means)
	require.NoError(t, err)
	assert.JSONEq(t, `{"foreground_dice":{"value":0.1,"n":1},"lesions_missed":{"value":0,"n":1}}`, string(raw))
	var again Means
	require.NoError(t, json.Unmarshal(raw, &again))
	assert.Equal(t, means[Dice], again[Dice])
	assert.False(t, again[Hausdorff95].Value.Defined())

	assert.ErrorContains(t, json.Unmarshal([]byte(`{"foreground_dice":1,"sharpness":2}`), &values), `unknown measure "sharpness"`)
	assert.ErrorContains(t, json.Unmarshal([]byte(`{"sharpness":{"value":1,"n":1}}`), &again), `unknown measure "sharpness"`)
}
