//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/cuda/kernels"
	"github.com/x/afl/internal/cuda/emulator"
)

// chain is a step that copies bytes of the host to the device and from one place to the next.
type chain struct {
	t *testing.T
	e *Engine
	l *emulator.Library
}

// step runs the step and returns what it says later. between is called in the middle.
func (c chain) step(bytes []byte, copies int, between func() error) func() []byte {
	c.t.Helper()
	r := c.e.Runner()
	var read func() ([]byte, error)
	require.NoError(c.t, r.Step(func() error {
		from, err := r.Input(bytes)
		if err != nil {
			return err
		}
		for i := range copies {
			to, err := r.Alloc(int64(len(bytes)))
			if err != nil {
				return err
			}
			defer r.Free(to)
			if err := errors.Join(r.Zero(to, int64(len(bytes)/4*4)), r.Copy(to, from, int64(len(bytes)))); err != nil {
				return err
			}
			from = to
			if i == copies/2 && between != nil {
				if err := between(); err != nil {
					return err
				}
			}
		}
		read, err = r.Later(from, int64(len(bytes)))
		return err
	}))
	return func() []byte {
		c.t.Helper()
		got, err := read()
		require.NoError(c.t, err)
		return got
	}
}

// counts calls f and returns how many graphs it launched and made, and how many allocations it
// made.
func (c chain) counts(f func()) [3]int64 {
	c.t.Helper()
	names := []string{"graph_launches", "graph_executables", "allocated"}
	var before, after [3]int64
	for i, name := range names {
		before[i] = c.l.Count(name)
	}
	f()
	for i, name := range names {
		after[i] = c.l.Count(name) - before[i]
	}
	return after
}

