package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/backends"
)

// TestRun measures small steps without the comparison.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out, progress bytes.Buffer
	require.NoError(t, run(context.Background(), []string{
		"-models", "unet,segresnet", "-size", "32,32,16", "-python", "none", "-turns", "2", "-steps", "1", "-turn", "0s", "-out", dir,
	}, &out, &progress))
	assert.Contains(t, out.String(), "| unet | 1×3×32×32×16 | 4810645 |")
	text, err := os.ReadFile(filepath.Join(dir, "steps.md"))
	require.NoError(t, err)
	assert.Equal(t, out.String(), string(text))
	f, err := os.Open(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	assert.Len(t, lines, 1+2*2)

	// A second run adds another network to those of the folder.
	out.Reset()
	require.NoError(t, run(context.Background(), []string{
		"-models", "mrrn", "-size", "16,16,8", "-python", "none", "-turns", "1", "-steps", "1", "-turn", "0s", "-out", dir,
	}, &out, &progress))
	assert.Regexp(t, `(?s)\| unet \| 1×3×32×32×16 .*\| segresnet \| 1×3×32×32×16 .*\| mrrn \| 1×3×16×16×8 `, out.String())
	results, err := readTable(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	assert.Len(t, results, 3)
	assert.Equal(t, out.String(), markdown(results))
}

// fake is a contender whose steps take known times.
type fake struct {
	who     string
	peer    bool
	seconds []float64
	failure error
}

func (f *fake) name() string                    { return f.who }
func (f *fake) isPeer() bool                    { return f.peer }
func (f *fake) open(workload, int) (int, error) { return 7, f.failure }
func (f *fake) close() error                    { return nil }
func (f *fake) deviceMemory() int64             { return 0 }
func (f *fake) turn(context.Context, int, time.Duration) ([]float64, error) {
	return f.seconds, nil
}

// TestRatios compares known times: with the best of PyTorch, and where a network does not
// compile.
func TestRatios(t *testing.T) {
	eager := &fake{who: "PyTorch 1 eager", peer: true, seconds: []float64{4, 5}}
	compiled := &fake{who: "PyTorch 2 compile", peer: true, failure: &unsupportedError{"no compiler"}}
	contenders := []contender{&fake{who: "onednn", seconds: []float64{2, 2}}, eager, compiled}
	first, err := compare(t.Context(), workload{name: "unet"}, contenders, 1, 2, 0, io.Discard)
	require.NoError(t, err)
	compiled.failure, compiled.seconds = nil, []float64{3}
	eager.seconds = []float64{16}
	second, err := compare(t.Context(), workload{name: "mrrn"}, contenders, 2, 2, 0, io.Discard)
	require.NoError(t, err)
	assert.Len(t, second.sides[0].seconds, 4)
	results := merge(merge([]*result{second, {network: "unet"}}, second), first)
	text := markdown(results)
	assert.Contains(t, text, "| unet | 2 | – | 2 | 1 eager |\n| mrrn | 8 | 1.5 | 1.5 | 2 compile |\n| geometric mean | 4 | 1.5 of 1 | 1.73 |  |\n")
	assert.Contains(t, text, "\nNot measured:\n\n- unet with PyTorch 2 compile: no compiler\n")

	dir := t.TempDir()
	require.NoError(t, write(dir, results))
	assert.FileExists(t, filepath.Join(dir, "steps.png"))
	read, err := readTable(filepath.Join(dir, "steps.csv"))
	require.NoError(t, err)
	assert.Equal(t, results, read)

	alone, err := compareAlone(t.Context(), workload{name: "mrrn"}, contenders, 2, 2, 0, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, second, alone)

	compiled.failure = errors.New("out of memory")
	_, err = compare(t.Context(), workload{name: "mrrn"}, contenders, 2, 2, 0, io.Discard)
	assert.EqualError(t, err, "PyTorch 2 compile: out of memory")
}

// pythonWithTorch returns the interpreter of Debian's packages, and skips the test without PyTorch.
func pythonWithTorch(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PyTorch, which takes seconds: run without -short")
	}
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		t.Skipf("%s has no PyTorch (Debian: python3-torch): %v", python, err)
	}
	return python
}

