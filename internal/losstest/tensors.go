package losstest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// Floats returns a float32 or float64 tensor with the given entries.
func Floats(dt tensor.Dtype, shape []int, at func(i int) float64) *tensor.Dense {
	n := product(shape)
	if dt == tensor.Float32 {
		b := make([]float32, n)
		for i := range b {
			b[i] = float32(at(i))
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
	}
	b := make([]float64, n)
	for i := range b {
		b[i] = at(i)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

// Bytes returns a uint8 tensor with the given entries.
func Bytes(shape []int, at func(i int) uint8) *tensor.Dense {
	b := make([]uint8, product(shape))
	for i := range b {
		b[i] = at(i)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

// NaNs returns a float tensor full of NaN, for results to be written over.
func NaNs(dt tensor.Dtype, shape ...int) *tensor.Dense {
	return Floats(dt, shape, func(int) float64 { return math.NaN() })
}

// PerVoxel returns the shape N×space of logits of shape N×C×space.
func PerVoxel(shape []int) []int { return append([]int{shape[0]}, shape[2:]...) }

func product(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// RandomLogits are of a normal distribution of width 2, seeded by salt.
func RandomLogits(dt tensor.Dtype, shape []int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 1))
	return Floats(dt, shape, func(int) float64 { return 2 * r.NormFloat64() })
}

// RandomLabels are class indices for logits of a shape, seeded by salt.
func RandomLabels(shape []int, classes int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 2))
	return Bytes(PerVoxel(shape), func(int) uint8 { return uint8(r.IntN(classes)) })
}

// probabilities lie in (0.05, 0.95).
func probabilities(dt tensor.Dtype, shape []int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, salt))
	return Floats(dt, shape, func(int) float64 { return 0.05 + 0.9*r.Float64() })
}

func softMaps(shape []int, salt uint64) *tensor.Dense {
	r := rand.New(rand.NewPCG(salt, 3))
	return Floats(tensor.Float64, shape, func(int) float64 { return r.Float64() })
}

// OneHot spreads class indices over the channels of a shape, of one channel class 1.
func OneHot(of tensor.Dtype, labels *tensor.Dense, shape []int) *tensor.Dense {
	y := labels.Data().([]uint8)
	c, v := shape[1], len(y)/shape[0]
	hot := tensor.New(tensor.Of(of), tensor.WithShape(shape...))
	for i, class := range y {
		channel := int(class)
		if c == 1 {
			channel = 1 - channel // class 1 is in channel 0
		}
		if channel >= 0 && channel < c {
			SetOne(hot, (i/v*c+channel)*v+i%v)
		}
	}
	return hot
}

// SetOne sets an entry of a tensor of float32, float64, uint8, bool or int16 to 1.
func SetOne(t *tensor.Dense, at int) {
	switch s := t.Data().(type) {
	case []float32:
		s[at] = 1
	case []float64:
		s[at] = 1
	case []uint8:
		s[at] = 1
	case []bool:
		s[at] = true
	case []int16:
		s[at] = 1
	default:
		panic(t.Dtype())
	}
}

// convert writes labels in another type.
func convert[T int8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | int | uint | float32 | float64](labels *tensor.Dense) *tensor.Dense {
	y := labels.Data().([]uint8)
	out := make([]T, len(y))
	for i := range y {
		out[i] = T(y[i])
	}
	return tensor.New(tensor.WithShape(labels.Shape()...), tensor.WithBacking(out))
}

// isOne writes labels as a bool mask of class 1.
func isOne(labels *tensor.Dense) *tensor.Dense {
	y := labels.Data().([]uint8)
	mask := make([]bool, len(y))
	for i := range y {
		mask[i] = y[i] == 1
	}
	return tensor.New(tensor.WithShape(labels.Shape()...), tensor.WithBacking(mask))
}

// ignoreEvery marks every k-th voxel as 255.
func ignoreEvery(k int, labels *tensor.Dense) {
	y := labels.Data().([]uint8)
	for i := 0; i < len(y); i += k {
		y[i] = 255
	}
}

// widen returns float32 logits in float64.
func widen(t testing.TB, logits *tensor.Dense) *tensor.Dense {
	t.Helper()
	x := Numbers(t, logits)
	return Floats(tensor.Float64, logits.Shape(), func(i int) float64 { return x[i] })
}

// Numbers returns the entries of a float tensor as float64.
func Numbers(t testing.TB, d *tensor.Dense) []float64 {
	t.Helper()
	switch x := d.Data().(type) {
	case []float64:
		return x
	case []float32:
		out := make([]float64, len(x))
		for i, v := range x {
			out[i] = float64(v)
		}
		return out
	case float64:
		return []float64{x}
	}
	require.Fail(t, "not a float tensor", "%v", d.Dtype())
	return nil
}

// Near checks two lists entry by entry; NaN equals NaN.
func Near(t testing.TB, what string, want, got []float64, tol Tolerance) bool {
	t.Helper()
	if !assert.Len(t, got, len(want), what) {
		return false
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, w := range want {
		if math.IsNaN(w) && math.IsNaN(got[i]) {
			continue
		}
		if !(math.Abs(got[i]-w) <= tol.Relative*math.Abs(w)+tol.Absolute+tol.Largest*largest) {
			return assert.Fail(t, what, "entry %d is %v, want %v", i, got[i], w)
		}
	}
	return true
}

// sameBits requires two results to agree in every bit.
func sameBits(t testing.TB, what string, want, got float64, wantGrad, gotGrad *tensor.Dense) {
	t.Helper()
	if math.Float64bits(want) != math.Float64bits(got) {
		t.Fatalf("%s: the value is %v, want the bits of %v", what, got, want)
	}
	a, b := Numbers(t, wantGrad), Numbers(t, gotGrad)
	if len(a) != len(b) {
		t.Fatalf("%s: the gradient has %d entries, want %d", what, len(b), len(a))
	}
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) {
			t.Fatalf("%s: entry %d of the gradient is %v, want the bits of %v", what, i, b[i], a[i])
		}
	}
}

// requireFinite refuses NaN and infinities in a value and its gradient.
func requireFinite(t testing.TB, what string, value float64, grad *tensor.Dense) {
	t.Helper()
	if math.IsNaN(value) || math.IsInf(value, 0) {
		t.Fatalf("%s: the value is %v", what, value)
	}
	for i, g := range Numbers(t, grad) {
		if math.IsNaN(g) || math.IsInf(g, 0) {
			t.Fatalf("%s: entry %d of the gradient is %v", what, i, g)
		}
	}
}
