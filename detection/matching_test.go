package detection

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

func TestCase(t *testing.T) {
	// Two lesions in a row; the candidates cover the first twice and miss the second.
	label := volume([]uint8{1, 1, 1, 1, 0, 0, 3, 3, 0, 0, 0}, 1, 11)
	detected := volume([]float32{0.5, 0.5, 0, 0.75, 0, 0, 0, 0, 0, 0.25, 0.25}, 1, 11)
	c, err := Matching{}.Case("a", detected, label)
	require.NoError(t, err)
	require.Len(t, c.Entries, 3)
	assert.True(t, c.Positive())
	assert.Equal(t, 0.75, c.Confidence)
	assert.InDelta(t, 0.5, c.Entries[0].Overlap, 1e-8, "the candidate of two voxels")
	assert.Equal(t, Entry{Lesion: true, Confidence: 0.5, Overlap: c.Entries[0].Overlap}, c.Entries[0])
	assert.Equal(t, Entry{Lesion: true}, c.Entries[1])
	assert.Equal(t, Entry{Confidence: 0.25}, c.Entries[2], "the spare candidate is dropped")

	c, err = Matching{CountSpareCandidates: true, Confidence: Bayesian}.Case("a", detected, label)
	require.NoError(t, err)
	assert.Equal(t, []Entry{{Confidence: 0.75}, {Confidence: 0.25}}, c.Entries[2:])
	assert.InDelta(t, 1-0.5*0.25*0.75, c.Confidence, 1e-15)

	c, err = Matching{MinOverlap: 0.6}.Case("a", detected, label)
	require.NoError(t, err)
	assert.Equal(t, []Entry{{Lesion: true}, {Lesion: true}, {Confidence: 0.5}, {Confidence: 0.75}, {Confidence: 0.25}}, c.Entries)

	c, err = Matching{MinOverlap: 0.6, Overlap: Dice}.Case("a", detected, label)
	require.NoError(t, err)
	assert.InDelta(t, 2.0/3, c.Entries[0].Overlap, 1e-8)

	c, err = Matching{}.Case("healthy", detected, volume(make([]bool, 11), 1, 11))
	require.NoError(t, err)
	assert.False(t, c.Positive())
	assert.Len(t, c.Entries, 3)

	c, err = Matching{}.Case("nothing", volume(make([]float64, 11), 1, 11), volume(make([]bool, 11), 1, 11))
	require.NoError(t, err)
	assert.Empty(t, c.Entries)
	assert.Zero(t, c.Confidence)
}

// Σ (1 + overlap) is largest: one pair more mostly outweighs larger overlaps, not always.
func TestMatchingHasTheLargestSum(t *testing.T) {
	// The second candidate covers lesion 1 best, but could find lesion 2, which the first
	// candidate does not touch.
	label := volume([]uint8{
		1, 1, 1, 1, 1, 0, 1,
		0, 0, 0, 0, 0, 0, 1,
	}, 2, 7)
	detected := volume([]float32{
		0.5, 0, 0.75, 0.75, 0.75, 0.75, 0.75,
		0, 0, 0, 0, 0, 0, 0.75,
	}, 2, 7)
	c, err := Matching{}.Case("a", detected, label)
	require.NoError(t, err)
	require.Len(t, c.Entries, 2)
	assert.Equal(t, []float64{0.5, 0.75}, []float64{c.Entries[0].Confidence, c.Entries[1].Confidence})

	// Each candidate but the first overlaps a lesion by 0.7 and the next by 0.1: two pairs
	// have a sum of 3.43, three one of 3.35.
	mask, confidences := make([]bool, 212), make([]float32, 212)
	for _, lesion := range [][2]int{{0, 100}, {101, 201}, {202, 212}} {
		for i := lesion[0]; i < lesion[1]; i++ {
			mask[i] = true
		}
	}
	for k, candidate := range [][2]int{{0, 14}, {15, 120}, {121, 212}} {
		for i := candidate[0]; i < candidate[1]; i++ {
			confidences[i] = float32(k+1) / 4
		}
	}
	c, err = Matching{}.Case("b", volume(confidences, 1, 212), volume(mask, 1, 212))
	require.NoError(t, err)
	require.Len(t, c.Entries, 3)
	assert.Equal(t, []float64{0.5, 0.75, 0}, []float64{c.Entries[0].Confidence, c.Entries[1].Confidence, c.Entries[2].Confidence})
}

