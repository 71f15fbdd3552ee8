package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/cuda"
	"github.com/x/afl/internal/workload"
)

// TestNewInput: the types are as asked for, the shape is unchanged, and the float32
// logits are the rounded ones.
func TestNewInput(t *testing.T) {
	b := workload.NewBatch(workload.Quick)
	wide := b.Logits.Data().([]float32)
	for _, logits := range []element{float32s, float16s, bfloat16s} {
		for _, labels := range []element{uint8s, int64s} {
			in, err := newInput(b, types{logits, labels})
			require.NoError(t, err)
			assert.Equal(t, b.Logits.Shape(), in.logits.Shape())
			assert.Equal(t, b.Labels.Shape(), in.labels.Shape())
			assert.EqualValues(t, logits.bytes*len(wide), in.logits.MemSize())
			assert.EqualValues(t, labels.bytes*workload.Quick.Voxels(), in.labels.MemSize())
			same, err := widen(in.logits)
			require.NoError(t, err)
			assert.Equal(t, same, in.wide.Data())
			worst := 0.0
			for i, x := range same {
				worst = max(worst, math.Abs(float64(x-wide[i])/float64(wide[i])))
			}
			assert.LessOrEqual(t, worst, map[element]float64{float32s: 0, float16s: 1.0 / (1 << 11), bfloat16s: 1.0 / (1 << 8)}[logits])
			if labels == int64s {
				assert.Contains(t, in.labels.Data(), int64(1))
			}
		}
	}
	_, err := newInput(b, types{uint8s, uint8s})
	assert.ErrorContains(t, err, "uint8")
	_, err = newInput(b, types{float32s, float32s})
	assert.ErrorContains(t, err, "float32")
	_, err = widen(b.Labels)
	assert.ErrorContains(t, err, "uint8")
}

func TestAgrees(t *testing.T) {
	nan := math.NaN()
	r := reference{value: 2, grad: []float32{1e-3, -2e-3, 0}}
	single := types{float32s, uint8s}
	near := []float32{1e-3 + 1e-9, -2e-3, 0}
	assert.NoError(t, r.agrees(2+1e-6, near, single))
	assert.ErrorContains(t, r.agrees(2+1e-4, near, single), "value 2.0001 here, 2 on the CPU")
	assert.Error(t, r.agrees(nan, near, single))
	assert.ErrorContains(t, r.agrees(2, []float32{1e-3, -2e-3, 1e-6}, single), "away from the CPU's")
	assert.Error(t, r.agrees(2, []float32{1e-3, -2e-3, float32(nan)}, single))
	assert.ErrorContains(t, r.agrees(2, near[:2], single), "2 numbers, 3")
	assert.NoError(t, reference{value: 2}.agrees(2, nil, single))

	// A rounding error of half precision is accepted, more is not.
	bf16 := types{bfloat16s, uint8s}
	rounded := floats([]cuda.BF16{cuda.NewBF16(1e-3), cuda.NewBF16(-2e-3), 0})
	assert.NotEqual(t, r.grad, rounded)
	assert.NoError(t, r.agrees(2, rounded, bf16))
	assert.Error(t, r.agrees(2, []float32{1.02e-3, -2e-3, 0}, bf16))
	tiny := reference{value: 2, grad: []float32{3e-8, 3e-8, -3e-8}} // half a step of float16's denormals
	assert.NoError(t, tiny.agrees(2, []float32{0, 6e-8, 0}, types{float16s, uint8s}))
	assert.Error(t, tiny.agrees(2, []float32{1e-6, 0, 0}, types{float16s, uint8s}))
}

func TestAgreesWithPeer(t *testing.T) {
	single := types{float32s, uint8s}
	grad := []float32{1, -2, 3, -0.5}
	assert.Equal(t, [2]float64{4, -2.5}, gradientSums(grad))
	assert.NoError(t, agreesWithPeer(1, grad, []float64{1 + 1e-6, 4, -2.5}, single))
	assert.ErrorContains(t, agreesWithPeer(1, grad, []float64{1, 4, -2.6}, single), "negative")
	assert.ErrorContains(t, agreesWithPeer(1, grad, []float64{1, 4}, single), "3 numbers")
	assert.NoError(t, agreesWithPeer(1, nil, []float64{1}, single))
	assert.Error(t, agreesWithPeer(math.NaN(), nil, []float64{1}, single))
	assert.Error(t, agreesWithPeer(1, nil, []float64{math.NaN()}, single))
	assert.Error(t, agreesWithPeer(1, []float32{1, float32(math.NaN())}, []float64{1, 1, 0}, single))
}
