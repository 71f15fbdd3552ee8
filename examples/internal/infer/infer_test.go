package infer

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

func newBackend(t *testing.T) nn.Backend {
	t.Helper()
	b, err := portable.New(nn.Float32)
	require.NoError(t, err)
	return b
}

// image returns a 1×2×X×Y×Z image of distinct values.
func image(x, y, z int) *tensor.Dense {
	values := make([]float32, 2*x*y*z)
	for i, v := range nntest.HashValues("image", len(values), 1) {
		values[i] = float32(v)
	}
	return tensor.New(tensor.WithShape(1, 2, x, y, z), tensor.WithBacking(values))
}

// unet returns a small U-Net that halves X and Y twice and Z once.
func unet(t *testing.T, b nn.Backend) nn.Network {
	t.Helper()
	architecture := models.NewUNet()
	architecture.Channels, architecture.Strides = []int{2, 3, 4}, [][3]int{{2, 2, 2}, {2, 2, 1}}
	net, err := models.New(models.Config{Architecture: architecture, InChannels: 2}, b, 1)
	require.NoError(t, err)
	require.NoError(t, nn.LoadStateDict(b, net, nntest.HashState(net, 3)))
	return net
}

// pointwise is a network whose output at a voxel depends on that voxel only.
type pointwise struct {
	*nn.Builder
	conv *nn.Conv3D
}

func newPointwise(t *testing.T, b nn.Backend, weight [4]float32, bias [2]float32) nn.Network {
	t.Helper()
	build := nn.NewBuilder(b, 1)
	p := &pointwise{build, build.Conv3D("conv", 2, 2, [3]int{1, 1, 1}, nn.ConvSpec{}, true)}
	require.NoError(t, build.Err())
	require.NoError(t, nn.LoadStateDict(b, p, map[string]*tensor.Dense{
		"conv.weight": tensor.New(tensor.WithShape(2, 2, 1, 1, 1), tensor.WithBacking(weight[:])),
		"conv.bias":   tensor.New(tensor.WithShape(2), tensor.WithBacking(bias[:])),
	}))
	return p
}

func (p *pointwise) Forward(t *nn.Tape, x nn.Var) (nn.Var, error) { return p.conv.Forward(t, x) }
func (p *pointwise) CheckSize([3]int) error                       { return nil }

// forward runs the network on a whole volume, whose size it must accept.
func forward(t *testing.T, b nn.Backend, net nn.Network, image *tensor.Dense) *tensor.Dense {
	t.Helper()
	defer b.EndStep()
	x, err := b.FromHost(image, nn.Step)
	require.NoError(t, err)
	tape := nn.NewTape(b, nn.Inference, 0)
	y, err := net.Forward(tape, tape.Input(x))
	require.NoError(t, err)
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(y.Shape()...))
	require.NoError(t, b.ToHost(y.Array(), out))
	return out
}

func logits(t *testing.T, b nn.Backend, net nn.Network, image *tensor.Dense, w Window) (*tensor.Dense, *Plan) {
	t.Helper()
	plan, err := NewPlan(net, [3]int(image.Shape()[2:]), w)
	require.NoError(t, err)
	var reported []int
	out, err := plan.Logits(context.Background(), b, net, image, func(done int) { reported = append(reported, done) })
	require.NoError(t, err)
	require.Len(t, reported, plan.Count)
	for i, done := range reported {
		require.Equal(t, i+1, done)
	}
	return out, plan
}

// box copies a box of the given size beginning at start, in every channel. Voxels
// outside the image are zero.
func box(image *tensor.Dense, start, size [3]int) *tensor.Dense {
	s := image.Shape()
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, s[1], size[0], size[1], size[2]))
	src, dst := image.Data().([]float32), out.Data().([]float32)
	o := 0
	for c := range s[1] {
		for i := range size[0] {
			for j := range size[1] {
				for k := range size[2] {
					x, y, z := start[0]+i, start[1]+j, start[2]+k
					if x >= 0 && x < s[2] && y >= 0 && y < s[3] && z >= 0 && z < s[4] {
						dst[o] = src[((c*s[2]+x)*s[3]+y)*s[4]+z]
					}
					o++
				}
			}
		}
	}
	return out
}

