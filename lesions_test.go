package afl

import (
	"math"
	"math/rand/v2"
	"slices"
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
			got, err := CompareLesions(p, r, connectivity, Touch())
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

// Neighbors in the foreground have the same label, and labels count from 1 in raster
// order.
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
	// One predicted lesion covers two target lesions; one target lesion is missed, and one
	// predicted lesion is false.
	target := bytesTensor([]uint8{1, 0, 1, 0, 0, 0, 0, 1, 0, 0}, 1, 10)
	predicted := bytesTensor([]uint8{1, 1, 1, 0, 1, 1, 0, 0, 0, 0}, 1, 10)
	got, err := CompareLesions(predicted, target, Connectivity8, Touch())
	require.NoError(t, err)
	assert.Equal(t, LesionCounts{TP: 2, FP: 1, FN: 1, Predicted: 2}, got)
	assert.Equal(t, 2.0/3, got.F1())
	assert.Equal(t, 2.0/3, got.Sensitivity())
	for _, c := range []LesionCriterion{MinIoU(1.0 / 3), MinDice(0.5)} { // just reached by either pair
		got, err = CompareLesions(predicted, target, Connectivity8, c)
		require.NoError(t, err)
		assert.Equal(t, LesionCounts{TP: 1, FP: 1, FN: 2, Predicted: 2}, got, "%v", c)
	}
	for _, c := range []LesionCriterion{MinIoU(0.334), MinDice(0.501), MinIoU(1)} {
		got, err = CompareLesions(predicted, target, Connectivity8, c)
		require.NoError(t, err)
		assert.Equal(t, LesionCounts{FP: 2, FN: 3, Predicted: 2}, got, "%v", c)
	}

	empty := bytesTensor(make([]uint8, 10), 1, 10)
	for _, c := range []LesionCriterion{{}, MinIoU(0.1), MinDice(0.1)} {
		got, err = CompareLesions(empty, empty, Connectivity8, c)
		require.NoError(t, err)
		assert.Equal(t, 1.0, got.F1())
		assert.True(t, math.IsNaN(got.Sensitivity()))
	}
}

// A prediction of the whole image finds eight single voxels by touch, and none where the
// extents have to agree.
func TestWholeImageFindsLesionsByTouchOnly(t *testing.T) {
	target, everything := make([]uint8, 7*7*7), make([]uint8, 7*7*7)
	for i := range everything {
		everything[i] = 1
	}
	for corner := range 8 {
		z, y, x := corner&1*4+1, corner>>1&1*4+1, corner>>2*4+1
		target[(z*7+y)*7+x] = 1
	}
	p, r := bytesTensor(everything, 7, 7, 7), bytesTensor(target, 7, 7, 7)
	got, err := CompareLesions(p, r, Connectivity26, LesionCriterion{})
	require.NoError(t, err)
	assert.Equal(t, LesionCounts{TP: 8, Predicted: 1}, got)
	assert.Equal(t, 1.0, got.F1())
	for _, c := range []LesionCriterion{MinIoU(0.1), MinDice(0.1)} {
		got, err = CompareLesions(p, r, Connectivity26, c)
		require.NoError(t, err)
		assert.Equal(t, LesionCounts{FP: 1, FN: 8, Predicted: 1}, got)
		assert.Zero(t, got.F1())
		got, err = CompareLesions(r, r, Connectivity26, c)
		require.NoError(t, err)
		assert.Equal(t, LesionCounts{TP: 8, Predicted: 8}, got)
	}
}

// The first predicted lesion can be matched with either target lesion, the second only
// with the larger one. Matching the largest overlap first would leave the smaller one
// without a partner.
func TestCompareLesionsMatchesAsManyAsPossible(t *testing.T) {
	target := bytesTensor([]uint8{
		1, 1, 0, 1, 1, 1, 1, 1, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0,
	}, 2, 9)
	predicted := bytesTensor([]uint8{
		1, 1, 1, 1, 1, 1, 0, 1, 1,
		0, 0, 0, 0, 0, 0, 0, 0, 0,
	}, 2, 9)
	got, err := CompareLesions(predicted, target, Connectivity4, MinIoU(0.1))
	require.NoError(t, err)
	assert.Equal(t, LesionCounts{TP: 2, Predicted: 2}, got)
	for _, c := range []LesionCriterion{MinIoU(0.35), MinDice(0.52)} { // of the first pair alone: 3/8 and 6/11
		got, err = CompareLesions(predicted, target, Connectivity4, c)
		require.NoError(t, err)
		assert.Equal(t, LesionCounts{TP: 1, FP: 1, FN: 1, Predicted: 2}, got, "%v", c)
	}
}

