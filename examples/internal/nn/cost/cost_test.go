package cost_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// chain is a network that is a sequence of layers.
type chain struct {
	*nn.Builder
	layers nn.Sequence
}

func (c chain) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) { return c.layers.Forward(t, x) }
func (chain) CheckSize([3]int) error                         { return nil }

// TestCountsByHand compares the counts for a small network with a calculation by hand.
func TestCountsByHand(t *testing.T) {
	const voxels, padded = 4 * 5 * 6, 6 * 7 * 8
	create := func(b nn.Backend) (nn.Network, error) {
		build := nn.NewBuilder(b, 1)
		conv := build.Conv3D("c", 3, 2, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, true)
		norm := build.BatchNorm("n", 2)
		return chain{build, nn.Sequence{conv, norm, nn.ReLU, nn.ReLU, nn.ReLU}}, build.Initialize()
	}
	counter, err := cost.New(create)
	require.NoError(t, err)
	const weights, all = 3*2*27 + 2 + 2 + 2, 3*2*27 + 2 + 2 + 2 + 4

	got, err := counter.Inference([]int{2, 3, 4, 5, 6})
	require.NoError(t, err)
	assert.Equal(t, cost.Cost{
		Parameters: weights, MultiplyAdds: 2 * voxels * 3 * 2 * 27, KeptBytes: 4 * all,
		// The input, two results at a time, and scratch memory for one sample and the kernel.
		PassBytes: 4 * (2*3*voxels + 2*2*2*voxels + 3*padded + 3*2*27),
		HostBytes: 4 * (2*3*voxels + 2*2*voxels),
	}, got)
	assert.Equal(t, got.KeptBytes+got.PassBytes+got.HostBytes, got.Bytes())

	step, err := counter.Step([]int{2, 3, 4, 5, 6}, &nn.SGD{Momentum: 0.9})
	require.NoError(t, err)
	assert.Equal(t, got.MultiplyAdds, step.MultiplyAdds)
	assert.EqualValues(t, 4*(all+weights), step.KeptBytes)
	// All five results, the gradient of the last one and another to alternate with, the
	// gradients of the parameters, and scratch memory for a sample of the convolution's
	// result.
	assert.EqualValues(t, 4*(2*3*voxels+(5+2)*2*2*voxels+3*padded+3*2*27+weights+2*padded), step.PassBytes)

	// The input, the result and its gradient; two copies of the state, which are more than
	// one with the velocities; and the bytes of the largest tensor.
	assert.EqualValues(t, 4*(2*3*voxels+2*2*2*voxels+2*all+3*2*27), step.HostBytes)

	adamw, err := counter.Step([]int{2, 3, 4, 5, 6}, nn.NewAdamW(0.1))
	require.NoError(t, err)
	assert.EqualValues(t, 4*(all+2*weights), adamw.KeptBytes)
	assert.Equal(t, step.PassBytes, adamw.PassBytes)

	again, err := counter.Step([]int{2, 3, 4, 5, 6}, &nn.SGD{Momentum: 0.9})
	require.NoError(t, err)
	assert.Equal(t, step, again, "a pass does not affect later counts")
	plain, err := counter.Step([]int{2, 3, 4, 5, 6}, &nn.SGD{})
	require.NoError(t, err)
	assert.Equal(t, step.KeptBytes-4*weights, plain.KeptBytes)

	// Fused, neither the result of the norm nor that of the first ReLU is stored until the
	// second ReLU needs the latter: it takes the memory of the former.
	fused, err := cost.NewFused(create)
	require.NoError(t, err)
	got, err = fused.Step([]int{2, 3, 4, 5, 6}, &nn.SGD{Momentum: 0.9})
	require.NoError(t, err)
	assert.Equal(t, step.MultiplyAdds, got.MultiplyAdds)
	assert.Equal(t, step.KeptBytes, got.KeptBytes)
	assert.EqualValues(t, 4*(2*3*voxels+(4+2)*2*2*voxels+3*2*27+weights), got.PassBytes)

	_, err = counter.Inference([]int{1, 3, 0, 0, 0})
	assert.ErrorContains(t, err, "cost: c.weight")
}
