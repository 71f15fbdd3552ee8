//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
)

// set stores a number in a field of the arguments, whose type only cgo can name.
func set[T ~int32 | ~int64](field *T, x int) { *field = T(x) }

// typeNumber maps types to AflType.
var typeNumber = map[tensor.Dtype]int{
	tensor.Float32: 0, tensor.Float64: 1, tensor.Uint8: 4, tensor.Int8: 5, tensor.Uint16: 6, tensor.Int16: 7,
	tensor.Uint32: 8, tensor.Int32: 9, tensor.Uint64: 10, tensor.Int64: 11, tensor.Bool: 12,
}

// classesCall is a launch of the kernel afl_classes on an N×V label.
type classesCall struct {
	label    *tensor.Dense // on the device
	classes  *tensor.Dense
	channels int
	ignore   *int64
}

func newClassesCall(t testing.TB, e *Engine, host *tensor.Dense, channels int) *classesCall {
	t.Helper()
	label, err := e.Upload(host)
	require.NoError(t, err)
	classes, err := e.NewTensor(tensor.Uint8, host.Shape()...)
	require.NoError(t, err)
	return &classesCall{label: label, classes: classes, channels: channels}
}

func (c *classesCall) launch(e *Engine) error {
	a := e.newArguments()
	n, v := c.label.Shape()[0], c.label.Shape()[1]
	const chunk = 2048
	chunks := (v + chunk - 1) / chunk
	set(&a.samples, n)
	set(&a.channels, c.channels)
	set(&a.voxels, v)
	set(&a.space[0], v)
	set(&a.space[1], 1)
	set(&a.space[2], 1)
	a.target = devicePointer(addressOf(c.label.Raw))
	set(&a.target_type, typeNumber[c.label.Dtype()])
	set(&a.limit, max(c.channels, 2))
	if c.ignore != nil {
		set(&a.ignore, int(*c.ignore))
		set(&a.has_ignore, 1)
	}
	set(&a.chunks, chunks)
	set(&a.chunk, chunk)
	point(&a.classes, addressOf(c.classes.Raw))
	set(&a.last, 1)
	return e.launch("afl_classes", n*chunks, a)
}

// release frees the call's memory.
func (c *classesCall) release(t testing.TB, e *Engine) {
	t.Helper()
	require.NoError(t, e.Release(c.label))
	require.NoError(t, e.Release(c.classes))
}

func TestLaunch(t *testing.T) {
	e, l := openEmulated(t)
	const v = 5000
	host := hostTensor(tensor.Int16, 2, v)
	want := make([]byte, 2*v)
	labels := host.Data().([]int16)
	for i := range labels {
		labels[i] = int16(i % 7)
		want[i] = byte(labels[i])
	}
	c := newClassesCall(t, e, host, 7)
	before := l.Count("launches")
	for i := int64(1); i <= 3; i++ {
		require.NoError(t, c.launch(e))
		got, err := e.Download(c.classes)
		require.NoError(t, err)
		assert.Equal(t, want, got.Data())
		assert.Equal(t, before+i, l.Count("launches"))
	}
	require.NoError(t, e.Synchronize())

	assert.ErrorContains(t, e.launch("afl_nothing", 1, e.newArguments()), `cuda: there is no kernel "afl_nothing"`)
	for _, blocks := range []int{0, -1, 1 << 31} {
		assert.ErrorContains(t, e.launch("afl_classes", blocks, e.newArguments()), fmt.Sprintf("cuda: kernel afl_classes asks for %d blocks", blocks))
	}
}

func TestLaunchFails(t *testing.T) {
	e, l := openEmulated(t)
	c := newClassesCall(t, e, hostTensor(tensor.Bool, 1, 33), 2)
	l.Fail("cuLaunchKernel", 1, 701)
	assert.EqualError(t, c.launch(e), "cuda: kernel afl_classes: cuda: cuLaunchKernel failed: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES (701): too many resources requested for launch")
	require.NoError(t, c.launch(e), "the device is not lost")
	require.NoError(t, e.Synchronize())
}

// If a kernel fails while it runs, a later call returns the error, as do all others until
// the engine is closed.
func TestLostDevice(t *testing.T) {
	e, l := openEmulated(t)
	c := newClassesCall(t, e, hostTensor(tensor.Bool, 1, 33), 2)
	fillEngine(t, e)
	buffer, err := e.NewHostBuffer(8)
	require.NoError(t, err)
	require.NoError(t, c.launch(e))
	l.Fail("cuStreamSynchronize", 1, 700)
	for _, err := range []error{e.Synchronize(), e.Synchronize(), c.launch(e), e.Release(c.label), buffer.Close()} {
		var lost *LostError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, 700, lost.Cause.Code)
		var cause *DriverError
		require.ErrorAs(t, err, &cause)
		assert.ErrorContains(t, err, "cuda: the device is lost; the engine must be closed, and a new one may need a new process: cuda: cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS (700)")
	}
	require.NoError(t, e.Close(), "the loss was reported before")
	assert.ErrorIs(t, e.Synchronize(), ErrClosed)
}

