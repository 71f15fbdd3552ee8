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

// TestDetectionSurvivesJSON also leaves it out where nobody asked for it.
func TestDetectionSurvivesJSON(t *testing.T) {
	c := Case{ID: "a", Values: NoValues(), Detection: &Detection{
		Confidence: 0.1 + 0.2, Entries: []DetectionEntry{{Lesion: true, Confidence: 1.0 / 3, Overlap: 0.7}, {Confidence: 1e-20}},
	}}
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	assert.Contains(t, string(raw), `{"lesion":false,"confidence":1e-20,"overlap":0}`)
	var back Case
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, c.Detection, back.Detection)
	c.Detection = nil
	raw, err = json.Marshal(c)
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "detection")
}

// TestDetectionSets has two seeds of two folds, and one case that has a result of one seed.
func TestDetectionSets(t *testing.T) {
	of := func(id string, seed uint64, fold int, confidence float64) Case {
		return Case{ID: id, Seed: seed, Fold: fold, Detection: &Detection{Confidence: confidence, Entries: []DetectionEntry{{Confidence: confidence}}}}
	}
	sets, err := DetectionSets([]Case{of("a", 1, 0, 0.1), of("a", 2, 0, 0.2), of("b", 1, 1, 0.3), of("b", 2, 1, 0.4), of("c", 1, 0, 0.5)})
	require.NoError(t, err)
	require.Len(t, sets, 2)
	assert.Equal(t, []Training{{1, 0}, {1, 1}}, sets[0].Trainings)
	assert.Equal(t, []Training{{2, 0}, {2, 1}}, sets[1].Trainings)
	assert.Equal(t, []int{3, 2}, []int{sets[0].Set.Cases(), sets[1].Set.Cases()})
	assert.Equal(t, "b", sets[1].Cases[1].Name)
	assert.Equal(t, 0.4, sets[1].Cases[1].Entries[0].Confidence)

	for _, cases := range [][]Case{nil, {of("a", 1, 0, 0.1), {ID: "b"}}} {
		sets, err := DetectionSets(cases)
		require.NoError(t, err)
		assert.Empty(t, sets)
	}
	_, err = DetectionSets([]Case{of("a", 1, 0, -1)})
	assert.Error(t, err)
}
