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

func TestCheckFinite(t *testing.T) {
	for _, shape := range [][]int{{2, 3, 7, 11}, {1, 2, 33, 17, 19}, {1, 1, 1, 1}} {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			x := losstest.RandomLogits(dt, shape, 1)
			require.NoError(t, afl.CheckFinite(x))
			n := x.Shape().TotalSize()
			set := func(i int, v float64) {
				if dt == tensor.Float32 {
					x.Data().([]float32)[i] = float32(v)
				} else {
					x.Data().([]float64)[i] = v
				}
			}
			set(0, math.MaxFloat32)
			set(n/2, -math.MaxFloat32)
			require.NoError(t, afl.CheckFinite(x))
			voxels := n / shape[0] / shape[1]
			// From the last to the first, so that each is the first one.
			for _, i := range []int{n - 1, n / 2, n / 3, 0} {
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					set(i, bad)
					assert.EqualError(t, afl.CheckFinite(x), fmt.Sprintf("afl: logits at sample %d, channel %d, voxel %d is %v, want a finite number",
						i/voxels/shape[1], i/voxels%shape[1], i%voxels, bad))
				}
			}
		}
	}
	for want, x := range map[string]*tensor.Dense{
		"logits is nil":                nil,
		"type of logits is uint8":      losstest.Bytes([]int{1, 1, 2, 2}, func(int) uint8 { return 0 }),
		"shape of logits is (2, 3, 4)": tensor.New(tensor.WithShape(2, 3, 4), tensor.Of(tensor.Float32)),
	} {
		assert.ErrorContains(t, afl.CheckFinite(x), want)
	}
}
