package cpu

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// drawnVoxels are the logits and classes of voxels of two channels, some hostile and some ignored.
func drawnVoxels(r *rand.Rand, n, offset int) (x0, x1 []float32, class []uint8) {
	value := func() float32 {
		if r.IntN(4) == 0 {
			return hostile[r.IntN(len(hostile))]
		}
		return float32(r.IntN(7) - 3)
	}
	x0, x1, class = make([]float32, n+offset)[offset:], make([]float32, n+offset)[offset:], make([]uint8, n+offset)[offset:]
	for i := range x0 {
		x0[i], x1[i], class[i] = value(), value(), [...]uint8{0, 1, noClass}[r.IntN(3)]
	}
	return x0, x1, class
}

func TestPickMarginsKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(9, 6))
		inf := float32(math.Inf(1))
		const first = 77000
		for words := range 4 {
			for offset := range 3 {
				x0, x1, class := drawnVoxels(r, 64*words, offset)
				for _, limits := range [][3]float32{{0, 0, 0}, {1, 2, 2.5}, {-1, -1, 3}, {-2, 0, inf}, {-inf, inf, inf}, {-inf, -inf, -inf}, {inf, inf, inf}, {-1e-45, 0, 1e-45}} {
					what := fmt.Sprintf("%d words, limits %v", words, limits)
					wantMasks, wantOnes := make([]uint64, words), make([]uint64, words)
					above, listed, at := []float32{7}, []float32{8}, []uint32{9} // there before
					for i := range x0 {
						margin := x1[i] - x0[i]
						if class[i] == 1 {
							margin = negated(margin)
							wantOnes[i/64] |= 1 << (i % 64)
						}
						if class[i] == noClass {
							continue
						}
						if margin > limits[1] {
							wantMasks[i/64] |= 1 << (i % 64)
							above = append(above, margin)
						}
						if !(margin < limits[0]) && !(margin > limits[2]) {
							listed, at = append(listed, margin), append(at, first+2*uint32(i)+uint32(class[i]))
						}
					}
					p := &marginPick{limits: limits, nAbove: 1, nListed: 1}
					p.above[0], p.listed[0], p.at[0] = 7, 8, 9
					masks, isOne := make([]uint64, words+1), make([]uint64, words+1)
					masks[words], isOne[words] = 12345, 54321
					impl.pickMargins(p, masks[:words], isOne[:words], x0, x1, class, first)
					require.Equal(t, append(wantMasks, 12345), masks, what)
					require.Equal(t, append(wantOnes, 54321), isOne, what)
					require.Equal(t, bitsOf(above), bitsOf(p.above[:p.nAbove]), what)
					require.Equal(t, bitsOf(listed), bitsOf(p.listed[:p.nListed]), what)
					require.Equal(t, at, p.at[:p.nListed], what)
				}
			}
		}
	})
}

// bitsOf are the bits of numbers, of NaN those of one.
func bitsOf(numbers []float32) []uint32 {
	b := make([]uint32, len(numbers))
	for i, v := range numbers {
		if b[i] = math.Float32bits(v); v != v {
			b[i] = math.Float32bits(float32(math.NaN()))
		}
	}
	return b
}

func TestSpreadMarginsKernels(t *testing.T) {
	eachImplementation(t, func(t *testing.T, impl kernels) {
		r := rand.New(rand.NewPCG(2, 7))
		for words := range 4 {
			for offset := range 3 {
				for _, density := range []int{0, 1, 2, 64} { // of 64
					n := 64 * words
					masks, isOne, slopes := make([]uint64, words), make([]uint64, words), []float32{}
					want0, want1 := make([]float32, n), make([]float32, n)
					for i := range n {
						one := uint64(r.IntN(2))
						isOne[i/64] |= one << (i % 64)
						if r.IntN(64) >= density {
							continue
						}
						masks[i/64] |= 1 << (i % 64)
						d := r.Float32()
						slopes = append(slopes, d)
						if want0[i], want1[i] = -d, d; one == 1 {
							want0[i], want1[i] = d, -d
						}
					}
					for _, stream := range []bool{false, true} {
						g0, g1 := slices.Repeat([]float32{5}, n+offset+1)[offset:], slices.Repeat([]float32{5}, n+offset+1)[offset:]
						require.Equal(t, len(slopes), impl.spreadMargins(g0[:n], g1[:n], masks, isOne, slopes, stream))
						impl.fence()
						require.Equal(t, bitsOf(append(want0[:n:n], 5)), bitsOf(g0))
						require.Equal(t, bitsOf(append(want1[:n:n], 5)), bitsOf(g1))
					}
				}
			}
		}
	})
}