func TestOneWindowEqualsWholeVolume(t *testing.T) {
	b := newBackend(t)
	net := unet(t, b)
	for _, size := range [][3]int{{8, 12, 6}, {7, 9, 5}, {1, 3, 2}, {13, 4, 11}} {
		x := image(size[0], size[1], size[2])
		var padded, start [3]int
		for i, m := range [3]int{4, 4, 2} {
			padded[i] = (size[i] + m - 1) / m * m
			start[i] = (padded[i] - size[i]) / 2
		}
		want := box(forward(t, b, net, box(x, [3]int{-start[0], -start[1], -start[2]}, padded)), start, size)
		for _, w := range []Window{{}, {Size: size, Overlap: 0.5}, {Size: [3]int{64, 64, 64}, Overlap: 0.25, Blend: Gaussian}, {Size: [3]int{0, 16, 12}, Blend: Constant}} {
			got, plan := logits(t, b, net, x, w)
			assert.Equal(t, padded, plan.Size)
			assert.Equal(t, 1, plan.Count)
			assert.Equal(t, want.Shape(), got.Shape())
			assert.Equal(t, want.Data(), got.Data(), "%v %v", size, w)
		}
	}
}

// TestWindowsAreAveraged compares two overlapping windows, one of them moved back, with
// an average computed by hand.
func TestWindowsAreAveraged(t *testing.T) {
	b := newBackend(t)
	net := unet(t, b)
	x := image(13, 4, 2)
	first := forward(t, b, net, box(x, [3]int{}, [3]int{8, 4, 2})).Data().([]float32)
	second := forward(t, b, net, box(x, [3]int{5, 0, 0}, [3]int{8, 4, 2})).Data().([]float32)
	for _, blend := range []Blend{Constant, Gaussian} {
		got, plan := logits(t, b, net, x, Window{Size: [3]int{8, 4, 2}, Overlap: 0.25, Blend: blend})
		require.Equal(t, 2, plan.Count)
		weight := func(i int) float64 {
			if blend == Constant {
				return 1
			}
			d := float64(i) - 3.5 // the standard deviation is one voxel
			return math.Exp(-d * d / 2)
		}
		o := 0
		for c := range 2 {
			for i := range 13 {
				for rest := range 8 {
					var sum, total float64
					if i < 8 {
						sum += weight(i) * float64(first[(c*8+i)*8+rest])
						total += weight(i)
					}
					if i >= 5 {
						sum += weight(i-5) * float64(second[(c*8+i-5)*8+rest])
						total += weight(i - 5)
					}
					require.InDelta(t, sum/total, float64(got.Data().([]float32)[o]), 1e-6, "%s, channel %d, plane %d", blend, c, i)
					o++
				}
			}
		}
	}
}

// TestWindowsLeaveNoTrace uses networks whose output at a voxel does not depend on the
// surrounding window.
func TestWindowsLeaveNoTrace(t *testing.T) {
	b := newBackend(t)
	voxelwise := newPointwise(t, b, [4]float32{0.3, -1.7, 2.1, 0.9}, [2]float32{0.1, -0.2})
	constant := newPointwise(t, b, [4]float32{}, [2]float32{0.1, -1e30})
	x := image(11, 7, 9)
	want := forward(t, b, voxelwise, x).Data().([]float32)
	for _, blend := range []Blend{Constant, Gaussian, ""} {
		for _, overlap := range []float64{0, 0.25, 0.5, 0.9} {
			w := Window{Size: [3]int{4, 3, 9}, Overlap: overlap, Blend: blend}
			got, plan := logits(t, b, voxelwise, x, w)
			require.Greater(t, plan.Count, 1)
			for i, v := range got.Data().([]float32) {
				require.InDelta(t, want[i], v, 1e-6, "%v, voxel %d", w, i)
			}
			flat, _ := logits(t, b, constant, x, w)
			for i, v := range flat.Data().([]float32) {
				require.Equal(t, [2]float32{0.1, -1e30}[i/(11*7*9)], v, "%v, voxel %d", w, i)
			}
		}
	}
}

