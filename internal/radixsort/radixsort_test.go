package radixsort

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// filled returns a function that fills parts of a size from items, leaving out those at
// positions that are divisible by skip.
func filled[T float32 | float64](items []Item[T], size, skip int) (parts int, fill func(part int, dst []Item[T]) int) {
	return (len(items) + size - 1) / size, func(part int, dst []Item[T]) int {
		n := 0
		for _, it := range items[part*size : min((part+1)*size, len(items))] {
			if skip == 0 || int(it.At)%skip != 0 {
				dst[n] = it
				n++
			}
		}
		return n
	}
}

// requireSorted compares with a stable sort.
func requireSorted[T float32 | float64](t *testing.T, s *Sorter[T], items []Item[T], size, skip int, what string) {
	t.Helper()
	want := slices.Clone(items)
	if skip != 0 {
		want = slices.DeleteFunc(want, func(it Item[T]) bool { return int(it.At)%skip == 0 })
	}
	slices.SortStableFunc(want, func(a, b Item[T]) int { return cmp.Compare(key(a.Value), key(b.Value)) })
	parts, fill := filled(items, size, skip)
	got := s.Descending(parts, size, fill)
	require.Len(t, got, len(want), what)
	for i := range want { // by keys, as NaN is not equal to itself
		if want[i].At != got[i].At || key(want[i].Value) != key(got[i].Value) {
			require.Failf(t, "order", "%s: item %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestDescending covers one part and several, full and not, and memory that is used again.
func TestDescending(t *testing.T) {
	t.Run("float32", func(t *testing.T) { descending[float32](t) })
	t.Run("float64", func(t *testing.T) { descending[float64](t) })
}

func descending[T float32 | float64](t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draws := map[string]func() T{
		"distinct":      func() T { return T(math.Exp(9 * r.NormFloat64())) },
		"probabilities": func() T { return T(r.Float64()) },
		"near":          func() T { return 1 + T(r.IntN(9))/(1<<20) },
		"few":           func() T { return T(r.IntN(3)) },
		"equal":         func() T { return 0.25 },
		"special": func() T {
			return T([]float64{0, 1e-45, 5e-324, math.Inf(1), 1, math.MaxFloat32, math.NaN()}[r.IntN(7)])
		},
	}
	var s Sorter[T]
	for name, draw := range draws {
		for _, n := range []int{0, 1, 2, 1000, 1<<14 + 3, 50000} {
			items := make([]Item[T], n)
			for i := range items {
				items[i] = Item[T]{draw(), uint32(i)}
			}
			for _, size := range []int{1 << 12, 7777, 1 << 16} {
				for _, skip := range []int{0, 1, 3} {
					requireSorted(t, &s, items, size, skip, fmt.Sprintf("%s, %d in parts of %d, without every %d", name, n, size, skip))
				}
			}
		}
	}
	require.Empty(t, s.Descending(0, 100, nil))
}

func FuzzDescending(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 0, 63, 0, 0, 128, 63}, uint8(2), uint8(0))
	f.Add([]byte("five equal words are sorted, four of them are leftfourfourfour"), uint8(1), uint8(3))
	var s32 Sorter[float32]
	var s64 Sorter[float64]
	f.Fuzz(func(t *testing.T, data []byte, size, skip uint8) {
		var narrow []Item[float32]
		var wide []Item[float64]
		for i := 0; i+4 <= len(data); i += 4 {
			v := math.Float32frombits(binary.LittleEndian.Uint32(data[i:]) &^ (1 << 31))
			narrow = append(narrow, Item[float32]{v, uint32(i / 4)})
			wide = append(wide, Item[float64]{math.Sqrt(float64(v)), uint32(i / 4)})
		}
		requireSorted(t, &s32, narrow, int(size)+1, int(skip), "float32")
		requireSorted(t, &s64, wide, int(size)+1, int(skip), "float64")
	})
}

func BenchmarkDescending(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]Item[float32], 160*128*24)
	for i := range items {
		items[i] = Item[float32]{float32(1 / (1 + math.Exp(r.NormFloat64()))), uint32(i)}
	}
	parts, fill := filled(items, (len(items)+7)/8, 0)
	var s Sorter[float32]
	for b.Loop() {
		s.Descending(parts, (len(items)+7)/8, fill)
	}
}
