package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakePack has a shell script in place of a test binary.
func fakePack(t *testing.T, script string) string {
	pack := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(pack, "src", "cuda"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(pack, "cuda.test"), []byte("#!/bin/sh\n"+script), 0o777))
	return pack
}

func TestCheck(t *testing.T) {
	c := check{name: "tests", pkg: "cuda", tests: []string{"TestA", "TestC"}, args: []string{"-test.short"}, limit: time.Minute}
	folder := t.TempDir()
	pack := fakePack(t, `echo "--- PASS: TestA ($(basename "$(pwd)") $*)"; echo "    --- PASS: TestA/sub"; echo "--- PASS: TestC (0.1s)"`)
	done, err := c.run(t.Context(), pack, folder, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, "passed", done.outcome)
	assert.Equal(t, "cuda.test -test.short: TestA, TestC", done.what)
	log, err := os.ReadFile(filepath.Join(folder, "tests.log"))
	require.NoError(t, err)
	assert.Contains(t, string(log), "TestA (cuda -gpu -test.v -test.count=1 -test.timeout=1m0s -test.run=^(TestA|TestC)$ -test.short)")

	for script, want := range map[string]string{
		`echo "--- FAIL: TestA"; exit 1`:                 "tests failed (exit status 1)",
		`echo "--- PASS: TestA"; echo "--- SKIP: TestC"`: "tests: TestC did not run",
		`echo "testing: warning: no tests to run"`:       "no tests to run",
		`for i in 1 2 3; do echo line $i; done; false`:   "line 2\nline 3",
	} {
		_, err := c.run(t.Context(), fakePack(t, script), folder, &bytes.Buffer{})
		assert.ErrorContains(t, err, want)
	}
}

// TestCheckUnderSanitizer: the tool runs the test binary; the outcome says if it is not
// installed or does not support the device.
func TestCheckUnderSanitizer(t *testing.T) {
	tools := t.TempDir()
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	c := check{name: "memcheck", tool: "memcheck", pkg: "cuda", tests: []string{"TestA"}, limit: time.Minute}
	pack, folder := fakePack(t, `echo "--- PASS: TestA"`), t.TempDir()
	tool := func(script string) {
		require.NoError(t, os.WriteFile(filepath.Join(tools, "compute-sanitizer"), []byte("#!/bin/sh\n"+script), 0o777))
	}

	tool(`[ "$1 $2 $3 $4" = "--tool memcheck --error-exitcode 99" ] || exit 7; shift 4; exec "$@"`)
	done, err := c.run(t.Context(), pack, folder, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Equal(t, "passed", done.outcome)
	assert.Contains(t, done.what, "compute-sanitizer --tool memcheck cuda.test")

	tool(`echo "--- PASS: TestA"; echo "========= Invalid read"; exit 99`)
	_, err = c.run(t.Context(), pack, folder, &bytes.Buffer{})
	assert.ErrorContains(t, err, "exit status 99")
	assert.ErrorContains(t, err, "Invalid read")

	tool(`echo "========= Error: Device not supported"; exit 1`)
	done, err = c.run(t.Context(), pack, folder, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Contains(t, done.outcome, "skipped")

	if _, err := os.Stat("/usr/local/cuda/bin/compute-sanitizer"); err == nil {
		return
	}
	t.Setenv("PATH", t.TempDir())
	done, err = c.run(t.Context(), pack, folder, &bytes.Buffer{})
	require.NoError(t, err)
	assert.Contains(t, done.outcome, "not found")
}

func TestParseSMI(t *testing.T) {
	fields, err := parseSMI("name, clocks.current.sm [MHz]\nLoom 1, 345 MHz\nLoom 2, 400 MHz\n")
	require.NoError(t, err)
	assert.Equal(t, []field{{"name", "Loom 1; Loom 2"}, {"clocks.current.sm [MHz]", "345 MHz; 400 MHz"}}, fields)
	for _, bad := range []string{"", "name\n", "a, b\n1\n"} {
		_, err := parseSMI(bad)
		assert.ErrorContains(t, err, "nvidia-smi", bad)
	}
}
