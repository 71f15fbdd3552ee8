package segment

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestStatistics checks, for each kind of scheme, that the statistics of a label give A-FL of
// that label itself, and that those of another label change it.
func TestStatistics(t *testing.T) {
	const n = 3 * 4 * 5
	for _, c := range []struct {
		scheme Scheme
		loss   string
	}{
		{Scheme{}, "afl"},
		{Scheme{}, "afl-balanced"},
		{Scheme{Kind: Classes, Segments: []Segment{{"a", []int{1}}}}, "afl-multiclass"},
		{Scheme{Kind: Classes, Segments: []Segment{{"a", []int{1}}, {"b", []int{2}}}}, "afl-multiclass"},
		{Scheme{Kind: Regions, Segments: []Segment{{"all", []int{1, 2}}, {"b", []int{2}}}}, "afl-multiclass"},
		{Scheme{Kind: Regions, Segments: []Segment{{"all", []int{1, 2}}, {"b", []int{2}}}}, "dice-afl"},
		{Scheme{}, "dice"},
	} {
		name := c.scheme.String() + " " + c.loss
		loss, _, err := c.scheme.Loss(c.loss)
		require.NoError(t, err, name)
		maps := func(every int) *tensor.Dense {
			codes := make([]uint8, n)
			for i := range codes {
				if i%every == 0 {
					codes[i] = uint8(1 + i/every%max(1, len(c.scheme.Segments)))
				}
			}
			if c.scheme.Kind != Regions {
				return tensor.New(tensor.WithShape(1, 3, 4, 5), tensor.WithBacking(codes))
			}
			values := make([]uint8, 2*n)
			for i, code := range codes {
				if code > 0 {
					values[i] = 1
				}
				if code == 2 {
					values[n+i] = 1
				}
			}
			return tensor.New(tensor.WithShape(1, 2, 3, 4, 5), tensor.WithBacking(values))
		}
		logits := make([]float32, c.scheme.Channels()*n)
		for i := range logits {
			logits[i] = float32(i%7)/3 - 1
		}
		x := tensor.New(tensor.WithShape(1, c.scheme.Channels(), 3, 4, 5), tensor.WithBacking(logits))
		label := maps(4)
		own, err := c.scheme.Statistics(label)
		require.NoError(t, err, name)
		other, err := c.scheme.Statistics(maps(9))
		require.NoError(t, err, name)

		want, wantGrad, err := afl.Grad(loss, x, label)
		require.NoError(t, err, name)
		got, grad, err := afl.Grad(loss, x, label, afl.WithStats(own))
		require.NoError(t, err, name)
		assert.InDelta(t, want, got, 1e-12, name)
		assert.InDeltaSlice(t, wantGrad.Data(), grad.Data(), 1e-7, name)
		changed, err := afl.Value(loss, x, label, afl.WithStats(other))
		require.NoError(t, err, name)
		if c.loss == "dice" {
			assert.Equal(t, want, changed, "%s has no statistics", name)
		} else {
			assert.NotEqual(t, want, changed, name)
		}
	}

	regions := Scheme{Kind: Regions, Segments: []Segment{{"a", []int{1, 2}}, {"b", []int{2}}}}
	_, err := regions.Statistics(tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(1, 3, 4, 5)))
	assert.ErrorContains(t, err, "want uint8 1×X×Y×Z")
	loss, _, err := regions.Loss("afl-multiclass")
	require.NoError(t, err)
	x, label := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 2, 3, 4, 5)), tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(1, 2, 3, 4, 5))
	_, err = afl.Value(loss, x, label, afl.WithStats(afl.LabelStats{}))
	assert.ErrorContains(t, err, "want one for each sample, with those of each of the 2 regions")
}
