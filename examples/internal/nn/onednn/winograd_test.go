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

// eachWinograd runs f on every instruction set that has code for it.
func eachWinograd(t *testing.T, f func(t *testing.T, w *worker)) {
	eachInstructionSet(t, []string{"AVX-512", "AVX2"}, f)
}

// TestWinogradEqualsSum compares convolutions that are computed that way with the
// portable backend in float64: results and gradients, on sizes that leave parts
// of tiles, blocks of tiles and vectors.
func TestWinogradEqualsSum(t *testing.T) {
	eachWinograd(t, func(t *testing.T, w *worker) {
		defer w.winogradAlways(0)
		for _, c := range []struct {
			batch, in, out int
			taps           int
			size, pad      [3]int
			tile           int
		}{
			{1, 32, 32, 3, [3]int{24, 20, 18}, [3]int{1, 1, 1}, 4},
			{2, 32, 48, 3, [3]int{17, 12, 15}, [3]int{1, 1, 1}, 4},
			{1, 80, 32, 3, [3]int{13, 10, 9}, [3]int{0, 1, 2}, 4},
			{1, 64, 112, 3, [3]int{6, 7, 5}, [3]int{2, 2, 1}, 2},
			{1, 256, 224, 3, [3]int{5, 10, 7}, [3]int{1, 1, 1}, 2},
			{1, 64, 64, 5, [3]int{13, 12, 14}, [3]int{2, 2, 2}, 2},
			{2, 48, 80, 5, [3]int{9, 14, 11}, [3]int{1, 2, 4}, 2},
			{1, 64, 64, 5, [3]int{13, 12, 14}, [3]int{2, 2, 2}, 3},
			{2, 48, 80, 5, [3]int{9, 14, 50}, [3]int{1, 2, 4}, 3},
			{1, 32, 16, 5, [3]int{26, 31, 23}, [3]int{0, 3, 2}, 3},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				w.winogradAlways(c.tile)
				fast, err := New(nn.Float32, Config{Profile: true})
				require.NoError(t, err)
				exact, err := portable.New(nn.Float64)
				require.NoError(t, err)
				spec := nn.ConvSpec{Padding: c.pad}
				x := []int{c.batch, c.in, c.size[0], c.size[1], c.size[2]}
				weight := []int{c.out, c.in, c.taps, c.taps, c.taps}
				want, got := convolve(t, exact, x, weight, spec, false, nil), convolve(t, fast, x, weight, spec, false, nil)
				for i, what := range []string{"y", "gx", "gw", "gb"} {
					assert.LessOrEqual(t, nntest.RelativeError(want[i], got[i]), 1e-5, what)
				}
				passes := 3
				switch {
				case c.taps == 5 && c.tile == 2:
					passes = 2 // not the gradient of the kernel
				case c.taps == 5:
					passes = 1 // nothing but that
				}
				assert.Equal(t, passes, passesOf(fast, fmt.Sprint("winograd:tile ", c.tile)))
			})
		}
	})
}

// TestWinogradIsChosen checks where it is used and where the sum over taps is.
func TestWinogradIsChosen(t *testing.T) {
	eachWinograd(t, func(t *testing.T, _ *worker) {
		for _, c := range []struct {
			in, out, taps, size, stride int
			want                        string
			passes                      int
		}{
			{64, 64, 3, 32, 1, "winograd:tile 4", 3},
			{256, 128, 3, 10, 1, "winograd:tile 2", 3},
			{64, 64, 5, 32, 1, "winograd:tile 2", 2},
			{64, 64, 5, 32, 1, "winograd:tile 3", 1},
			{256, 256, 5, 10, 1, "winograd:tile 3", 0},
			{8, 8, 3, 32, 1, "winograd", 0},
			{3, 32, 3, 32, 1, "winograd", 0},
			{512, 512, 3, 4, 1, "winograd", 0},
			{64, 64, 3, 32, 2, "winograd", 0},
			{64, 64, 1, 32, 1, "winograd", 0},
		} {
			b, err := New(nn.Float32, Config{Profile: true})
			require.NoError(t, err)
			pad, stride := c.taps/2, c.stride
			convolve(t, b, []int{1, c.in, c.size, c.size, c.size}, []int{c.out, c.in, c.taps, c.taps, c.taps},
				nn.ConvSpec{Padding: [3]int{pad, pad, pad}, Stride: [3]int{stride, stride, stride}}, false, nil)
			assert.Equal(t, c.passes, passesOf(b, c.want), "%v", c)
		}
	})
}

