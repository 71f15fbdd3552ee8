package infer

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/volume"
)

// oblique is the affine of a grid of 0.6×0.9×3.1 mm voxels rotated about two axes.
var oblique = [4][4]float64{
	{0.6 * 0.96, -0.9 * 0.2688, 3.1 * 0.0784, -21},
	{0.6 * 0.28, 0.9 * 0.9216, -3.1 * 0.2688, 4.5},
	{0, 0.9 * 0.28, 3.1 * 0.96, 7},
	{0, 0, 0, 1},
}

func at(m [4][4]float64, i, j, k int) [3]float64 {
	var w [3]float64
	for r := range w {
		w[r] = m[r][0]*float64(i) + m[r][1]*float64(j) + m[r][2]*float64(k) + m[r][3]
	}
	return w
}

func logitsTensor(values []float32, x, y, z int) *tensor.Dense {
	return tensor.New(tensor.WithShape(1, 2, x, y, z), tensor.WithBacking(values))
}

// TestMaskOnTheSameVoxels uses a scan whose axes are the network's in another order and
// direction: no voxel may change.
func TestMaskOnTheSameVoxels(t *testing.T) {
	x, y, z := 5, 4, 3
	values := make([]float32, 2*x*y*z)
	for i, v := range nntest.HashValues("logits", len(values), 1) {
		values[i] = float32(4 * v)
	}
	// The smallest numbers on both sides of the threshold, and equal logits.
	values[60], values[0] = math.SmallestNonzeroFloat32, 0
	values[61], values[1] = -math.SmallestNonzeroFloat32, 0
	values[62], values[2] = 0, 0
	values[63], values[3] = 1e30, -1e30
	logits := logitsTensor(values, x, y, z)
	// The scan's axes are −Z, X and −Y.
	scan := [4][4]float64{3: {3: 1}}
	origin := at(oblique, 0, y-1, z-1)
	for r := range 3 {
		scan[r] = [4]float64{-oblique[r][2], oblique[r][0], -oblique[r][1], origin[r]}
	}
	for _, rule := range []afl.PredictionRule{afl.Argmax, afl.SigmoidChannel1} {
		predicted, err := afl.Predict(rule, logits)
		require.NoError(t, err)
		want := predicted.Data().([]uint8)
		mask, err := Mask(rule, logits, oblique, [3]int{z, x, y}, scan)
		require.NoError(t, err)
		assert.Equal(t, [3]int{z, x, y}, mask.Dims)
		assert.Equal(t, scan, mask.Affine)
		for a := range z {
			for b := range x {
				for c := range y {
					assert.Equal(t, float64(want[(b*y+y-1-c)*z+z-1-a]), mask.Data[(a*x+b)*y+c], "%v at %d %d %d", rule, a, b, c)
				}
			}
		}
	}
}

// TestMaskKeepsItsPlace predicts a ball on a coarse axis-aligned grid and maps it to an
// oblique one.
func TestMaskKeepsItsPlace(t *testing.T) {
	network := [4][4]float64{{2, 0, 0, -30}, {0, 2, 0, -5}, {0, 0, 2, -2}, {0, 0, 0, 1}}
	size, scanSize := [3]int{24, 26, 22}, [3]int{60, 44, 13}
	center, radius := at(oblique, 30, 22, 6), 9.0
	distance := func(w [3]float64) float64 {
		return radius - math.Hypot(math.Hypot(w[0]-center[0], w[1]-center[1]), w[2]-center[2])
	}
	n := size[0] * size[1] * size[2]
	values := make([]float32, 2*n)
	for i := range size[0] {
		for j := range size[1] {
			for k := range size[2] {
				values[n+(i*size[1]+j)*size[2]+k] = float32(distance(at(network, i, j, k)))
			}
		}
	}
	mask, err := Mask(afl.SigmoidChannel1, logitsTensor(values, size[0], size[1], size[2]), network, scanSize, oblique)
	require.NoError(t, err)
	inside, nearest := 0, 0
	for i := range scanSize[0] {
		for j := range scanSize[1] {
			for k := range scanSize[2] {
				d := distance(at(oblique, i, j, k))
				got := mask.Data[(i*scanSize[1]+j)*scanSize[2]+k]
				if math.Abs(d) > 0.25 {
					want := 0.0
					if d > 0 {
						want, inside = 1, inside+1
					}
					require.Equal(t, want, got, "voxel %d %d %d, %g mm inside", i, j, k, d)
				} else {
					nearest++
				}
			}
		}
	}
	assert.Greater(t, inside, 1000)
	assert.Less(t, nearest, inside/4)
}

// TestMaskCoversTheScan checks that the mask covers every voxel of a resampled or resized
// scan if the network predicts tumor everywhere.
func TestMaskCoversTheScan(t *testing.T) {
	for _, n := range [][3]int{{11, 7, 5}, {23, 16, 2}, {1, 9, 40}} {
		for _, s := range []float64{0.3173, 0.49, 1.37, 2.6} {
			for _, p := range []dataset.Protocol{{Spacing: [3]float64{1, 1, 1}}, {Size: [3]int{8, 9, 6}}, {Spacing: [3]float64{2, 1, 3}, Size: [3]int{40, 5, 12}}} {
				m := oblique
				for r := range 3 {
					for c := range 3 {
						m[r][c] *= s
					}
				}
				path := filepath.Join(t.TempDir(), "scan.nii")
				data := make([]float64, n[0]*n[1]*n[2])
				for i := range data {
					data[i] = float64(i % 7)
				}
				require.NoError(t, volume.Write(path, &volume.Volume{Dims: n, Channels: 1, Data: data, Affine: m}, volume.WriteOptions{}))
				sample, err := p.Valid(dataset.CaseOf([]string{path}))
				require.NoError(t, err)
				h, err := volume.ReadHeader(path)
				require.NoError(t, err)
				shape := sample.Image.Shape()
				values := make([]float32, 2*shape[2]*shape[3]*shape[4])
				for i := range values[len(values)/2:] {
					values[len(values)/2+i] = 1
				}
				mask, err := Mask(afl.Argmax, logitsTensor(values, shape[2], shape[3], shape[4]), sample.Affine, h.Dims, h.Affine)
				require.NoError(t, err)
				for i, v := range mask.Data {
					require.Equal(t, 1.0, v, fmt.Sprint(n, s, p.Spacing, p.Size, i))
				}
			}
		}
	}
}

func TestMaskErrors(t *testing.T) {
	good := logitsTensor(make([]float32, 2), 1, 1, 1)
	one := [3]int{1, 1, 1}
	for _, bad := range []*tensor.Dense{nil, tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 2, 1, 1, 1)), tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 1, 1, 1))} {
		_, err := Mask(afl.Argmax, bad, oblique, one, oblique)
		assert.ErrorContains(t, err, "the logits must be")
	}
	_, err := Mask(afl.SigmoidPerChannel, good, oblique, one, oblique)
	assert.ErrorContains(t, err, "rule is SigmoidPerChannel")
	_, err = Mask(afl.Argmax, good, oblique, [3]int{1, 0, 1}, oblique)
	assert.ErrorContains(t, err, "every axis must be at least 1")
	_, err = Mask(afl.Argmax, good, oblique, one, [4][4]float64{})
	assert.ErrorContains(t, err, "affine")
}