func TestAxes(t *testing.T) {
	assert.Equal(t, []int{0, 6, 12, 12 + 3}, newAxis(23, 8, 4, 0.25, Constant).starts)
	assert.Equal(t, []int{0, 8, 15}, newAxis(23, 8, 1, 0, Constant).starts)
	assert.Equal(t, []int{0, 1, 2}, newAxis(5, 3, 1, 0.99, Constant).starts)
	assert.Equal(t, []int{-1}, newAxis(5, 8, 8, 0.5, Constant).starts, "the odd voxel is at the end")
	assert.Equal(t, 12, newAxis(23, 9, 4, 0.25, Constant).size)

	for _, blend := range []Blend{Constant, Gaussian} {
		for n := 1; n < 40; n++ {
			for _, multiple := range []int{1, 2, 8} {
				for size := range 24 {
					for _, overlap := range []float64{0, 0.25, 0.6} {
						a := newAxis(n, size, multiple, overlap, blend)
						name := fmt.Sprint(blend, n, size, multiple, overlap)
						require.Zero(t, a.size%multiple, name)
						sum := make([]float64, n)
						for w, start := range a.starts {
							require.Len(t, a.weight[w], a.size)
							if a.size < n {
								require.True(t, start >= 0 && start+a.size <= n, name)
							}
							for i, v := range a.weight[w] {
								if at := start + i; at >= 0 && at < n {
									require.Positive(t, v, name)
									sum[at] += v
								} else {
									require.Zero(t, v, name)
								}
							}
						}
						for _, s := range sum {
							require.InDelta(t, 1, s, 1e-14, name)
						}
					}
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	b := newBackend(t)
	net := unet(t, b)
	for want, w := range map[string]Window{
		"Window.Size is [-1 0 0]": {Size: [3]int{-1, 0, 0}},
		"Window.Overlap is 1;":    {Overlap: 1},
		"Window.Overlap is NaN":   {Overlap: math.NaN()},
		"Window.Overlap is -0.5":  {Overlap: -0.5},
		`Window.Blend is "flat"`:  {Blend: "flat"},
	} {
		_, err := NewPlan(net, [3]int{8, 8, 8}, w)
		assert.ErrorContains(t, err, want)
	}
	_, err := NewPlan(net, [3]int{8, 0, 8}, Window{})
	assert.ErrorContains(t, err, "every axis must be at least 1")

	plan, err := NewPlan(net, [3]int{8, 8, 8}, Window{})
	require.NoError(t, err)
	ctx := context.Background()
	for want, bad := range map[string]*tensor.Dense{
		"must be float32": tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(1, 2, 8, 8, 8)),
		"want 1×C×8×8×8":  image(8, 8, 4),
		"has shape [2 2":  tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 2, 8, 8, 8)),
	} {
		_, err := plan.Logits(ctx, b, net, bad, nil)
		assert.ErrorContains(t, err, want)
	}
	_, err = plan.Logits(ctx, b, net, nil, nil)
	assert.Error(t, err)
	_, err = plan.Logits(ctx, b, net, tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(1, 3, 8, 8, 8)), nil)
	assert.Error(t, err, "one channel too many")
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		_, err = plan.Logits(ctx, b, newPointwise(t, b, [4]float32{}, [2]float32{0, float32(bad)}), image(8, 8, 8), nil)
		var found *nn.NonFiniteError
		assert.ErrorAs(t, err, &found)
		assert.ErrorContains(t, err, "window at [0 0 0]")
	}
}

func TestCancellation(t *testing.T) {
	b := newBackend(t)
	net := newPointwise(t, b, [4]float32{1}, [2]float32{})
	plan, err := NewPlan(net, [3]int{8, 8, 8}, Window{Size: [3]int{4, 4, 4}})
	require.NoError(t, err)
	require.Equal(t, 8, plan.Count)
	ctx, cancel := context.WithCancel(context.Background())
	last := 0
	_, err = plan.Logits(ctx, b, net, image(8, 8, 8), func(done int) {
		if last = done; done == 3 {
			cancel()
		}
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 3, last)
}
