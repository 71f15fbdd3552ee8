//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/plan"
)

// floats returns n numbers of a type, hostile ones first.
func floats(dt tensor.Dtype, n int, r *rand.Rand) *tensor.Dense {
	hostile := []float64{0, math.Copysign(0, -1), 1, -1, math.Inf(1), math.Inf(-1), math.NaN(), 65504, 65520, 3.3e38, 1e-40, 6e-8, 3e-8, 1e300, 5e-324}
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64() * math.Exp(8*r.NormFloat64())
		if i < len(hostile) {
			x[i] = hostile[(i+int(n))%len(hostile)]
		}
	}
	p := problem{n: 1, c: 1, x: x, space: [3]int{n, 1, 1}}
	t, _ := p.logits(dt)
	return t
}

// isNearest reports whether got is the number of a half precision type nearest to x,
// the even one of two.
func (f halfFormat) isNearest(got uint16, x float64) bool {
	infinity := uint16(1<<f.exponent-1) << f.fraction
	if math.IsNaN(x) {
		return math.IsNaN(f.value(got))
	}
	magnitude := got &^ 0x8000
	if math.Signbit(x) != (got != magnitude) || magnitude > infinity {
		return false
	}
	// place is the number that a magnitude stands for, which of infinity is where
	// the next number would lie.
	place := func(b uint16) float64 {
		if b == infinity {
			return 2*f.value(b-1) - f.value(b-2)
		}
		return f.value(b)
	}
	y := math.Abs(x)
	if magnitude > 0 {
		if middle := (place(magnitude-1) + place(magnitude)) / 2; y < middle || y == middle && magnitude%2 == 1 {
			return false
		}
	}
	if magnitude < infinity {
		if middle := (place(magnitude) + place(magnitude+1)) / 2; y > middle || y == middle && magnitude%2 == 1 {
			return false
		}
	}
	return true
}

// requireCombined checks a·x + b·y, in float64 and rounded once.
func requireCombined(t *testing.T, a float64, x *tensor.Dense, b float64, y *tensor.Dense, got *tensor.Dense) {
	t.Helper()
	dst, src := wide(x), make([]float64, len(wide(x)))
	if y != nil {
		src = wide(y)
	}
	out, numbers := hostSlice(got), wide(got)
	for i := range dst {
		want := a * dst[i]
		if y != nil {
			want = float64(a*dst[i]) + float64(b*src[i])
		}
		var good bool
		switch out := out.(type) {
		case []float64:
			good = math.Float64bits(want) == math.Float64bits(out[i]) || math.IsNaN(want) && math.IsNaN(out[i])
		case []float32:
			good = math.Float32bits(float32(want)) == math.Float32bits(out[i]) || math.IsNaN(want) && out[i] != out[i]
		case []F16:
			good = halfFormats[0].isNearest(uint16(out[i]), want)
		case []BF16:
			good = halfFormats[1].isNearest(uint16(out[i]), want)
		}
		require.True(t, good, "%v: element %d is %v, want %v·%v + %v·%v = %v", got.Dtype(), i, numbers[i], a, dst[i], b, src[i], want)
	}
}

func TestCombine(t *testing.T) {
	e, _ := openEmulated(t)
	r := rand.New(rand.NewPCG(1, 2))
	for dt := range accuracies {
		for _, n := range []int{1, 7, 255, 257, 2049, 12345} {
			for _, k := range [][2]float64{{1, 1}, {0, 1}, {1, 0}, {-2.5, 0.1}, {1.0 / 3, -1.0 / 3}, {1e-3, 1e3}, {0, 0}} {
				x, y := floats(dt, n, r), floats(dt, n, r)
				dst, err := e.Upload(x)
				require.NoError(t, err)
				src, err := e.Upload(y)
				require.NoError(t, err)
				require.NoError(t, backend{e}.Combine(dst, k[0], src, k[1]))
				got, err := e.Download(dst)
				require.NoError(t, err)
				requireCombined(t, k[0], x, k[1], y, got)
				same, err := e.Download(src)
				require.NoError(t, err)
				assert.Equal(t, y.Raw, same.Raw, "src is only read")

				require.NoError(t, e.CopyToDevice(dst, x))
				require.NoError(t, backend{e}.Combine(dst, k[0], nil, math.NaN()))
				got, err = e.Download(dst)
				require.NoError(t, err)
				requireCombined(t, k[0], x, 0, nil, got)
				require.NoError(t, e.Release(dst))
				require.NoError(t, e.Release(src))
			}
		}
	}
}

// More elements than the threads of a launch: threads loop.
func TestCombineLarge(t *testing.T) {
	e, _ := openEmulated(t)
	n := combineElements*combineBlocks + 3
	host := make([]F16, n)
	for i := range host {
		host[i] = NewF16(float32(i % 1000))
	}
	dst, err := e.Upload(tensor.New(tensor.WithBacking(host)))
	require.NoError(t, err)
	require.NoError(t, backend{e}.Combine(dst, 2, dst, 1))
	back, err := e.Download(dst)
	require.NoError(t, err)
	for i, h := range back.Data().([]F16) {
		if want := NewF16(float32(3 * (i % 1000))); h != want {
			require.Equal(t, want, h, "element %d", i)
		}
	}
}

