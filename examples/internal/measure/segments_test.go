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
	"github.com/x/afl/examples/internal/volume"
)

func schemes(t *testing.T) (classes, regions segment.Scheme) {
	t.Helper()
	classes, err := segment.ParseClasses("2,1,4", nil)
	require.NoError(t, err)
	regions, err = segment.ParseRegions("WT=1,2,4;TC=1,4;ET=4", nil)
	require.NoError(t, err)
	return classes, regions
}

// line returns a tensor 1×C×n×1×1, or 1×n×1×1 with 0 channels.
func line[T any](channels int, values ...T) *tensor.Dense {
	if channels == 0 {
		return tensor.New(tensor.WithShape(1, len(values), 1, 1), tensor.WithBacking(values))
	}
	return tensor.New(tensor.WithShape(1, channels, len(values)/channels, 1, 1), tensor.WithBacking(values))
}

func TestCaseOfClasses(t *testing.T) {
	classes, _ := schemes(t)
	label := line[uint8](0, 0, 1, 1, 2, 2, 0)
	predicted := []uint8{0, 1, 2, 2, 2, 1}
	logits := make([]float32, 4*6)
	for v, c := range predicted {
		logits[int(c)*6+v] = 3
	}
	values, parts, err := Case(classes, line(4, logits...), label, [3]float64{2, 1, 1}, afl.Argmax, Everything)
	require.NoError(t, err)
	require.Len(t, parts, 3)
	assert.Equal(t, []string{"2", "1", "4"}, []string{parts[0].Name, parts[1].Name, parts[2].Name})
	first, second, absent := parts[0].Values, parts[1].Values, parts[2].Values
	assert.InDelta(t, 2.0/4, float64(first[outcome.Dice]), 1e-15, "1 voxel of 2 and 2")
	assert.InDelta(t, 4.0/5, float64(second[outcome.Dice]), 1e-15, "2 voxels of 3 and 2")
	assert.InDelta(t, 3.0/4, float64(second[outcome.Specificity]), 1e-15)
	assert.False(t, absent[outcome.Dice].Defined())
	assert.Equal(t, outcome.Number(1), absent[outcome.Specificity])
	assert.InDelta(t, (2.0/4+4.0/5)/2, float64(values[outcome.Dice]), 1e-15)
	// Voxels 1 and 5 against 1 and 2, 2 mm apart: 0 and 6 mm, 0 and 2 mm.
	assert.InDelta(t, (0+6+0+2)/4.0, float64(first[outcome.SurfaceDistance]), 1e-12)
	assert.Equal(t, []outcome.Number{1, 1, 0}, []outcome.Number{first[outcome.LesionTP], first[outcome.LesionFP], first[outcome.LesionFN]})

	// The soft Dice by its formula: softmax probabilities p of the predicted channel, q of
	// each other.
	p, q := math.Exp(3)/(math.Exp(3)+3), 1/(math.Exp(3)+3)
	want := (2*(p+q) + 1e-5) / (2*p*p + 4*q*q + 2 + 1e-5)
	assert.InDelta(t, want, float64(first[outcome.SoftDice]), 1e-6)
	inter, sum := p+q, 2*p*p+4*q*q+2
	assert.InDelta(t, (2*inter+1e-5)/(2*(sum-inter)+1e-5), float64(first[outcome.SoftIoU]), 1e-6)

	values, parts, err = Case(classes, line(4, logits...), label, [3]float64{2, 1, 1}, afl.Argmax, Overlaps)
	require.NoError(t, err)
	assert.InDelta(t, 2.0/4, float64(parts[0].Values[outcome.Dice]), 1e-15)
	assert.False(t, parts[0].Values[outcome.LesionF1].Defined())
	assert.False(t, values[outcome.LesionF1].Defined())
}

