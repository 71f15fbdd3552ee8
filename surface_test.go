package afl

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/edt"
)

func TestGoldenSurface(t *testing.T) {
	compared := 0
	for _, c := range metricCases(t, "surface") {
		t.Run(c.Name, func(t *testing.T) {
			var spacing []float64
			for _, s := range c.Options["spacing"].([]any) {
				spacing = append(spacing, number(t, s))
			}
			percentile := number(t, c.Options["percentile_q"])
			prediction, target := goldenBytes(c.tensors["prediction"]), goldenBytes(c.tensors["target"])
			samples, classes := prediction.Shape()[0], int(number(t, c.Options["C"]))
			for n := range samples {
				for class := 1; class < classes; class++ {
					p, err := ClassMask(prediction, len(spacing), n, class)
					require.NoError(t, err)
					r, err := ClassMask(target, len(spacing), n, class)
					require.NoError(t, err)
					d, err := NewSurfaceDistances(p, r, spacing)
					require.NoError(t, err)
					quantile, err := d.HausdorffPercentile(percentile)
					require.NoError(t, err)
					hundred, err := d.HausdorffPercentile(100)
					require.NoError(t, err)
					directed95, err := d.PredictionToTarget.Percentile(95)
					require.NoError(t, err)
					voxelSet, err := VoxelSetHausdorff(p, r, spacing)
					require.NoError(t, err)
					got := map[string]float64{
						"hd": d.Hausdorff(), "hd95": d.HD95(), "hd_q": quantile,
						"hd_pred_to_target": d.PredictionToTarget.Max(), "hd_target_to_pred": d.TargetToPrediction.Max(),
						"hd95_pred_to_target": directed95, "asd_symmetric": d.Average(),
						"asd_pred_to_target": d.PredictionToTarget.Mean(), "asd_target_to_pred": d.TargetToPrediction.Mean(),
						"hd_voxelset": voxelSet,
					}
					for name, value := range got {
						golden := c.tensors[name]
						require.Equal(t, []int{samples, classes - 1}, golden.Shape)
						requireNumber(t, golden.Data[n*(classes-1)+class-1], value, name, n, class)
						requireNumber(t, number(t, c.Expected[name].([]any)[n].([]any)[class-1]), value, name, n, class)
						compared++
					}
					requireNumber(t, d.Hausdorff(), hundred)
				}
			}
		})
	}
	t.Logf("surface: %d numbers compared", compared)
	require.Positive(t, compared)
}

type voxel [3]int

// surfaceByDefinition lists the surface voxels and all foreground voxels.
func surfaceByDefinition(m *spatialMask) (surface, all []voxel) {
	at := func(v voxel) bool {
		for a := range v {
			if v[a] < 0 || v[a] >= m.shape[a] {
				return false
			}
		}
		return m.voxel[(v[0]*m.shape[1]+v[1])*m.shape[2]+v[2]] == 1
	}
	for z := range m.shape[0] {
		for y := range m.shape[1] {
			for x := range m.shape[2] {
				v := voxel{z, y, x}
				if !at(v) {
					continue
				}
				all = append(all, v)
				inner := true
				for axis := 3 - m.axes; axis < 3; axis++ {
					for _, step := range []int{-1, 1} {
						w := v
						w[axis] += step
						inner = inner && at(w)
					}
				}
				if !inner {
					surface = append(surface, v)
				}
			}
		}
	}
	return surface, all
}

// distancesByDefinition returns the distance from each voxel of a to the nearest of b,
// sorted.
func distancesByDefinition(a, b []voxel, spacing [3]float64) []float64 {
	var out []float64
	for _, p := range a {
		best := math.Inf(1)
		for _, q := range b {
			sum := 0.0
			for axis := range p {
				d := float64(p[axis]-q[axis]) * spacing[axis]
				sum += d * d
			}
			best = min(best, math.Sqrt(sum))
		}
		out = append(out, best)
	}
	slices.Sort(out)
	return out
}

func TestSurfaceDistancesAgainstDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for _, test := range []struct {
		shape   []int
		spacing []float64
	}{
		{[]int{1, 1}, nil}, {[]int{1, 9}, []float64{3, 0.7}}, {[]int{13, 17}, nil}, {[]int{13, 17}, []float64{0.5, 2.25}},
		{[]int{1, 7, 9}, []float64{3, 1, 1}}, {[]int{7, 1, 5}, nil}, {[]int{9, 11, 13}, []float64{3, 0.61, 0.59}}, {[]int{5, 19, 3}, []float64{1, 2, 3}},
	} {
		for _, density := range []float64{0.02, 0.2, 0.7, 0.97} {
			p, r := randomMask(rng, density, test.shape...), randomMask(rng, 0.6*density, test.shape...)
			// The definition needs foreground in both masks.
			p.Data().([]uint8)[rng.IntN(p.DataSize())] = 1
			r.Data().([]uint8)[rng.IntN(r.DataSize())] = 1
			mp, mr, err := newSpatialMasks(p, r)
			require.NoError(t, err)
			steps, err := spacing3(test.spacing, mp.axes)
			require.NoError(t, err)
			surfaceP, allP := surfaceByDefinition(mp)
			surfaceR, allR := surfaceByDefinition(mr)
			forth, back := distancesByDefinition(surfaceP, surfaceR, steps), distancesByDefinition(surfaceR, surfaceP, steps)

			d, err := NewSurfaceDistances(p, r, test.spacing)
			require.NoError(t, err)
			assert.InDeltaSlice(t, forth, d.PredictionToTarget.Sorted(), 1e-13)
			assert.InDeltaSlice(t, back, d.TargetToPrediction.Sorted(), 1e-13)
			wholeForth, wholeBack := distancesByDefinition(allP, allR, steps), distancesByDefinition(allR, allP, steps)
			voxelSet, err := VoxelSetHausdorff(p, r, test.spacing)
			require.NoError(t, err)
			assert.InDelta(t, max(slices.Max(wholeForth), slices.Max(wholeBack)), voxelSet, 1e-13)

			joined := slices.Concat(forth, back)
			sum := 0.0
			for _, v := range joined {
				sum += v
			}
			assert.InDelta(t, sum/float64(len(joined)), d.Average(), 1e-12)
			for _, tolerance := range []float64{0, 0.3, 1.1, 2.9, joined[len(joined)/2]} {
				near := 0
				for _, v := range joined {
					if v <= tolerance+1e-6*tolerance {
						near++
					}
				}
				dice, err := d.SurfaceDice(tolerance)
				require.NoError(t, err)
				assert.Equal(t, float64(near)/float64(len(joined)), dice)
			}
		}
	}
}

// blob makes a ball with a ragged surface, like the masks that are usually measured.
func blob(rng *rand.Rand, shape [3]int, center [3]float64, radius float64) *tensor.Dense {
	data := make([]uint8, shape[0]*shape[1]*shape[2])
	i := 0
	for z := range shape[0] {
		for y := range shape[1] {
			for x := range shape[2] {
				dz, dy, dx := float64(z)-center[0], float64(y)-center[1], float64(x)-center[2]
				if math.Sqrt(dz*dz+dy*dy+dx*dx) < radius+rng.Float64() {
					data[i] = 1
				}
				i++
			}
		}
	}
	return bytesTensor(data, shape[:]...)
}

func TestSurfaceLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 3))
	shape := [3]int{19, 25, 31}
	spacing := []float64{2.5, 0.8, 0.9}
	p, r := blob(rng, shape, [3]float64{8, 11, 13}, 4), blob(rng, shape, [3]float64{10, 12, 17}, 5)
	d, err := NewSurfaceDistances(p, r, spacing)
	require.NoError(t, err)

	t.Run("swapping the masks swaps the directions", func(t *testing.T) {
		s, err := NewSurfaceDistances(r, p, spacing)
		require.NoError(t, err)
		assert.Equal(t, d.PredictionToTarget, s.TargetToPrediction)
		assert.Equal(t, d.TargetToPrediction, s.PredictionToTarget)
		assert.Equal(t, d.Hausdorff(), s.Hausdorff())
		assert.Equal(t, d.HD95(), s.HD95())
		assert.Equal(t, d.Average(), s.Average())
		forth, err := VoxelSetHausdorff(p, r, spacing)
		require.NoError(t, err)
		back, err := VoxelSetHausdorff(r, p, spacing)
		require.NoError(t, err)
		assert.Equal(t, forth, back)
	})
	t.Run("identical masks", func(t *testing.T) {
		s, err := NewSurfaceDistances(p, p, spacing)
		require.NoError(t, err)
		assert.Zero(t, s.Hausdorff())
		assert.Zero(t, s.Average())
		voxelSet, err := VoxelSetHausdorff(p, p, spacing)
		require.NoError(t, err)
		assert.Zero(t, voxelSet)
		dice, err := s.SurfaceDice(0)
		require.NoError(t, err)
		assert.Equal(t, 1.0, dice)
	})
	t.Run("translation changes nothing", func(t *testing.T) {
		move := func(m *tensor.Dense, by [3]int) *tensor.Dense {
			big := [3]int{shape[0] + 5, shape[1] + 7, shape[2] + 9}
			out := make([]uint8, big[0]*big[1]*big[2])
			for i, v := range m.Data().([]uint8) {
				z, y, x := i/(shape[1]*shape[2])+by[0], i/shape[2]%shape[1]+by[1], i%shape[2]+by[2]
				out[(z*big[1]+y)*big[2]+x] = v
			}
			return bytesTensor(out, big[:]...)
		}
		for _, by := range [][3]int{{0, 0, 0}, {5, 7, 9}, {1, 6, 2}} {
			s, err := NewSurfaceDistances(move(p, by), move(r, by), spacing)
			require.NoError(t, err)
			assert.Equal(t, d, s)
		}
	})
	t.Run("scaling the spacing scales the distances", func(t *testing.T) {
		s, err := NewSurfaceDistances(p, r, []float64{2.5 * 4, 0.8 * 4, 0.9 * 4}) // powers of two are exact
		require.NoError(t, err)
		assert.Equal(t, 4*d.Hausdorff(), s.Hausdorff())
		assert.Equal(t, 4*d.HD95(), s.HD95())
		assert.Equal(t, 4*d.Average(), s.Average())
	})
	t.Run("percentiles and tolerances are monotone", func(t *testing.T) {
		lastDistance, lastDice := 0.0, 0.0
		for q := 0.0; q <= 100; q += 0.5 {
			distance, err := d.HausdorffPercentile(q)
			require.NoError(t, err)
			require.GreaterOrEqual(t, distance, lastDistance)
			dice, err := d.SurfaceDice(q / 10)
			require.NoError(t, err)
			require.GreaterOrEqual(t, dice, lastDice)
			lastDistance, lastDice = distance, dice
		}
		assert.Equal(t, d.Hausdorff(), lastDistance)
		dice, err := d.SurfaceDice(d.Hausdorff())
		require.NoError(t, err)
		assert.Equal(t, 1.0, dice)
		lowest, err := d.HausdorffPercentile(0)
		require.NoError(t, err)
		assert.Equal(t, max(d.PredictionToTarget.Sorted()[0], d.TargetToPrediction.Sorted()[0]), lowest)
	})
	t.Run("bits do not depend on the number of threads", func(t *testing.T) {
		withProcs(t, func(t *testing.T) {
			s, err := NewSurfaceDistances(p, r, spacing)
			require.NoError(t, err)
			require.Equal(t, d, s)
		})
	})
	t.Run("inputs are left alone", func(t *testing.T) {
		before := slices.Clone(p.Data().([]uint8))
		_, err := NewSurfaceDistances(p, r, nil)
		require.NoError(t, err)
		assert.Equal(t, before, p.Data())
	})
	t.Run("any type of mask", func(t *testing.T) {
		labels := make([]int, p.DataSize())
		for i, v := range p.Data().([]uint8) {
			labels[i] = int(v)
		}
		for _, m := range labelTensors(labels, false) {
			require.NoError(t, m.Reshape(shape[:]...))
			s, err := NewSurfaceDistances(m, r, spacing)
			require.NoError(t, err)
			require.Equal(t, d, s, "%v", m.Dtype())
		}
	})
}

