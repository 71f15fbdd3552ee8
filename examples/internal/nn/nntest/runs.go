package nntest

import (
	_ "embed"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
)

//go:embed testdata/optimizers.json
var optimizersJSON []byte

// reference holds training runs of PyTorch in float64; testdata/make.py wrote it.
type reference struct {
	Steps   []int // after which the parameters are stored
	Initial map[string]struct {
		Shape  []int
		Values []float64
	}
	Input, Target []float64
	Runs          []struct {
		Name, Optimizer       string
		Rate, Momentum        float64
		Nesterov              bool
		Decay                 *float64
		Beta1, Beta2, Epsilon *float64
		Clip                  float64
		Schedule              nn.Schedule
		Norms                 []float64   // of the gradients, by step
		Parameters            [][]float64 // by entry of Steps
	}
}

// optimizerRuns repeats training runs of PyTorch: a strided convolution, group norm, PReLU
// and transposed convolution, trained for ten steps on the mean squared error with SGD and
// AdamW, with schedules and gradient clipping.
func (s suite) optimizerRuns(t *testing.T) {
	var ref reference
	require.NoError(t, json.Unmarshal(optimizersJSON, &ref))
	require.NotEmpty(t, ref.Runs)
	// Rounding errors of ten steps, relative to the largest parameter: at most 4e-7 in
	// float32. In float64 they are less than those of the reference, which has twelve digits.
	tolerance := 1e-6
	if s.DType() == nn.Float64 {
		tolerance = 1e-11
	}
	for _, run := range ref.Runs {
		t.Run(run.Name, func(t *testing.T) {
			var opt nn.Optimizer
			if run.Optimizer == "sgd" {
				opt = &nn.SGD{Momentum: run.Momentum, Nesterov: run.Nesterov, WeightDecay: *run.Decay}
			} else {
				adam := nn.NewAdamW(run.Rate)
				for to, from := range map[*float64]*float64{
					&adam.Beta1: run.Beta1, &adam.Beta2: run.Beta2, &adam.Epsilon: run.Epsilon, &adam.WeightDecay: run.Decay,
				} {
					if from != nil {
						*to = *from
					}
				}
				opt = adam
			}
			build := nn.NewBuilder(s, 1)
			net := nn.Sequence{
				build.Conv3D("a", 1, 3, [3]int{3, 3, 3}, nn.ConvSpec{Stride: [3]int{2, 2, 2}, Padding: [3]int{1, 1, 1}}, true),
				build.GroupNorm("n", 1, 3),
				build.PReLU("p", 3),
				build.ConvTranspose3D("u", 3, 2, [3]int{2, 2, 2}, nn.ConvSpec{Stride: [3]int{2, 2, 2}}, true),
			}
			require.NoError(t, build.Err())
			for _, p := range build.Parameters() {
				initial := ref.Initial[p.Name]
				require.Equal(t, initial.Shape, p.Value.Shape(), p.Name)
				p.Value = s.kept(t, initial.Values, initial.Shape...)
			}
			clip := run.Clip
			if clip == 0 {
				clip = math.Inf(1)
			}
			steps := ref.Steps[len(ref.Steps)-1]
			for step := range steps {
				factor, err := run.Schedule.Factor(step, steps)
				require.NoError(t, err)
				opt.SetLearningRate(run.Rate * factor)
				tape := nn.NewTape(s, nn.Training, 0)
				y, err := net.Forward(tape, tape.Input(s.array(t, ref.Input, 1, 1, 4, 6, 8)))
				require.NoError(t, err)
				gradient := s.values(t, y.Array())
				for i, target := range ref.Target {
					gradient[i] = 2 * (gradient[i] - target) / float64(len(ref.Target))
				}
				require.NoError(t, tape.Backward(y, s.array(t, gradient, y.Shape()...)))
				norm, err := nn.ClipGradients(s, build.Parameters(), clip)
				require.NoError(t, err)
				assert.InEpsilon(t, run.Norms[step], norm, 10*tolerance, "norm in step %d", step+1)
				require.NoError(t, opt.Step(s, build.Parameters()))
				s.EndStep()
				if i := slices.Index(ref.Steps, step+1); i >= 0 {
					var got []float64
					for _, p := range build.Parameters() {
						got = append(got, s.values(t, p.Value)...)
					}
					assert.LessOrEqual(t, RelativeError(run.Parameters[i], got), tolerance, "after %d steps", step+1)
				}
			}
		})
	}
}

// clipping checks the scaled gradients, gradients that two parameters share, and gradients
// that are not finite.
func (s suite) clipping(t *testing.T) {
	param := func(name string, gradient nn.Array) *nn.Param { return &nn.Param{Name: name, Grad: gradient} }
	shared := s.array(t, []float64{3, 4}, 2)
	first, second := param("first", shared), param("second", shared)
	other, without := param("other", s.array(t, []float64{0, -7, 1}, 3)), param("without", nil)
	params := []*nn.Param{first, second, without, other}

	norm, err := nn.ClipGradients(s, params, 11)
	require.NoError(t, err)
	assert.Equal(t, 10.0, norm)
	norm, err = nn.ClipGradients(s, params, math.Inf(1))
	require.NoError(t, err)
	assert.Equal(t, 10.0, norm)
	norm, err = nn.ClipGradients(s, params, 5)
	require.NoError(t, err)
	assert.Equal(t, 10.0, norm, "the norm before clipping")
	factor := 5 / (10 + 1e-6)
	for p, want := range map[*nn.Param][]float64{first: {3, 4}, second: {3, 4}, other: {0, -7, 1}} {
		for i := range want {
			want[i] *= factor
		}
		tolerance, _ := s.tolerance()
		s.requireClose(t, want, p.Grad, tolerance, p.Name)
	}
	assert.Nil(t, without.Grad)

	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		params[3] = param("bad", s.array(t, []float64{1, bad}, 2))
		before := params[3].Grad
		norm, err = nn.ClipGradients(s, params, 1)
		var failed *nn.NonFiniteGradientError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "bad", failed.Parameter)
		assert.False(t, norm < math.Inf(1), "%v", norm)
		assert.ErrorContains(t, err, "gradient of bad is not finite")
		assert.Same(t, before, params[3].Grad)
	}
	for _, limit := range []float64{0, -1, math.NaN()} {
		_, err = nn.ClipGradients(s, params, limit)
		assert.ErrorContains(t, err, "maxNorm")
	}
	norm, err = nn.ClipGradients(s, []*nn.Param{without}, 1)
	require.NoError(t, err)
	assert.Zero(t, norm)
	s.EndStep()
}
