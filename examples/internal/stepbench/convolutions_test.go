package main

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/nn/cost"
)

// TestCollect: the shapes have all multiplications of the networks, and none twice.
func TestCollect(t *testing.T) {
	work, err := workloads("unet,segresnet,unet_resnet50", "160,128,24", 3)
	require.NoError(t, err)
	shapes, err := collect(work)
	require.NoError(t, err)
	seen := map[string]bool{}
	total := map[string]float64{}
	for _, u := range shapes {
		assert.False(t, seen[u.String()], "%s is there twice, or the name is ambiguous", u)
		seen[u.String()] = true
		for network, n := range u.count {
			total[network] += float64(n) * u.operations()
		}
	}
	for _, w := range work {
		counter, err := cost.New(func(b nn.Backend) (nn.Network, error) { return models.New(w.cfg, b, 1) })
		require.NoError(t, err)
		c, err := counter.Inference([]int{1, w.cfg.InChannels, w.size[0], w.size[1], w.size[2]})
		require.NoError(t, err)
		assert.Equal(t, float64(2*c.MultiplyAdds), total[w.name], w.name)
	}
	assert.True(t, seen["1×3×160×128×24→16, kernel 3×3×3, stride 2×2×2, padding 1×1×1"], "the first convolution of unet")
	assert.True(t, seen["1×32×80×64×12→2, kernel 3×3×3, stride 2×2×2, padding 1×1×1, output padding 1×1×1, transposed"], "the last transposed one of unet")
	for i := 1; i < len(shapes); i++ {
		assert.GreaterOrEqual(t, shapes[i-1].share(total), shapes[i].share(total))
	}
	for _, u := range shapes {
		assert.Equal(t, u.x[1] == 3, u.inputIsFirst, "%s: only inputs of networks need no gradient", u)
	}
}

// TestConvolutions measures the shapes of a small network on the CPU, and continues a run.
func TestConvolutions(t *testing.T) {
	dir := t.TempDir()
	args := []string{"convolutions", "-backend", "portable", "-precisions", "float32", "-convolutions", "own", "-models", "segresnet", "-size", "16,8,8",
		"-python", "none", "-least", "1us", "-out", dir}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), append(args, "-shapes", "1"), &out, io.Discard))
	assert.Contains(t, out.String(), "The 1 distinct convolutions of segresnet")
	first, err := readConvolutions(filepath.Join(dir, "convolutions.csv"))
	require.NoError(t, err)
	require.Len(t, first, 3)

	var progress bytes.Buffer
	require.NoError(t, run(t.Context(), args, io.Discard, &progress))
	rows, err := readConvolutions(filepath.Join(dir, "convolutions.csv"))
	require.NoError(t, err)
	assert.Equal(t, first, rows[:3], "the earlier times are kept")
	assert.Greater(t, len(rows), 20)
	text, err := os.ReadFile(filepath.Join(dir, "shapes.md"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "| 1×3×16×8×8→8, kernel 3×3×3, padding 1×1×1 | 1 segresnet | ")

	var left *unfinishedError
	require.ErrorAs(t, run(t.Context(), append(args, "-budget", "1ns"), io.Discard, &progress), &left)
	assert.Contains(t, progress.String(), " shapes in float32: left out")

	// In a precision that the CPU does not have, every shape says so.
	args[4] = "tf32"
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	assert.Regexp(t, `- \d+ in tf32 by own: the CPU computes in float32`, out.String())

	require.NoError(t, os.WriteFile(filepath.Join(dir, "convolutions.csv"), []byte("a,b\n"), 0o644))
	assert.ErrorContains(t, run(t.Context(), args, io.Discard, io.Discard), "its columns are not shape,")
}

// TestConvolutionTotals compares known times.
func TestConvolutionTotals(t *testing.T) {
	work, err := workloads("unet", "32,32,16", 3)
	require.NoError(t, err)
	shapes, err := collect(work)
	require.NoError(t, err)
	r := &convolutionReport{networks: []string{"unet"}, shapes: shapes[:1]}
	u := shapes[0]
	for i, o := range u.computations() {
		r.rows = append(r.rows,
			convolutionRow{shape: u.String(), precision: "tf32", operation: o, who: "PyTorch 2", peer: true, seconds: float64(2 * (i + 1))},
			convolutionRow{shape: u.String(), precision: "tf32", operation: o, who: "own", seconds: float64(i + 1)})
	}
	n := float64(u.count["unet"])
	assert.Equal(t, []string{"own", "PyTorch 2"}, r.convolvers("tf32"))
	assert.Equal(t, total{6 * n, 12 * n, 1}, r.total("unet", "tf32", "own", "PyTorch 2"))
	assert.True(t, math.IsNaN(r.total("unet", "tf32", "own", "cudnn").own))
	assert.True(t, math.IsNaN(r.least(u, "tf32")), "no limits are known")
	r.rows = append(r.rows,
		convolutionRow{shape: limitOfProducts, precision: "tf32", operation: "matrix product", who: "PyTorch 2", peer: true, seconds: 1},
		convolutionRow{shape: limitOfCopies, precision: "tf32", operation: "copy", who: "PyTorch 2", peer: true, seconds: 2})
	assert.Equal(t, max(u.operations()/1e12, 2*u.bytes(4)/1e9), r.least(u, "tf32"))
	assert.Contains(t, r.summary(), "| unet | "+number(6e3*n)+" | "+number(12e3*n)+" | 2 | 100 % |")

	dir := t.TempDir()
	require.NoError(t, r.write(dir))
	assert.FileExists(t, filepath.Join(dir, "convolutions.png"))
	read, err := readConvolutions(filepath.Join(dir, "convolutions.csv"))
	require.NoError(t, err)
	assert.Equal(t, r.rows, read)
}

// TestConvolutionsInPyTorch compares with PyTorch on the CPU.
func TestConvolutionsInPyTorch(t *testing.T) {
	python := pythonWithTorch(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"convolutions", "-backend", "portable", "-precisions", "float32", "-convolutions", "own", "-models", "unet",
		"-size", "16,16,16", "-python", python, "-least", "1us", "-out", t.TempDir()}, &out, io.Discard))
	assert.Regexp(t, `The device attains [0-9.e+]+ TFLOP/s in products`, out.String())
	assert.Regexp(t, `\| unet \| [0-9.e+]+ \| [0-9.e+]+ \| [0-9.e+]+ \| 100 % \|`, out.String(), "transposed ones too")
	assert.NotContains(t, out.String(), "Not measured")
}

func TestWrongFlagsOfCommands(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"kernels", "-backend", "portable"}, {"kernels", "stray"},
		{"repeats", "-times", "1"}, {"repeats", "-steps", "0"}, {"repeats", "-channels", "0"}, {"repeats", "-budget", "-1s"}, {"repeats", "stray"},
		{"repeats", "-models", "alexnet"}, {"repeats", "-backends", "portable", "-convolutions", "cudnn"},
		{"convolutions"}, {"convolutions", "-out", dir, "stray"}, {"convolutions", "-out", dir, "-channels", "0"}, {"convolutions", "-out", dir, "-backend", "cuda/tf32"},
		{"convolutions", "-out", dir, "-least", "0s"}, {"convolutions", "-out", dir, "-shapes", "-1"}, {"convolutions", "-out", dir, "-budget", "-1s"},
		{"convolutions", "-out", dir, "-precisions", "int4"}, {"convolutions", "-out", dir, "-backend", "portable"},
		{"-resume"},
	} {
		assert.Error(t, run(t.Context(), args, io.Discard, io.Discard), args)
	}
}