// The passes take the voxels with the largest margins, whatever the middle, in as many passes as
// the limits require. Every set of kernels gives the same bits.
func TestMargins(t *testing.T) {
	const n, v = 2, 12345
	r := rand.New(rand.NewPCG(5, 5))
	x, label := make([]float32, 2*n*v), make([]int16, n*v)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		if i%3 > 0 {
			x[i] = float32(math.Round(2 * float64(x[i]))) // ties
		}
	}
	for i := range label {
		label[i] = int16(r.IntN(3)) - 1
	}
	b := &plan.Batch{N: n, C: 2, V: v, Space: [3]int{1, 1, v}, Logits: tensor.New(tensor.WithShape(n, 2, v), tensor.WithBacking(x)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(label)), Argument: "target", HasIgnore: true, Ignore: -1}}
	var order []int
	margins := make([]float32, n*v)
	for i, class := range label {
		if class < 0 {
			continue
		}
		at := i + i/v*v
		if margins[i] = x[at+v] - x[at]; class == 1 {
			margins[i] = -margins[i]
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(margins[b], margins[a]) })
	inf := float32(math.Inf(1))
	for _, count := range []int{1, 700, 5000, len(order)} {
		want, wantSum := make([]float64, len(x)), 0.0
		for _, i := range order[:count] {
			m, at := float64(margins[i]), i+i/v*v
			wantSum += math.Log1p(math.Exp(m))
			slope := 3 / (1 + math.Exp(-m))
			if label[i] == 1 {
				slope = -slope
			}
			want[at], want[at+v] = -slope, slope
		}
		least := margins[order[count-1]]
		for _, limits := range [][3]float32{{-inf, inf, inf}, {-inf, -inf, inf}, {least, least, least}, {least - 1, least - 0.5, least + 1}, {least - 1, least + 0.5, least + 1}} {
			what := fmt.Sprintf("%d, limits %v", count, limits)
			var first []uint32
			eachImplementation(t, func(t *testing.T, impl kernels) {
				g := slices.Repeat([]float32{9}, len(x))
				k := Backend{forced: &impl}
				for _, grad := range []*tensor.Dense{nil, tensor.New(tensor.WithShape(n, 2, v), tensor.WithBacking(g))} {
					m := &Margins{Batch: b, Low: limits[0], Middle: limits[1], High: limits[2], Grad: grad, Scale: 3}
					sums, err := k.Margins(m)
					require.NoError(t, err)
					require.True(t, sums.Finite)
					_, ok := k.SelectMargins(m, len(order)+1)
					require.False(t, ok, "more than there are")
					rest, ok := k.SelectMargins(m, count-sums.Above)
					require.True(t, ok, what)
					require.InEpsilon(t, wantSum, sums.Sum+rest, 1e-5, what)
				}
				for i, w := range want {
					if !(math.Abs(w-float64(g[i])) <= 1e-5) {
						require.Failf(t, "gradient", "%s: %d is %v, want %v", what, i, g[i], w)
					}
				}
				if first == nil {
					first = bitsOf(g)
				}
				require.True(t, slices.Equal(first, bitsOf(g)), what)
			})
		}
	}
}

func TestSampleMargins(t *testing.T) {
	const n, v, share = 3, 50001, 0.02
	r := rand.New(rand.NewPCG(8, 6))
	x, label := make([]float32, 2*n*v), make([]uint8, n*v)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	var margins []float32
	for i := range label {
		label[i] = uint8(r.IntN(3))
		at := i + i/v*v
		switch margin := x[at+v] - x[at]; label[i] {
		case 0:
			margins = append(margins, margin)
		case 1:
			margins = append(margins, -margin)
		}
	}
	slices.Sort(margins)
	b := &plan.Batch{N: n, C: 2, V: v, Space: [3]int{1, 1, v}, Logits: tensor.New(tensor.WithShape(n, 2, v), tensor.WithBacking(x)),
		Target: plan.Target{Tensor: tensor.New(tensor.WithShape(n, v), tensor.WithBacking(label)), Argument: "target", HasIgnore: true, Ignore: 2}}
	var s Sample[float32]
	SampleMargins(Backend{}, &s, b)
	low, middle, high := s.Window(share)
	least := margins[len(margins)-int(share*float64(len(margins)))]
	require.True(t, low <= least && least <= high && low <= middle && middle <= high, "%v of %v to %v", least, low, high)
	from, _ := slices.BinarySearch(margins, low)
	to, _ := slices.BinarySearch(margins, high)
	require.Less(t, to-from, len(margins)/100)

	b.Target.HasIgnore = false // 2 is invalid
	SampleMargins(Backend{}, &s, b)
	low, _, high = s.Window(share)
	require.True(t, math.IsInf(float64(low), -1) && math.IsInf(float64(high), 1))
}
