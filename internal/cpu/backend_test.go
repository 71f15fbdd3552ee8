package cpu

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/plan"
)

func TestTiers(t *testing.T) {
	names := Tiers()
	t.Log(names)
	assert.Equal(t, "go", names[len(names)-1])
	assert.Equal(t, names[0], Backend{}.Tier())
	seen := map[Backend]string{}
	for i, name := range names {
		k, err := New(name)
		require.NoError(t, err)
		assert.Equal(t, name, k.Tier())
		again, err := New(name)
		require.NoError(t, err)
		assert.True(t, k == again, "backends of one tier are equal")
		assert.Equal(t, i == 0, k == Backend{}, "the zero value is the fastest")
		assert.NotContains(t, seen, k, "backends of two tiers are not")
		seen[k] = name
	}
	_, err := New("mmx")
	var refused *plan.Refusal
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, refused.Got, "mmx")
	assert.Contains(t, refused.Want, "go")
}

// TestForcedKernelsRun: a backend evaluates losses and reads labels with the kernels
// that it was made with.
func TestForcedKernelsRun(t *testing.T) {
	var logistic, softmax, labels, foreground, pack, rows atomic.Int64
	counting := plain
	for r := range kernel.Rows {
		counting.rows32[r] = func(a *rowArgs[float32], n int) {
			rows.Add(1)
			plain.rows32[r](a, n)
		}
		counting.rows64[r] = func(a *rowArgs[float64], n int) {
			rows.Add(1)
			plain.rows64[r](a, n)
		}
	}
	counting.logistic = func(v kernel.Variant, x0, x1, g0, g1 []float32, y []uint8, acc []float64, k *logisticCoef, buf []float32, stream bool) {
		logistic.Add(1)
		plain.logistic(v, x0, x1, g0, g1, y, acc, k, buf, stream)
	}
	counting.softmax = func(v kernel.Variant, x, g []float32, pitch int, y []uint8, sums []float32, k []softmaxCoef, e []float32, stream bool) {
		softmax.Add(1)
		plain.softmax(v, x, g, pitch, y, sums, k, e, stream)
	}
	counting.labels = func(dst, src []uint8, r *labelRules) bool {
		labels.Add(1)
		return plain.labels(dst, src, r)
	}
	counting.foreground = func(fore, ignored []uint64, src []uint8, r *labelRules) bool {
		foreground.Add(1)
		return plain.foreground(fore, ignored, src, r)
	}
	counting.pack = func(dst []uint64, src []uint8, class uint8) {
		pack.Add(1)
		plain.pack(dst, src, class)
	}
	forced := Backend{forced: &counting}
	const v = 2*tileVoxels + 7
	for _, test := range []struct {
		channels   int
		activation plan.Activation
		runs       *atomic.Int64
	}{{1, plan.Sigmoid, &logistic}, {2, plan.Sigmoid, &logistic}, {2, plan.Softmax, &logistic}, {3, plan.Softmax, &softmax}} {
		c := test.channels
		ones := slices.Repeat([]float64{1}, c)
		b := &plan.Batch{N: 1, C: c, V: v, Space: [3]int{1, 1, v},
			Logits: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, c, v)),
			Target: plan.Target{Tensor: tensor.New(tensor.Of(tensor.Uint8), tensor.WithShape(1, v))}}
		p := &plan.Plan{Pointwise: &plan.Pointwise{Activation: test.activation, Gamma: make([]float64, c), Pos: ones, Neg: ones, CE: ones, Scale: 1}}
		grad := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, c, v))
		for what, run := range map[string]func() error{
			"Reduce":   func() error { _, err := forced.Reduce(b, p, nil, nil); return err },
			"Gradient": func() error { _, err := forced.Gradient(b, p, &plan.Output{Grad: grad}); return err },
		} {
			for _, n := range []*atomic.Int64{&logistic, &softmax, &labels} {
				n.Store(0)
			}
			require.NoError(t, run())
			assert.Positive(t, test.runs.Load(), "%s, %d channels", what, c)
			assert.Equal(t, test.runs.Load(), logistic.Load()+softmax.Load(), "%s, %d channels", what, c)
			assert.Positive(t, labels.Load(), "%s, %d channels", what, c)
		}
		for what, logits := range map[string]*tensor.Dense{
			"float32": b.Logits, "float64": tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, c, v)),
		} {
			b := *b
			b.Logits = logits
			b.VoxelWeight = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, v))
			rows.Store(0)
			_, err := forced.Gradient(&b, p, &plan.Output{Grad: tensor.New(tensor.Of(logits.Dtype()), tensor.WithShape(1, c, v))})
			require.NoError(t, err)
			assert.Positive(t, rows.Load(), "%s, %d channels", what, c)
		}
		foreground.Store(0)
		pack.Store(0)
		_, err := forced.Stats(b, plan.StatsRequest{Smoothness: true})
		require.NoError(t, err)
		if c > 2 {
			assert.Positive(t, pack.Load())
		} else {
			assert.Positive(t, foreground.Load())
		}
	}
}
