package cuda_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl"
	"github.com/x/afl/cuda"
	"github.com/x/afl/cuda/cudatest"
	"github.com/x/afl/internal/losstest"
)

var (
	onGPU    = flag.Bool("gpu", false, "run the whole suite of the losses on the first GPU instead of a part of it on the emulated one")
	thorough = flag.Bool("thorough", false, "run the whole suite of the losses on the emulated GPU, which takes a quarter of an hour or more")
)

// open opens the engine that the tests run on.
func open(t testing.TB) *cuda.Engine {
	t.Helper()
	if !*onGPU {
		return cudatest.OpenEmulated(t)
	}
	e, err := cuda.Open(0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// runner evaluates losses on an engine.
type runner struct{ *cuda.Engine }

func (r runner) Name() string { return r.Device().Name }

func (r runner) Traits() losstest.Traits {
	t := losstest.Traits{
		Brief:   testing.Short() || !*onGPU && !*thorough,
		Half:    []losstest.Half{losstest.Float16, losstest.BFloat16},
		Repeats: 3,
		Float32: losstest.Accuracy{
			Value:    losstest.Tolerance{Relative: 2e-6, Absolute: 1e-7},
			Gradient: losstest.Tolerance{Relative: 5e-6, Largest: 1e-6},
		},
	}
	if *onGPU && !testing.Short() {
		t.Repeats = 100 // the benchmark has 1,000
	}
	return t
}

// Eval implements [losstest.Runner].
func (r runner) Eval(t testing.TB, l afl.Loss, c losstest.Call) (value, grad *tensor.Dense, err error) {
	t.Helper()
	var held []*tensor.Dense
	defer func() {
		for _, d := range held {
			require.NoError(t, r.Release(d))
		}
	}()
	// upload copies a host tensor to the device, in a half precision type if one is given.
	upload := func(h *tensor.Dense, half losstest.Half) *tensor.Dense {
		if h == nil {
			return nil
		}
		d, err := r.Upload(toHalf(h, half))
		require.NoError(t, err)
		held = append(held, d)
		return d
	}
	upstream := c.Half
	if c.Upstream != nil && c.Upstream.Dtype() == tensor.Float64 {
		upstream = losstest.None // of groups
	}
	logits := upload(c.Logits, c.Half)
	d := losstest.Call{
		Logits: logits, Target: upload(c.Target, losstest.None),
		VoxelWeight: upload(c.VoxelWeight, losstest.None), Upstream: upload(c.Upstream, upstream),
		Stats: c.Stats, GradScale: c.GradScale,
	}
	var g *tensor.Dense
	if c.WantGrad {
		g = upload(losstest.NaNs(c.Logits.Dtype(), c.Logits.Shape()...), c.Half)
	}
	v, err := l.Eval(d.Logits, d.Target, g, d.Options()...)
	if err == nil {
		held = append(held, v)
	}
	// Rejected elements are reported by now.
	if err = errors.Join(err, r.Synchronize()); err != nil {
		var refused *afl.ArgumentError
		if errors.As(err, &refused) {
			err = refused
		}
		return nil, nil, err
	}
	download := func(d *tensor.Dense) *tensor.Dense {
		h, err := r.Download(d)
		require.NoError(t, err)
		return fromHalf(h)
	}
	if g != nil {
		grad = download(g)
	}
	return download(v), grad, nil
}

// Parameters implements [losstest.Runner].
func (r runner) Parameters(t testing.TB, l afl.AdaptiveFocal, logits, target *tensor.Dense) ([]afl.AdaptiveParameters, error) {
	x, err := r.Upload(logits)
	require.NoError(t, err)
	y, err := r.Upload(target)
	require.NoError(t, err)
	defer func() { require.NoError(t, errors.Join(r.Release(x), r.Release(y))) }()
	return l.Parameters(x, y)
}

// StatsOf implements [losstest.Runner].
func (r runner) StatsOf(t testing.TB, label *tensor.Dense) (afl.LabelStats, error) {
	y, err := r.Upload(label)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Release(y)) }()
	return afl.StatsOf(y, afl.IgnoreIndex{})
}

