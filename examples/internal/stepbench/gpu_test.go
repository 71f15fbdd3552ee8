//go:build cgo && linux && (amd64 || arm64)

package main

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/nn/cuda/cudnn"
	"github.com/x/afl/examples/internal/nn/cuda/emulated"
	"github.com/x/afl/internal/cuda/library"
)

// TestStepsOnAGPU measures steps on an emulated GPU, by the own kernels and by cuDNN.
func TestStepsOnAGPU(t *testing.T) {
	l := emulated.Load(t)
	defer library.Replace(l.Path)()
	t.Setenv(cudnn.Variable, l.Path)
	l.Set(t, "memory", 8<<30)
	dir := t.TempDir()
	args := []string{"-backend", "cuda:0/tf32", "-models", "segresnet", "-size", "8,8,8", "-channels", "2", "-python", "none",
		"-turns", "2", "-steps", "1", "-turn", "0s", "-out", dir}
	var progress bytes.Buffer
	require.NoError(t, run(t.Context(), append(args, "-convolutions", "own,cudnn"), io.Discard, &progress))
	assert.Regexp(t, `cuda:0/tf32: \d\.\d\d GiB of the GPU's memory`, progress.String())
	results, err := readTable(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	require.Len(t, results, 1)
	assert.Equal(t, "1×2×8×8×8", results[0].input)
	assert.Contains(t, results[0].machine, "Emulated GPU 0")
	require.Len(t, results[0].sides, 2)
	assert.Equal(t, "cuda:0/tf32 cudnn", results[0].sides[1].who)
	assert.Zero(t, l.Count("contexts"), "the device is closed")

	// A network that the device has too little memory for is no error, and one without time
	// is left out.
	l.Set(t, "memory", 5<<20)
	require.NoError(t, run(t.Context(), args, io.Discard, &progress))
	results, err = readTable(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	assert.Contains(t, results[0].sides[0].failure, "out of device memory")
	progress.Reset()
	var left *unfinishedError
	require.ErrorAs(t, run(t.Context(), append(args, "-budget", "1ns"), io.Discard, &progress), &left)
	assert.Contains(t, progress.String(), "segresnet at 1×2×8×8×8: left out")
}

// TestPartsOnAGPU runs the other commands on an emulated GPU: all modules of kernels are loaded,
// repeats have equal bits, and convolutions are measured by own kernels and by cuDNN.
func TestPartsOnAGPU(t *testing.T) {
	l := emulated.Load(t)
	defer library.Replace(l.Path)()
	t.Setenv(cudnn.Variable, l.Path)
	l.Set(t, "memory", 8<<30)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"kernels"}, &out, io.Discard))
	assert.Regexp(t, `\| losses \| general_float32 \| [0-9.]+ \|`, out.String())
	assert.Regexp(t, `\| training \| conv_tensor \| [0-9.]+ \|`, out.String())

	out.Reset()
	args := []string{"repeats", "-models", "segresnet", "-size", "8,8,8", "-times", "2", "-steps", "1", "-backends", "cuda/tf32"}
	require.NoError(t, run(t.Context(), append(args, "-convolutions", "cudnn"), &out, io.Discard))
	assert.Regexp(t, `\| segresnet \| 1×3×8×8×8 \| cuda/tf32 cudnn \| [0-9a-f]{12} \| equal bits \|`, out.String())
	var left *unfinishedError
	require.ErrorAs(t, run(t.Context(), append(args, "-budget", "1ns"), io.Discard, io.Discard), &left)

	dir := t.TempDir()
	args = []string{"convolutions", "-precisions", "tf32", "-models", "segresnet", "-size", "8,8,8", "-python", "none", "-least", "1us", "-shapes", "1", "-out", dir}
	out.Reset()
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	rows, err := readConvolutions(filepath.Join(dir, "convolutions.csv"))
	require.NoError(t, err)
	assert.Len(t, rows, 2*3)
	assert.Contains(t, out.String(), "Emulated GPU 0, convolutions: cuDNN 9.21.0")
	assert.Contains(t, out.String(), "All convolutions of a step, own beside cudnn")
	assert.Zero(t, l.Count("contexts"), "the devices are closed")

	// Without cuDNN the report names what is missing, in place of times.
	t.Setenv(cudnn.Variable, "/nowhere")
	out.Reset()
	require.NoError(t, run(t.Context(), append(args, "-precisions", "float32"), &out, io.Discard))
	assert.Contains(t, out.String(), "- 1 in float32 by cudnn: nn/cuda: cudnn: libcudnn.so.9")
}
