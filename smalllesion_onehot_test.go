package afl_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/losstest"
)

// oneHotTypes are the types of one-hot maps that are read in different ways.
var oneHotTypes = []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Uint8, tensor.Bool, tensor.Int16}

// TestSmallLesionOneHot: one-hot maps of every type are the class indices to a loss that takes no
// soft maps.
func TestSmallLesionOneHot(t *testing.T) {
	compared := 0
	for _, v := range smallVariants() {
		if v.maps || v.channels == 1 {
			continue
		}
		shape := smallShape(v.channels)
		target := smallTarget(v, false, false)
		for _, dt := range []tensor.Dtype{tensor.Float64, tensor.Float32} {
			logits := losstest.RandomLogits(dt, shape, 3)
			value, grad := evalSmall(t, v.name, v.loss, logits, target)
			for _, of := range oneHotTypes {
				what := fmt.Sprintf("%s, %v, maps of %v", v.name, dt, of)
				hotValue, hotGrad := evalSmall(t, what, v.loss, logits, losstest.OneHot(of, target, shape))
				require.Equal(t, value.Data(), hotValue.Data(), what)
				require.Equal(t, grad.Data(), hotGrad.Data(), what)
				compared++
			}
		}
	}
	require.GreaterOrEqual(t, compared, 200)

	boundary, shape := afl.NewBoundary(), smallShape(3)
	boundary.Channels = []int{1, 2}
	target := smallTarget(smallVariant{channels: 3}, false, false)
	logits := losstest.RandomLogits(tensor.Float32, shape, 3)
	want, err := boundary.DistanceMap(logits, target)
	require.NoError(t, err)
	for _, of := range oneHotTypes {
		got, err := boundary.DistanceMap(logits, losstest.OneHot(of, target, shape))
		require.NoError(t, err)
		require.Equal(t, want.Data(), got.Data(), of)
	}
}

// TestSmallLesionNotOneHot: the error names the first voxel that is not one-hot, in any chunk.
func TestSmallLesionNotOneHot(t *testing.T) {
	shape := []int{2, 3, 33, 37, 21}
	voxels := 33 * 37 * 21
	logits := losstest.RandomLogits(tensor.Float32, shape, 1)
	classes := losstest.RandomLabels(shape, 3, 1)
	l := afl.NewTopKCrossEntropy()
	nan := math.NaN()
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for _, bad := range []struct {
			values []float64 // of the channels of a voxel
			got    string
		}{
			{[]float64{0, 0, 0}, "[0 0 0]"},
			{[]float64{0, 1, 1}, "[0 1 1]"},
			{[]float64{1, 1, 1}, "[1 1 1]"},
			{[]float64{0.25, 0.75, 0}, "[0.25 0.75 0]"},
			{[]float64{1, 0, -1}, "[1 0 -1]"},
			{[]float64{2, 0, 0}, "[2 0 0]"},
			{[]float64{0, nan, 1}, "[0 NaN 1]"},
		} {
			for _, at := range []int{0, 63, 8191, 8192, voxels - 1} {
				hot := losstest.OneHot(dt, classes, shape)
				for n := range 2 { // the second sample is wrong too, but for its last voxel
					for c, v := range bad.values {
						i := (n*3+c)*voxels + max(at-n, 0)
						if dt == tensor.Float32 {
							hot.Data().([]float32)[i] = float32(v)
						} else {
							hot.Data().([]float64)[i] = v
						}
					}
				}
				_, err := l.Eval(logits, hot, nil)
				var refused *afl.ArgumentError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, fmt.Sprintf("target at sample 0, voxel %d", at), refused.Argument)
				assert.Equal(t, bad.got, refused.Got)
			}
		}
	}
	for _, of := range []tensor.Dtype{tensor.Uint8, tensor.Bool, tensor.Int16} {
		hot := losstest.OneHot(of, classes, shape)
		at := 9000
		for c := range 3 {
			losstest.SetOne(hot, c*voxels+at)
		}
		_, err := l.Eval(logits, hot, nil)
		assert.ErrorContains(t, err, "target at sample 0, voxel 9000 is [", of)
		assert.ErrorContains(t, err, "want 1 in one channel and 0 in the others, or class indices", of)
	}
}
