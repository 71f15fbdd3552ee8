//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/internal/cuda/emulator"
)

func TestGlibcHas(t *testing.T) {
	for version, want := range map[string]bool{
		"2.2.5": true, "2.34": true, "2.36": true, "2.37": false, "2.4": true, "3.0": false, "PRIVATE": false, "2.x": false,
	} {
		assert.Equal(t, want, glibcHas(version), version)
	}
}

func TestCheckPortable(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("#!/bin/sh\n"), 0o777))
	assert.ErrorContains(t, checkPortable(text), "not a program for Linux")
	assert.ErrorContains(t, checkPortable(text+"x"), "no such file")
}

// TestPack: a pack is complete and portable, and runs.
func TestPack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs: run without -short")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("packs are for linux/amd64, and this is ", runtime.GOARCH)
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("building a pack takes a C compiler (Debian: gcc): ", err)
	}
	folder := filepath.Join(t.TempDir(), "a", "pack")
	var log bytes.Buffer
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "unpacked-of-an-earlier-one"), 0o777))
	require.NoError(t, pack(t.Context(), folder, &log), log.String())
	t.Log(log.String())
	names, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.Len(t, names, 2, "the archive and the script: %v", names)

	// The program refuses a wrong flag, so it runs, and so does its command losses.
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), filepath.Join(folder, "run"), args...).CombinedOutput()
		return string(out), err
	}
	out, err := run("-budget", "-1s")
	assert.Error(t, err)
	assert.Contains(t, out, "-budget is -1s")
	out, err = run("losses", "-turns", "0")
	assert.Error(t, err)
	assert.Contains(t, out, "-turns is 0")
	out, err = run("-dry")
	assert.NoError(t, err, out)
	assert.Contains(t, out, "steps-brats-tf32, at most 2m30s: ")

	unpacked, err := filepath.Glob(filepath.Join(folder, "unpacked-*"))
	require.NoError(t, err)
	require.Len(t, unpacked, 1)
	for _, name := range []string{"src/go.mod", "src/cuda", "src/internal/golden/testdata/losses/index.json", "src/internal/golden/testdata/models/layers.safetensors", "src/examples/internal/models/testdata/monai.json"} {
		_, err := os.Stat(filepath.Join(unpacked[0], name))
		assert.NoError(t, err)
	}
	for _, p := range allParts(false) {
		if p.pkg == "" {
			continue
		}
		program := filepath.Join(unpacked[0], p.program)
		out, err := exec.CommandContext(t.Context(), program, "-test.list", ".").CombinedOutput()
		require.NoError(t, err)
		assert.Subset(t, strings.Fields(string(out)), append(p.required, p.optional...), p.name)
		out, err = exec.CommandContext(t.Context(), program, onDevice, "-test.run=^$").CombinedOutput()
		assert.NoError(t, err, "the flag is known: %s", out)
	}
	runOnImitation(t, folder)
}

// runOnImitation runs parts of a pack on the emulated GPU, in two runs.
func runOnImitation(t *testing.T, folder string) {
	driver := t.TempDir()
	root, err := moduleRoot(t.Context())
	require.NoError(t, err)
	path, err := emulator.Install(driver, filepath.Join(root, "examples/internal/nn/cuda/kernels/emulated.cpp"))
	if errors.Is(err, emulator.ErrNoCompiler) {
		t.Skip(err)
	}
	require.NoError(t, err)
	results := filepath.Join(t.TempDir(), "results")
	run := func(parts string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(folder, "run"), append([]string{"-quick", "-python", "none", "-out", results, "-parts", parts}, args...)...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+driver, "AFL_CUDNN="+path)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("kernels,repeats,steps-picai-tf32,memcheck-engine", "-budget", "16s")
	var status *exec.ExitError
	require.ErrorAs(t, err, &status, out)
	assert.Equal(t, statusUnfinished, status.ExitCode(), out)
	assert.Contains(t, out, "steps-picai-tf32: unfinished: the time was up before it")
	out, err = run("kernels,repeats,steps-picai-tf32,convolutions-picai,memcheck-engine")
	require.NoError(t, err, out)
	text := contents(t, results, "README.md")
	t.Log(text)
	assert.Contains(t, text, "| GPU | Emulated GPU 0, compute capability ")
	assert.Contains(t, text, "| kernels | the driver compiles every module of kernels | passed | ")
	assert.Regexp(t, `\| segresnet \| 1×3×8×8×8 \| cuda/tf32 \| [0-9a-f]{12} \| equal bits \|`, text)
	assert.Regexp(t, `\| segresnet \| 1×3×8×8×8 \| tf32 \| [0-9.]+ \| [0-9.]+ \| – \| – \| – \|`, text)
	assert.Contains(t, text, "All convolutions of a step, own beside cudnn")
	if _, err := sanitizer(); err != nil {
		assert.Contains(t, text, "| skipped: compute-sanitizer was not found")
	}
}
