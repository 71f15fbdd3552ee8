package afl_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/golden"
)

// TestGoldenSurfaceElements compares with google-deepmind/surface-distance.
func TestGoldenSurfaceElements(t *testing.T) {
	dir, full, err := golden.Dir("surfel")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index struct {
		Cases []struct {
			Name       string         `json:"name"`
			Target     string         `json:"target"`
			Prediction string         `json:"prediction"`
			Spacing    []float64      `json:"spacing"`
			Expected   map[string]any `json:"expected"`
		} `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(raw, &index))
	masks, err := golden.Read(filepath.Join(dir, "masks.safetensors"))
	require.NoError(t, err)
	compared := 0
	for _, c := range index.Cases {
		mask := func(name string) *tensor.Dense {
			m := masks.Tensors[name]
			return tensor.New(tensor.WithShape(m.Shape...), tensor.WithBacking(m.Uint8()))
		}
		d, err := afl.NewSurfaceElementDistances(mask(c.Prediction), mask(c.Target), c.Spacing)
		require.NoError(t, err, c.Name)
		if d.PredictionToTarget.Area() == 0 || d.TargetToPrediction.Area() == 0 {
			continue // see TestSurfaceElementsOfEmptyMasks
		}
		for name, value := range c.Expected {
			want, ok := value.(float64)
			require.True(t, ok, "%s %s", c.Name, name)
			kind, tail, _ := cutLast(name, "_")
			number, _ := strconv.ParseFloat(tail, 64)
			var got float64
			err = nil
			switch {
			case name == "average_target_to_prediction":
				got = d.TargetToPrediction.Mean()
			case name == "average_prediction_to_target":
				got = d.PredictionToTarget.Mean()
			case name == "area_target":
				got = d.TargetToPrediction.Area()
			case name == "area_prediction":
				got = d.PredictionToTarget.Area()
			case kind == "hausdorff":
				got, err = d.HausdorffPercentile(number)
			case kind == "overlap_target":
				got, err = d.TargetToPrediction.Within(number)
			case kind == "overlap_prediction":
				got, err = d.PredictionToTarget.Within(number)
			case kind == "surface_dice":
				got, err = d.SurfaceDice(number)
			default:
				t.Fatalf("no such measure: %s", name)
			}
			require.NoError(t, err)
			assert.InDelta(t, want, got, 1e-6*math.Abs(want)+1e-12, "%s: %s", c.Name, name)
			compared++
		}
	}
	t.Logf("%d surface element cases (full set: %v), %d numbers", len(index.Cases), full, compared)
	assert.GreaterOrEqual(t, len(index.Cases), 20)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func TestSurfaceElementsOfEmptyMasks(t *testing.T) {
	for _, shape := range [][]int{{5, 6}, {3, 4, 5}} {
		n := 1
		for _, s := range shape {
			n *= s
		}
		empty := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]uint8, n)))
		voxels := make([]uint8, n)
		voxels[n/2] = 1
		voxel := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(voxels))
		measure := func(p, target *tensor.Dense) (d *afl.SurfaceElementDistances, dice float64) {
			d, err := afl.NewSurfaceElementDistances(p, target, nil)
			require.NoError(t, err)
			dice, err = d.SurfaceDice(1)
			require.NoError(t, err)
			return d, dice
		}
		d, dice := measure(empty, empty)
		for _, v := range []float64{dice, d.Hausdorff(), d.HD95(), d.Average(), d.PredictionToTarget.Mean(), d.TargetToPrediction.Max()} {
			assert.True(t, math.IsNaN(v))
		}
		assert.Zero(t, d.PredictionToTarget.Area())
		for _, masks := range [][2]*tensor.Dense{{empty, voxel}, {voxel, empty}} {
			d, dice := measure(masks[0], masks[1])
			assert.Zero(t, dice)
			for _, v := range []float64{d.Hausdorff(), d.HD95(), d.Average(), d.PredictionToTarget.Mean(), d.TargetToPrediction.Mean()} {
				assert.True(t, math.IsInf(v, 1))
			}
			assert.Positive(t, d.PredictionToTarget.Area()+d.TargetToPrediction.Area())
		}
		d, dice = measure(voxel, voxel)
		assert.Equal(t, 1.0, dice)
		assert.Zero(t, d.Hausdorff()+d.Average())
	}
}

// TestSurfaceElementsLaws: swapping the masks swaps the directions, axes may be exchanged, a
// mask may be moved, and lengths scale with the spacing.
func TestSurfaceElementsLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	random := func(shape [3]int) []uint8 {
		voxels := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range voxels {
			voxels[i] = uint8(rng.IntN(3) / 2)
		}
		return voxels
	}
	numbers := func(p, target []uint8, shape [3]int, spacing []float64) []float64 {
		mask := func(v []uint8) *tensor.Dense {
			return tensor.New(tensor.WithShape(shape[:]...), tensor.WithBacking(v))
		}
		d, err := afl.NewSurfaceElementDistances(mask(p), mask(target), spacing)
		require.NoError(t, err)
		return []float64{d.Hausdorff(), d.HD95(), d.Average(), d.PredictionToTarget.Mean(), d.TargetToPrediction.Mean(), d.PredictionToTarget.Max(), d.TargetToPrediction.Max()}
	}
	for _, shape := range [][3]int{{4, 5, 6}, {1, 8, 9}, {7, 3, 1}, {2, 9, 70}} {
		p, target := random(shape), random(shape)
		spacing := []float64{2.5, 0.7, 1.1}
		want := numbers(p, target, shape, spacing)
		swapped := numbers(target, p, shape, spacing)
		swapped[3], swapped[4], swapped[5], swapped[6] = swapped[4], swapped[3], swapped[6], swapped[5]
		assert.InDeltaSlice(t, want, swapped, 1e-12)

		twice := numbers(p, target, shape, []float64{5, 1.4, 2.2})
		for i := range twice {
			twice[i] /= 2
		}
		assert.InDeltaSlice(t, want, twice, 1e-12)

		turn := func(v []uint8) []uint8 { // the last axis becomes the first
			out := make([]uint8, 0, len(v))
			for x := range shape[2] {
				for i := x; i < len(v); i += shape[2] {
					out = append(out, v[i])
				}
			}
			return out
		}
		turned := numbers(turn(p), turn(target), [3]int{shape[2], shape[0], shape[1]}, []float64{1.1, 2.5, 0.7})
		assert.InDeltaSlice(t, want, turned, 1e-12, fmt.Sprint(shape))
	}
}

// BenchmarkSurfaceElements compares with the distances of surface voxels.
func BenchmarkSurfaceElements(b *testing.B) {
	shape := [3]int{144, 224, 224}
	ball := func(at [3]float64, radius float64) *tensor.Dense {
		voxels := make([]uint8, shape[0]*shape[1]*shape[2])
		for i := range voxels {
			z, y, x := float64(i/shape[1]/shape[2]), float64(i/shape[2]%shape[1]), float64(i%shape[2])
			// Noise on the radius makes the surface rough.
			r := radius + 1.5*math.Sin(z/3)*math.Sin(y/2)*math.Sin(x/4)
			if (z-at[0])*(z-at[0])+(y-at[1])*(y-at[1])+(x-at[2])*(x-at[2]) < r*r {
				voxels[i] = 1
			}
		}
		return tensor.New(tensor.WithShape(shape[:]...), tensor.WithBacking(voxels))
	}
	p, t := ball([3]float64{70, 110, 110}, 40), ball([3]float64{73, 108, 115}, 42)
	b.Run("voxels", func(b *testing.B) {
		for b.Loop() {
			_, err := afl.NewSurfaceDistances(p, t, nil)
			require.NoError(b, err)
		}
	})
	b.Run("elements", func(b *testing.B) {
		for b.Loop() {
			_, err := afl.NewSurfaceElementDistances(p, t, nil)
			require.NoError(b, err)
		}
	})
}

// Areas are products of spacings, and their squares must not leave the range of float64.
func TestSurfaceElementsOfExtremeSpacings(t *testing.T) {
	voxels := make([]uint8, 3*4*5)
	voxels[20], voxels[21], voxels[33] = 1, 1, 1
	other := make([]uint8, len(voxels))
	other[26] = 1
	mask := func(v []uint8) *tensor.Dense {
		return tensor.New(tensor.WithShape(3, 4, 5), tensor.WithBacking(v))
	}
	want, err := afl.NewSurfaceElementDistances(mask(voxels), mask(other), []float64{3, 1, 2})
	require.NoError(t, err)
	for _, scale := range []float64{1e-50, 1e-20, 3e49, 4e49} {
		got, err := afl.NewSurfaceElementDistances(mask(voxels), mask(other), []float64{3 * scale, scale, 2 * scale})
		if 3*scale > 1e50 {
			require.ErrorContains(t, err, "from 1e-50 to 1e50")
			continue
		}
		require.NoError(t, err)
		assert.InEpsilon(t, want.Average(), got.Average()/scale, 1e-12)
		assert.InEpsilon(t, want.HD95(), got.HD95()/scale, 1e-12)
		assert.InEpsilon(t, want.PredictionToTarget.Area(), got.PredictionToTarget.Area()/scale/scale, 1e-12)
	}
	for _, spacing := range [][]float64{{1e50, 1e50, 1e50}, {1e-50, 1e50, 1}} {
		d, err := afl.NewSurfaceElementDistances(mask(voxels), mask(other), spacing)
		require.NoError(t, err)
		for _, v := range []float64{d.Average(), d.HD95(), d.Hausdorff(), d.PredictionToTarget.Area(), d.TargetToPrediction.Area()} {
			assert.True(t, v > 0 && !math.IsInf(v, 0), "%v: %v", spacing, v)
		}
	}
}
