//go:build onednn

package onednn

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
	"github.com/x/afl/examples/internal/nn/portable"
)

// Implementations other than oneDNN, as named in profiles.
const (
	tile2  = "winograd:tile 2"
	tile3  = "winograd:tile 3"
	tile4  = "winograd:tile 4"
	planes = "planes"
)

// only makes convolutions compiled from now on use the given implementation for all shapes
// that it supports, and oneDNN for all others. restore restores the default.
func only(w *worker, implementation string) (restore func()) {
	tile, yes := map[string]int{tile2: 2, tile3: 3, tile4: 4}[implementation], -1
	if tile == 0 {
		tile = -1
	}
	if implementation == planes {
		yes = 1
	}
	w.winogradAlways(tile)
	w.planesAlways(yes)
	return func() {
		w.winogradAlways(0)
		w.planesAlways(0)
	}
}

// eachVectorSet runs f on every instruction set for which there is code for filters.
func eachVectorSet(t *testing.T, f func(t *testing.T, w *worker)) {
	eachInstructionSet(t, []string{"AVX-512", "AVX2"}, f)
}

// TestFiltersMatchPortable compares the results and gradients of filters with those of the
// portable backend in float64. The sizes leave partial tiles, blocks, vectors and groups of
// channels.
func TestFiltersMatchPortable(t *testing.T) {
	references := map[string][][]float64{} // by shapes
	eachVectorSet(t, func(t *testing.T, w *worker) {
		for _, c := range []struct {
			batch, in, out int
			taps           int
			size, pad      [3]int
			by             string
			passes         int // number of passes (result and gradients of input and kernel) that use by
		}{
			{1, 32, 32, 3, [3]int{24, 20, 18}, [3]int{1, 1, 1}, tile4, 3},
			{2, 32, 48, 3, [3]int{17, 12, 15}, [3]int{1, 1, 1}, tile4, 3},
			{1, 80, 32, 3, [3]int{13, 10, 9}, [3]int{0, 1, 2}, tile4, 3},
			{1, 64, 112, 3, [3]int{6, 7, 5}, [3]int{2, 2, 1}, tile2, 3},
			{1, 256, 224, 3, [3]int{5, 10, 7}, [3]int{1, 1, 1}, tile2, 3},
			{1, 64, 64, 5, [3]int{13, 12, 14}, [3]int{2, 2, 2}, tile2, 2},
			{2, 48, 80, 5, [3]int{9, 14, 11}, [3]int{1, 2, 4}, tile2, 2},
			{1, 64, 64, 5, [3]int{13, 12, 14}, [3]int{2, 2, 2}, tile3, 3},
			{1, 48, 80, 5, [3]int{9, 14, 50}, [3]int{1, 2, 4}, tile3, 3},
			{1, 32, 16, 5, [3]int{26, 31, 23}, [3]int{0, 3, 2}, tile3, 3},
			{1, 8, 8, 3, [3]int{40, 33, 24}, [3]int{1, 1, 1}, planes, 3},
			{2, 3, 17, 3, [3]int{17, 12, 15}, [3]int{0, 1, 2}, planes, 3},
			{3, 1, 1, 3, [3]int{3, 70, 5}, [3]int{2, 1, 0}, planes, 3},
			{1, 33, 2, 5, [3]int{9, 14, 50}, [3]int{2, 2, 2}, planes, 3},
			{2, 5, 3, 5, [3]int{35, 7, 6}, [3]int{0, 4, 3}, planes, 3},
			{1, 64, 6, 5, [3]int{6, 20, 40}, [3]int{6, 5, 7}, planes, 3},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				defer only(w, c.by)()
				fast, err := New(nn.Float32, Config{Profile: true})
				require.NoError(t, err)
				spec := nn.ConvSpec{Padding: c.pad}
				x := []int{c.batch, c.in, c.size[0], c.size[1], c.size[2]}
				weight := []int{c.out, c.in, c.taps, c.taps, c.taps}
				shapes := fmt.Sprint(x, weight, spec)
				want := references[shapes]
				if want == nil {
					exact, err := portable.New(nn.Float64)
					require.NoError(t, err)
					want = convolve(t, exact, x, weight, spec, false, nil)
					references[shapes] = want
				}
				got := convolve(t, fast, x, weight, spec, false, nil)
				most := []float64{1e-5, 1e-5, 1e-5, 1e-5}
				if c.taps == 5 && c.by == tile3 { // seven points per axis, except in the gradient of the kernel
					most[0], most[1] = 1.5e-5, 1.5e-5
				}
				for i, what := range []string{"y", "gx", "gw", "gb"} {
					assert.LessOrEqual(t, nntest.RelativeError(want[i], got[i]), most[i], what)
				}
				assert.Equal(t, c.passes, passesOf(fast, c.by))
			})
		}
	})
}