// toHalf rounds a float32 tensor to a half precision type.
func toHalf(t *tensor.Dense, half losstest.Half) *tensor.Dense {
	if half == losstest.None {
		return t
	}
	x := t.Data().([]float32)
	var backing any
	switch half {
	case losstest.Float16:
		h := make([]cuda.F16, len(x))
		for i, v := range x {
			h[i] = cuda.NewF16(v)
		}
		backing = h
	case losstest.BFloat16:
		h := make([]cuda.BF16, len(x))
		for i, v := range x {
			h[i] = cuda.NewBF16(v)
		}
		backing = h
	default:
		panic(fmt.Sprintf("no type for %v", half))
	}
	return tensor.New(tensor.WithShape(t.Shape()...), tensor.WithBacking(backing))
}

// fromHalf widens a tensor of a half precision type to float32.
func fromHalf(t *tensor.Dense) *tensor.Dense {
	if t.Shape().IsScalar() {
		return t
	}
	var x []float32
	switch h := t.Data().(type) {
	case []cuda.F16:
		for _, v := range h {
			x = append(x, v.Float32())
		}
	case []cuda.BF16:
		for _, v := range h {
			x = append(x, v.Float32())
		}
	default:
		return t
	}
	return tensor.New(tensor.WithShape(t.Shape()...), tensor.WithBacking(x))
}

func TestLosses(t *testing.T) { losstest.Run(t, runner{open(t)}) }

func TestGoldenLosses(t *testing.T) { losstest.Golden(t, runner{open(t)}) }

// TestCPU compares the GPU with the CPU.
func TestCPU(t *testing.T) { losstest.Compare(t, losstest.CPU{}, runner{open(t)}) }

func FuzzLosses(f *testing.F) { losstest.Fuzz(f, runner{open(f)}) }

// TestGrad uses the functions that programs use, and checks that no memory leaks.
func TestGrad(t *testing.T) {
	e := open(t)
	shape := []int{2, 2, 9, 11, 7}
	hostLogits, hostTarget := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	logits, target := upload(t, e, hostLogits), upload(t, e, hostTarget)
	into, err := e.NewTensor(tensor.Float32, shape...)
	require.NoError(t, err)
	before := e.Memory().InUse
	for _, name := range afl.Names() {
		l, err := afl.ByName(name)
		require.NoError(t, err)
		want, wantGrad, err := afl.Grad(l, hostLogits, hostTarget)
		require.NoError(t, err)

		value, err := afl.Value(l, logits, target)
		require.NoError(t, err)
		assert.InEpsilon(t, want, value, 2e-6, name)
		value, grad, err := afl.Grad(l, logits, target)
		require.NoError(t, err)
		assert.InEpsilon(t, want, value, 2e-6, name)
		assert.Same(t, e, grad.Engine())
		again, err := afl.GradInto(l, logits, target, into)
		require.NoError(t, err)
		assert.Equal(t, value, again, name)
		got := download(t, e, grad)
		assert.Equal(t, got.Data(), download(t, e, into).Data(), name)
		losstest.Near(t, name, losstest.Numbers(t, wantGrad), losstest.Numbers(t, got),
			losstest.Tolerance{Relative: 5e-6, Largest: 1e-6})
		require.NoError(t, e.Release(grad))
		assert.Equal(t, before, e.Memory().InUse, name)
	}

	t.Run("refused", func(t *testing.T) {
		bad := upload(t, e, losstest.Bytes(losstest.PerVoxel(shape), func(i int) uint8 { return uint8(i / 400) }))
		before := e.Memory().InUse
		_, _, wanted := afl.Grad(afl.NewFocal(), hostLogits, download(t, e, bad))
		var want *afl.ArgumentError
		require.ErrorAs(t, wanted, &want)
		value, grad, err := afl.Grad(afl.NewFocal(), logits, bad)
		assert.EqualError(t, err, want.Error())
		assert.Zero(t, value)
		assert.True(t, grad == nil)
		assert.Equal(t, before, e.Memory().InUse)
		_, err = afl.Value(afl.NewFocal(), logits, target)
		assert.NoError(t, err, "the next call is not affected")
		require.NoError(t, e.Release(bad))
	})
	t.Run("one sample of a batch", func(t *testing.T) {
		// A slice along the first axis is contiguous, but may be unaligned.
		x, err := logits.Slice(tensor.S(1))
		require.NoError(t, err)
		y, err := target.Slice(tensor.S(1))
		require.NoError(t, err)
		require.NoError(t, x.(*tensor.Dense).Reshape(1, 2, 9, 11, 7))
		require.NoError(t, y.(*tensor.Dense).Reshape(1, 9, 11, 7))
		hx, err := hostLogits.Slice(tensor.S(1))
		require.NoError(t, err)
		hy, err := hostTarget.Slice(tensor.S(1))
		require.NoError(t, err)
		hx, hy = hx.Materialize().(tensor.View), hy.Materialize().(tensor.View)
		require.NoError(t, hx.(*tensor.Dense).Reshape(1, 2, 9, 11, 7))
		require.NoError(t, hy.(*tensor.Dense).Reshape(1, 9, 11, 7))
		want, wantGrad, err := afl.Grad(afl.NewAdaptiveFocal(), hx.(*tensor.Dense), hy.(*tensor.Dense))
		require.NoError(t, err)
		got, grad, err := afl.Grad(afl.NewAdaptiveFocal(), x.(*tensor.Dense), y.(*tensor.Dense))
		require.NoError(t, err)
		assert.InEpsilon(t, want, got, 2e-6)
		losstest.Near(t, "gradient", losstest.Numbers(t, wantGrad), losstest.Numbers(t, download(t, e, grad)),
			losstest.Tolerance{Relative: 5e-6, Largest: 1e-6})
		require.NoError(t, e.Release(grad))
	})
	t.Run("released", func(t *testing.T) {
		gone := upload(t, e, hostLogits)
		copied := gone.ShallowClone()
		require.NoError(t, e.Release(gone))
		_, err := afl.Value(afl.NewFocal(), gone, target)
		assert.EqualError(t, err, "afl: logits is a tensor without memory (released already?), want one with memory")
		_, err = afl.Value(afl.NewDice(), copied, target)
		assert.ErrorContains(t, err, "afl: memory of logits is ")
		_, err = afl.GradInto(afl.NewDice(), logits, target, copied)
		assert.ErrorContains(t, err, "afl: memory of grad is ")
	})
	t.Run("memories of two", func(t *testing.T) {
		_, err := afl.Value(afl.NewFocal(), logits, hostTarget)
		assert.ErrorContains(t, err, "afl: engine of target is tensor.StdEng, want that of the logits, "+e.String())
		_, err = afl.GradientMagnitude(target)
		assert.ErrorContains(t, err, "afl: ")
		_, err = afl.CountLogits(afl.Argmax, logits, target, afl.IgnoreIndex{})
		assert.ErrorContains(t, err, "copy the tensor from the device")
	})
}

