package losstest

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// brief is a runner of the CPU that stands for an emulated device: it takes half
// precision logits and runs the tests in brief.
type brief struct {
	CPU
	evaluations, entries *int
}

func (brief) Name() string { return "CPU in brief" }

func (b brief) Traits() Traits {
	traits := b.CPU.Traits()
	traits.Brief, traits.Half = true, []Half{Float16, BFloat16}
	return traits
}

func (b brief) Eval(t testing.TB, l afl.Loss, c Call) (value, grad *tensor.Dense, err error) {
	*b.evaluations++
	*b.entries += c.Logits.Shape().TotalSize()
	half := c.Half
	c.Half = None
	value, grad, err = b.CPU.Eval(t, l, c)
	if half == None || err != nil {
		return value, grad, err
	}
	if grad != nil {
		half.round(grad)
	}
	if value.Dtype() == tensor.Float32 && !value.Shape().IsScalar() {
		half.round(value)
	}
	return value, grad, nil
}

// TestBrief runs the suite as an emulated device does.
func TestBrief(t *testing.T) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, r Runner)
	}{
		{"Run", Run},
		{"Golden", Golden},
		{"Compare", func(t *testing.T, r Runner) { Compare(t, CPU{}, r) }},
	} {
		t.Run(part.name, func(t *testing.T) {
			r := brief{evaluations: new(int), entries: new(int)}
			part.run(t, r)
			t.Logf("%d evaluations on %d logits", *r.evaluations, *r.entries)
		})
	}
}

// TestHalf checks the rounding of half precision types.
func TestHalf(t *testing.T) {
	for _, c := range []struct {
		half    Half
		x, want float64
	}{
		{Float16, 1, 1}, {Float16, 1 + 1.0/1024, 1 + 1.0/1024}, {Float16, 1 + 1.0/2048, 1}, {Float16, 1 + 3.0/2048, 1 + 1.0/512},
		{Float16, 65504, 65504}, {Float16, 65519, 65504}, {Float16, 65520, math.Inf(1)}, {Float16, -1e9, math.Inf(-1)},
		{Float16, math.Ldexp(1, -24), math.Ldexp(1, -24)}, {Float16, math.Ldexp(1, -25), 0}, {Float16, math.Ldexp(1.1, -25), math.Ldexp(1, -24)},
		{BFloat16, 1 + 1.0/128, 1 + 1.0/128}, {BFloat16, 1 + 1.0/256, 1}, {BFloat16, -(1 + 3.0/256), -(1 + 1.0/64)},
		{BFloat16, 3e38, math.Ldexp(226, 120)}, {BFloat16, math.MaxFloat32, math.Inf(1)}, {BFloat16, math.Ldexp(1, -133), math.Ldexp(1, -133)},
		{None, 1.0 / 3, 1.0 / 3},
	} {
		assert.Equal(t, c.want, c.half.Round(c.x), "%v of %v", c.half, c.x)
	}
	assert.Equal(t, 65504.0, Float16.Largest())
	assert.True(t, math.IsNaN(Float16.Round(math.NaN())))
	assert.Equal(t, "float16", Float16.String())
}

// TestEveryLossIsDescribed: the suite knows every loss of the registry, with the
// constructor's settings among the variants that it tests.
func TestEveryLossIsDescribed(t *testing.T) {
	tested := variants()
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		require.NotNil(t, descriptors[reflect.TypeOf(l)], "no descriptor of %s, %T: add internal/losstest/loss_*.go", name, l)
		assert.True(t, slices.ContainsFunc(tested, func(v variant) bool { return reflect.DeepEqual(v.loss, l) }),
			"%s is not among the variants of %T: add it to the descriptor in internal/losstest/loss_*.go", name, l)
	}
}
