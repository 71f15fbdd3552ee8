package infer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMirroredPassesOfPointwiseNetworksAreEqual uses a network that cannot see a mirroring.
func TestMirroredPassesOfPointwiseNetworksAreEqual(t *testing.T) {
	b := newBackend(t)
	net := newPointwise(t, b, [4]float32{1, 2, -1, 0.5}, [2]float32{0.1, -0.2})
	img := image(5, 4, 3)
	plan, err := NewPlan(net, [3]int{5, 4, 3}, Window{Size: [3]int{2, 0, 0}})
	require.NoError(t, err)
	calls := 0
	passes, err := plan.Mirrored(context.Background(), b, net, img, []int{0, 1, 2}, func(done int) {
		calls++
		assert.Equal(t, calls, done)
	})
	require.NoError(t, err)
	assert.Equal(t, 8*plan.Count, calls)
	require.Len(t, passes, 8)
	for _, pass := range passes[1:] {
		assert.InDeltaSlice(t, passes[0].Data(), pass.Data(), 1e-6)
	}
}

// TestMirroredPassesAreThoseOfTheMirroredImage mirrors by hand.
func TestMirroredPassesAreThoseOfTheMirroredImage(t *testing.T) {
	b := newBackend(t)
	net := unet(t, b)
	img := image(8, 4, 6)
	plan, err := NewPlan(net, [3]int{8, 4, 6}, Window{})
	require.NoError(t, err)
	want, err := plan.Logits(context.Background(), b, net, img, nil)
	require.NoError(t, err)
	passes, err := plan.Mirrored(context.Background(), b, net, img, []int{0, 2}, nil)
	require.NoError(t, err)
	require.Len(t, passes, 4)
	assert.Equal(t, want.Data(), passes[0].Data(), "the first pass is not mirrored")
	x := flipped(img, [3]bool{true, false, true})
	assert.NotEqual(t, img.Data(), x.Data())
	assert.Equal(t, img.Data(), flipped(x, [3]bool{true, false, true}).Data())
	assert.Equal(t, img.Data().([]float32)[0], x.Data().([]float32)[7*4*6+5], "the corner moves along X and Z")
	mirrored, err := plan.Logits(context.Background(), b, net, x, nil)
	require.NoError(t, err)
	assert.Equal(t, flipped(mirrored, [3]bool{true, false, true}).Data(), passes[3].Data())
	assert.NotEqual(t, passes[0].Data(), passes[3].Data())

	none, err := plan.Mirrored(context.Background(), b, net, img, nil, nil)
	require.NoError(t, err)
	require.Len(t, none, 1)
	for _, axes := range [][]int{{3}, {-1}, {1, 0}, {2, 2}} {
		_, err := plan.Mirrored(context.Background(), b, net, img, axes, nil)
		assert.ErrorContains(t, err, "want 0, 1 or 2 in ascending order")
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = plan.Mirrored(ctx, b, net, img, []int{1}, func(done int) { cancel() })
	assert.ErrorIs(t, err, context.Canceled)
}