// A table of all pairs of lesions and candidates would take gigabytes.
func TestCaseOfManyLesions(t *testing.T) {
	label, detected := make([]bool, 40*80*80), make([]float32, 40*80*80)
	for i := range label {
		if z, y, x := i/6400, i/80%80, i%80; z%2 == 0 && y%2 == 0 && x%2 == 0 {
			label[i], detected[i] = true, 0.5
		}
	}
	c, err := Matching{}.Case("many", volume(detected, 40, 80, 80), volume(label, 40, 80, 80))
	require.NoError(t, err)
	assert.Len(t, c.Entries, 32000)
	assert.Equal(t, Entry{Lesion: true, Confidence: 0.5, Overlap: 1}, c.Entries[31999])
}

func TestCenterFit(t *testing.T) {
	count := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = float64(i + 1)
		}
		return out
	}
	assert.Equal(t, []float64{0, 1, 2, 0, 0}, centerFit(count(2), [3]int{1, 1, 2}, [3]int{1, 1, 5}))
	assert.Equal(t, []float64{2, 3}, centerFit(count(5), [3]int{1, 1, 5}, [3]int{1, 1, 2}))
	assert.Equal(t, []float64{3, 4}, centerFit(count(6), [3]int{1, 3, 2}, [3]int{1, 1, 2}))
	assert.Equal(t, []float64{0, 2, 0, 0, 0, 0}, centerFit(count(3), [3]int{1, 1, 3}, [3]int{2, 3, 1}), "padded and cropped")
}

func TestCaseRefusals(t *testing.T) {
	label := volume([]uint8{0, 1, 1, 0}, 2, 2)
	for want, call := range map[string]struct {
		m        Matching
		detected *tensor.Dense
		label    *tensor.Dense
	}{
		"Overlap is Overlap(5)":                       {Matching{Overlap: 5}, volume(make([]float32, 4), 2, 2), label},
		"Confidence is CaseConfidence(5)":             {Matching{Confidence: 5}, volume(make([]float32, 4), 2, 2), label},
		"MinOverlap is 2":                             {Matching{MinOverlap: 2}, volume(make([]float32, 4), 2, 2), label},
		"shape of detection map is (4, 1)":            {Matching{}, volume(make([]float32, 4), 4, 1), label},
		"an element of detection map is -1":           {Matching{}, volume([]float32{0, 0, -1, 0}, 2, 2), label},
		"detection map is a volume of 1 components":   {Matching{}, volume([]float32{0.1, 0.2, 0, 0}, 2, 2), label},
		"detection map is nil":                        {Matching{}, nil, label},
		"label is nil":                                {Matching{}, volume(make([]float32, 4), 2, 2), nil},
		"type of detection map is int":                {Matching{}, volume(make([]int, 4), 2, 2), label},
		"shape of detection map is (1, 2, 2)":         {Matching{CenterFit: true}, volume(make([]float32, 4), 1, 2, 2), label},
		"an element of label is NaN, want a number (": {Matching{}, volume(make([]float32, 1), 1, 1), volume([]float64{math.NaN()}, 1, 1)},
	} {
		_, err := call.m.Case("a", call.detected, call.label)
		var refused *afl.ArgumentError
		require.ErrorAs(t, err, &refused, want)
		assert.ErrorContains(t, err, want)
	}
	c, err := Matching{CenterFit: true}.Case("a", volume([]float32{0.5, 0.5}, 1, 2), volume([]uint8{0, 0, 0, 1, 1, 0}, 3, 2))
	require.NoError(t, err)
	assert.Equal(t, 0.5, c.Entries[0].Confidence)
}