// TestStatisticsOfWholeRows covers rows of a multiple of sixteen voxels, which are counted
// sixteen at a time, with a shortcut if there is a single label around them.
func TestStatisticsOfWholeRows(t *testing.T) {
	e := open(t)
	labels := map[string]func(x, y, z int) uint8{
		"background": func(x, y, z int) uint8 { return 0 },
		"foreground": func(x, y, z int) uint8 { return 1 },
		"ball":       func(x, y, z int) uint8 { return uint8(min(2, 150/(1+(x-4)*(x-4)+(y-4)*(y-4)+(z-20)*(z-20)/4))) },
		"voxel":      func(x, y, z int) uint8 { return uint8(max(0, 1-x-y-z)) },
		"last voxel": func(x, y, z int) uint8 { return uint8(1 - min(1, 9-x+11-y+47-z)) },
		"columns":    func(x, y, z int) uint8 { return uint8(z / 16 % 3) },
	}
	for name, label := range labels {
		for _, space := range [][]int{{10, 12, 48}, {10, 12, 47}, {5, 12, 16}, {1, 12, 32}, {10, 1, 32}, {10, 48}, {64, 1}} {
			shape := append([]int{2, 3}, space...)
			v := tensor.Shape(space).TotalSize()
			rows, length := 1, space[len(space)-1]
			if len(space) == 3 {
				rows = space[1]
			}
			target := losstest.Bytes(append([]int{2}, space...), func(i int) uint8 {
				i %= v
				return label(i/length/rows, i/length%rows, i%length)
			})
			logits := losstest.RandomLogits(tensor.Float32, shape, 1)
			l := afl.NewAdaptiveFocalMulticlass()
			want, err := l.Parameters(logits, target)
			require.NoError(t, err)
			got, err := runner{e}.Parameters(t, l, logits, target)
			require.NoError(t, err)
			for i := range want {
				assert.InDeltaSlice(t, want[i].Gamma, got[i].Gamma, 1e-12, "%s %v", name, space)
				assert.InDeltaSlice(t, want[i].Positive, got[i].Positive, 1e-12, "%s %v", name, space)
			}
		}
	}
	t.Run("maps", func(t *testing.T) {
		l := afl.NewAdaptiveFocalMulticlass()
		for _, space := range [][]int{{10, 12, 48}, {5, 12, 17}, {1, 12, 32}, {10, 48}, {64, 1}} {
			shape := append([]int{2, 3}, space...)
			v := tensor.Shape(space).TotalSize()
			target := losstest.Bytes(append([]int{2}, space...), func(i int) uint8 { return uint8(i / 5 % 7 % 3) })
			y := target.Data().([]uint8)
			one := func(i int) uint8 {
				if int(y[i/v/3*v+i%v]) == i/v%3 {
					return 1
				}
				return 0
			}
			logits := losstest.RandomLogits(tensor.Float32, shape, 1)
			want, err := l.Parameters(logits, target)
			require.NoError(t, err)
			for _, maps := range []*tensor.Dense{losstest.Bytes(shape, one),
				losstest.Floats(tensor.Float32, shape, func(i int) float64 { return float64(one(i)) }),
				losstest.Floats(tensor.Float64, shape, func(i int) float64 { return float64(one(i)) })} {
				got, err := runner{e}.Parameters(t, l, logits, maps)
				require.NoError(t, err)
				for i := range want {
					assert.InDeltaSlice(t, want[i].Gamma, got[i].Gamma, 1e-12, "%v %v", maps.Dtype(), space)
					assert.InDeltaSlice(t, want[i].Positive, got[i].Positive, 1e-12, "%v %v", maps.Dtype(), space)
				}
			}
			// Some of the elements are soft.
			soft := losstest.Floats(tensor.Float32, shape, func(i int) float64 { return float64(one(i)) * (1 - float64(i%5/4)/4) })
			want, err = l.Parameters(logits, soft)
			require.NoError(t, err)
			got, err := runner{e}.Parameters(t, l, logits, soft)
			require.NoError(t, err)
			for i := range want {
				assert.InDeltaSlice(t, want[i].Gamma, got[i].Gamma, 1e-12, "soft %v", space)
				assert.InDeltaSlice(t, want[i].Positive, got[i].Positive, 1e-12, "soft %v", space)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		bad := losstest.Bytes([]int{1, 8, 8, 32}, func(int) uint8 { return 9 })
		logits := losstest.RandomLogits(tensor.Float32, []int{1, 2, 8, 8, 32}, 1)
		_, want := afl.NewAdaptiveFocalMulticlass().Parameters(logits, bad)
		require.Error(t, want)
		_, err := runner{e}.Parameters(t, afl.NewAdaptiveFocalMulticlass(), logits, bad)
		assert.EqualError(t, err, want.Error())
	})
}

// TestCapture: all losses can be captured into a graph, so none of them synchronizes, and
// a launch computes with the current contents of its tensors.
func TestCapture(t *testing.T) {
	e := open(t)
	for _, channels := range []int{2, 20} { // 20 are more than a kernel's arguments hold
		shape := []int{2, channels, 9, 11, 7}
		for _, name := range afl.Names() {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			first, second := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLogits(tensor.Float32, shape, 2)
			logits := upload(t, e, first)
			target := upload(t, e, losstest.RandomLabels(shape, channels, 1))
			grad, err := e.NewTensor(tensor.Float32, shape...)
			require.NoError(t, err)
			if _, err := afl.Value(l, logits, target); err != nil {
				require.ErrorContains(t, err, "channels of logits is 20")
				continue
			}
			var value *tensor.Dense
			g, err := e.Capture(func() (err error) {
				value, err = l.Eval(logits, target, grad)
				return err
			})
			require.NoError(t, err, name)
			// Other evaluations in between do not use the graph's memory.
			for _, x := range []*tensor.Dense{second, first, second} {
				require.NoError(t, e.CopyToDevice(logits, x))
				require.NoError(t, g.Launch())
				got, gotGrad := download(t, e, value).ScalarValue(), download(t, e, grad).Data()
				want, wantGrad, err := afl.Grad(l, logits, target)
				require.NoError(t, err)
				assert.Equal(t, want, got, name)
				assert.Equal(t, download(t, e, wantGrad).Data(), gotGrad, name)
				require.NoError(t, e.Release(wantGrad))
			}
			require.NoError(t, g.Close())
			for _, d := range []*tensor.Dense{logits, target, grad, value} {
				require.NoError(t, e.Release(d))
			}
		}
	}
}

// TestCaptureOfGeneralPasses: so can calls with maps, voxel weights and elements.
func TestCaptureOfGeneralPasses(t *testing.T) {
	e := open(t)
	shape := []int{2, 3, 9, 31}
	logits := upload(t, e, losstest.RandomLogits(tensor.Float32, shape, 1))
	maps := upload(t, e, losstest.Floats(tensor.Float32, shape, func(i int) float64 { return float64(i%5) / 4 }))
	weight := upload(t, e, losstest.Floats(tensor.Float32, losstest.PerVoxel(shape), func(i int) float64 { return float64(i%3) / 2 }))
	grad, err := e.NewTensor(tensor.Float32, shape...)
	require.NoError(t, err)
	for _, reduction := range []afl.Reduction{afl.ReduceMean, afl.ReduceNone} {
		for _, name := range []string{"afl-multiclass", "ce", "dice", "dice-focal"} {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			l, err = afl.SetOptions(l, func(o *afl.Options) { o.Reduction = reduction })
			require.NoError(t, err)
			var value *tensor.Dense
			eval := func() (err error) {
				value, err = l.Eval(logits, maps, grad, afl.WithVoxelWeight(weight))
				return err
			}
			require.NoError(t, eval())
			want, wantGrad := download(t, e, value).Data(), download(t, e, grad).Data()
			require.NoError(t, e.Release(value))
			g, err := e.Capture(eval)
			require.NoError(t, err, name)
			require.NoError(t, e.Memset(grad, float32(7)))
			require.NoError(t, g.Launch())
			assert.Equal(t, want, download(t, e, value).Data(), name)
			assert.Equal(t, wantGrad, download(t, e, grad).Data(), name)
			require.NoError(t, g.Close())
			require.NoError(t, e.Release(value))
		}
	}
}

// TestCaptureOfFirstUse: kernels can be loaded during a capture.
func TestCaptureOfFirstUse(t *testing.T) {
	e := open(t)
	shape := []int{1, 2, 9, 11, 7}
	hostLogits, hostTarget := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	logits, target := upload(t, e, hostLogits), upload(t, e, hostTarget)
	var value *tensor.Dense
	g, err := e.Capture(func() (err error) {
		value, err = afl.NewAdaptiveFocal().Eval(logits, target, nil)
		return err
	})
	require.NoError(t, err)
	require.NoError(t, g.Launch())
	want, err := afl.Value(afl.NewAdaptiveFocal(), hostLogits, hostTarget)
	require.NoError(t, err)
	assert.InEpsilon(t, want, download(t, e, value).ScalarValue(), 2e-6)
	require.NoError(t, g.Close())
}

// TestSum: a sum of losses does not synchronize, leaks no memory, and reports an element
// that any of its terms rejects, even if the others accept it.
func TestSum(t *testing.T) {
	e := open(t)
	shape := []int{2, 2, 9, 11, 7}
	hostLogits, hostTarget := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	logits, target := upload(t, e, hostLogits), upload(t, e, hostTarget)
	bad := upload(t, e, losstest.Bytes(losstest.PerVoxel(shape), func(i int) uint8 { return uint8(i / 1000 * 7) }))
	grad := upload(t, e, hostLogits)
	// A-FL reads 7 as 1.
	sum := afl.NewSum(afl.Term{Weight: 0.5, Loss: afl.NewAdaptiveFocal()}, afl.Term{Weight: -2, Loss: afl.NewDiceCE()},
		afl.Term{Weight: 1, Loss: afl.NewTversky()})
	before := e.Memory().InUse
	want, wantGrad, err := afl.Grad(sum, hostLogits, hostTarget)
	require.NoError(t, err)
	value, err := afl.GradInto(sum, logits, target, grad)
	require.NoError(t, err)
	assert.InEpsilon(t, want, value, 1e-5)
	losstest.Near(t, "gradient", losstest.Numbers(t, wantGrad), losstest.Numbers(t, download(t, e, grad)),
		losstest.Tolerance{Relative: 2e-5, Largest: 4e-6})

	_, err = afl.Value(sum, logits, bad)
	assert.EqualError(t, err, "afl: target at sample 1, voxel 307 is 7, want a class index from 0 to 1")
	assert.NoError(t, e.Synchronize(), "it is reported once")
	assert.Equal(t, before, e.Memory().InUse)

	var total *tensor.Dense
	label := upload(t, e, hostTarget)
	g, err := e.Capture(func() (err error) {
		total, err = sum.Eval(logits, label, grad)
		return err
	})
	require.NoError(t, err)
	gotGrad := download(t, e, grad)
	require.NoError(t, e.Memset(grad, float32(0)))
	require.NoError(t, g.Launch())
	assert.Equal(t, value, download(t, e, total).ScalarValue())
	assert.Equal(t, gotGrad.Data(), download(t, e, grad).Data())
	require.NoError(t, e.Memcpy(label, bad))
	require.NoError(t, g.Launch())
	assert.EqualError(t, e.Synchronize(), "cuda: target at sample 1, voxel 307 is 7, want a class index from 0 to 1")
	assert.True(t, math.IsNaN(download(t, e, total).ScalarValue().(float64)))
	require.NoError(t, g.Close())
}

// constant is a loss of another module, whose value is a float32 scalar.
type constant struct {
	e     *cuda.Engine
	value float32
}

func (c constant) Eval(_, _, grad *tensor.Dense, _ ...afl.EvalOption) (*tensor.Dense, error) {
	if grad != nil {
		if err := c.e.Memset(grad, float32(0)); err != nil {
			return nil, err
		}
	}
	return c.e.Upload(tensor.New(tensor.FromScalar(c.value)))
}

// TestSumOfTypes: as on the CPU, a sum takes float32 scalars beside float64 ones, in any
// order.
func TestSumOfTypes(t *testing.T) {
	e := open(t)
	shape := []int{1, 2, 9, 11}
	hostLogits, hostTarget := losstest.RandomLogits(tensor.Float32, shape, 1), losstest.RandomLabels(shape, 2, 1)
	logits, target := upload(t, e, hostLogits), upload(t, e, hostTarget)
	ce, err := afl.Value(afl.NewCrossEntropy(), hostLogits, hostTarget)
	require.NoError(t, err)
	before := e.Memory().InUse
	ours, third, half := afl.Term{Weight: 2, Loss: afl.NewCrossEntropy()}, afl.Term{Weight: 3, Loss: constant{e, 1.0 / 3}}, afl.Term{Weight: -1, Loss: constant{e, 0.5}}
	for _, test := range []struct {
		terms []afl.Term
		want  float64
	}{
		{[]afl.Term{ours, third}, 2*ce + 1},
		{[]afl.Term{third, ours}, 2*ce + 1},
		{[]afl.Term{third, half, ours, half}, 2 * ce},
		{[]afl.Term{third, half}, 0.5},
	} {
		got, err := afl.Value(afl.NewSum(test.terms...), logits, target)
		require.NoError(t, err)
		assert.InEpsilon(t, test.want, got, 2e-6)
		_, grad, err := afl.Grad(afl.NewSum(test.terms...), logits, target)
		require.NoError(t, err)
		require.NoError(t, e.Release(grad))
		assert.Equal(t, before, e.Memory().InUse)
	}
}

// TestConcurrentLosses: goroutines share an engine, each with its own tensors.
func TestConcurrentLosses(t *testing.T) {
	e := open(t)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			shape := []int{1, 2, 13, 17, 5 + i}
			hostLogits, hostTarget := losstest.RandomLogits(tensor.Float32, shape, uint64(i)), losstest.RandomLabels(shape, 2, uint64(i))
			logits, err := e.Upload(hostLogits)
			assert.NoError(t, err)
			target, err := e.Upload(hostTarget)
			assert.NoError(t, err)
			for _, name := range afl.Names() {
				l, err := afl.ByName(name)
				assert.NoError(t, err)
				want, err := afl.Value(l, hostLogits, hostTarget)
				assert.NoError(t, err)
				got, grad, err := afl.Grad(l, logits, target)
				assert.NoError(t, err)
				assert.InEpsilon(t, want, got, 2e-6, name)
				assert.NoError(t, e.Release(grad))
			}
		})
	}
	group.Wait()
}