// TestFilterChoice checks which shapes use which implementation.
func TestFilterChoice(t *testing.T) {
	eachVectorSet(t, func(t *testing.T, _ *worker) {
		for _, c := range []struct {
			in, out, taps, size, stride int
			want                        map[string]int // passes
		}{
			{64, 64, 3, 32, 1, map[string]int{tile4: 3}},
			{256, 128, 3, 10, 1, map[string]int{tile2: 3}},
			{64, 64, 5, 32, 1, map[string]int{tile3: 3}},
			{256, 256, 5, 10, 1, map[string]int{tile2: 2}},
			{8, 8, 3, 32, 1, map[string]int{planes: 3}},
			{32, 2, 5, 20, 1, map[string]int{planes: 2}},
			{3, 32, 3, 32, 1, map[string]int{planes: 1}}, // the input gradient, with 3 channels
			{16, 9, 3, 32, 1, nil},
			{512, 512, 3, 4, 1, nil},
			{64, 64, 3, 32, 2, nil},
			{64, 64, 1, 32, 1, nil},
			{8, 2, 1, 32, 1, nil},
		} {
			b, err := New(nn.Float32, Config{Profile: true})
			require.NoError(t, err)
			pad, stride := c.taps/2, c.stride
			convolve(t, b, []int{1, c.in, c.size, c.size, c.size}, []int{c.out, c.in, c.taps, c.taps, c.taps},
				nn.ConvSpec{Padding: [3]int{pad, pad, pad}, Stride: [3]int{stride, stride, stride}}, false, nil)
			got := passesByImplementation(b)
			for _, by := range []string{tile2, tile3, tile4, planes} {
				assert.Equal(t, c.want[by], got[by], "%v %s", c, by)
			}
		}
	})
}

// passesOf returns the number of convolutions and gradients that a backend has computed
// with an implementation since the last call of Profile.
func passesOf(b nn.Backend, implementation string) int {
	return passesByImplementation(b)[implementation]
}

func passesByImplementation(b nn.Backend) map[string]int {
	n := map[string]int{}
	for _, e := range Profile(b) {
		for _, by := range []string{tile2, tile3, tile4, planes} {
			if strings.HasSuffix(e.Shape, ", "+by) {
				n[by]++
			}
		}
	}
	return n
}

// opsBy returns the operations that a backend has computed with an implementation since the
// last call of Profile.
func opsBy(b nn.Backend, implementation string) map[string]bool {
	ops := map[string]bool{}
	for _, e := range Profile(b) {
		if strings.HasSuffix(e.Shape, ", "+implementation) {
			ops[e.Op] = true
		}
	}
	return ops
}

// TestFiltersAcrossThreads requires bit-identical results of the filters for any number of
// threads, for many channels with few tiles and for few channels with many tiles.
func TestFiltersAcrossThreads(t *testing.T) {
	eachVectorSet(t, func(t *testing.T, w *worker) {
		was := w.threads(1)
		defer w.threads(was)
		for _, c := range []struct {
			shape     []int
			out, taps int
			by        string
		}{
			{[]int{1, 96, 5, 6, 7}, 160, 3, tile2}, {[]int{2, 16, 21, 9, 14}, 160, 3, tile4},
			{[]int{2, 16, 17, 26, 14}, 32, 3, tile2}, {[]int{2, 32, 21, 30, 14}, 16, 3, tile4},
			{[]int{1, 16, 21, 16, 14}, 160, 5, tile2}, {[]int{2, 16, 21, 16, 14}, 160, 5, tile3},
			{[]int{2, 3, 37, 31, 12}, 9, 3, planes}, {[]int{1, 40, 21, 16, 14}, 3, 5, planes},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				defer only(w, c.by)()
				var want [][]float64
				for _, threads := range []int{1, 2, 3, 7, 16} {
					w.threads(threads)
					b, err := New(nn.Float32, Config{Profile: true})
					require.NoError(t, err)
					got := convolve(t, b, c.shape, []int{c.out, c.shape[1], c.taps, c.taps, c.taps}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, false, nil)
					passes := 0
					of := opsBy(b, c.by)
					// The gradient of the bias comes with that of the weights.
					for i, op := range []string{"Conv3D", "Conv3D backward", "Conv3D backward weights", "Conv3D backward weights"} {
						if of[op] {
							passes++
						} else {
							got[i] = nil // oneDNN's, whose sums may depend on the number of threads
						}
					}
					require.NotZero(t, passes)
					if want == nil {
						want = got
					}
					require.Equal(t, want, got, "%d threads", threads)
				}
			})
		}
	})
}

