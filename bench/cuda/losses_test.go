package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl"
	"github.com/x/afl/internal/workload"
	"github.com/x/afl/internal/workload/gpu"
)

func TestParseLosses(t *testing.T) {
	o, err := parseLosses(nil, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, []workload.Size{workload.BraTS, workload.PICAI, workload.BraTS8}, o.sizes)
	assert.Equal(t, []workload.Size{workload.BraTS, workload.PICAI}, o.compiled)
	assert.Equal(t, afl.Names(), o.losses)
	assert.Equal(t, 1000, o.repeats)
	assert.True(t, o.measure)

	o, err = parseLosses(strings.Fields("-quick -budget 3m -compile none -losses afl"), &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, []workload.Size{workload.Quick}, o.sizes)
	assert.Equal(t, 3*time.Minute, o.budget)
	assert.Equal(t, 20, o.repeats)
	assert.Empty(t, o.compiled)

	for args, want := range map[string]string{
		"-sizes lung":               "-sizes",
		"-compile lung":             "-compile",
		"-losses dise":              "dise",
		"-turns 0":                  "-turns",
		"-turn 0s":                  "-turn",
		"-repeats 1":                "-repeats",
		"-budget -1s":               "-budget",
		"extra":                     "extra",
		"-measure=false -repeats 0": "nothing to do",
	} {
		_, err := parseLosses(strings.Fields(args), &bytes.Buffer{})
		assert.ErrorContains(t, err, want, args)
	}
}

func TestCommandLine(t *testing.T) {
	assert.Equal(t, "go run ./bench/cuda -quick", commandLine([]string{"-quick"}))
	commit = "c"
	defer func() { commit = "" }()
	assert.Equal(t, "run -quick -out x", commandLine([]string{"-packed", "/some/where", "-quick", "-out", "x"}))
}

// TestWithoutDevice: without a GPU the error says what is missing, and no folder is made.
func TestWithoutDevice(t *testing.T) {
	if g, err := gpu.Open(0); err == nil {
		g.Close()
		t.Skip("this machine has a GPU")
	}
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{{"-quick", "-out", out}, {"losses", "-quick", "-out", out}} {
		assert.ErrorContains(t, run(t.Context(), args, &bytes.Buffer{}), "cuda:")
		assert.NoDirExists(t, out)
	}
}