func TestCombineRefuses(t *testing.T) {
	e, l := openEmulated(t)
	upload := func(h *tensor.Dense) *tensor.Dense {
		d, err := e.Upload(h)
		require.NoError(t, err)
		return d
	}
	good := upload(hostTensor(tensor.Float32, 3, 5))
	column, err := upload(hostTensor(tensor.Float32, 5, 3)).Slice(nil, tensor.S(1))
	require.NoError(t, err)
	released := upload(hostTensor(tensor.Float32, 3, 5))
	require.NoError(t, e.Release(released))
	scalar := upload(tensor.New(tensor.FromScalar(1.5)))
	foreign, err := openAnother(t).NewTensor(tensor.Float32, 3, 5)
	require.NoError(t, err)
	launched := l.Count("launches")
	for _, test := range []struct {
		dst, src *tensor.Dense
		want     string
	}{
		{nil, good, "gradient is nil, want a tensor"},
		{good, foreign, "engine of gradient is another engine, Emulated GPU 0"},
		{hostTensor(tensor.Float32, 3, 5), good, "engine of gradient is tensor.StdEng, want this engine, Emulated GPU 0"},
		{released, good, "gradient is a tensor without memory (released already?)"},
		{column.(*tensor.Dense), nil, "layout of gradient is"},
		{upload(hostTensor(tensor.Int32, 3, 5)), nil, "type of gradient is int32, want one of [float32 float64 F16 BF16]"},
		{good, upload(hostTensor(Float16, 3, 5)), "type of gradient is F16, want that of the one it is added to, float32"},
		{good, upload(hostTensor(tensor.Float32, 3, 7)), "shape of gradient is (3, 7), want that of the one it is added to, (3, 5)"},
		{scalar, upload(tensor.New(tensor.FromScalar(1))), "type of loss value is int, want one of [float32 float64 F16 BF16]"},
	} {
		assertRefusal(t, backend{e}.Combine(test.dst, 2, test.src, 1), test.want)
	}
	assert.Equal(t, launched, l.Count("launches"))
}

// Loss values may be of different types, of which that of the sum stays.
func TestCombineScalarsOfDifferentTypes(t *testing.T) {
	e, _ := openEmulated(t)
	for _, test := range []struct{ to, from, want any }{
		{1.1, float32(0.3), 2*1.1 - 3*float64(float32(0.3))},
		{float32(0.3), 1.1, float32(2*float64(float32(0.3)) - 3*1.1)},
		{float32(0.3), 1e300, float32(math.Inf(-1))},
	} {
		to, err := e.Upload(tensor.New(tensor.FromScalar(test.to)))
		require.NoError(t, err)
		from, err := e.Upload(tensor.New(tensor.FromScalar(test.from)))
		require.NoError(t, err)
		require.NoError(t, backend{e}.Combine(to, 2, from, -3))
		got, err := e.Download(to)
		require.NoError(t, err)
		assert.Equal(t, test.want, got.ScalarValue())
	}
}

// goodAndBad returns the label of a problem, and one whose 8-th voxel is 9.
func goodAndBad(t *testing.T, e *Engine, p *problem) (good, bad *tensor.Dense) {
	t.Helper()
	good, err := e.Upload(p.Tensor)
	require.NoError(t, err)
	bad, err = e.Upload(p.Tensor)
	require.NoError(t, err)
	labels := append([]int64(nil), p.Tensor.Data().([]int64)...)
	labels[7] = 9
	require.NoError(t, e.CopyToDevice(bad, tensor.New(tensor.WithShape(p.n, p.voxels()), tensor.WithBacking(labels))))
	return good, bad
}

const nineIsRefused = "target at sample 0, voxel 7 is 9, want a class index from 0 to 1, or the ignored -7"