// TestRejectionsStayApart: a rejected label is reported to the call that it was given to,
// and to no other, even if others use the engine at the same time.
func TestRejectionsStayApart(t *testing.T) {
	e := open(t)
	shape := []int{1, 2, 13, 17, 5}
	logits := upload(t, e, losstest.RandomLogits(tensor.Float32, shape, 1))
	good := upload(t, e, losstest.RandomLabels(shape, 2, 1))
	bad := upload(t, e, losstest.Bytes(losstest.PerVoxel(shape), func(i int) uint8 { return uint8(i / 1000 * 7) }))
	const rejected = "target at sample 0, voxel 1000 is 7, want a class index from 0 to 1"

	t.Run("one after the other", func(t *testing.T) {
		for _, name := range []string{"fl", "ce", "dice", "dice-focal"} {
			l, err := afl.ByName(name)
			require.NoError(t, err)
			first, err := l.Eval(logits, bad, nil)
			require.NoError(t, err, "Eval does not synchronize")
			value, err := afl.Value(l, logits, good)
			assert.NoError(t, err, name)
			assert.False(t, math.IsNaN(value), name)
			assert.EqualError(t, e.Synchronize(), "cuda: "+rejected, "not reported yet")
			assert.NoError(t, e.Synchronize(), "it is reported once")
			assert.True(t, math.IsNaN(download(t, e, first).ScalarValue().(float64)))
			require.NoError(t, e.Release(first))

			_, err = afl.Value(l, logits, bad)
			assert.EqualError(t, err, "afl: "+rejected, name)
			assert.NoError(t, e.Synchronize(), "it is reported once")
		}
	})
	t.Run("at once", func(t *testing.T) {
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for k := range 40 {
					l, err := afl.ByName(afl.PaperNames()[k%7]) // A-FL, the eighth, reads 7 as 1
					assert.NoError(t, err)
					if i%2 == 0 {
						value, err := afl.Value(l, logits, good)
						assert.NoError(t, err)
						assert.False(t, math.IsNaN(value))
						continue
					}
					_, grad, err := afl.Grad(l, logits, bad)
					assert.EqualError(t, err, "afl: "+rejected)
					assert.True(t, grad == nil, l) // printing it would read device memory
				}
			})
		}
		group.Wait()
	})
}

