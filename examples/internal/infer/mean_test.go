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
	"github.com/x/afl/examples/internal/segment"
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

// maskOf returns the mask of a single binary prediction.
func maskOf(rule afl.PredictionRule, logits *tensor.Dense, affine [4][4]float64, dims [3]int, scan [4][4]float64) (*volume.Volume, error) {
	m := NewMean(segment.Scheme{}, dims, scan)
	if err := m.Add(rule, affine, logits); err != nil {
		return nil, err
	}
	return m.LabelMap()
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
		mask, err := maskOf(rule, logits, oblique, [3]int{z, x, y}, scan)
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
	mask, err := maskOf(afl.SigmoidChannel1, logitsTensor(values, size[0], size[1], size[2]), network, scanSize, oblique)
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
				mask, err := maskOf(afl.Argmax, logitsTensor(values, shape[2], shape[3], shape[4]), sample.Affine, h.Dims, h.Affine)
				require.NoError(t, err)
				for i, v := range mask.Data {
					require.Equal(t, 1.0, v, fmt.Sprint(n, s, p.Spacing, p.Size, i))
				}
			}
		}
	}
}

func TestMeanErrors(t *testing.T) {
	good := logitsTensor(make([]float32, 2), 1, 1, 1)
	one := [3]int{1, 1, 1}
	for _, bad := range []*tensor.Dense{nil, tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 2, 1, 1, 1)), tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 1, 1, 1))} {
		_, err := maskOf(afl.Argmax, bad, oblique, one, oblique)
		assert.ErrorContains(t, err, "the logits must be float32 of shape 1×2×X×Y×Z")
	}
	_, err := maskOf(afl.SigmoidPerChannel, good, oblique, one, oblique)
	assert.ErrorContains(t, err, "rule is SigmoidPerChannel, which makes no masks of foreground")
	_, err = maskOf(afl.Argmax, good, oblique, [3]int{1, 0, 1}, oblique)
	assert.ErrorContains(t, err, "every axis must be at least 1")
	_, err = maskOf(afl.Argmax, good, oblique, one, [4][4]float64{})
	assert.ErrorContains(t, err, "affine")
	m := NewMean(segment.Scheme{}, one, oblique)
	assert.ErrorContains(t, m.Add(afl.Argmax, oblique), "there are no logits")
	assert.ErrorContains(t, m.Add(afl.Argmax, oblique, good, logitsTensor(make([]float32, 4), 2, 1, 1)), "want equal sizes")
	_, err = m.LabelMap()
	assert.ErrorContains(t, err, "no prediction was added")
	_, err = m.Probabilities()
	assert.ErrorContains(t, err, "no prediction was added")
}

func schemes(t *testing.T) (classes, regions segment.Scheme) {
	t.Helper()
	classes, err := segment.ParseClasses("2,5,1", nil)
	require.NoError(t, err)
	regions, err = segment.ParseRegions("WT=1,2,4;TC=1,4;ET=4", nil)
	require.NoError(t, err)
	return classes, regions
}

// channelsOf returns logits 1×K×X×Y×Z of distinct values in ±4.
func channelsOf(seed string, k, x, y, z int) *tensor.Dense {
	values := make([]float32, k*x*y*z)
	for i, v := range nntest.HashValues(seed, len(values), 1) {
		values[i] = float32(4 * v)
	}
	return tensor.New(tensor.WithShape(1, k, x, y, z), tensor.WithBacking(values))
}

// TestSegmentsOnTheSameVoxels compares label maps with afl.Predict, also where probabilities
// of different logits round to the same number.
func TestSegmentsOnTheSameVoxels(t *testing.T) {
	classes, regions := schemes(t)
	dims := [3]int{3, 4, 5}
	for _, c := range []struct {
		scheme segment.Scheme
		rule   afl.PredictionRule
	}{{classes, afl.Argmax}, {regions, afl.SigmoidPerChannel}} {
		k := c.scheme.Channels()
		logits := channelsOf("a", k, 3, 4, 5)
		values := logits.Data().([]float32)
		tiny := float32(math.SmallestNonzeroFloat32)
		for channel, v := range []float32{0, tiny, -tiny, 0}[:k] {
			values[channel*60], values[channel*60+1], values[channel*60+2] = v, -v, 1e30*float32(channel%2)
		}
		m := NewMean(c.scheme, dims, oblique)
		require.NoError(t, m.Add(c.rule, oblique, logits))
		got, err := m.LabelMap()
		require.NoError(t, err)
		predicted, err := afl.Predict(c.rule, logits)
		require.NoError(t, err)
		masks, compose := predicted.Data().([]uint8), c.scheme.Compose()
		seen := map[float64]bool{}
		for i, v := range got.Data {
			code := masks[i]
			if c.scheme.Kind == segment.Regions {
				code = masks[i] | masks[60+i]<<1 | masks[120+i]<<2
			}
			assert.Equal(t, float64(compose[code]), v, "%v, voxel %d", c.scheme, i)
			seen[v] = true
		}
		assert.Len(t, seen, 4, "every label occurs")
	}
}

