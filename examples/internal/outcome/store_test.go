package outcome

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dice returns a case with one Dice, for itself and for a class.
func dice(id string, v float64) Case {
	values := NoValues()
	values[Dice] = Number(v)
	return Case{ID: id, Values: values, Segments: []SegmentValues{{Name: "a", Values: values}}}
}

// TestPool pools two seeds of two folds, given in no order, for two losses.
func TestPool(t *testing.T) {
	var store Store
	for _, k := range []struct {
		loss  string
		seed  uint64
		fold  int
		cases []Case
	}{
		{"fl", 2, 1, []Case{dice("b", 0.5)}},
		{"afl", 1, 1, nil},
		{"fl", 1, 0, []Case{dice("a", 0.25), dice("c", 1)}},
		{"fl", 1, 1, []Case{dice("b", 0.75)}},
		{"fl", 2, 0, []Case{dice("a", 0.5), dice("c", math.NaN())}},
	} {
		store = append(store, Result{Network: "unet", Loss: k.loss, Seed: k.seed, Fold: k.fold, Cases: k.cases, BestEpoch: 3})
	}
	pooled := store.Pool()
	require.Len(t, pooled, 2)
	fl := pooled[0]
	assert.Equal(t, "fl", fl.Loss)
	assert.Zero(t, fl.BestEpoch)
	require.Len(t, fl.Trainings, 4)
	for i, want := range [][2]int{{1, 0}, {1, 1}, {2, 0}, {2, 1}} {
		assert.Equal(t, want, [2]int{int(fl.Trainings[i].Seed), fl.Trainings[i].Fold})
	}
	type key struct {
		id   string
		seed uint64
		fold int
	}
	var keys []key
	for _, c := range fl.Cases {
		keys = append(keys, key{c.ID, c.Seed, c.Fold})
	}
	assert.Equal(t, []key{{"a", 1, 0}, {"a", 2, 0}, {"b", 1, 1}, {"b", 2, 1}, {"c", 1, 0}, {"c", 2, 0}}, keys)
	assert.Zero(t, store[2].Cases[0].Seed, "the results are not changed")
	assert.Empty(t, pooled[1].Cases)

	// Means over the seeds of a case: of a 3/8, of b 5/8, of c 1, the only seed with a value.
	means := OverSeeds(fl.Cases)
	require.Len(t, means, 3)
	for i, want := range []float64{0.375, 0.625, 1} {
		assert.EqualValues(t, want, means[i].Values[Dice])
		assert.EqualValues(t, want, means[i].Segments[0].Values[Dice])
		assert.False(t, means[i].Values[Hausdorff95].Defined())
	}
	assert.EqualValues(t, 0.25, fl.Cases[0].Segments[0].Values[Dice], "the cases are not changed")
	assert.Equal(t, Mean{Value: 2.0 / 3, N: 3}, MeanOf(means)[Dice])

	none := OverSeeds([]Case{dice("a", math.NaN()), dice("a", math.Inf(1))})
	require.Len(t, none, 1)
	assert.False(t, none[0].Values[Dice].Defined())
	one := []Case{dice("a", math.Inf(1))}
	assert.Equal(t, one[0].Values[Dice], OverSeeds(one)[0].Values[Dice], "a single result stays as it is")
	assert.Empty(t, OverSeeds(nil))
}
