package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		t.Skip("builds programs")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("packs are for linux/amd64")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("building a pack takes a C compiler (Debian: gcc): ", err)
	}
	folder := filepath.Join(t.TempDir(), "a", "pack")
	var log bytes.Buffer
	require.NoError(t, pack(t.Context(), folder, &log), log.String())
	assert.Contains(t, log.String(), "packed ")
	for _, name := range []string{"bench", "cuda.test", "run", "src/go.mod", "src/cuda", "src/internal/golden/testdata/losses/index.json"} {
		_, err := os.Stat(filepath.Join(folder, name))
		assert.NoError(t, err)
	}
	// The program refuses a wrong flag, so it runs.
	out, err := exec.CommandContext(t.Context(), filepath.Join(folder, "run"), "-turns", "0").CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), "-turns is 0")
	out, err = exec.CommandContext(t.Context(), filepath.Join(folder, "cuda.test"), "-test.list", ".").CombinedOutput()
	require.NoError(t, err)
	names := strings.Fields(string(out))
	for _, c := range checks {
		assert.Subset(t, names, c.tests, c.name)
	}
	out, err = exec.CommandContext(t.Context(), filepath.Join(folder, "cuda.test"), onDevice, "-test.run=^$").CombinedOutput()
	assert.NoError(t, err, "the flag is known: %s", out)

	require.NoError(t, pack(t.Context(), folder, &log), "again, over itself")
}
