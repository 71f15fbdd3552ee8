package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakePlace has a shell script in place of a program and of a test binary.
func fakePlace(t *testing.T, script string) place {
	t.Helper()
	at := place{pack: t.TempDir(), folder: t.TempDir(), python: "none"}
	require.NoError(t, os.MkdirAll(filepath.Join(at.pack, "src", "cuda"), 0o777))
	for _, name := range []string{"cuda.test", "stepbench"} {
		require.NoError(t, os.WriteFile(filepath.Join(at.pack, name), []byte("#!/bin/sh\n"+script), 0o777))
	}
	return at
}

func contents(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(text)
}

// TestRunTests: tests pass only if those required have run, and those that were skipped are named.
func TestRunTests(t *testing.T) {
	p := part{name: "tests", program: "cuda.test", pkg: "cuda", required: []string{"TestA", "TestC"}, optional: []string{"TestO"}}
	for script, want := range map[string]result{
		`echo "--- PASS: TestA (0.1s)"; echo "    --- PASS: TestA/sub"; echo "--- PASS: TestC (0.1s)"`:                                          {passed, ""},
		`echo "--- PASS: TestA"; echo "--- PASS: TestC"; echo "=== RUN   TestO"; echo "    a_test.go:9: no cuDNN"; echo "--- SKIP: TestO (0s)"`: {passed, "TestO was skipped: no cuDNN"},
		`echo "--- FAIL: TestA"; exit 1`:                 {failed, "exit status 1"},
		`echo "--- PASS: TestA"; echo "--- SKIP: TestC"`: {failed, "TestC did not run"},
		`for i in 1 2 3; do echo line $i; done; false`:   {failed, "line 2\nline 3"},
		`echo "panic: test timed out after 1s"; exit 2`:  {unfinished, "stopped after 1m0s"},
	} {
		at := fakePlace(t, script)
		got, err := p.run(t.Context(), at, time.Minute)
		require.NoError(t, err)
		assert.Equal(t, want.outcome, got.outcome, script)
		assert.Contains(t, got.reason, want.reason, script)
	}
	at := fakePlace(t, `echo "in $(pwd) with $*"`)
	_, err := p.run(t.Context(), at, time.Minute)
	require.NoError(t, err)
	assert.Contains(t, contents(t, at.folder, "tests.log"), "/src/cuda with -gpu -test.v -test.count=1 -test.timeout=1m0s -test.run=^(TestA|TestC|TestO)$\n")
}

// TestRunMeasurement: what a measurement prints is its report, its exit status says whether it is
// complete, and after its time it is stopped.
func TestRunMeasurement(t *testing.T) {
	p := part{name: "steps", program: "stepbench", args: []string{"-turns", "2"}, peer: true, folder: true, timed: true}
	for script, want := range map[string]result{
		`echo "# Report of $*"; echo progress >&2`: {passed, ""},
		`exit 3`:                  {unfinished, "the time was up"},
		`echo broken >&2; exit 1`: {failed, "exit status 1; steps.log ends"},
	} {
		at := fakePlace(t, script)
		got, err := p.run(t.Context(), at, time.Minute)
		require.NoError(t, err)
		assert.Equal(t, want.outcome, got.outcome, script)
		assert.Contains(t, got.reason, want.reason, script)
		if got.outcome == passed {
			assert.Equal(t, "# Report of -turns 2 -python none -budget 30s -out "+at.folder+"/steps\n", contents(t, at.folder, "steps.md"))
			assert.Contains(t, contents(t, at.folder, "steps.log"), "progress")
		}
	}
	at := fakePlace(t, `trap 'echo interrupted >&2; kill $!; exit 1' INT; sleep 60 & wait`)
	start := time.Now()
	got, err := p.run(t.Context(), at, 200*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, unfinished, got.outcome)
	assert.Less(t, time.Since(start), 20*time.Second)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	got, err = p.run(stopped, at, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, result{unfinished, "interrupted"}, got)

	require.NoError(t, os.Remove(filepath.Join(at.pack, "stepbench")))
	got, err = p.run(t.Context(), at, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, failed, got.outcome)
	assert.Contains(t, got.reason, "no such file")
}

// TestRunUnderSanitizer: the tool runs the test binary; the outcome says if it is not installed or
// does not support the device.
func TestRunUnderSanitizer(t *testing.T) {
	tools := t.TempDir()
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	p := part{name: "memcheck", tool: "memcheck", program: "cuda.test", pkg: "cuda", required: []string{"TestA"}}
	at := fakePlace(t, `echo "--- PASS: TestA"`)
	tool := func(script string) result {
		require.NoError(t, os.WriteFile(filepath.Join(tools, "compute-sanitizer"), []byte("#!/bin/sh\n"+script), 0o777))
		got, err := p.run(t.Context(), at, time.Minute)
		require.NoError(t, err)
		return got
	}
	assert.Equal(t, result{passed, ""}, tool(`[ "$1 $2 $3 $4" = "--tool memcheck --error-exitcode 99" ] || exit 7; shift 4; exec "$@"`))
	assert.Contains(t, contents(t, at.folder, "memcheck.log"), " -test.short\n")

	got := tool(`echo "--- PASS: TestA"; echo "========= Invalid read"; exit 99`)
	assert.Equal(t, failed, got.outcome)
	assert.Contains(t, got.reason, "exit status 99")
	assert.Contains(t, got.reason, "Invalid read")
	assert.Equal(t, skipped, tool(`echo "========= Error: Device not supported"; exit 1`).outcome)

	if _, err := os.Stat("/usr/local/cuda/bin/compute-sanitizer"); err == nil {
		return
	}
	t.Setenv("PATH", t.TempDir())
	got, err := p.run(t.Context(), at, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, skipped, got.outcome)
	assert.Contains(t, got.reason, "not found")
}

// TestParts: names are unique, and every program and package is in the pack.
func TestParts(t *testing.T) {
	seen := map[string]bool{}
	for _, quick := range []bool{false, true} {
		clear(seen)
		for _, p := range allParts(quick) {
			assert.False(t, seen[p.name], p.name)
			seen[p.name] = true
			assert.NotEmpty(t, p.about, p.name)
			assert.Greater(t, p.most, p.least, p.name)
			if p.pkg == "" {
				assert.Contains(t, programs, p.program, p.name)
			} else {
				assert.Contains(t, tested, p.pkg, p.name)
			}
		}
	}
	some, err := selectParts(allParts(false), "repeats,kernels")
	require.NoError(t, err)
	assert.Equal(t, []string{"kernels", "repeats"}, namesOf(some))
	_, err = selectParts(allParts(false), "kernel")
	assert.ErrorContains(t, err, `no part "kernel"`)
	assert.Equal(t, "examples-internal-nn-cuda.test", binaryOf(enginePackage))
	assert.Equal(t, "1×4×224×224×144", brats.String())
	for _, p := range allParts(false) {
		if strings.HasPrefix(p.name, "steps-") {
			assert.Contains(t, strings.Join(p.words(place{}, time.Minute), " "), "-backend cuda/")
		}
	}
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
