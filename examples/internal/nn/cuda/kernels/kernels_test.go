package kernels

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPTXIsThatOfTheSources(t *testing.T) {
	require.NotEmpty(t, Modules().Modules())
	for _, m := range Modules().Modules() {
		outdated, err := m.Outdated(".", "../../../../../cuda/kernels")
		require.NoError(t, err)
		assert.False(t, outdated, "%s.ptx is out of date: run go generate in examples/internal/nn/cuda/kernels", m.Name)
	}
}

// The bits of a result must not depend on the order in which blocks run.
func TestPTXHasNoAtomics(t *testing.T) {
	atomic := regexp.MustCompile(`(?m)^.*\b(?:atom|red)\.\S+`)
	for _, m := range Modules().Modules() {
		assert.NotEmpty(t, m.Kernels, m.Name)
		assert.Empty(t, atomic.FindAllString(string(m.PTX), -1), m.Name)
		for _, kernel := range m.Kernels {
			assert.True(t, strings.HasPrefix(kernel, "afl_nn_"), kernel)
		}
	}
}

// Only the convolutions on tensor cores need a GPU later than Turing.
func TestTargets(t *testing.T) {
	for _, m := range Modules().Modules() {
		want := "sm_75"
		if m.Name == "conv_tensor" {
			want = "sm_80"
		}
		assert.Contains(t, string(m.PTX), "\n.target "+want+"\n", m.Name)
		assert.Contains(t, string(m.PTX), "\n.version 7.0\n", m.Name)
	}
}