// TestRegionsAreBinaryCases compares several regions with the measures of each by itself.
func TestRegionsAreBinaryCases(t *testing.T) {
	_, regions := schemes(t)
	labels := []int{0, 1, 2, 4, 4, 0, 2, 1, 0, 0, 4, 2}
	codes := make([]uint8, len(labels))
	for i, l := range labels {
		codes[i] = regions.Code(l)
	}
	maps, channels := regions.Maps(codes)
	n := len(labels)
	logits := make([]float32, channels*n)
	for i := range logits {
		logits[i] = float32(i*7919%29)/7 - 2
	}
	spacing := [3]float64{0.5, 1, 1}
	values, parts, err := Case(regions, line(3, logits...), line(3, maps...), spacing, afl.SigmoidPerChannel, Everything)
	require.NoError(t, err)
	mean := 0.0
	for r := range 3 {
		// Two channels, of which channel 1 is the region; the soft measures differ, as they
		// include the background there.
		two := append(make([]float32, n), logits[r*n:(r+1)*n]...)
		want, err := Logits(line(2, two...), line(0, maps[r*n:(r+1)*n]...), spacing, afl.SigmoidChannel1, Everything)
		require.NoError(t, err)
		assert.Equal(t, want[outcome.Dice:], parts[r].Values[outcome.Dice:])
		assert.True(t, want[outcome.Dice].Defined())
		soft, err := afl.SoftDice(line(1, logits[r*n:(r+1)*n]...), line(0, maps[r*n:(r+1)*n]...), true, afl.IgnoreIndex{})
		require.NoError(t, err)
		assert.InDelta(t, soft, float64(parts[r].Values[outcome.SoftDice]), 1e-6, "in single precision")
		mean += float64(want[outcome.Dice]) / 3
	}
	assert.InDelta(t, mean, float64(values[outcome.Dice]), 1e-12)

	one := segment.Scheme{Kind: segment.Regions, Segments: regions.Segments[:1]}
	alone, single, err := Case(one, line(1, logits[:n]...), line(1, maps[:n]...), spacing, afl.SigmoidPerChannel, Everything)
	require.NoError(t, err)
	assert.Equal(t, parts[0].Values[outcome.Dice:], single[0].Values[outcome.Dice:])
	assert.InDelta(t, float64(parts[0].Values[outcome.SoftIoU]), float64(single[0].Values[outcome.SoftIoU]), 1e-6)
	assert.Equal(t, single[0].Values, alone)
}

func TestBinaryCaseIsThatOfItsLogits(t *testing.T) {
	label, prediction := []uint8{0, 1, 1, 0}, []uint8{0, 0, 1, 1}
	want, err := Logits(logitsOf(prediction, 4, 1, 1), labelOf(label, 4, 1, 1), [3]float64{1, 1, 1}, afl.Argmax, Everything)
	require.NoError(t, err)
	got, parts, err := Case(segment.Scheme{}, logitsOf(prediction, 4, 1, 1), labelOf(label, 4, 1, 1), [3]float64{1, 1, 1}, afl.Argmax, Everything)
	require.NoError(t, err)
	assert.Nil(t, parts)
	assert.Equal(t, want, got)
}

func TestLabelMaps(t *testing.T) {
	classes, regions := schemes(t)
	of := func(values ...float64) *volume.Volume {
		return &volume.Volume{Dims: [3]int{len(values), 1, 1}, Channels: 1, Data: values, Affine: [4][4]float64{{1}, {0, 1}, {0, 0, 1}, {3: 1}}}
	}
	prediction, reference := of(0, 1, 1, 4, 2, 7), of(0, 1, 4, 4, 2, 2)
	_, parts, err := LabelMaps(regions, prediction, reference)
	require.NoError(t, err)
	for r, want := range []float64{2.0 * 4 / 9, 1, 2.0 / 3} {
		assert.InDelta(t, want, float64(parts[r].Values[outcome.Dice]), 1e-15, parts[r].Name)
	}
	values, parts, err := LabelMaps(classes, prediction, reference)
	require.NoError(t, err)
	for c, want := range []float64{2.0 / 3, 2.0 / 3, 2.0 / 3} { // labels 2, 1, 4
		assert.InDelta(t, want, float64(parts[c].Values[outcome.Dice]), 1e-15, parts[c].Name)
	}
	assert.InDelta(t, 2.0/3, float64(values[outcome.Dice]), 1e-15)
	values, parts, err = LabelMaps(segment.Scheme{}, prediction, reference)
	require.NoError(t, err)
	assert.Nil(t, parts)
	assert.Equal(t, outcome.Number(1), values[outcome.Dice])
}

func TestRulesOfSchemes(t *testing.T) {
	classes, regions := schemes(t)
	for _, c := range []struct {
		scheme segment.Scheme
		want   afl.PredictionRule
		words  string
	}{{classes, afl.Argmax, "largest softmax"}, {regions, afl.SigmoidPerChannel, "each region"}} {
		loss, _, err := c.scheme.Loss("dice-ce")
		require.NoError(t, err)
		rule, err := RuleOf(c.scheme, loss)
		require.NoError(t, err)
		assert.Equal(t, c.want, rule)
		assert.Contains(t, InWords(c.scheme, rule), c.words)
	}
}

func TestCaseErrors(t *testing.T) {
	classes, regions := schemes(t)
	_, _, err := Case(classes, line(3, make([]float32, 12)...), line[uint8](0, 0, 1, 2, 0), [3]float64{1, 1, 1}, afl.Argmax, Everything)
	assert.ErrorContains(t, err, "have no channel for each of classes 2 (label 2), 1 (label 1), 4 (label 4)")
	_, _, err = Case(regions, line(3, make([]float32, 12)...), line[uint8](0, 0, 1, 2, 3), [3]float64{1, 1, 1}, afl.SigmoidPerChannel, Everything)
	assert.ErrorContains(t, err, "target")
	_, _, err = Case(regions, line(3, make([]float32, 12)...), line[uint8](0, 0, 1, 2, 0), [3]float64{1, 1, 1}, afl.SigmoidPerChannel, Everything)
	assert.ErrorContains(t, err, "want uint8 maps of 3 regions")
}
