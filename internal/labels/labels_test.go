package labels

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// large is a number above the 32-bit integers where an int has more bits.
const large = math.MaxInt>>23 + 1

// readersOf returns readers of the same whole numbers in every type that holds
// them, by type.
func readersOf(values []int) map[string]Reader {
	readers := map[string]Reader{}
	add := func(slice any) { readers[fmt.Sprintf("%T", slice)] = Of(slice) }
	add(as[int](values))
	add(as[int64](values))
	add(as[float64](values))
	lo, hi := 0, 0
	for _, v := range values {
		lo, hi = min(lo, v), max(hi, v)
	}
	if lo >= math.MinInt8 && hi <= math.MaxInt8 {
		add(as[int8](values))
	}
	if lo >= math.MinInt16 && hi <= math.MaxInt16 {
		add(as[int16](values))
	}
	if lo >= math.MinInt32 && hi <= math.MaxInt32 {
		add(as[int32](values))
	}
	if lo >= -1<<24 && hi <= 1<<24 {
		add(as[float32](values))
	}
	if lo >= 0 {
		add(as[uint](values))
		add(as[uint64](values))
		if hi <= math.MaxUint8 {
			add(as[uint8](values))
		}
		if hi <= math.MaxUint16 {
			add(as[uint16](values))
		}
		if int64(hi) <= math.MaxUint32 {
			add(as[uint32](values))
		}
		if hi <= 1 {
			flags := make([]bool, len(values))
			for i, v := range values {
				flags[i] = v == 1
			}
			add(flags)
		}
	}
	return readers
}

func as[T integer | float32 | float64](values []int) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = T(v)
	}
	return out
}

func TestTypes(t *testing.T) {
	assert.Len(t, readersOf([]int{0, 1}), 13)
	for _, other := range []any{nil, 3, []string{"a"}, []complex64{1}, []uintptr{1}, [2]uint8{}} {
		assert.Nil(t, Of(other), "%T", other)
	}
}

func TestNonZero(t *testing.T) {
	for _, values := range [][]int{{9, 0, 1, 0, 1, 1, 9}, {9, 0, 1, 0, 1, 1, 0}, {0, 0, 1, 0, 1, 1, 0}, {9, 0, -3, 0, large, 1, 0}} {
		for name, r := range readersOf(values) {
			dst := []uint8{7, 7, 7, 7, 7}
			require.Equal(t, -1, r.NonZero(dst, 1), name)
			require.Equal(t, []uint8{0, 1, 0, 1, 1}, dst, name)
		}
	}
	dst := make([]uint8, 4)
	nan := math.NaN()
	assert.Equal(t, 1, Of([]float64{0, 1, nan, nan, 2}).NonZero(dst, 1))
	assert.Equal(t, 1, Of([]float32{0, 1, float32(nan), float32(nan), 2}).NonZero(dst, 1))
	assert.Equal(t, -1, Of([]float64{nan, math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.Inf(1), -0.5}).NonZero(dst, 1))
	assert.Equal(t, []uint8{0, 1, 1, 1}, dst)
}

func TestEqual(t *testing.T) {
	values := []int{5, 0, 1, 3, 300, 3, -1}
	for _, label := range []int32{0, 1, 3, 44, 255, 300, math.MaxInt32} {
		for n := 1; n <= len(values); n++ { // fewer values fit more types
			for name, r := range readersOf(values[:n]) {
				dst := make([]uint8, n-1)
				require.Equal(t, -1, r.Equal(dst, 1, label), name)
				for i, v := range values[1:n] {
					require.Equal(t, v == int(label), dst[i] == 1, "%s: label %d, value %d", name, label, v)
				}
			}
		}
	}
	dst := make([]uint8, 2)
	assert.Equal(t, -1, Of([]uint64{math.MaxUint64, 1 << 63}).Equal(dst, 0, 0))
	assert.Equal(t, []uint8{0, 0}, dst)
	for _, bad := range []float64{0.5, math.NaN(), math.Inf(1), math.Inf(-1)} {
		assert.Equal(t, 1, Of([]float64{1, bad}).Equal(dst, 0, 1))
		assert.Equal(t, 1, Of([]float32{1, float32(bad)}).Equal(dst, 0, 1))
	}
	assert.Equal(t, -1, Of([]float64{-1e300, 1 << 32}).Equal(dst, 0, 0))
	assert.Equal(t, []uint8{0, 0}, dst)
}