// passesOf counts the convolutions and gradients that a backend computed by this
// implementation.
func passesOf(b nn.Backend, implementation string) (n int) {
	for _, e := range Profile(b) {
		if strings.Contains(e.Shape, implementation) {
			n++
		}
	}
	return n
}

// TestWinogradOnAnyNumberOfThreads requires the same bits whatever the number of
// threads, for many channels on few tiles and the reverse.
func TestWinogradOnAnyNumberOfThreads(t *testing.T) {
	eachWinograd(t, func(t *testing.T, w *worker) {
		defer w.winogradAlways(0)
		was := w.threads(1)
		defer w.threads(was)
		for _, c := range []struct {
			shape      []int
			taps, tile int
		}{{[]int{1, 96, 5, 6, 7}, 3, 2}, {[]int{2, 16, 21, 9, 14}, 3, 4}, {[]int{1, 16, 21, 16, 14}, 5, 2}, {[]int{2, 16, 21, 16, 14}, 5, 3}} {
			w.winogradAlways(c.tile)
			var want [][]float64
			for _, threads := range []int{1, 2, 3, 7, 16} {
				w.threads(threads)
				b, err := New(nn.Float32, Config{})
				require.NoError(t, err)
				got := convolve(t, b, c.shape, []int{160, c.shape[1], c.taps, c.taps, c.taps}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, false, nil)
				if want == nil {
					want = got
				}
				require.Equal(t, want, got, "%d threads", threads)
			}
		}
	})
}

// TestWinogradSpreadsOverATile: a voxel that is infinite or not a number reaches
// all that the sum over taps would reach, and no farther than the tiles of that.
func TestWinogradSpreadsOverATile(t *testing.T) {
	eachWinograd(t, func(t *testing.T, w *worker) {
		defer w.winogradAlways(0)
		size := []int{13, 12, 11}
		at := []int{6, 5, 4}
		for _, tile := range []int{2, 4} {
			w.winogradAlways(tile)
			b, err := New(nn.Float32, Config{})
			require.NoError(t, err)
			for _, hostile := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
				all := convolve(t, b, []int{1, 16, size[0], size[1], size[2]}, []int{16, 16, 3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, false,
					func(x []float32) { x[(at[0]*size[1]+at[1])*size[2]+at[2]] = hostile })
				for i, y := range all[0] {
					p := []int{i / (size[1] * size[2]) % size[0], i / size[2] % size[1], i % size[2]}
					far := 0
					for axis := range p {
						far = max(far, max(p[axis]-at[axis], at[axis]-p[axis]))
					}
					switch finite := !math.IsNaN(y) && !math.IsInf(y, 0); {
					case far <= 1:
						require.False(t, finite, "voxel %v", p)
					case far > tile:
						require.True(t, finite, "voxel %v", p)
					}
				}
			}
		}
	})
}

// BenchmarkConvolution measures convolutions and their gradients by minimal
// filtering and by oneDNN's sum over taps, in both as the rate of the sum's
// products. Its limit is that of the sum, times what filtering saves: at most 8 for
// 3×3×3 taps and 4.6 for 5×5×5.
func BenchmarkConvolution(b *testing.B) {
	w, err := start()
	require.NoError(b, err)
	defer w.winogradAlways(0)
	for _, c := range []struct {
		channels, taps int
		size           [3]int
	}{
		{32, 3, [3]int{80, 64, 24}}, {64, 3, [3]int{48, 64, 48}}, {128, 3, [3]int{24, 32, 24}}, {256, 3, [3]int{12, 16, 12}},
		{32, 5, [3]int{80, 64, 24}}, {64, 5, [3]int{40, 32, 24}},
	} {
		for _, way := range []struct {
			name string
			tile int
		}{{"sum", -1}, {"filtering", 0}} {
			b.Run(fmt.Sprintf("%d-%d,%dx%dx%d,taps=%d/%s", c.channels, c.channels, c.size[0], c.size[1], c.size[2], c.taps, way.name), func(b *testing.B) {
				w.winogradAlways(way.tile)
				backend, err := New(nn.Float32, Config{Profile: true})
				require.NoError(b, err)
				x := []int{1, c.channels, c.size[0], c.size[1], c.size[2]}
				weight := []int{c.channels, c.channels, c.taps, c.taps, c.taps}
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
