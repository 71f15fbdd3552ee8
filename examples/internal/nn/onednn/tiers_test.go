//go:build onednn

package onednn

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/nntest"
)

// eachInstructionSet runs f once per named set of vector instructions, with the kernels for
// that set. It skips sets that the machine does not support.
func eachInstructionSet(t *testing.T, names []string, f func(t *testing.T, w *worker)) {
	w, err := start()
	require.NoError(t, err)
	defer w.use(w.isa)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if !w.use(name) {
				t.Skip("the processor does not support " + name)
			}
			f(t, w)
		})
	}
}

// TestInstructionSets runs the backend test suite on every version of the kernels that the
// machine supports.
func TestInstructionSets(t *testing.T) {
	eachInstructionSet(t, []string{"AVX-512", "AVX2", "plain"}, func(t *testing.T, _ *worker) { nntest.Run(t, float32Backend) })
	eachVectorSet(t, func(t *testing.T, w *worker) {
		for _, by := range []string{tile2, tile3, tile4, planes} {
			t.Run(by, func(t *testing.T) {
				defer only(w, by)()
				nntest.Run(t, float32Backend)
			})
		}
	})
	w, err := start()
	require.NoError(t, err)
	assert.False(t, w.use("abacus"))
}

// TestFewerThreadsThanRequested runs a convolution in processes in which OpenMP provides,
// or might provide, fewer threads than requested. In the gradient of so small a kernel, all
// threads sum one block, and oneDNN would wait forever for the missing threads.
func TestFewerThreadsThanRequested(t *testing.T) {
	if os.Getenv("AFL_TEST_CONVOLVE") != "" {
		b, err := New(nn.Float32, Config{})
		require.NoError(t, err)
		convolve(t, b, []int{1, 16, 20, 24, 28}, []int{16, 16, 3, 3, 3}, nn.ConvSpec{Stride: [3]int{2, 2, 2}}, false, nil)
		return
	}
	for _, setting := range []string{"OMP_THREAD_LIMIT=1", "OMP_DYNAMIC=true", "OMP_NUM_THREADS=64"} {
		t.Run(setting, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestFewerThreadsThanRequested$")
			c.Env = append(os.Environ(), "AFL_TEST_CONVOLVE=1", setting)
			text, err := c.CombinedOutput()
			require.NoError(t, err, "%s", text)
		})
	}
}

func float32Backend(t *testing.T, dtype nn.DType) nn.Backend {
	if dtype != nn.Float32 {
		return nil
	}
	b, err := New(dtype, Config{})
	require.NoError(t, err)
	return b
}

// TestStepsAllocateOnce checks that a training step takes all its memory from the pool once
// steps of the same size have been done.
func TestStepsAllocateOnce(t *testing.T) {
	opened, err := New(nn.Float32, Config{Profile: true})
	require.NoError(t, err)
	b := opened.(*backend)
	builder := nn.NewBuilder(b, 1)
	net := nn.Sequence{
		builder.Conv3D("a", 3, 8, [3]int{3, 3, 3}, nn.ConvSpec{Padding: [3]int{1, 1, 1}}, true),
		builder.BatchNorm("b", 8), builder.PReLU("c", 1),
		builder.ConvTranspose3D("d", 8, 2, [3]int{2, 2, 2}, nn.ConvSpec{Stride: [3]int{2, 2, 2}}, true),
	}
	require.NoError(t, builder.Initialize())
	sgd := nn.SGD{LearningRate: 0.1, Momentum: 0.9}
	step := func() {
		host := func(shape ...int) nn.Array {
			a, err := b.FromHost(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...)), nn.Step)
			require.NoError(t, err)
			return a
		}
		tape := nn.NewTape(b, nn.Training, 1)
		y, err := net.Forward(tape, tape.Input(host(1, 3, 9, 10, 11)))
		require.NoError(t, err)
		require.NoError(t, tape.Backward(y, host(1, 2, 18, 20, 22)))
		require.NoError(t, sgd.Step(b, builder.Parameters()))
		b.EndStep()
	}
	step()
	step() // by now kernels are in the layouts that the convolutions require
	before := len(b.res.pool.all)
	for range 5 {
		step()
	}
	assert.Len(t, b.res.pool.all, before)

	entries := Profile(b)
	require.NotEmpty(t, entries)
	for i, e := range entries[1:] {
		assert.LessOrEqual(t, e.Time, entries[i].Time)
	}
	assert.Contains(t, Table(entries, 7), "Conv3D")
	assert.Empty(t, Profile(b), "Profile must reset the times")
}

// TestVolumesShareMemory checks that steps on volumes whose sizes vary by a factor of three
// need little more memory than steps on the largest one.
func TestVolumesShareMemory(t *testing.T) {
	w, err := start()
	require.NoError(t, err)
	p := pool{later: w.later}
	rng := rand.New(rand.NewPCG(7, 8))
	largest, held := 0, 0 // peak bytes: in use, and including unused buffers
	for range 40 {
		voxels := (2 + rng.IntN(5)) * (2 + rng.IntN(5)) * (2 + rng.IntN(5)) << 13
		var activations []*buffer
		used := 0
		get := func(bytes int) *buffer {
			m, err := p.get(bytes)
			require.NoError(t, err)
			return m
		}
		for level := range 4 { // eight activations each, and their gradients
			for range 8 {
				bytes := 64 * voxels >> (2 * level)
				activations = append(activations, get(bytes))
				used += class(bytes)
			}
		}
		for _, m := range slices.Backward(activations) {
			gradient := get(m.bytes)
			held = max(held, p.held)
			p.drop(m)
			p.drop(gradient)
		}
		largest = max(largest, used)
	}
	assert.Greater(t, largest, 2*spare)
	t.Logf("%.2f", float64(held)/float64(largest))
	assert.Less(t, float64(held), 1.5*float64(largest))
	p.release()
}

// TestUnusedMemoryIsBounded checks that buffers of sizes that are no longer requested do not
// accumulate.
func TestUnusedMemoryIsBounded(t *testing.T) {
	w, err := start()
	require.NoError(t, err)
	p := pool{later: w.later}
	const most = spare + spare/4 // bytes in use at once
	for size := spare / 4; size < spare; size += spare / 16 {
		var used []*buffer
		for in := 0; in+class(size) <= most; in += class(size) {
			m, err := p.get(size)
			require.NoError(t, err)
			used = append(used, m)
		}
		for _, m := range used {
			p.drop(m)
		}
		assert.LessOrEqual(t, p.held, 2*most+class(size))
		held := 0
		for size, list := range p.free {
			held += size * len(list)
		}
		assert.Equal(t, p.held, held)
		assert.Equal(t, p.unused, held, "no buffer is in use")
	}
	w.wait(func() {})
	assert.NotZero(t, p.peak)
	p.release()
	assert.Zero(t, p.held)
}
