package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// The window of a sample encloses the least of the largest elements of all voxels, also where
// those of a run are the same, and is narrow.
func TestSample(t *testing.T) {
	const n, v, share = 2, 100001, 0.1
	r := rand.New(rand.NewPCG(6, 6))
	for run, most := range map[int]float64{1: 0.03, 100: 0.1} {
		for _, ignore := range []bool{false, true} {
			x, label := make([]float32, n*3*v), make([]int16, n*v)
			for i := range label {
				at := i/v*3*v + i%v
				if x[at] = float32(r.NormFloat64()); i%run != 0 {
					x[at] = x[at-1]
				}
				if ignore && r.IntN(3) == 0 {
					label[i] = -5
				}
			}
			b := &plan.Batch{N: n, C: 3, V: v, Space: [3]int{1, 1, v}, Logits: tensor.New(tensor.WithShape(n, 3, v), tensor.WithBacking(x)),
				Target: plan.Target{Tensor: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(label)), Argument: "target", HasIgnore: ignore, Ignore: -5}}
			one := []float64{1, 1, 1}
			l := &plan.Loss{Focal: &plan.Focal{Activation: plan.Softmax, Gamma: make([]float64, 3), Pos: one, Neg: one, CE: one, Scale: 1, PerVoxel: true}}
			elements := make([]float32, n*v)
			out := &plan.Output{Elements: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(elements))}
			_, err := Backend{}.Gradient(b, l.Plan(b, nil), out)
			require.NoError(t, err)
			var valid []float32
			for i, e := range elements {
				if label[i] == 0 {
					valid = append(valid, e)
				}
			}
			slices.Sort(valid)
			var s Sample[float32]
			SampleElements(Backend{}, &s, b, l)
			low, middle, high := s.Window(share)
			least := valid[len(valid)-int(float64(len(valid))*share)]
			require.LessOrEqual(t, low, least)
			require.GreaterOrEqual(t, high, least)
			require.True(t, low <= middle && middle <= high)
			within := 0
			for _, e := range valid {
				if e >= low && e <= high {
					within++
				}
			}
			require.Less(t, float64(within), most*float64(len(valid)), "runs of %d, ignored %v", run, ignore)

			for i := range label {
				label[i] = 3 // invalid
			}
			SampleElements(Backend{}, &s, b, l)
			low, _, high = s.Window(share)
			require.Equal(t, float32(math.Inf(-1)), low)
			require.Equal(t, float32(math.Inf(1)), high)
		}
	}
}