func bytesFrom(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestStepsAreLaunchedAsGraphs(t *testing.T) {
	e, l := openEmulated(t)
	c := chain{t, e, l}
	assert.Empty(t, e.describeSteps())
	var late func() []byte
	var want []byte
	for step := range byte(7) {
		input := bytesFrom(10*step, 1000)
		var read func() []byte
		counted := c.counts(func() { read = c.step(input, 5, nil) })
		switch step {
		case 0:
			assert.Equal(t, [2]int64{}, [2]int64(counted[:2]), "the first step is enqueued one by one")
		case 1:
			assert.Equal(t, [3]int64{1, 1, 0}, counted, "the second is captured")
		default:
			assert.Equal(t, [3]int64{1, 0, 0}, counted, "and launched from then on, without allocation")
		}
		if late != nil { // read a step late
			assert.Equal(t, want, late())
			assert.Equal(t, want, late(), "again")
		}
		late, want = read, input
	}
	assert.Equal(t, "work of steps: 6 of 7 times launched as one of 1 graphs", e.describeSteps())

	// Steps of two shapes in turn, one of which is larger than the memory for inputs so far.
	sizes := []int{1000, 3 << 20}
	for step := range byte(4) {
		for _, n := range sizes {
			input := bytesFrom(step, n)
			assert.Equal(t, input[:1000], c.steps(input, 5)[:1000])
		}
	}
	assert.Equal(t, [3]int64{2, 0, 0}, c.counts(func() {
		for _, n := range sizes {
			c.steps(bytesFrom(3, n), 5)
		}
	}))
}

// steps runs a step and waits for what it says, if that fits in a report.
func (c chain) steps(bytes []byte, copies int) []byte {
	c.t.Helper()
	return c.step(bytes, copies, nil)()
}

// Whatever depends on the work of a step enqueues it first, so the order is the program's.
func TestStepsKeepTheOrder(t *testing.T) {
	e, l := openEmulated(t)
	c := chain{t, e, l}
	r := e.Runner()
	at, err := e.alloc(1000)
	require.NoError(t, err)
	require.NoError(t, r.Zero(at, 1000))
	for step := range byte(3) {
		got := make([]byte, 1000)
		want := bytesFrom(step, 1000)
		counted := c.counts(func() {
			assert.Equal(t, want, c.step(want, 20, func() error {
				in, err := r.Input(want)
				if err != nil {
					return err
				}
				return errors.Join(r.Copy(at, in, 1000), r.Read(got, at))
			})())
		})
		assert.Equal(t, want, got)
		// The work before and after the synchronization is repeated by itself.
		assert.EqualValues(t, []int64{0, 2, 2}[step], counted[0])
	}

	// Memory that changes hands between steps moves their addresses.
	for _, size := range []int64{1000, 1000, 700} {
		taken, err := e.alloc(size)
		require.NoError(t, err)
		require.NoError(t, r.Zero(taken, 512))
		want := bytesFrom(byte(size), 1000)
		for range 3 {
			assert.Equal(t, want, c.steps(want, 6))
		}
		got := make([]byte, 512)
		require.NoError(t, r.Read(got, taken))
		assert.Equal(t, make([]byte, 512), got, "steps do not use memory of others")
		require.NoError(t, r.Free(at))
		at = taken
	}
	assert.NotEmpty(t, e.describeSteps())
}

func TestStepsAndLosses(t *testing.T) {
	e, l := openEmulated(t)
	labels := tensor.New(tensor.WithShape(3, 1000), tensor.WithBacking(make([]int8, 3000)))
	c := newClassesCall(t, e, labels, 100)
	require.NoError(t, e.Synchronize())
	r := e.Runner()
	launched := l.Count("launches")
	for step := range 4 {
		values := make([]int8, 3000)
		for i := range values {
			values[i] = int8((i + step) % 100)
		}
		if step == 3 {
			values[1001] = -128
		}
		require.NoError(t, r.Step(func() error {
			in, err := r.Input(tensor.New(tensor.WithBacking(values)).Raw)
			if err != nil {
				return err
			}
			for range 4 {
				err = errors.Join(err, r.Copy(addressOf(c.label.Raw), in, 3000), c.launch(e))
			}
			return err
		}))
		if step == 3 {
			assertRefused(t, e.Synchronize(), "cuda: target at sample 1, voxel 1 is -128, want a class index from 0 to 99")
			break
		}
		classes, err := e.Download(c.classes)
		require.NoError(t, err)
		assert.Equal(t, byte(values[2999]), classes.Data().([]uint8)[2999])
	}
	assert.Equal(t, launched+8, l.Count("launches"), "by the first step and the capture")
	assert.Positive(t, kernels.Modules().ArgumentBytes("afl_classes"))
	assert.Zero(t, kernels.Modules().ArgumentBytes("afl_nothing"))
}

func TestStepErrors(t *testing.T) {
	e, l := openEmulated(t)
	c := chain{t, e, l}
	r := e.Runner()
	failed := errors.New("no")
	err := r.Step(func() error {
		assert.True(t, r.InStep())
		assert.EqualError(t, r.Step(func() error { return nil }), "cuda: a step is in progress already")
		_, err := r.Later(e.counter, 4)
		require.NoError(t, err)
		return failed
	})
	assert.ErrorIs(t, err, failed)
	assert.False(t, r.InStep())
	assert.Panics(t, func() { r.Step(func() error { panic("no") }) })
	assert.False(t, r.InStep())
	_, err = e.Capture(func() error { return r.Step(func() error { return nil }) })
	assert.ErrorContains(t, err, "cuda: a step cannot begin during a capture")

	// Where the work cannot be captured, it is enqueued one by one, and the report says why.
	want := bytesFrom(1, 100)
	assert.Equal(t, want, c.steps(want, 9))
	l.Fail("cuGraphInstantiateWithFlags", 1, 801)
	for range 3 {
		assert.Equal(t, want, c.steps(want, 9))
	}
	assert.Contains(t, e.describeSteps(), "0 of 4 times launched as one of 0 graphs; the last time that it was not, it cannot be captured: cuda: cuStreamEndCapture failed")

	// More kinds of work than are remembered: the oldest graphs are freed.
	for n := range mostRepeated + 4 {
		for range 2 {
			c.steps(want, 10+n)
		}
	}
	assert.LessOrEqual(t, l.Count("graph_executables"), int64(mostRepeated))
	assert.Contains(t, e.describeSteps(), "it differs from the work before from operation ")

	// Numbers of more steps than there are places for, and of one that is not done.
	var reads []func() []byte
	for step := range byte(10) {
		reads = append(reads, c.step(bytesFrom(step, 100), 9, nil))
	}
	for step, read := range slices.All(reads) {
		assert.Equal(t, bytesFrom(byte(step), 100), read())
	}
	var read func() ([]byte, error)
	require.NoError(t, r.Step(func() (err error) {
		read, err = r.Later(e.counter, 4)
		return err
	}))
	require.NoError(t, e.Close())
	_, err = read()
	assert.ErrorIs(t, err, ErrClosed)
}
