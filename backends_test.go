package afl_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/workload"
)

// forcedEngine is an engine for tensors in Go memory whose losses are evaluated with
// the kernels of one instruction set.
type forcedEngine struct {
	tensor.StdEng
	backend cpu.Backend
}

// Backend implements [plan.Provider].
func (e forcedEngine) Backend() plan.Backend { return e.backend }

// forcedEngines returns an engine for every instruction set that the processor has,
// that of plain Go first and the fastest last.
func forcedEngines(t testing.TB) []forcedEngine {
	t.Helper()
	var engines []forcedEngine
	for _, tier := range slices.Backward(cpu.Tiers()) {
		backend, err := cpu.New(tier)
		require.NoError(t, err)
		engines = append(engines, forcedEngine{backend: backend})
	}
	return engines
}

// cpuBatch is a batch in Go memory and the name of the backend that evaluates it: go,
// avx2, avx512 or float64.
type cpuBatch struct {
	backend string
	*workload.Batch
}

// cpuBatches returns a batch for every backend, plain Go first.
func cpuBatches(t testing.TB, b *workload.Batch) []cpuBatch {
	t.Helper()
	var list []cpuBatch
	for _, e := range forcedEngines(t) {
		list = append(list, cpuBatch{e.backend.Tier(), b.On(e)})
	}
	return append(list, cpuBatch{"float64", b.Float64()})
}

// bits returns the bits of a float32 loss's value and gradient.
func bits(t *testing.T, l afl.Loss, logits, labels *tensor.Dense) []uint64 {
	t.Helper()
	value, grad, err := afl.Grad(l, logits, labels)
	require.NoError(t, err)
	b := []uint64{math.Float64bits(value)}
	for _, g := range grad.Data().([]float32) {
		b = append(b, uint64(math.Float32bits(g)))
	}
	return b
}

// TestBackends: what BenchmarkLoss times has the same bits for every instruction set,
// and the same numbers in float64.
func TestBackends(t *testing.T) {
	list := cpuBatches(t, workload.NewBatch(workload.Quick))
	plain := list[0]
	require.Equal(t, "go", plain.backend)
	for _, name := range afl.PaperNames() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		want := bits(t, l, plain.Logits, plain.Labels)
		for _, b := range list[1:] {
			if b.Elements == workload.Float32Uint8 {
				require.Equal(t, want, bits(t, l, b.Logits, b.Labels), "%s, %s", name, b.backend)
				continue
			}
			value, grad, err := afl.Grad(l, b.Logits, b.Labels)
			require.NoError(t, err)
			require.InEpsilon(t, value, math.Float64frombits(want[0]), 2e-6, name)
			exact := grad.Data().([]float64)
			largest := max(slices.Max(exact), -slices.Min(exact))
			for i, g := range exact {
				require.InDelta(t, g, math.Float32frombits(uint32(want[1+i])), 5e-6*largest, "%s, gradient %d", name, i)
			}
		}
	}
}

// TestForcedEngines: every instruction set is a backend of its own, and the kernels
// for one channel and for several have the same bits for all.
func TestForcedEngines(t *testing.T) {
	engines := forcedEngines(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		channels int
		losses   []string
	}{{1, []string{"bce", "dice", "dice-focal"}}, {3, []string{"ce", "dice-ce", "afl-multiclass"}}} {
		channels := test.channels
		shape := []int{2, channels, 5, 7, 11}
		labels, logits := make([]uint8, 2*5*7*11), make([]float32, channels*2*5*7*11)
		for i := range labels {
			labels[i] = uint8(rng.IntN(max(channels, 2)))
		}
		for i := range logits {
			logits[i] = float32(3 * rng.NormFloat64())
		}
		on := func(e forcedEngine) (x, y *tensor.Dense) {
			return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(logits), tensor.WithEngine(e)),
				tensor.New(tensor.WithShape(2, 5, 7, 11), tensor.WithBacking(labels), tensor.WithEngine(e))
		}
		for _, name := range test.losses {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			x, y := on(engines[0])
			want := bits(t, l, x, y)
			for _, e := range engines[1:] {
				x, foreign := on(e)
				assert.Equal(t, want, bits(t, l, x, foreign), "%s, %s", name, e.backend.Tier())
				_, err := afl.Value(l, x, y)
				assert.ErrorContains(t, err, "engine of target", "%s takes a target of %s", e.backend.Tier(), engines[0].backend.Tier())
			}
		}
	}
	var tiers []string
	for _, e := range engines {
		assert.NotContains(t, tiers, e.backend.Tier())
		tiers = append(tiers, e.backend.Tier())
	}
	for _, tier := range []string{"avx2", "avx512", "neon"} {
		if !slices.Contains(tiers, tier) {
			t.Logf("%s is not in this build or not on this machine", tier)
		}
	}
}
