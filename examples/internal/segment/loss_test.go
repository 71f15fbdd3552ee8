package segment

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// volume returns logits 1×C×3×2×2 and the labels of their voxels.
func volume(channels int) (*tensor.Dense, []int) {
	labels := []int{0, 1, 2, 4, 0, 2, 2, 4, 1, 0, 3, 2}
	values := make([]float32, channels*len(labels))
	for i := range values {
		values[i] = float32(i*7919%31)/8 - 1.75
	}
	return tensor.New(tensor.WithShape(1, channels, 3, 2, 2), tensor.WithBacking(values)), labels
}

func target(s Scheme, labels []int) *tensor.Dense {
	codes := make([]uint8, len(labels))
	for i, l := range labels {
		codes[i] = s.Code(l)
	}
	maps, channels := s.Maps(codes)
	return tensor.New(tensor.WithShape(1, channels, 3, 2, 2), tensor.WithBacking(maps))
}

// TestEveryLossHasAFormOrNamesAnother checks the forms of all losses for classes and for
// regions: the activation, by shifts of the logits, and the gradient, by differences.
func TestEveryLossHasAFormOrNamesAnother(t *testing.T) {
	classes, err := ParseClasses("1,2,4", nil)
	require.NoError(t, err)
	for _, s := range []Scheme{classes, brats(t)} {
		for _, name := range afl.Names() {
			if other := s.Substitute(name); other != name {
				_, _, err := s.Loss(name)
				assert.ErrorContains(t, err, "the loss "+name+" has no form for "+string(s.Kind)+", want "+other)
				assert.Equal(t, other, s.Substitute(other), "it can be used")
				continue
			}
			loss, title, err := s.Loss(name)
			require.NoError(t, err, "%s for %s", name, s.Kind)
			assert.NotEmpty(t, title)
			logits, labels := volume(s.Channels())
			want := target(s, labels)
			value, grad, err := afl.Grad(loss, logits, want)
			require.NoError(t, err, "%s for %s", name, s.Kind)

			x, g := logits.Data().([]float32), grad.Data().([]float32)
			for i := range x {
				was := x[i]
				const h = 1.0 / 64
				x[i] = was + h
				above, err := afl.Value(loss, logits, want)
				require.NoError(t, err)
				x[i] = was - h
				below, err := afl.Value(loss, logits, want)
				require.NoError(t, err)
				x[i] = was
				assert.InDelta(t, (above-below)/(2*h), float64(g[i]), 1e-4, "%s for %s, logit %d", name, s.Kind, i)
			}
			for i := range x { // every channel of one voxel
				if i%len(labels) == 5 {
					x[i] += 1.5
				}
			}
			shifted, err := afl.Value(loss, logits, want)
			require.NoError(t, err)
			if s.Kind == Classes {
				assert.InDelta(t, value, shifted, 1e-6, "%s: a softmax does not change", name)
			} else {
				assert.Greater(t, math.Abs(value-shifted), 1e-4, "%s: a sigmoid changes", name)
			}
		}
	}
}

// TestRegionLossIsThatOfItsChannels checks that A-FL of regions is the mean of the A-FL of
// each region by itself, and that a batch is the mean of its samples.
func TestRegionLossIsThatOfItsChannels(t *testing.T) {
	s := brats(t)
	loss, _, err := s.Loss("afl-multiclass")
	require.NoError(t, err)
	logits, labels := volume(3)
	maps := target(s, labels)
	value, grad, err := afl.Grad(loss, logits, maps)
	require.NoError(t, err)
	x, m, n := logits.Data().([]float32), maps.Data().([]uint8), len(labels)
	balanced, sum := afl.NewAdaptiveFocalBalanced(), 0.0
	for r := range 3 {
		one := tensor.New(tensor.WithShape(1, 1, 3, 2, 2), tensor.WithBacking(append([]float32(nil), x[r*n:(r+1)*n]...)))
		v, g, err := afl.Grad(balanced, one, tensor.New(tensor.WithShape(1, 1, 3, 2, 2), tensor.WithBacking(append([]uint8(nil), m[r*n:(r+1)*n]...))))
		require.NoError(t, err)
		sum += v
		for i, d := range g.Data().([]float32) {
			assert.InDelta(t, d/3, grad.Data().([]float32)[r*n+i], 1e-8)
		}
	}
	assert.InDelta(t, sum/3, value, 1e-12)

	twice := tensor.New(tensor.WithShape(2, 3, 3, 2, 2), tensor.WithBacking(append(append([]float32(nil), x...), x...)))
	both, err := afl.Value(loss, twice, tensor.New(tensor.WithShape(2, 3, 3, 2, 2), tensor.WithBacking(append(append([]uint8(nil), m...), m...))))
	require.NoError(t, err)
	assert.InDelta(t, value, both, 1e-12)
}

func TestRegionLossErrors(t *testing.T) {
	s := brats(t)
	loss, _, err := s.Loss("afl-balanced")
	require.NoError(t, err)
	logits, labels := volume(3)
	maps := target(s, labels)
	_, err = afl.Value(loss, logits, tensor.New(tensor.WithShape(1, 3, 2, 2), tensor.WithBacking(make([]uint8, 12))))
	assert.ErrorContains(t, err, "want uint8 of the logits' shape")
	_, err = afl.Value(loss, logits, tensor.New(tensor.WithShape(1, 3, 3, 2, 2), tensor.WithBacking(make([]int32, 36))))
	assert.ErrorContains(t, err, "the target is int32")
	_, err = afl.Value(loss, tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 3, 3, 2, 2)), maps)
	assert.ErrorContains(t, err, "the logits are float64, want float32")
	_, err = afl.Value(loss, logits, maps, afl.WithVoxelWeight(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 2, 2))))
	assert.ErrorContains(t, err, "takes no upstream gradient and no voxel weight")
	maps.Data().([]uint8)[13] = 2
	_, err = afl.Value(loss, logits, maps)
	assert.ErrorContains(t, err, "segment: region 2: ")
}

// TestBinaryLossIsThatOfTheRegistry checks that nothing changes without classes.
func TestBinaryLossIsThatOfTheRegistry(t *testing.T) {
	for _, name := range afl.Names() {
		want, err := afl.ByName(name)
		require.NoError(t, err)
		title, err := afl.Title(name)
		require.NoError(t, err)
		got, gotTitle, err := Scheme{}.Loss(name)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		assert.Equal(t, title, gotTitle)
	}
	_, _, err := Scheme{}.Loss("dize")
	assert.ErrorContains(t, err, "did you mean dice?")
}