// TestNonFiniteVoxels checks that an infinite or NaN voxel affects all voxels that it would
// affect in direct convolution and, apart from those, at most voxels of the same tiles.
func TestNonFiniteVoxels(t *testing.T) {
	eachVectorSet(t, func(t *testing.T, w *worker) {
		size := []int{13, 12, 11}
		at := []int{6, 5, 4}
		for _, c := range []struct {
			by             string
			channels, taps int
			reach          int
		}{{tile2, 16, 3, 2}, {tile4, 16, 3, 4}, {tile2, 16, 5, 3}, {planes, 3, 3, 1}, {planes, 9, 5, 2}} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				defer only(w, c.by)()
				b, err := New(nn.Float32, Config{Profile: true})
				require.NoError(t, err)
				pad := c.taps / 2
				for _, value := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
					all := convolve(t, b, []int{1, c.channels, size[0], size[1], size[2]}, []int{c.channels, c.channels, c.taps, c.taps, c.taps},
						nn.ConvSpec{Padding: [3]int{pad, pad, pad}}, false,
						func(x []float32) { x[(at[0]*size[1]+at[1])*size[2]+at[2]] = value })
					require.NotZero(t, passesOf(b, c.by))
					for i, y := range all[0] {
						p := []int{i / (size[1] * size[2]) % size[0], i / size[2] % size[1], i % size[2]}
						far := 0
						for axis := range p {
							far = max(far, max(p[axis]-at[axis], at[axis]-p[axis]))
						}
						switch finite := !math.IsNaN(y) && !math.IsInf(y, 0); {
						case far <= pad:
							require.False(t, finite, "voxel %v", p)
						case far > c.reach:
							require.True(t, finite, "voxel %v", p)
						}
					}
				}
			})
		}
	})
}

// BenchmarkConvolution measures convolutions and their gradients by filters and by oneDNN's
// direct convolution. Both are reported as the rate of direct convolution's products, so
// filters can exceed the machine's peak rate by the factor that they save: at most 8 for
// 3×3×3 taps and 4.6 for 5×5×5, and none with few channels.
func BenchmarkConvolution(b *testing.B) {
	w, err := start()
	require.NoError(b, err)
	for _, c := range []struct {
		in, out, taps int
		size          [3]int
	}{
		{32, 32, 3, [3]int{80, 64, 24}}, {64, 64, 3, [3]int{48, 64, 48}}, {128, 128, 3, [3]int{24, 32, 24}}, {256, 256, 3, [3]int{12, 16, 12}},
		{32, 32, 5, [3]int{80, 64, 24}}, {64, 64, 5, [3]int{40, 32, 24}},
		{2, 2, 3, [3]int{160, 128, 24}}, {8, 8, 3, [3]int{160, 128, 24}}, {3, 32, 3, [3]int{160, 128, 24}}, {16, 2, 3, [3]int{160, 128, 24}},
		{32, 2, 5, [3]int{80, 64, 24}},
	} {
		for _, method := range []string{"direct", "filter"} {
			b.Run(fmt.Sprintf("%d-%d,%dx%dx%d,taps=%d/%s", c.in, c.out, c.size[0], c.size[1], c.size[2], c.taps, method), func(b *testing.B) {
				if method == "direct" {
					defer only(w, "oneDNN")()
				}
				backend, err := New(nn.Float32, Config{Profile: true})
				require.NoError(b, err)
				x := []int{1, c.in, c.size[0], c.size[1], c.size[2]}
				weight := []int{c.out, c.in, c.taps, c.taps, c.taps}
				spec := nn.ConvSpec{Padding: [3]int{c.taps / 2, c.taps / 2, c.taps / 2}}
				convolve(b, backend, x, weight, spec, false, nil)
				Profile(backend)
				for b.Loop() {
					convolve(b, backend, x, weight, spec, false, nil)
				}
				flops := 2 * float64(nn.Elements(c.size[:])*nn.Elements(weight))
				for _, e := range Profile(backend) {
					if unit := map[string]string{"Conv3D": "forward", "Conv3D backward": "input", "Conv3D backward weights": "kernel"}[e.Op]; unit != "" && strings.Contains(e.Shape, "fine") {
						b.ReportMetric(flops*float64(e.Calls)/e.Time.Seconds()/1e9, unit+"-GFLOP/s")
					}
				}
			})
		}
	}
}
