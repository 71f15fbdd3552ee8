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

// compareNumbers orders numbers as [Selector.Cut] does, from the definition.
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
	var parts []List[T]
	for i, v := range e {
		if i%size == 0 {
			parts = append(parts, List[T]{})
		}
		last := &parts[len(parts)-1]
		last.Values, last.At = append(last.Values, v), append(last.At, uint32(7*i))
	}
	low, high := T(math.Inf(-1)), T(math.Inf(1))
	if m%2 == 1 && !slices.ContainsFunc(e, func(v T) bool { return v != v }) {
		low, high = slices.Min(e), slices.Max(e)
	}
	requireDiffering(t, s, e, m, parts, low, high, what)
	cut, enough := s.Cut(m, parts, low, high)
	require.Equal(t, m <= len(e), enough, what)
	if !enough {
		return
	}
	for i := range parts {
		parts[i].Take(cut, i)
	}
	taken := []uint32{}
	for _, part := range parts {
		require.Len(t, part.Values, len(part.At), what)
		for i, at := range part.At {
			require.Zero(t, compareNumbers(e[at/7], part.Values[i]), what)
		}
		taken = append(taken, part.At...)
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

// requireDiffering compares what [List.Differing] leaves with what [List.Take] does.
func requireDiffering[T float32 | float64](t *testing.T, s *Selector[T], e []T, m int, parts []List[T], low, high T, what string) {
	t.Helper()
	cut, ok := s.Cut(m, parts, low, high)
	if !ok {
		return
	}
	clone := func(l List[T]) List[T] { return List[T]{slices.Clone(l.Values), slices.Clone(l.At)} }
	for _, number := range []T{e[0], e[len(e)/2], 0, T(math.Inf(1)), T(math.Inf(-1))} {
		if number != number {
			continue
		}
		var add, remove, left []uint32
		for i, part := range parts {
			taken, got := clone(part), clone(part)
			taken.Take(cut, i)
			for j, v := range part.Values {
				at := part.At[j]
				isTaken, isAbove := slices.Contains(taken.At, at), compareNumbers(v, number) > 0
				if isTaken && !isAbove {
					add = append(add, at)
				} else if isAbove && !isTaken {
					remove = append(remove, at)
				}
			}
			want := &remove
			if got.Differing(cut, i, number) {
				want = &add
			}
			left = append(left, got.At...)
			require.Equal(t, *want, left, "%s: %v", what, number)
		}
		require.True(t, len(add) == 0 || len(remove) == 0, what)
	}
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
		for _, n := range []int{1, 2, 63, 4103} {
			e := make([]T, n)
			for i := range e {
				e[i] = draw()
			}
			for _, m := range []int{1, (n + 9) / 10, (n + 1) / 2, n, n + 1} {
				for _, size := range []int{n, 801} {
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

func TestKey(t *testing.T) {
	order := []float64{math.Inf(-1), -2, -1e-300, 0, 1e-300, 2, math.Inf(1), math.NaN()}
	assert.True(t, slices.IsSortedFunc(order, func(a, b float64) int { return cmp.Compare(key(a), key(b)) }))
	assert.True(t, slices.IsSortedFunc(order, func(a, b float64) int { return cmp.Compare(key(float32(a)), key(float32(b))) }))
	assert.Equal(t, key(0.0), key(math.Copysign(0, -1)))
}