func TestClasses(t *testing.T) {
	values := []int{0, 1, 0, 1, 3, 255, 2, -7, large}
	for _, c := range []Classes{
		{Limit: 2}, {Limit: 4}, {Limit: 300}, {Limit: math.MaxInt32}, {Limit: 2, Binarize: true},
		{Limit: 4, Ignore: []int64{255}}, {Limit: 2, Ignore: []int64{0, -7}}, {Limit: 4, Ignore: []int64{255, math.MaxInt64, large}},
		{Limit: 2, Binarize: true, Ignore: []int64{3, -7}}, {Limit: 4, Ignore: []int64{1}},
	} {
		// meaning returns the class of a value by definition.
		meaning := func(v int) (class int32, ok bool) {
			for _, ignored := range c.Ignore {
				if int64(v) == ignored {
					return Ignored, true
				}
			}
			if v >= 0 && v < int(c.Limit) {
				return int32(v), true
			}
			return 1, c.Binarize && v > 0
		}
		for n := 1; n <= len(values); n++ {
			for name, r := range readersOf(values[:n]) {
				dst := make([]int32, n-1)
				bad := r.Classes(dst, 1, &c)
				for i, v := range values[1:n] {
					class, ok := meaning(v)
					if !ok {
						require.Equal(t, i, bad, "%s %+v: value %d", name, c, v)
						break
					}
					require.Equal(t, class, dst[i], "%s %+v: value %d", name, c, v)
					require.True(t, bad < 0 || bad > i, "%s %+v: value %d", name, c, v)
				}
			}
		}
	}
}

func TestClassesOfExtremes(t *testing.T) {
	for _, test := range []struct {
		reader Reader
		c      Classes
		class  int32 // −2 where it is none
	}{
		{Of([]uint64{math.MaxUint64}), Classes{Limit: 2}, -2},
		{Of([]uint64{math.MaxUint64}), Classes{Limit: 2, Ignore: []int64{-1}}, -2},
		{Of([]uint64{math.MaxUint64}), Classes{Limit: 2, Ignore: []int64{-1}, Binarize: true}, 1},
		{Of([]uint64{math.MaxInt64}), Classes{Limit: 2, Ignore: []int64{math.MaxInt64}}, Ignored},
		{Of([]int64{math.MinInt64}), Classes{Limit: 2, Binarize: true}, -2},
		{Of([]int64{math.MinInt64}), Classes{Limit: 2, Ignore: []int64{math.MinInt64}}, Ignored},
		{Of([]uint32{1 << 31}), Classes{Limit: math.MaxInt32}, -2},
		{Of([]float32{1 << 31}), Classes{Limit: math.MaxInt32}, -2},
		{Of([]float64{1 << 31}), Classes{Limit: math.MaxInt32}, -2},
		{Of([]float64{math.MaxInt32 - 1}), Classes{Limit: math.MaxInt32}, math.MaxInt32 - 1},
		{Of([]float64{1e300}), Classes{Limit: 2}, -2},
		{Of([]float64{1e300}), Classes{Limit: 2, Binarize: true}, 1},
		{Of([]float64{math.Inf(1)}), Classes{Limit: 2, Binarize: true}, -2},
		{Of([]float64{math.NaN()}), Classes{Limit: 2, Binarize: true}, -2},
		{Of([]float32{1.5}), Classes{Limit: 2, Binarize: true}, -2},
		{Of([]float32{0.5}), Classes{Limit: 2}, -2},
		{Of([]float64{math.Copysign(0, -1)}), Classes{Limit: 2}, 0},
		{Of([]float64{-1}), Classes{Limit: 2, Ignore: []int64{-1}}, Ignored},
	} {
		dst := make([]int32, 1)
		bad := test.reader.Classes(dst, 0, &test.c)
		if test.class == -2 {
			assert.Equal(t, 0, bad, "%v %+v", test.reader, test.c)
			continue
		}
		assert.Equal(t, -1, bad, "%v %+v", test.reader, test.c)
		assert.Equal(t, test.class, dst[0], "%v %+v", test.reader, test.c)
	}
}

func TestFloat64sAndAt(t *testing.T) {
	for _, values := range [][]int{{0, 1, 0, 1}, {3, -1, 7, 100}, {3, large, 7, -100}} {
		for name, r := range readersOf(values) {
			dst := make([]float64, 2)
			r.Float64s(dst, 1)
			for i, v := range values[1:3] {
				require.Equal(t, float64(v), dst[i], name)
				if name != "[]bool" {
					require.EqualValues(t, v, r.At(1+i), name)
				}
			}
		}
	}
	dst := make([]float64, 1)
	Of([]float32{0.1}).Float64s(dst, 0)
	assert.Equal(t, float64(float32(0.1)), dst[0])
	assert.Equal(t, true, Of([]bool{false, true}).At(1))
	assert.Equal(t, float32(0.1), Of([]float32{0.1}).At(0))
}

func TestGather(t *testing.T) {
	for name, r := range readersOf([]int{3, 1, 0, 1}) {
		got := Of(r.Gather([]int{2, 0, 0, 3}))
		require.NotNil(t, got, name)
		for i, k := range []int{2, 0, 0, 3} {
			assert.Equal(t, r.At(k), got.At(i), name)
		}
	}
	assert.Equal(t, []bool{true, false}, Of([]bool{false, true}).Gather([]int{1, 0}))
	assert.Equal(t, []uint16{}, Of([]uint16{7}).Gather(nil))
}
