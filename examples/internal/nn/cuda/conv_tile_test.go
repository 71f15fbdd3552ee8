//go:build cgo && linux && (amd64 || arm64)

package cuda

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/x/afl/examples/internal/nn/cuda/kernels"
)

// Every kernel that numbers of channels and precisions select exists, and every kernel of the
// two modules is selected by some.
func TestTileKernelsAreSelected(t *testing.T) {
	selected := map[string]bool{}
	for _, p := range Precisions() {
		for rows := 1; rows <= 260; rows++ {
			for _, cols := range []int{1, 4, 33, 128} {
				c := &convolution{rows: rows, cols: cols, precision: p}
				product, _ := c.productKernel(cols, rows)
				gradient, _ := c.gradientKernel()
				selected[product], selected[gradient] = true, true
			}
		}
	}
	var all []string
	for _, m := range kernels.Modules().Modules() {
		if m.Name == "conv_float32" || m.Name == "conv_tensor" {
			all = append(all, m.Kernels...)
		}
	}
	assert.Len(t, selected, len(all))
	for _, name := range all {
		assert.Contains(t, selected, name)
	}
}

func TestDivisor(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 5, 7, 8, 63, 64, 65, 1000, 1<<20 - 1, 1<<20 + 1, 1<<31 - 1} {
		d := divisor(n)
		for _, x := range []int{0, 1, n - 1, n, min(2*n-1, 1<<31-1), 1<<31 - 1, rng.IntN(1 << 31), rng.IntN(1 << 31)} {
			assert.EqualValues(t, x/n, uint64(x)*uint64(d.factor)>>d.shift, "%d/%d", x, n)
		}
	}
}
