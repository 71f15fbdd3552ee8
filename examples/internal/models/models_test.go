package models_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
)

// TestConfigJSON writes and reads the settings of every network.
func TestConfigJSON(t *testing.T) {
	for _, name := range models.Names() {
		a, err := models.ByName(name)
		require.NoError(t, err)
		assert.Equal(t, name, a.Name())
		want := models.Config{Architecture: a, InChannels: 3, OutChannels: 4}
		raw, err := json.Marshal(want)
		require.NoError(t, err)
		var got models.Config
		require.NoError(t, json.Unmarshal(raw, &got))
		assert.Equal(t, want, got)

		var plain models.Config
		require.NoError(t, json.Unmarshal([]byte(`{"network":"`+name+`","in_channels":2}`), &plain))
		assert.Equal(t, models.Config{Architecture: a, InChannels: 2}, plain)
	}
	changed := small([]int{3, 5}, [3]int{2, 2, 1})
	raw, err := json.Marshal(changed)
	require.NoError(t, err)
	var got models.Config
	require.NoError(t, json.Unmarshal(raw, &got))
	assert.Equal(t, changed, got)

	for text, want := range map[string]string{
		`{"network":"net"}`:                                  "there are: ",
		`{"network":"unet","layers":3}`:                      `"layers"`,
		`{"network":"unet","options":{"width":3}}`:           `options of unet: json: unknown field "width"`,
		`{"network":"unet","options":{"strides":[[2,2.5]]}}`: "2.5",
	} {
		assert.ErrorContains(t, json.Unmarshal([]byte(text), &got), want)
	}
	_, err = json.Marshal(models.Config{})
	assert.ErrorContains(t, err, "Architecture is nil")
}

func TestTitles(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range models.Names() {
		title, err := models.Title(name)
		require.NoError(t, err)
		assert.NotEmpty(t, title)
		assert.False(t, seen[title], "%s twice", title)
		seen[title] = true
	}
	_, err := models.Title("net")
	assert.ErrorContains(t, err, "there are: ")
	assert.Subset(t, models.Names(), models.PaperNames())
}