// No surface voxel of a cube shifted by one voxel is farther than that from the surface
// of the original, however the spacing and the tolerance were rounded.
func TestSurfaceDiceAtTheTolerance(t *testing.T) {
	cube := func(column int) *tensor.Dense {
		m := make([]uint8, 6*6*7)
		for z := 1; z < 5; z++ {
			for y := 1; y < 5; y++ {
				for x := column; x < column+4; x++ {
					m[(z*6+y)*7+x] = 1
				}
			}
		}
		return bytesTensor(m, 6, 6, 7)
	}
	for _, step := range []float64{1.2, 0.1, 0.3, 0.7, 0.9, 3.3, 1e-30, 7e20} {
		for _, spacing := range []float64{step, float64(float32(step))} {
			for _, tolerance := range []float64{step, float64(float32(step))} {
				d, err := NewSurfaceDistances(cube(1), cube(2), []float64{spacing, spacing, spacing})
				require.NoError(t, err)
				dice, err := d.SurfaceDice(tolerance)
				require.NoError(t, err)
				assert.Equal(t, 1.0, dice, "spacing %v, tolerance %v", spacing, tolerance)
				// 36 of the 4³−2³ surface voxels of either cube are also the other's.
				dice, err = d.SurfaceDice(0.999 * tolerance)
				require.NoError(t, err)
				assert.Equal(t, 36.0/56, dice, "spacing %v, tolerance %v", spacing, tolerance)
			}
		}
	}
}

func TestHausdorffTriangleInequality(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	spacing := []float64{1.7, 0.6}
	for range 50 {
		var m [3]*tensor.Dense
		for i := range m {
			m[i] = randomMask(rng, 0.05, 15, 21)
			m[i].Data().([]uint8)[rng.IntN(15*21)] = 1
		}
		distance := func(a, b int) float64 {
			d, err := NewSurfaceDistances(m[a], m[b], spacing)
			require.NoError(t, err)
			return d.Hausdorff()
		}
		require.LessOrEqual(t, distance(0, 2), distance(0, 1)+distance(1, 2)+1e-12)
	}
}

func TestSurfaceOfEmptyMasks(t *testing.T) {
	empty, one := bytesTensor(make([]uint8, 12), 3, 4), bytesTensor([]uint8{0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0}, 3, 4)
	inf, nan := math.Inf(1), math.NaN()
	for _, test := range []struct {
		p, r                        *tensor.Dense
		distance, dice, voxels      float64
		predictionSize, targetCount int
	}{
		{empty, empty, nan, nan, 0, 0, 0}, {one, empty, inf, 0, inf, 2, 0}, {empty, one, inf, 0, inf, 0, 2},
	} {
		d, err := NewSurfaceDistances(test.p, test.r, nil)
		require.NoError(t, err)
		same := func(want, got float64) {
			t.Helper()
			assert.True(t, want == got || math.IsNaN(want) && math.IsNaN(got), "want %v, got %v", want, got)
		}
		for _, q := range []float64{0, 50, 95, 100} {
			v, err := d.HausdorffPercentile(q)
			require.NoError(t, err)
			same(test.distance, v)
		}
		for _, v := range []float64{d.Hausdorff(), d.HD95(), d.Average(), d.PredictionToTarget.Max(), d.PredictionToTarget.Mean(), d.TargetToPrediction.Max(), d.TargetToPrediction.Mean()} {
			same(test.distance, v)
		}
		dice, err := d.SurfaceDice(1e9)
		require.NoError(t, err)
		same(test.dice, dice)
		voxelSet, err := VoxelSetHausdorff(test.p, test.r, nil)
		require.NoError(t, err)
		same(test.voxels, voxelSet)
		assert.Len(t, d.PredictionToTarget.Sorted(), test.predictionSize)
		assert.Len(t, d.TargetToPrediction.Sorted(), test.targetCount)
	}
}

func TestZeroDirectedDistances(t *testing.T) {
	var d DirectedDistances
	median, err := d.Percentile(50)
	require.NoError(t, err)
	for _, v := range []float64{d.Max(), d.Mean(), median} {
		assert.True(t, math.IsNaN(v))
	}
	assert.Empty(t, d.Sorted())
}