// The sum of two loss values reports the rejected element of either.
func TestCombineKeepsVerdicts(t *testing.T) {
	e, _ := openEmulated(t)
	k := backend{e}
	p := newProblem(1, 2, [3]int{3, 5, 7}, 1)
	host, _ := p.logits(tensor.Float32)
	logits, err := e.Upload(host)
	require.NoError(t, err)
	good, bad := goodAndBad(t, e, p)
	loss := focalLoss(plan.Softmax, 0, 1, 2)
	value := func(label *tensor.Dense) *tensor.Dense {
		v, err := k.Eval(p.batch(logits, label), loss, &plan.Call{})
		require.NoError(t, err)
		return v
	}
	one, err := k.Number(value(good))
	require.NoError(t, err)

	a, b := value(good), value(good)
	require.NoError(t, k.Combine(a, 2, nil, 0))
	require.NoError(t, k.Combine(a, 1, b, -0.5))
	require.NoError(t, e.Release(b))
	got, err := k.Number(a)
	require.NoError(t, err)
	assert.Equal(t, float64(2*one)+float64(-0.5*one), got)

	for _, labels := range [][2]*tensor.Dense{{good, bad}, {bad, good}, {bad, bad}} {
		a, b := value(labels[0]), value(labels[1])
		require.NoError(t, k.Combine(a, 1, nil, 0))
		require.NoError(t, k.Combine(a, 0.5, b, 0))
		require.NoError(t, e.Release(b))
		got, err := k.Number(a)
		assertRefusal(t, err, nineIsRefused)
		assert.True(t, math.IsNaN(got))
		require.NoError(t, e.Synchronize(), "it is reported once")
	}

	// For a number that was not computed by a loss of this module, rejected elements are
	// unknown, so the engine's first rejected element not yet reported counts.
	other, err := e.Upload(tensor.New(tensor.FromScalar(1.0)))
	require.NoError(t, err)
	a, unread := value(good), value(bad)
	require.NoError(t, k.Combine(a, 1, other, 1))
	got, err = k.Number(a)
	assertRefusal(t, err, nineIsRefused)
	assert.Equal(t, one+1, got)
	require.NoError(t, e.Release(unread))
	require.NoError(t, e.Synchronize())
}

// Once a loss value is released, its address is an ordinary one.
func TestReleasedResultIsForgotten(t *testing.T) {
	e, _ := openEmulated(t)
	k := backend{e}
	for _, release := range []func(*tensor.Dense) error{e.Release, func(d *tensor.Dense) error { return e.Free(d, 8) }} {
		v, err := k.newResult()
		require.NoError(t, err)
		at := addressOf(v.Raw)
		assert.True(t, e.results.has(at))
		longer := tensor.NewDense(tensor.Uint8, []int{5000}, tensor.WithEngine(e), tensor.FromMemory(at, 5000))
		assert.Error(t, e.Release(longer))
		assert.True(t, e.results.has(at), "nothing was released")
		require.NoError(t, release(v))
		assert.False(t, e.results.has(at))
		plain, err := e.Upload(tensor.New(tensor.FromScalar(2.5)))
		require.NoError(t, err)
		require.Equal(t, at, addressOf(plain.Raw), "the pool reuses the address")
		got, err := k.Number(plain)
		require.NoError(t, err)
		assert.Equal(t, 2.5, got)
	}
	assert.Empty(t, e.results.at)
}

// A graph combines the current values and verdicts at each launch.
func TestCombineInGraph(t *testing.T) {
	e, _ := openEmulated(t)
	k := backend{e}
	p := newProblem(1, 2, [3]int{3, 5, 7}, 1)
	host, _ := p.logits(BFloat16)
	logits, err := e.Upload(host)
	require.NoError(t, err)
	good, bad := goodAndBad(t, e, p)
	label, err := e.Upload(p.Tensor)
	require.NoError(t, err)
	grad, err := e.NewTensor(BFloat16, 1, 2, p.voxels())
	require.NoError(t, err)
	eval := func(l *plan.Loss, label, grad *tensor.Dense) (*tensor.Dense, error) {
		return k.Eval(p.batch(logits, label), l, &plan.Call{Grad: grad})
	}
	losses := []*plan.Loss{focalLoss(plan.Softmax, 0, 1, 2), withDice(focalLoss(plan.Sigmoid, 0, 0, 3))}
	sum := func() (total *tensor.Dense, err error) {
		if total, err = eval(losses[0], good, grad); err != nil {
			return nil, err
		}
		scratch, err := k.NewTensor(logits, 1, 2, p.voxels())
		if err != nil {
			return nil, err
		}
		v, err := eval(losses[1], label, scratch)
		if err != nil {
			return nil, err
		}
		for _, err := range []error{k.Combine(total, 0.5, nil, 0), k.Combine(total, 1, v, 2), k.Combine(grad, 0.5, nil, 0),
			k.Combine(grad, 1, scratch, 2), e.Release(scratch), e.Release(v)} {
			if err != nil {
				return nil, err
			}
		}
		return total, nil
	}
	want, err := sum()
	require.NoError(t, err)
	wantValue, err := k.Number(want)
	require.NoError(t, err)
	wantGrad, err := e.Download(grad)
	require.NoError(t, err)

	var total *tensor.Dense
	g, err := e.Capture(func() (err error) {
		total, err = sum()
		return err
	})
	require.NoError(t, err)
	for _, l := range []*tensor.Dense{good, bad, good} {
		require.NoError(t, e.Memcpy(label, l))
		require.NoError(t, g.Launch())
		got, err := e.readResult(addressOf(total.Raw))
		if l == bad {
			assertRefusal(t, err, nineIsRefused)
			assert.True(t, math.IsNaN(got))
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, wantValue, got)
		gotGrad, err := e.Download(grad)
		require.NoError(t, err)
		assert.Equal(t, wantGrad.Raw, gotGrad.Raw)
	}
	require.NoError(t, g.Close())
}
