package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	benchpeer "github.com/x/afl/bench/internal/peer"
	"github.com/x/afl/internal/workload"
)

// cpuPeer runs the script on the CPU.
func cpuPeer(t *testing.T) *peer {
	python, err := benchpeer.Find(t.Context(), "", "numpy", "torch")
	if errors.Is(err, benchpeer.ErrNone) {
		t.Skip(err)
	}
	require.NoError(t, err)
	p, err := startPeer(context.Background(), python, "cpu") // the context of t ends before Close
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

func testInput(t *testing.T, samples int, kinds types) *input {
	s := workload.Quick
	s.Samples = samples
	in, err := newInput(workload.NewBatch(s), kinds)
	require.NoError(t, err)
	return in
}

// evaluateOnCPU evaluates a loss on the CPU in place of the device.
func evaluateOnCPU(t *testing.T, loss string, in *input, gradient bool) (float64, []float32) {
	var out *tensor.Dense
	if gradient {
		out = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(in.size.Shape()...))
	}
	l, err := afl.ByName(loss)
	require.NoError(t, err)
	r, err := onCPU(l, in, out)
	require.NoError(t, err)
	return r.value, r.grad
}

// TestPeerAgrees: every loss has the same value and gradient in PyTorch, for every type
// of a batch.
func TestPeerAgrees(t *testing.T) {
	p := cpuPeer(t)
	assert.NotEmpty(t, p.version.Torch)
	assert.Equal(t, "cpu", p.version.Device)
	for _, samples := range []int{1, 3} {
		for _, planned := range plans() {
			if isOther(planned.call) {
				continue
			}
			in := testInput(t, samples, planned.types)
			require.NoError(t, p.sendBatch(in, 2))
			losses := planned.losses
			if losses == nil {
				losses = afl.Names()
			}
			for _, loss := range losses {
				for _, gradient := range []bool{false, true} {
					value, grad := evaluateOnCPU(t, loss, in, gradient)
					values, took, err := p.prepare(loss, gradient, eager)
					require.NoError(t, err, loss)
					assert.Positive(t, took)
					assert.NoError(t, agreesWithPeer(value, grad, values, planned.types), "%s, %d samples, %s", loss, samples, planned.types)
				}
			}
		}
	}
}

// TestReleasedAgrees: so does A-FL with its statistics on the CPU.
func TestReleasedAgrees(t *testing.T) {
	p := cpuPeer(t)
	for _, labels := range []element{uint8s, int64s} {
		in := testInput(t, 3, types{float32s, labels})
		require.NoError(t, p.sendBatch(in, 1))
		value, grad := evaluateOnCPU(t, "afl", in, true)
		values, _, err := p.prepare("afl", true, released)
		require.NoError(t, err)
		assert.NoError(t, agreesWithPeer(value, grad, values, in.types))
	}
}

func TestPeerTimes(t *testing.T) {
	p := cpuPeer(t)
	require.NoError(t, p.sendBatch(testInput(t, 1, types{float32s, uint8s}), 2))
	for _, how := range []mode{eager, released} {
		start := time.Now()
		seconds, err := p.time("afl", true, how, 20*time.Millisecond)
		require.NoError(t, err)
		assert.Positive(t, seconds)
		assert.Less(t, seconds, time.Since(start).Seconds())
		assert.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
	}
	_, _, err := p.prepare("dise", false, eager)
	assert.ErrorContains(t, err, "dise")
	_, err = p.time("dise", false, eager, time.Millisecond)
	assert.ErrorContains(t, err, "dise")
}

// TestPeerDisagrees: another loss and a gradient of the opposite sign are detected.
func TestPeerDisagrees(t *testing.T) {
	p := cpuPeer(t)
	in := testInput(t, 1, types{float32s, uint8s})
	require.NoError(t, p.sendBatch(in, 1))
	value, grad := evaluateOnCPU(t, "dice", in, true)
	values, _, err := p.prepare("iou", true, eager)
	require.NoError(t, err)
	assert.ErrorContains(t, agreesWithPeer(value, grad, values, in.types), "not the same computation")
	values, _, err = p.prepare("dice", true, eager)
	require.NoError(t, err)
	for i := range grad {
		grad[i] = -grad[i]
	}
	assert.ErrorContains(t, agreesWithPeer(value, grad, values, in.types), "sum of the gradient's positive numbers")
	assert.ErrorContains(t, agreesWithPeer(value, grad, values[:1], in.types), "3 numbers here, 1 in PyTorch")
}