// TestPyTorch runs one network in every mode but the compiled ones, which take minutes.
func TestPyTorch(t *testing.T) {
	python := pythonWithTorch(t)
	args := []string{"-models", "segresnet", "-size", "16,16,8", "-python", python, "-turns", "1", "-steps", "1", "-turn", "0s"}
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), args, &out, io.Discard))
	assert.Regexp(t, `(?m)^\| segresnet( \| [0-9.e+]+){3} \| .* (eager|channels_last_3d) \|$`, out.String())
	assert.ErrorContains(t, run(t.Context(), append(args, "-python", python+","+python), &out, io.Discard), "which both have PyTorch")
	if p, err := startPeer(t.Context(), python, script); assert.NoError(t, err) {
		if !p.version.Compile {
			assert.ErrorContains(t, run(t.Context(), append(args, "-modes", "eager,compile"), &out, io.Discard), "supports compile")
		}
		assert.NoError(t, p.process.Close())
	}
}

// TestForeignTable refuses to add to a CSV file that is not one of this command.
func TestForeignTable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "steps.csv")
	head := strings.Join(csvHeader, ",") + "\n"
	for text, message := range map[string]string{
		"a,b\n1,2\n": "its columns are not network,",
		head + "unet,1,many,2026-11-30,m,onednn,false,0,1,\n": `line 2: parameters are "many"`,
		head + "unet,1,7,2026-11-30,m,onednn,false,0,-1,\n":   `line 2: seconds are "-1"`,
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		err := run(t.Context(), []string{"-models", "unet", "-python", "none", "-out", dir}, io.Discard, io.Discard)
		assert.ErrorContains(t, err, message)
		assert.ErrorContains(t, err, path)
	}
}

// TestLostOutput prints to a pipe that nobody reads: an error unless the table is in a folder too.
func TestLostOutput(t *testing.T) {
	read, out := io.Pipe()
	require.NoError(t, read.Close())
	args := []string{"-models", "segresnet", "-size", "16,16,8", "-python", "none", "-turns", "1", "-steps", "1", "-turn", "0s"}
	assert.ErrorIs(t, run(context.Background(), args, out, &bytes.Buffer{}), io.ErrClosedPipe)
	dir := t.TempDir()
	require.NoError(t, run(context.Background(), append(args, "-out", dir), out, &bytes.Buffer{}))
	assert.FileExists(t, filepath.Join(dir, "steps.csv"))
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-models", "alexnet"}, {"-size", "1,2"}, {"-size", "a,b,c"}, {"-turns", "0"}, {"-steps", "0"}, {"-turn", "-1s"}, {"-out", "/dev/null/a"}, {"stray"}, {"-python", "/no/such/python"},
		{"-modes", "lazy", "-python", "none"}, {"-compile_limit", "0s"},
		{"-models", "unet", "-backend", "abacus", "-python", "none"}, {"-channels", "0"}, {"-budget", "-1s"},
		{"-convolutions", "own,auto", "-backend", "portable", "-python", "none"}, {"-convolutions", "all", "-python", "none"},
	} {
		assert.Error(t, run(context.Background(), args, &bytes.Buffer{}, &bytes.Buffer{}), args)
	}
}

// TestStepsReduceTheLoss checks that the measured steps really train the network.
func TestStepsReduceTheLoss(t *testing.T) {
	w, err := newWorkload("unet", "32,32,16", 3)
	require.NoError(t, err)
	b, err := backends.Open(backends.Default(), backends.Options{})
	require.NoError(t, err)
	s, err := newStepper(w, b)
	require.NoError(t, err)
	s.sgd.LearningRate = 0.1
	first, err := s.step()
	require.NoError(t, err)
	last := first
	for range 5 {
		last, err = s.step()
		require.NoError(t, err)
	}
	assert.Less(t, last, first)
}