// lesionsByDefinition compares every pair of components and, for one-to-one criteria,
// tries every matching.
func lesionsByDefinition(t *testing.T, prediction, target *tensor.Dense, connectivity Connectivity, meets func(shared, p, t int) bool, oneToOne bool) LesionCounts {
	t.Helper()
	lp, predicted, err := Components(prediction, connectivity)
	require.NoError(t, err)
	lt, targets, err := Components(target, connectivity)
	require.NoError(t, err)
	pairs := make([][]bool, predicted)
	for i := range pairs {
		pairs[i] = make([]bool, targets)
		for j := range pairs[i] {
			var shared, sizeP, sizeT int
			for v, l := range lp.Data().([]int32) {
				inP, inT := l == int32(i+1), lt.Data().([]int32)[v] == int32(j+1)
				if inP {
					sizeP++
				}
				if inT {
					sizeT++
				}
				if inP && inT {
					shared++
				}
			}
			pairs[i][j] = shared > 0 && meets(shared, sizeP, sizeT)
		}
	}
	counts := LesionCounts{Predicted: predicted}
	if !oneToOne {
		for i := range pairs {
			if !slices.Contains(pairs[i], true) {
				counts.FP++
			}
		}
		for j := range targets {
			if slices.ContainsFunc(pairs, func(row []bool) bool { return row[j] }) {
				counts.TP++
			} else {
				counts.FN++
			}
		}
		return counts
	}
	taken := make([]bool, targets)
	var largest func(i int) int
	largest = func(i int) int {
		if i == predicted {
			return 0
		}
		best := largest(i + 1)
		for j, ok := range pairs[i] {
			if ok && !taken[j] {
				taken[j] = true
				best = max(best, 1+largest(i+1))
				taken[j] = false
			}
		}
		return best
	}
	counts.TP = largest(0)
	counts.FP, counts.FN = predicted-counts.TP, targets-counts.TP
	return counts
}

func TestCompareLesionsAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 8))
	iou := func(x float64) func(shared, p, t int) bool {
		return func(shared, p, t int) bool { return float64(shared)/float64(p+t-shared) >= x }
	}
	dice := func(x float64) func(shared, p, t int) bool {
		return func(shared, p, t int) bool { return float64(2*shared)/float64(p+t) >= x }
	}
	matched := 0
	for _, test := range []struct {
		shape        []int
		connectivity Connectivity
	}{{[]int{1, 13}, Connectivity4}, {[]int{7, 9}, Connectivity4}, {[]int{9, 7}, Connectivity8}, {[]int{3, 5, 5}, Connectivity6}, {[]int{5, 3, 7}, Connectivity26}} {
		for range 40 {
			density := 0.1 + 0.7*rng.Float64()
			p := randomMask(rng, density, test.shape...)
			r := p.Clone().(*tensor.Dense)
			for i, v := range r.Data().([]uint8) { // similar, so that many pairs meet the criteria
				if rng.IntN(5) == 0 {
					r.Data().([]uint8)[i] = 1 - v
				}
			}
			for _, c := range []struct {
				criterion LesionCriterion
				meets     func(shared, p, t int) bool
			}{
				{Touch(), func(int, int, int) bool { return true }},
				{MinIoU(0.1), iou(0.1)}, {MinIoU(0.25), iou(0.25)}, {MinIoU(0.5), iou(0.5)}, {MinIoU(1), iou(1)},
				{MinDice(0.1), dice(0.1)}, {MinDice(0.4), dice(0.4)}, {MinDice(1), dice(1)},
			} {
				got, err := CompareLesions(p, r, test.connectivity, c.criterion)
				require.NoError(t, err)
				oneToOne := c.criterion != Touch()
				require.Equal(t, lesionsByDefinition(t, p, r, test.connectivity, c.meets, oneToOne), got, "%v of %v and %v", c.criterion, p.Data(), r.Data())
				if oneToOne {
					matched += got.TP
					swapped, err := CompareLesions(r, p, test.connectivity, c.criterion)
					require.NoError(t, err)
					require.Equal(t, LesionCounts{TP: got.TP, FP: got.FN, FN: got.FP, Predicted: got.TP + got.FN}, swapped)
				}
			}
		}
	}
	assert.Greater(t, matched, 1000)
}

func TestLesionsRefuseBadInput(t *testing.T) {
	flat, deep := bytesTensor(make([]uint8, 6), 2, 3), bytesTensor(make([]uint8, 24), 2, 3, 4)
	for _, c := range []Connectivity{0, Connectivity6, Connectivity18, Connectivity26, 5} {
		_, err := CompareLesions(flat, flat, c, Touch())
		requireRefused(t, err, "connectivity")
	}
	for _, c := range []Connectivity{0, Connectivity4, Connectivity8, -6} {
		_, _, err := Components(deep, c)
		requireRefused(t, err, "connectivity")
	}
	_, _, err := Components(nil, Connectivity6)
	requireRefused(t, err, "mask")
	_, err = CompareLesions(nil, deep, Connectivity6, Touch())
	requireRefused(t, err, "prediction")
	_, err = CompareLesions(deep, nil, Connectivity6, Touch())
	requireRefused(t, err, "target")
	_, err = CompareLesions(flat, deep, Connectivity6, Touch())
	requireRefused(t, err, "shape of prediction")
	for _, threshold := range []float64{0, -0.1, 1.0001, math.NaN(), math.Inf(1)} {
		for _, c := range []LesionCriterion{MinIoU(threshold), MinDice(threshold)} {
			_, err = CompareLesions(deep, deep, Connectivity6, c)
			requireRefused(t, err, "criterion")
		}
	}
	_, _, err = Components(bytesTensor(make([]uint8, 6), 6), Connectivity4)
	requireRefused(t, err, "shape of mask")
}

func TestLesionCriterionString(t *testing.T) {
	assert.Equal(t, "touch", LesionCriterion{}.String())
	assert.Equal(t, "touch", Touch().String())
	assert.Equal(t, "IoU ≥ 0.1", MinIoU(0.1).String())
	assert.Equal(t, "Dice ≥ 0.25", MinDice(0.25).String())
}

func TestConnectivityString(t *testing.T) {
	assert.Equal(t, "26-connected", Connectivity26.String())
}
