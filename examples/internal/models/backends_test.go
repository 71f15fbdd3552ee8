package models_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/examples/internal/nn/onednn"
	"github.com/x/afl/examples/internal/nn/portable"
)

// variant is a backend in one precision.
type variant struct {
	name  string
	dtype nn.DType
	open  func(nn.DType) (nn.Backend, error)
	// reordered is true if the order of summation depends on the machine, so that results
	// that depend on rounding can differ from the reference.
	reordered bool
	// onGPU is true for the backend on a GPU, which is emulated without -gpu.
	onGPU bool
}

// variants returns every backend built into this program, in every precision it supports; with
// -gpu only the one on GPUs, as the others are tested without.
func variants() []variant {
	gpu := variant{name: "cuda/float32", dtype: nn.Float32, reordered: true, onGPU: true}
	if emulated.OnGPU() {
		return []variant{gpu}
	}
	all := []variant{
		{name: "portable/float64", dtype: nn.Float64, open: portable.New},
		{name: "portable/float32", dtype: nn.Float32, open: portable.New},
	}
	if onednn.Available {
		all = append(all, variant{name: "onednn/float32", dtype: nn.Float32, reordered: true, open: func(dtype nn.DType) (nn.Backend, error) {
			return onednn.New(dtype, onednn.Config{})
		}})
	}
	return append(all, gpu)
}

var allEmulated = flag.Bool("emulated", false, "run all networks on the emulated GPU, not only the small ones: some minutes")

// skipSlow skips the test of a network that takes long on the emulated GPU, or with -short on a
// GPU under a tool that slows it down. small is how many parameters a network may have.
func (v variant) skipSlow(t *testing.T, parameters, small int) {
	t.Helper()
	all := *allEmulated || emulated.OnGPU() && !testing.Short()
	if v.onGPU && !all && parameters > small {
		t.Skipf("slow on the emulated GPU with %d parameters; -emulated runs it", parameters)
	}
}

func (v variant) backend(t *testing.T) nn.Backend {
	t.Helper()
	if v.onGPU {
		b, _ := emulated.Open(t)
		return b
	}
	b, err := v.open(v.dtype)
	require.NoError(t, err)
	return b
}
