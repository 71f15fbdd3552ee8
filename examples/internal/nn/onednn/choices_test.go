//go:build onednn

package onednn

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

// TestChoices checks that a run repeats the implementations that its file records, that its
// file cannot be lost unnoticed, and that the cache is only a cache.
func TestChoices(t *testing.T) {
	x, weight := []int{1, 32, 24, 24, 24}, []int{32, 32, 3, 3, 3}
	spec := nn.ConvSpec{Padding: [3]int{1, 1, 1}}
	pass := func(cfg Config) ([][]float64, map[string]int) {
		cfg.Profile = true
		b, err := New(nn.Float32, cfg)
		require.NoError(t, err)
		return convolve(t, b, x, weight, spec, false, nil), passesByImplementation(b)
	}
	want, by := pass(Config{})
	require.Equal(t, map[string]int{tile4: 3}, by, "by estimate")

	// Without measurements the estimates are recorded.
	t.Setenv(tuningVariable, "off")
	dir := t.TempDir()
	file, cache := filepath.Join(dir, "run.json"), filepath.Join(dir, "cache")
	got, by := pass(Config{Choices: file, Cache: cache})
	assert.Equal(t, want, got)
	assert.Equal(t, map[string]int{tile4: 3}, by)
	assert.NoDirExists(t, cache)
	recorded, err := readChoices(file)
	require.NoError(t, err)
	assert.Len(t, recorded.Choices, 3)
	for of, name := range recorded.Choices {
		assert.Equal(t, "tile 4", name, of)
		recorded.Choices[of] = "tile 2"
	}

	// What is recorded is repeated, with and without measurements.
	require.NoError(t, recorded.write(file))
	two, by := pass(Config{Choices: file, Cache: cache})
	assert.Equal(t, map[string]int{tile2: 3}, by)
	assert.NotEqual(t, want, two, "implementations round differently")
	t.Setenv(tuningVariable, "on")
	again, by := pass(Config{Choices: file, Cache: cache})
	assert.Equal(t, map[string]int{tile2: 3}, by)
	assert.Equal(t, two, again)

	// Another run measures, unless the cache knows; a corrupt cache is measured anew. A busy
	// machine leaves nothing in the cache.
	pass(Config{Choices: filepath.Join(dir, "other.json"), Cache: cache})
	first, err := readChoices(filepath.Join(dir, "other.json"))
	require.NoError(t, err)
	assert.Len(t, first.Choices, 3)
	c, err := openChoices(w(t), Config{Choices: filepath.Join(dir, "third.json"), Cache: cache})
	require.NoError(t, err)
	for of, name := range c.measured.Choices {
		assert.Equal(t, first.Choices[of], name)
		c.measured.Choices[of] = "tile 2"
	}
	known := len(c.measured.Choices)
	require.NoError(t, os.MkdirAll(cache, 0o755))
	require.NoError(t, c.measured.write(c.cache))
	_, by = pass(Config{Choices: filepath.Join(dir, "third.json"), Cache: cache})
	assert.GreaterOrEqual(t, by[tile2], known)
	require.NoError(t, os.WriteFile(c.cache, []byte("{"), 0o644))
	pass(Config{Choices: filepath.Join(dir, "fourth.json"), Cache: cache})
	fourth, err := readChoices(filepath.Join(dir, "fourth.json"))
	require.NoError(t, err)
	assert.Len(t, fourth.Choices, 3)

	for text, message := range map[string]string{
		"{":             "unexpected EOF",
		`{"format": 7}`: "its format is 7, want 1",
		`{"format": 1, "choices": {"a": "tile 9"}}`: `unknown implementation "tile 9" of a`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		_, err := New(nn.Float32, Config{Choices: file, Cache: cache})
		assert.ErrorContains(t, err, message)
		assert.ErrorContains(t, err, file)
	}
	t.Setenv(tuningVariable, "perhaps")
	_, err = New(nn.Float32, Config{Choices: filepath.Join(dir, "fifth.json")})
	assert.ErrorContains(t, err, `AFL_TUNING is "perhaps", want on or off`)
}

func w(t *testing.T) *worker {
	w, err := start()
	require.NoError(t, err)
	return w
}
