package kernels

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPTXIsThatOfTheSources(t *testing.T) {
	for _, m := range Modules().Modules() {
		outdated, err := m.Outdated(".", ".")
		require.NoError(t, err)
		assert.False(t, outdated, "%s.ptx is out of date: run go generate in cuda/kernels", m.Name)
	}
}

func TestEveryKernelIsInOneModule(t *testing.T) {
	want := map[string][]string{
		"combine": {"afl_combine"},
		"labels":  {"afl_constants", "afl_classes", "afl_stats_classes", "afl_stats_general"},
	}
	for module, suffix := range map[string]string{"float32": "f32", "float16": "f16", "bfloat16": "bf16"} {
		for _, pass := range []string{"reduce", "gradient"} {
			for _, activation := range []string{"sigmoid", "softmax2", "softmax3", "softmax4", "softmax"} {
				want[module] = append(want[module], "afl_"+pass+"_"+activation+"_"+suffix)
			}
		}
	}
	for kind, suffix := range map[string]string{"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"} {
		want["general_"+kind] = []string{"afl_reduce_general_" + suffix, "afl_gradient_general_" + suffix}
	}
	assert.Len(t, Modules().Modules(), len(want))
	for _, m := range Modules().Modules() {
		assert.True(t, bytes.Contains(m.PTX, []byte("\n.version 7.0\n")), m.Name)
		target := "sm_75"
		if m.Name == "bfloat16" {
			target = "sm_80"
		}
		assert.True(t, bytes.Contains(m.PTX, []byte("\n.target "+target+"\n")), m.Name)
		assert.ElementsMatch(t, want[m.Name], m.Kernels, m.Name)
		assert.Equal(t, len(m.Kernels), bytes.Count(m.PTX, []byte(".entry ")), m.Name)
		for _, kernel := range m.Kernels {
			found, err := Modules().ModuleOf(kernel)
			require.NoError(t, err)
			assert.Same(t, m, found)
		}
	}
	_, err := Modules().ModuleOf("afl_nothing")
	assert.EqualError(t, err, `there is no kernel "afl_nothing"`)
}

// The bits of a sum must not depend on the order in which blocks run.
func TestPTXHasNoFloatingPointAtomics(t *testing.T) {
	for _, m := range Modules().Modules() {
		found := regexp.MustCompile(`(?m)^.*\b(?:atom|red)\.\S+`).FindAll(m.PTX, -1)
		assert.Equal(t, m.Name != "combine", len(found) > 0, "%s: an atomic determines the last block, which adds up the sums", m.Name)
		for _, line := range found {
			assert.NotRegexp(t, `\.f(16|32|64)`, string(line))
		}
	}
}