func upload(t testing.TB, e *cuda.Engine, host *tensor.Dense) *tensor.Dense {
	t.Helper()
	d, err := e.Upload(host)
	require.NoError(t, err)
	return d
}

func download(t testing.TB, e *cuda.Engine, d *tensor.Dense) *tensor.Dense {
	t.Helper()
	host, err := e.Download(d)
	require.NoError(t, err)
	return host
}

// TestGeneralPassesComputeInFloat32: results for float32 logits are not those of float64,
// rounded, unless a chunk is out of the range of float32.
func TestGeneralPassesComputeInFloat32(t *testing.T) {
	e := open(t)
	shape := []int{1, 2, 40, 70} // two chunks of 2048 and 752 voxels
	for _, activation := range []afl.Activation{afl.Sigmoid, afl.Softmax} {
		l := afl.NewFocal()
		l.Activation = activation
		for _, huge := range []bool{false, true} {
			host := losstest.RandomLogits(tensor.Float32, shape, 1)
			x := host.Data().([]float32)
			if huge {
				x[7], x[2800+7] = math.MaxFloat32, -math.MaxFloat32
			}
			wide := losstest.Floats(tensor.Float64, shape, func(i int) float64 { return float64(x[i]) })
			weight := upload(t, e, losstest.Floats(tensor.Float32, losstest.PerVoxel(shape), func(int) float64 { return 1.5 }))
			target := upload(t, e, losstest.Bytes(losstest.PerVoxel(shape), func(i int) uint8 { return uint8(i % 2) }))
			_, want, err := afl.Grad(l, upload(t, e, wide), target, afl.WithVoxelWeight(weight))
			require.NoError(t, err)
			_, got, err := afl.Grad(l, upload(t, e, host), target, afl.WithVoxelWeight(weight))
			require.NoError(t, err)
			exact, near := losstest.Numbers(t, download(t, e, want)), losstest.Numbers(t, download(t, e, got))
			var same [2]int // by chunk
			for i, w := range exact {
				if float64(float32(w)) == near[i] {
					same[i%2800/2048]++
				}
			}
			if huge {
				assert.Equal(t, 2*2048, same[0], "%v", activation)
			} else {
				assert.Less(t, same[0], 2*2048*9/10, "%v", activation)
			}
			assert.Less(t, same[1], 2*752*9/10, "%v", activation)
		}
	}
}
