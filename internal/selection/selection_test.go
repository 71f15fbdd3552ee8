package selection

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compareNumbers orders numbers as Largest does, from the definition.
func compareNumbers[T float32 | float64](a, b T) int {
	switch {
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	case b != b:
		return -1
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// requireLargest compares with a stable sort of e, given in parts of a size.
func requireLargest[T float32 | float64](t *testing.T, s *Selector[T], e []T, m, size int, what string) {
	t.Helper()
	var parts [][]Item[T]
	for i, v := range e {
		if i%size == 0 {
			parts = append(parts, nil)
		}
		last := &parts[len(parts)-1]
		*last = append(*last, Item[T]{v, uint32(7 * i)})
	}
	low, high := T(math.Inf(-1)), T(math.Inf(1))
	if m%2 == 1 && !slices.ContainsFunc(e, func(v T) bool { return v != v }) {
		low, high = slices.Min(e), slices.Max(e)
	}
	enough := s.Largest(m, parts, low, high)
	require.Equal(t, m <= len(e), enough, what)
	if !enough {
		return
	}
	taken := []uint32{}
	for _, part := range parts {
		for _, it := range part {
			taken = append(taken, it.At)
		}
	}
	order := make([]uint32, len(e))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int { return compareNumbers(e[b], e[a]) })
	want := order[:m]
	slices.Sort(want)
	for i := range want {
		want[i] *= 7
	}
	require.Equal(t, want, taken, what)
}

func TestLargest(t *testing.T) {
	t.Run("float32", func(t *testing.T) { largest[float32](t) })
	t.Run("float64", func(t *testing.T) { largest[float64](t) })
}

func largest[T float32 | float64](t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draws := map[string]func() T{
		"distinct": func() T { return T(math.Exp(3 * r.NormFloat64())) },
		"signed":   func() T { return T(r.NormFloat64()) },
		"near":     func() T { return T(1 + r.Float64()/1e6) },
		"few":      func() T { return T(r.IntN(3)) },
		"equal":    func() T { return 0.25 },
		"special": func() T {
			return T([]float64{0, math.Copysign(0, -1), -1, 1e-45, 5e-324, math.Inf(1), math.Inf(-1), 1, math.MaxFloat32, math.NaN()}[r.IntN(10)])
		},
	}
	var s Selector[T]
	for name, draw := range draws {
		for _, n := range []int{1, 2, 63, 2049, 20017} {
			e := make([]T, n)
			for i := range e {
				e[i] = draw()
			}
			for _, m := range []int{1, (n + 9) / 10, (n + 1) / 2, n, n + 1} {
				for _, size := range []int{n, 4001} {
					requireLargest(t, &s, e, m, size, fmt.Sprintf("%s, %d of %d in parts of %d", name, m, n, size))
				}
			}
		}
	}
}

func FuzzLargest(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 0, 191, 0, 0, 128, 63, 0, 0, 192, 127}, uint8(2), uint8(0))
	f.Add([]byte("five equal words are here, four of them are leftfourfourfour"), uint8(4), uint8(3))
	var s32 Selector[float32]
	var s64 Selector[float64]
	f.Fuzz(func(t *testing.T, data []byte, m, size uint8) {
		var narrow []float32
		var wide []float64
		for i := 0; i+4 <= len(data); i += 4 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(data[i:]))
			narrow, wide = append(narrow, v), append(wide, float64(v)/3)
		}
		requireLargest(t, &s32, narrow, int(m)+1, int(size)+1, "float32")
		requireLargest(t, &s64, wide, int(m)+1, int(size)+1, "float64")
	})
}

// TestWindow checks that the least of the share taken is mostly between the limits, and that
// not many others are.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	all := make([]float32, 200000)
	for i := range all {
		all[i] = float32(r.NormFloat64())
	}
	var s Selector[float32]
	missed := 0
	for _, share := range []float64{0.001, 0.1, 0.5, 0.9} {
		for range 50 {
			sample := make([]float32, 4096)
			for i := range sample {
				sample[i] = all[r.IntN(len(all))]
			}
			low, high := s.Window(slices.Clone(sample), share)
			above, within := 0, 0
			for _, v := range all {
				if v > high {
					above++
				} else if v >= low {
					within++
				}
			}
			taken := int(share * float64(len(all)))
			if above > taken || above+within < taken {
				missed++
			}
			require.Less(t, float64(within)/float64(len(all)), 0.005+8*math.Sqrt(share/4096))
			slices.Sort(sample)
			_, isLow := slices.BinarySearch(sample, low)
			_, isHigh := slices.BinarySearch(sample, high)
			require.True(t, isLow && (isHigh || share == 0.001 && math.IsInf(float64(high), 1)), "numbers of the sample")
		}
	}
	assert.LessOrEqual(t, missed, 3)
	of := func(sample []float64, share float64) [2]float64 {
		var s Selector[float64]
		low, high := s.Window(sample, share)
		return [2]float64{low, high}
	}
	assert.Equal(t, [2]float64{math.Inf(-1), math.Inf(1)}, of([]float64{1, 2, 3}, 0.1), "a small sample")
	assert.Equal(t, [2]float64{math.Inf(-1), 0}, of(make([]float64, 4096), 1), "all")
	assert.Equal(t, [2]float64{-2, -2}, of(slices.Repeat([]float64{-2}, 4096), 0.3), "one number")
	assert.Equal(t, [2]float64{math.Inf(1), math.Inf(1)}, of(slices.Repeat([]float64{math.NaN()}, 4096), 0.3), "NaN")
	order := []float64{math.Inf(-1), -2, -1e-300, 0, 1e-300, 2, math.Inf(1), math.NaN()}
	assert.True(t, slices.IsSortedFunc(order, func(a, b float64) int { return cmp.Compare(key(a), key(b)) }))
	for _, v := range order[:7] {
		assert.Equal(t, v, number[float64](key(v)))
		assert.Equal(t, float32(v), number[float32](key(float32(v))))
	}
	assert.True(t, math.IsNaN(number[float64](key(math.NaN()))))
}