// A square and the same square without its center: the sets differ by that voxel, the
// surfaces by the voxels around it.
func TestVoxelSetHausdorffSeesCavities(t *testing.T) {
	full, hollow := make([]uint8, 121), make([]uint8, 121)
	for i := range full {
		if y, x := i/11, i%11; y >= 1 && y <= 9 && x >= 1 && x <= 9 {
			full[i] = 1
			if y != 5 || x != 5 {
				hollow[i] = 1
			}
		}
	}
	p, r, spacing := bytesTensor(full, 11, 11), bytesTensor(hollow, 11, 11), []float64{2, 3}
	voxelSet, err := VoxelSetHausdorff(p, r, spacing)
	require.NoError(t, err)
	assert.Equal(t, 2.0, voxelSet, "the center is one row from the rest")
	d, err := NewSurfaceDistances(p, r, spacing)
	require.NoError(t, err)
	assert.Equal(t, 8.0, d.Hausdorff(), "the center's neighbors in its row are four rows from the outline")
	assert.Zero(t, d.PredictionToTarget.Max(), "the outline is part of either surface")
}

func TestPercentileInterpolates(t *testing.T) {
	d := DirectedDistances{newWeightedDistances(edt.Distribution{Squared: []float64{0, 1, 16, 100}, Weight: []float64{1, 1, 1, 1}})}
	for q, want := range map[float64]float64{0: 0, 10: 0.3, 100.0 / 3: 1, 50: 2.5, 90: 8.2, 100: 10} {
		got, err := d.Percentile(q)
		require.NoError(t, err)
		assert.InDelta(t, want, got, 1e-12, "percentile %v", q)
	}
	single := DirectedDistances{newWeightedDistances(edt.Distribution{Squared: []float64{9}, Weight: []float64{1}})}
	got, err := single.Percentile(37)
	require.NoError(t, err)
	assert.Equal(t, 3.0, got)
}

func TestSurfaceRefusesBadInput(t *testing.T) {
	m := bytesTensor(make([]uint8, 24), 2, 3, 4)
	for _, measure := range []func(p, r *tensor.Dense, spacing []float64) error{
		func(p, r *tensor.Dense, spacing []float64) error {
			_, err := NewSurfaceDistances(p, r, spacing)
			return err
		},
		func(p, r *tensor.Dense, spacing []float64) error {
			_, err := VoxelSetHausdorff(p, r, spacing)
			return err
		},
	} {
		requireRefused(t, measure(nil, m, nil), "prediction")
		requireRefused(t, measure(m, nil, nil), "target")
		requireRefused(t, measure(m, bytesTensor(make([]uint8, 24), 2, 4, 3), nil), "shape of prediction")
		for _, shape := range [][]int{{24}, {1, 2, 3, 4}} {
			bad := bytesTensor(make([]uint8, 24), shape...)
			requireRefused(t, measure(bad, bad, nil), "shape of prediction")
		}
		for _, spacing := range [][]float64{{}, {1, 1}, {1, 1, 1, 1}, {1, 0, 1}, {1, -1, 1}, {1, math.NaN(), 1}, {1, 1, math.Inf(1)}, {1e-200, 1, 1}, {1, 1e200, 1}} {
			requireRefused(t, measure(m, m, spacing), "spacing")
		}
		nan := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{0, 1, 0, float32(math.NaN()), 0, 0}))
		requireRefused(t, measure(nan, nan, nil), "element 3 of prediction")
	}

	m.Data().([]uint8)[3] = 1
	d, err := NewSurfaceDistances(m, m, nil)
	require.NoError(t, err)
	for _, q := range []float64{-1, 100.5, math.NaN(), math.Inf(1)} {
		_, err = d.HausdorffPercentile(q)
		requireRefused(t, err, "percentile")
		_, err = d.TargetToPrediction.Percentile(q)
		requireRefused(t, err, "percentile")
	}
	for _, tolerance := range []float64{-1e-9, math.NaN(), math.Inf(1)} {
		_, err = d.SurfaceDice(tolerance)
		requireRefused(t, err, "tolerance")
	}
}
