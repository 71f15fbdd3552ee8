package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// TestBatch: the lesion is small, in several pieces and ragged, and the batch is
// the same every time.
func TestBatch(t *testing.T) {
	for _, s := range []Size{PICAI, Quick} {
		a, b := NewBatch(s), NewBatch(s)
		assert.Equal(t, a.Logits.Data(), b.Logits.Data(), s)
		assert.Equal(t, a.Labels.Data(), b.Labels.Data(), s)
		assert.Equal(t, s.Shape(), []int(a.Logits.Shape()))
		assert.Equal(t, a.Logits.Shape(), a.Grad.Shape())
	}
	three := NewSize([3]int{41, 33, 11})
	three.Samples = 3
	b := NewBatch(three)
	assert.Equal(t, []int{3, 2, 41, 33, 11}, []int(b.Logits.Shape()))
	assert.Equal(t, []int{3, 41, 33, 11}, []int(b.Labels.Shape()))
	labels, v := b.Labels.Data().([]uint8), three.ImageVoxels()
	assert.NotEqual(t, labels[:v], labels[v:2*v], "each sample has its own lesion")
	for n := range 3 {
		assert.Contains(t, labels[n*v:(n+1)*v], uint8(1))
	}
	s := PICAI
	label := tensor.New(tensor.WithShape(s.Space[:]...), tensor.WithBacking(lesion(s.Space, 0)))
	stats, err := afl.StatsOf(label, afl.IgnoreIndex{})
	require.NoError(t, err)
	assert.InDelta(t, 0.004, stats.GammaVa, 0.002)
	_, count, err := afl.Components(label, afl.Connectivity26)
	require.NoError(t, err)
	assert.Greater(t, count, 1)
}

// TestBatchViews: the float64 batch holds the same numbers, and a batch on another
// engine the same memory.
func TestBatchViews(t *testing.T) {
	b := NewBatch(Quick)
	assert.Equal(t, Float32Uint8, b.Elements)
	wide := b.Float64()
	assert.Equal(t, Float64Uint8, wide.Elements)
	from := b.Logits.Data().([]float32)
	for i, x := range wide.Logits.Data().([]float64) {
		require.Equal(t, float64(from[i]), x)
	}
	assert.Equal(t, tensor.Float64, wide.Grad.Dtype())
	assert.Equal(t, b.Labels.Data(), wide.Labels.Data())

	type engine struct{ tensor.StdEng }
	other := wide.On(engine{})
	assert.Equal(t, wide.Elements, other.Elements)
	for _, pair := range [][2]*tensor.Dense{{wide.Logits, other.Logits}, {wide.Labels, other.Labels}, {wide.Grad, other.Grad}} {
		assert.Equal(t, pair[0].Uintptr(), pair[1].Uintptr())
		assert.Equal(t, pair[0].Shape(), pair[1].Shape())
		assert.Equal(t, engine{}, pair[1].Engine())
	}
}
