package afl

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestGoldenLesions(t *testing.T) {
	for _, c := range metricCases(t, "lesion") {
		t.Run(c.Name, func(t *testing.T) {
			connectivity := Connectivity(number(t, c.Options["connectivity"]))
			p, r := goldenBytes(c.tensors["prediction"]), goldenBytes(c.tensors["target"])
			got, err := CompareLesions(p, r, connectivity)
			require.NoError(t, err)
			assert.Equal(t, number(t, c.Expected["tp"]), float64(got.TP))
			assert.Equal(t, number(t, c.Expected["fp"]), float64(got.FP))
			assert.Equal(t, number(t, c.Expected["fn"]), float64(got.FN))
			requireNumber(t, number(t, c.Expected["f1"]), got.F1())
			for name, mask := range map[string]*tensor.Dense{"components_prediction": p, "components_target": r} {
				_, count, err := Components(mask, connectivity)
				require.NoError(t, err)
				assert.Equal(t, number(t, c.Expected[name]), float64(count), name)
			}
			assert.Equal(t, number(t, c.Expected["components_prediction"]), float64(got.Predicted))
			assert.Equal(t, number(t, c.Expected["components_target"]), float64(got.TP+got.FN))
		})
	}
}

func TestComponentsOfDiagonals(t *testing.T) {
	plane := bytesTensor([]uint8{1, 0, 0, 1}, 2, 2)
	corner := bytesTensor([]uint8{1, 0, 0, 0, 0, 0, 0, 1}, 2, 2, 2)
	edge := bytesTensor([]uint8{1, 0, 0, 1, 0, 0, 0, 0}, 2, 2, 2)
	face := bytesTensor([]uint8{1, 0, 0, 0, 1, 0, 0, 0}, 2, 2, 2)
	for _, test := range []struct {
		mask         *tensor.Dense
		connectivity Connectivity
		count        int
	}{
		{plane, Connectivity4, 2}, {plane, Connectivity8, 1},
		{corner, Connectivity6, 2}, {corner, Connectivity18, 2}, {corner, Connectivity26, 1},
		{edge, Connectivity6, 2}, {edge, Connectivity18, 1}, {edge, Connectivity26, 1},
		{face, Connectivity6, 1}, {face, Connectivity18, 1}, {face, Connectivity26, 1},
	} {
		_, count, err := Components(test.mask, test.connectivity)
		require.NoError(t, err)
		assert.Equal(t, test.count, count, "%v of %v", test.connectivity, test.mask.Data())
	}
}

// A component contains no foreground neighbour of another, and carries one label.
func TestComponentsLabels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 8))
	mask := randomMask(rng, 0.3, 9, 13, 15)
	before := mask.Clone().(*tensor.Dense)
	labels, count, err := Components(mask, Connectivity6)
	require.NoError(t, err)
	assert.Equal(t, before.Data(), mask.Data())
	assert.Equal(t, mask.Shape(), labels.Shape())
	l, m := labels.Data().([]int32), mask.Data().([]uint8)
	highest := int32(0)
	for i := range l {
		require.Equal(t, m[i] == 1, l[i] > 0)
		require.LessOrEqual(t, l[i], highest+1, "labels are numbered in raster order")
		highest = max(highest, l[i])
		for axis, stride := range []int{13 * 15, 15, 1} {
			if at := i / stride % []int{9, 13, 15}[axis]; at > 0 && m[i] == 1 && m[i-stride] == 1 {
				require.Equal(t, l[i], l[i-stride])
			}
		}
	}
	assert.Equal(t, count, int(highest))
}

func TestCompareLesionsCounts(t *testing.T) {
	// One predicted lesion over two of the target, one missed, one invented.
	target := bytesTensor([]uint8{1, 0, 1, 0, 0, 0, 0, 1, 0, 0}, 1, 10)
	predicted := bytesTensor([]uint8{1, 1, 1, 0, 1, 1, 0, 0, 0, 0}, 1, 10)
	got, err := CompareLesions(predicted, target, Connectivity8)
	require.NoError(t, err)
	assert.Equal(t, LesionCounts{TP: 2, FP: 1, FN: 1, Predicted: 2}, got)
	assert.Equal(t, 2.0/3, got.F1())
	assert.Equal(t, 2.0/3, got.Sensitivity())

	empty := bytesTensor(make([]uint8, 10), 1, 10)
	got, err = CompareLesions(empty, empty, Connectivity8)
	require.NoError(t, err)
	assert.Equal(t, 1.0, got.F1())
	assert.True(t, math.IsNaN(got.Sensitivity()))
}

func TestLesionsRefuseBadInput(t *testing.T) {
	flat, deep := bytesTensor(make([]uint8, 6), 2, 3), bytesTensor(make([]uint8, 24), 2, 3, 4)
	for _, c := range []Connectivity{0, Connectivity6, Connectivity18, Connectivity26, 5} {
		_, err := CompareLesions(flat, flat, c)
		requireRefused(t, err, "connectivity")
	}
	for _, c := range []Connectivity{0, Connectivity4, Connectivity8, -6} {
		_, _, err := Components(deep, c)
		requireRefused(t, err, "connectivity")
	}
	_, _, err := Components(nil, Connectivity6)
	requireRefused(t, err, "mask")
	_, err = CompareLesions(nil, deep, Connectivity6)
	requireRefused(t, err, "prediction")
	_, err = CompareLesions(deep, nil, Connectivity6)
	requireRefused(t, err, "target")
	_, err = CompareLesions(flat, deep, Connectivity6)
	requireRefused(t, err, "shape of prediction")
	_, _, err = Components(bytesTensor(make([]uint8, 6), 6), Connectivity4)
	requireRefused(t, err, "shape of mask")
}

func TestConnectivityString(t *testing.T) {
	assert.Equal(t, "26-connected", Connectivity26.String())
}