func TestReadFloat64s(t *testing.T) {
	e, _ := openEmulated(t)
	// A status follows the numbers; zeros mean that nothing was rejected.
	d, err := e.Upload(tensor.New(tensor.WithBacking(append([]float64{1.5, -2.25}, make([]float64, statusBytes/8)...))))
	require.NoError(t, err)
	var x [1]float64
	require.NoError(t, e.readFloat64s(addressOf(d.Raw)+8, x[:], "target"))
	assert.Equal(t, -2.25, x[0])
	err = e.readFloat64s(4096, x[:], "target")
	assert.ErrorContains(t, err, "cuMemcpyDtoHAsync failed: CUDA_ERROR_INVALID_VALUE")
}

// Synchronize reports the first bad class index in the CPU backend's words, for every
// type of label.
func TestRejectedClassIsWordedAsOnCPU(t *testing.T) {
	e, _ := openEmulated(t)
	seven := int64(7)
	for _, test := range []struct {
		backing  any
		channels int
		ignore   *int64
	}{
		{[]int8{0, 1, 2, 3, -1, 9}, 3, nil},
		{[]uint16{0, 1, 7, 60000, 2, 2}, 3, &seven},
		{[]int16{0, 1, 2, 2, -30000, 3}, 4, &seven},
		{[]uint32{0, 1, 2, 2, 4_000_000_000, 3}, 4, nil},
		{[]int32{1_000_000, 1, 2, 2, 2, 3}, 1, nil},
		{[]uint64{0, 1, 0, 1, math.MaxUint64, math.MaxUint64 - 1}, 2, nil},
		{[]int64{0, 1, 0, 1, 1, math.MinInt64 + 1}, 2, &seven},
		{[]float32{0, 1, 0.1, 1, 1, 1}, 2, nil},
		{[]float32{0, 1, 0, 1_000_000, 1, 1}, 2, nil},
		{[]float64{0, 1, 0.1, 1, 1, 1}, 2, &seven},
		{[]float64{0, 1, 0, math.Inf(1), 1, math.NaN()}, 2, nil},
		{[]float64{0, 1, math.NaN(), 1, 1, 1}, 2, nil},
		{[]float64{0, -1e300, 1, 1, 1, 1}, 2, nil},
		{[]float64{0, float64(float32(0.1)), 1, 1, 1, 1}, 2, nil},
		{[]uint8{0, 1, 2, 1, 255, 1}, 3, nil},
	} {
		host := tensor.New(tensor.WithBacking(test.backing), tensor.WithShape(2, 3))
		target := plan.Target{Tensor: host, Argument: "target"}
		if test.ignore != nil {
			target.Ignore, target.HasIgnore = *test.ignore, true
		}
		_, want := cpu.Backend{}.Stats(&plan.Batch{N: 2, C: test.channels, V: 3, Space: [3]int{3, 1, 1}, Target: target}, plan.StatsRequest{})
		require.Error(t, want)

		c := newClassesCall(t, e, host, test.channels)
		c.ignore = test.ignore
		require.NoError(t, c.launch(e))
		got := e.Synchronize()
		assertRefused(t, got, "cuda: "+want.Error())
		require.NoError(t, e.Synchronize(), "it is reported once")
		c.release(t, e)
	}
	// A rejected label does not affect later calls.
	c := newClassesCall(t, e, tensor.New(tensor.WithBacking([]int8{0, 1, 1}), tensor.WithShape(1, 3)), 2)
	require.NoError(t, c.launch(e))
	require.NoError(t, e.Synchronize())
}

// Bad maps and weights are rejected by kernels of the losses; the wording depends on the
// status alone.
func TestRejectedMapAndWeightAreWordedAsOnCPU(t *testing.T) {
	maps := tensor.New(tensor.WithBacking([]float32{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1.5, 0}), tensor.WithShape(2, 3, 2))
	_, want := cpu.Backend{}.Stats(&plan.Batch{N: 2, C: 3, V: 2, Space: [3]int{2, 1, 1},
		Target: plan.Target{Tensor: maps, Argument: "target", Dense: true}}, plan.StatsRequest{})
	require.Error(t, want)
	s := status{found: math.MaxUint64 - 10, kind: badMap, channels: 3, voxels: 2, got: 1.5}
	assert.Equal(t, want, s.refusal("target"))

	logits := tensor.New(tensor.WithBacking(make([]float32, 12)), tensor.WithShape(2, 2, 3))
	batch := &plan.Batch{N: 2, C: 2, V: 3, Space: [3]int{3, 1, 1}, Logits: logits,
		Target:      plan.Target{Tensor: tensor.New(tensor.WithBacking(make([]uint8, 6)), tensor.WithShape(2, 3)), Argument: "target"},
		VoxelWeight: tensor.New(tensor.WithBacking([]float32{1, 1, 1, 1, -0.1, 1}), tensor.WithShape(2, 3))}
	_, want = cpu.Backend{}.Reduce(batch, &plan.Plan{Pointwise: &plan.Pointwise{Activation: plan.Softmax, Gamma: make([]float64, 4),
		Pos: []float64{1, 1, 1, 1}, Neg: []float64{1, 1, 1, 1}, CE: []float64{1, 1}, Scale: 1}}, nil, nil)
	require.Error(t, want)
	s = status{found: math.MaxUint64 - 4, kind: badWeight, channels: 2, voxels: 3, got: float64(float32(-0.1))}
	assert.Equal(t, want, s.refusal("target"))
	assert.NoError(t, (&status{}).refusal("target"))
}
