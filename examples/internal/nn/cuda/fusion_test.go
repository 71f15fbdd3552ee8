//go:build cgo && linux && (amd64 || arm64)

package cuda_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

// A norm that is computed together with its activation and the residual has the bits of one whose
// intermediate results are stored, but for the slopes, which are added up in another order, and
// NaNs where that has them. Without hostile values it agrees with the portable backend in float64.
func TestFusion(t *testing.T) {
	b, _ := emulated.Open(t)
	reference, err := portable.New(nn.Float64)
	require.NoError(t, err)
	single, err := portable.New(nn.Float32)
	require.NoError(t, err)
	for i, c := range nntest.Chains() {
		rng := rand.New(rand.NewPCG(9, uint64(i)))
		v := c.Values(rng)
		poison(t, b)
		got := c.Results(t, b, v, false)
		requireSame(t, c.Results(t, b, v, true), got, c.String())
		requireSame(t, got, c.Results(t, b, v, false), c.String()+": again")
		for name, want := range c.Results(t, reference, v, false) {
			assert.LessOrEqual(t, nntest.RelativeError(want, got[name]), 2e-5, "%v: %s", c, name)
		}
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 3e38}[i%4]
		for _, operand := range [][]float64{v.X, v.Residual, v.G} {
			at := rng.IntN(len(operand))
			good := operand[at]
			operand[at] = bad
			got := c.Results(t, b, v, false)
			requireSame(t, c.Results(t, b, v, true), got, c.String()+": hostile")
			want := c.Results(t, single, v, false)["y"]
			for k, y := range got["y"] {
				if math.IsNaN(want[k]) != math.IsNaN(y) || math.IsInf(want[k], 0) != math.IsInf(y, 0) {
					t.Errorf("%v: with %v, element %d of y is %v, want %v", c, bad, k, y, want[k])
					break
				}
			}
			operand[at] = good
		}
	}
}

// requireSame requires the same values, or NaN on both sides, and about the same slopes.
func requireSame(t *testing.T, want, got map[string][]float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	for name, values := range want {
		require.Len(t, got[name], len(values), "%s: %s", what, name)
		for i, v := range values {
			g := got[name][i]
			if g == v || math.IsNaN(g) && math.IsNaN(v) || name == "slope" && math.Abs(g-v) <= 1e-6*math.Abs(v)+1e-6 {
				continue
			}
			require.Fail(t, "values differ", "%s: element %d of %s is %v, want %v", what, i, name, g, v)
		}
	}
}

// No intermediate result of a norm with its activation and residual is stored, forward or
// backward, and what a formula reads outlives its release.
func TestFusionStoresNoIntermediateResult(t *testing.T) {
	b, engine := emulated.Open(t)
	shape := []int{1, 4, 32, 16, 32}
	const volume = 4 * 4 * 32 * 16 * 32
	values := around(rand.New(rand.NewPCG(4, 4)), volume/4, 0)
	before := engine.Memory().InUse
	a, _, err := b.PReLU(upload(t, b, values, shape...), upload(t, b, []float64{0.5}, 1))
	require.NoError(t, err)
	x, _, err := b.PReLU(a, upload(t, b, []float64{0.5}, 1))
	require.NoError(t, err)
	used := engine.Memory().InUse
	stores := func(volumes int64, what string) {
		t.Helper()
		now := engine.Memory().InUse
		assert.InDelta(t, float64(volumes*volume), float64(now-used), volume/8, what)
		used = now
	}
	z, backNorm, err := b.GroupNorm(x, nil, nil, 2, 1e-5)
	require.NoError(t, err)
	act, backAct, err := b.PReLU(z, upload(t, b, []float64{0.25}, 1))
	require.NoError(t, err)
	sum, backSum, err := b.Add(act, a)
	require.NoError(t, err)
	stores(0, "norm, activation and sum")
	y, backPost, err := b.Activate(sum, nn.ReLU)
	require.NoError(t, err)
	stores(1, "activation of the sum")
	for _, r := range []nn.Array{z, act, sum} {
		b.Release(r)
	}
	g := y // also serves as the gradient of y
	for _, step := range []struct {
		back    nn.Pullback
		need    []bool
		volumes int64
	}{{backPost, []bool{true}, 1}, {backSum, []bool{true, true}, 0}, {backAct, []bool{true, true}, 0}, {backNorm, []bool{true, false, false}, 1}} {
		grads, err := step.back(g, step.need)
		require.NoError(t, err)
		stores(step.volumes, "gradient")
		g = grads[0]
	}

	z, _, err = b.GroupNorm(x, nil, nil, 2, 1e-5)
	require.NoError(t, err)
	same, _, err := b.GroupNorm(x, nil, nil, 2, 1e-5)
	require.NoError(t, err)
	want := download(t, b, same)
	b.Release(x)
	poison(t, b)
	assert.Equal(t, want, download(t, b, z))
	b.EndStep()
	assert.Equal(t, before, engine.Memory().InUse)
}

// Values that are computed late are those of the operands when the operation was called.
func TestFormulasOfUpdatedOperands(t *testing.T) {
	b, _ := emulated.Open(t)
	rng := rand.New(rand.NewPCG(3, 3))
	shape := []int{2, 3, 3, 1, 5}
	x, w := around(rng, 90, 0), around(rng, 3, 1)
	run := func(update bool) (all [][]float64) {
		defer b.EndStep()
		kept := func(values []float64, shape ...int) nn.Array {
			a, err := b.Zeros(shape)
			require.NoError(t, err)
			require.NoError(t, b.SGDStep(a, upload(t, b, values, shape...), nil, true, nn.SGDSpec{LearningRate: -1}))
			return a
		}
		weight, slope, volume := kept(w, 3), kept(w, 3), kept(x, shape...)
		for _, in := range []nn.Array{upload(t, b, x, shape...), volume} {
			z, _, err := b.GroupNorm(in, weight, weight, 1, 1e-5)
			require.NoError(t, err)
			a, _, err := b.PReLU(z, slope)
			require.NoError(t, err)
			y, _, err := b.Add(a, in)
			require.NoError(t, err)
			results := []nn.Array{z, a, y}
			if update {
				for _, p := range []nn.Array{weight, slope, volume} {
					require.NoError(t, b.SGDStep(p, upload(t, b, make([]float64, nn.Elements(p.Shape())), p.Shape()...), nil, true, nn.SGDSpec{LearningRate: 1, WeightDecay: 0.5}))
				}
			}
			for _, r := range results {
				all = append(all, download(t, b, r))
			}
			if update {
				for _, p := range []nn.Array{weight, slope, volume} {
					require.NoError(t, b.SGDStep(p, upload(t, b, make([]float64, nn.Elements(p.Shape())), p.Shape()...), nil, true, nn.SGDSpec{LearningRate: 1, WeightDecay: -1}))
				}
			}
		}
		return all
	}
	assert.Equal(t, run(false), run(true))
}