// TestProbabilitiesAreAveraged compares the mean of passes and of networks with the formulas.
func TestProbabilitiesAreAveraged(t *testing.T) {
	classes, regions := schemes(t)
	dims := [3]int{2, 3, 2}
	const n = 12
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for _, c := range []struct {
		scheme segment.Scheme
		rule   afl.PredictionRule
		p      func(x []float32, segment, voxel int) float64
	}{
		{segment.Scheme{}, afl.SigmoidChannel1, func(x []float32, _, i int) float64 { return sigmoid(float64(x[n+i])) }},
		{segment.Scheme{}, afl.Argmax, func(x []float32, _, i int) float64 { return sigmoid(float64(x[n+i]) - float64(x[i])) }},
		{regions, afl.SigmoidPerChannel, func(x []float32, s, i int) float64 { return sigmoid(float64(x[s*n+i])) }},
		{classes, afl.Argmax, func(x []float32, s, i int) float64 {
			sum := 0.0
			for c := range 4 {
				sum += math.Exp(float64(x[c*n+i]))
			}
			return math.Exp(float64(x[(s+1)*n+i])) / sum
		}},
	} {
		k := c.scheme.Channels()
		passes := []Pass{channelsOf("a", k, 2, 3, 2), channelsOf("b", k, 2, 3, 2), channelsOf("c", k, 2, 3, 2)}
		m := NewMean(c.scheme, dims, oblique)
		require.NoError(t, m.Add(c.rule, oblique, passes[0], passes[1]))
		require.NoError(t, m.Add(c.rule, oblique, passes[2]))
		got, err := m.Probabilities()
		require.NoError(t, err)
		require.Len(t, got, max(1, len(c.scheme.Segments)))
		for s, v := range got {
			assert.Equal(t, oblique, v.Affine)
			for i, p := range v.Data {
				var each [3]float64
				for j, pass := range passes {
					each[j] = c.p(pass.Data().([]float32), s, i)
				}
				assert.InDelta(t, ((each[0]+each[1])/2+each[2])/2, p, 1e-12, "%v %v", c.scheme, c.rule)
			}
		}
		labels, err := m.LabelMap()
		require.NoError(t, err)
		for i, label := range labels.Data {
			switch c.scheme.Kind {
			case segment.Regions:
				code := 0
				for s, v := range got {
					if v.Data[i] > 0.5 {
						code |= 1 << s
					}
				}
				assert.Equal(t, float64(c.scheme.Compose()[code]), label)
			case segment.Classes:
				background := 1 - got[0].Data[i] - got[1].Data[i] - got[2].Data[i]
				best, want := background, 0
				for s, v := range got {
					if v.Data[i] > best {
						best, want = v.Data[i], c.scheme.Segments[s].Labels[0]
					}
				}
				assert.Equal(t, float64(want), label)
			default:
				assert.Equal(t, got[0].Data[i] > 0.5, label == 1)
			}
		}
	}
}

// TestGridsOfAnEnsembleMayDiffer adds two predictions of one field on two grids.
func TestGridsOfAnEnsembleMayDiffer(t *testing.T) {
	field := func(affine [4][4]float64, x, y, z int) *tensor.Dense {
		n := x * y * z
		values := make([]float32, 2*n)
		for i := range x {
			for j := range y {
				for k := range z {
					values[n+(i*y+j)*z+k] = float32(at(affine, i, j, k)[0]) // the plane of 0 mm
				}
			}
		}
		return logitsTensor(values, x, y, z)
	}
	coarse := [4][4]float64{{2, 0, 0, -9}, {0, 2, 0, 0}, {0, 0, 2, 0}, {0, 0, 0, 1}}
	fine := [4][4]float64{{1, 0, 0, -9.5}, {0, 1, 0, -0.5}, {0, 0, 1, -0.5}, {0, 0, 0, 1}}
	m := NewMean(segment.Scheme{}, [3]int{20, 4, 4}, fine)
	require.NoError(t, m.Add(afl.SigmoidChannel1, fine, field(fine, 20, 4, 4)))
	require.NoError(t, m.Add(afl.SigmoidChannel1, coarse, field(coarse, 10, 2, 2)))
	got, err := m.LabelMap()
	require.NoError(t, err)
	for i, v := range got.Data {
		assert.Equal(t, i/16 >= 10, v == 1, "voxel %d", i)
	}
}
