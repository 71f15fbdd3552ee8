package measure

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/segment"
)

// logit returns the logit of a probability.
func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// TestCalibration computes both numbers by hand: three voxels share a bin, one is in the last.
func TestCalibration(t *testing.T) {
	probabilities, label := []float64{0.12, 0.16, 0.18, 1}, []uint8{0, 1, 0, 1}
	brier := (0.12*0.12 + 0.84*0.84 + 0.18*0.18) / 4
	expected := math.Abs(0.12+0.16-1+0.18) / 4
	logits := make([]float32, 8)
	for i, p := range probabilities {
		logits[i], logits[4+i] = 3, 40
		if p < 1 {
			logits[4+i] = float32(logit(p))
		}
	}
	dense := func() *tensor.Dense {
		return tensor.New(tensor.WithShape(1, 2, 4, 1, 1), tensor.WithBacking(logits))
	}
	v, err := Logits(dense(), labelOf(label, 4, 1, 1), [3]float64{1, 1, 1}, afl.SigmoidChannel1, Overlaps)
	require.NoError(t, err)
	assert.InDelta(t, brier, float64(v[outcome.Brier]), 1e-7)
	assert.InDelta(t, expected, float64(v[outcome.CalibrationError]), 1e-7)

	// As a softmax of both channels, only their difference counts.
	for i := range 4 {
		logits[4+i] += logits[i]
	}
	v, err = Logits(dense(), labelOf(label, 4, 1, 1), [3]float64{1, 1, 1}, afl.Argmax, Overlaps)
	require.NoError(t, err)
	assert.InDelta(t, brier, float64(v[outcome.Brier]), 1e-6)
	assert.InDelta(t, expected, float64(v[outcome.CalibrationError]), 1e-6)

	// A softmax over two classes and the background, in which class 1 has these probabilities.
	classes, err := segment.ParseClasses("1,2", nil)
	require.NoError(t, err)
	three := make([]float32, 12)
	for i, p := range probabilities {
		three[4+i] = float32(logit(min(p, 1-1e-12)) + math.Log(2)) // beside two logits of 0
	}
	_, segments, err := Case(classes, tensor.New(tensor.WithShape(1, 3, 4, 1, 1), tensor.WithBacking(three)), labelOf(label, 4, 1, 1), [3]float64{1, 1, 1}, afl.Argmax, Overlaps)
	require.NoError(t, err)
	assert.InDelta(t, brier, float64(segments[0].Values[outcome.Brier]), 1e-6)
	assert.InDelta(t, expected, float64(segments[0].Values[outcome.CalibrationError]), 1e-6)
	want := 0.0
	for _, p := range probabilities {
		want += (1 - p) * (1 - p) / 4 / 4
	}
	assert.InDelta(t, want, float64(segments[1].Values[outcome.Brier]), 1e-6, "the others' probability is divided equally")

	// A region has its own sigmoid and map.
	regions, err := segment.ParseRegions("WT=1,2;TC=1", nil)
	require.NoError(t, err)
	two := make([]float32, 8)
	for i, p := range probabilities {
		two[4+i] = float32(logit(min(p, 1-1e-12)))
	}
	maps := tensor.New(tensor.WithShape(1, 2, 4, 1, 1), tensor.WithBacking([]uint8{1, 1, 1, 1, 0, 1, 0, 1}))
	_, segments, err = Case(regions, tensor.New(tensor.WithShape(1, 2, 4, 1, 1), tensor.WithBacking(two)), maps, [3]float64{1, 1, 1}, afl.SigmoidPerChannel, Overlaps)
	require.NoError(t, err)
	assert.InDelta(t, 0.25, float64(segments[0].Values[outcome.Brier]), 1e-12)
	assert.InDelta(t, 0.5, float64(segments[0].Values[outcome.CalibrationError]), 1e-12)
	assert.InDelta(t, brier, float64(segments[1].Values[outcome.Brier]), 1e-6)
	assert.InDelta(t, expected, float64(segments[1].Values[outcome.CalibrationError]), 1e-6)
}
