package portable_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// BenchmarkConv3D measures 3×3×3 convolutions at full resolution. The forward pass counts as
// 2 operations per product in the definition, the backward pass (both gradients) as 4.
func BenchmarkConv3D(b *testing.B) {
	backend, random := setup(b)
	size := []int{48, 64, 48}
	for _, channels := range []int{16, 32} {
		x, w, bias := random(1, channels, size[0], size[1], size[2]), random(channels, channels, 3, 3, 3), random(channels)
		g := random(1, channels, size[0], size[1], size[2])
		gflop := 2 * float64(channels*channels*27*size[0]*size[1]*size[2]) / 1e9
		for _, backward := range []bool{false, true} {
			name, work := "forward", gflop
			if backward {
				name, work = "forward+backward", 3*gflop
			}
			b.Run(fmt.Sprintf("%d-%d/%s", channels, channels, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_, pullback, err := backend.Conv3D(x, w, bias, nn.ConvSpec{Padding: [3]int{1, 1, 1}})
					require.NoError(b, err)
					if backward {
						_, err = pullback(g, []bool{true, true, true})
						require.NoError(b, err)
					}
					backend.EndStep()
				}
				b.ReportMetric(work*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			})
		}
	}
}

// BenchmarkElementwise measures the other operations, forward and backward, per element.
func BenchmarkElementwise(b *testing.B) {
	backend, random := setup(b)
	shape := []int{1, 16, 48, 64, 48}
	x, g, v := random(shape...), random(shape...), random(16)
	slope := random(1)
	need := []bool{true, true, true}
	norm := nn.BatchNormSpec{Training: true, Epsilon: 1e-5, Momentum: 0.1}
	for _, op := range []struct {
		name   string
		inputs int
		run    func() (nn.Array, nn.Pullback, error)
	}{
		{"Add", 2, func() (nn.Array, nn.Pullback, error) { return backend.Add(x, g) }},
		{"ReLU", 1, func() (nn.Array, nn.Pullback, error) { return backend.Activate(x, nn.ReLU) }},
		{"ELU", 1, func() (nn.Array, nn.Pullback, error) { return backend.Activate(x, nn.ELU) }},
		{"PReLU", 2, func() (nn.Array, nn.Pullback, error) { return backend.PReLU(x, slope) }},
		{"BatchNorm", 3, func() (nn.Array, nn.Pullback, error) { return backend.BatchNorm(x, v, v, v, v, norm) }},
		{"GroupNorm", 3, func() (nn.Array, nn.Pullback, error) { return backend.GroupNorm(x, v, v, 8, 1e-5) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			for b.Loop() {
				_, pullback, err := op.run()
				require.NoError(b, err)
				_, err = pullback(g, need[:op.inputs])
				require.NoError(b, err)
				backend.EndStep()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*16*48*64*48), "ns/element")
		})
	}
}

// setup returns a float32 backend and a function that creates arrays of random values.
func setup(b *testing.B) (nn.Backend, func(shape ...int) nn.Array) {
	backend, err := portable.New(nn.Float32)
	require.NoError(b, err)
	return backend, func(shape ...int) nn.Array {
		t := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		values := t.Data().([]float32)
		for i := range values {
			values[i] = rand.Float32() - 0.5
		}
		a, err := backend.FromHost(t, nn.Kept)
		require.NoError(b, err)
		return a
	}
}

// BenchmarkGonumSgemm measures Gonum's product of large matrices, for comparison.
func BenchmarkGonumSgemm(b *testing.B) {
	const n = 1024
	matrix := func() blas32.General {
		m := blas32.General{Rows: n, Cols: n, Stride: n, Data: make([]float32, n*n)}
		for i := range m.Data {
			m.Data[i] = rand.Float32() - 0.5
		}
		return m
	}
	x, y, z := matrix(), matrix(), matrix()
	for b.Loop() {
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, x, y, 0, z)
	}
	b.ReportMetric(2*float64(n)*n*n/1e9*float64(b.N)/b.Elapsed().Seconds(), "GFLOP/s")
}
