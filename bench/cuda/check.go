package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/x/afl/internal/atomicfile"
)

// onDevice is the flag that makes the tests of package cuda run on the machine's GPU.
const onDevice = "-gpu"

// check runs tests of a package on the device, under a tool of compute-sanitizer if one
// is named.
type check struct {
	name  string // also that of its log
	tool  string
	pkg   string
	tests []string
	args  []string // of the test binary
	limit time.Duration
}

// The tests that run on the device, and those that run under compute-sanitizer, which
// makes kernels slow: every loss, and every option that has a golden number.
var (
	deviceTests    = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture", "TestConcurrentLosses"}
	sanitizedTests = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture"}
)

// checks run in this order.
var checks = []check{
	{name: "tests", pkg: "cuda", tests: deviceTests, limit: 5 * time.Minute},
	{name: "memcheck", tool: "memcheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, limit: 3 * time.Minute},
	{name: "racecheck", tool: "racecheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, limit: 3 * time.Minute},
	{name: "initcheck", tool: "initcheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, limit: 3 * time.Minute},
}

// checked is the outcome of a check that found no error.
type checked struct {
	name, what, outcome string
	took                time.Duration
}

var testPassed = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)

// sanitizer finds compute-sanitizer on the path or where NVIDIA's toolkit installs it.
func sanitizer() (string, error) {
	if path, err := exec.LookPath("compute-sanitizer"); err == nil {
		return path, nil
	}
	const usual = "/usr/local/cuda/bin/compute-sanitizer"
	if _, err := os.Stat(usual); err == nil {
		return usual, nil
	}
	return "", errors.New("compute-sanitizer was not found")
}

// run runs the check with the test binaries of a pack and writes its log to a folder.
// If it cannot run on this machine the outcome says why; a test that fails or does not
// run is an error.
func (c check) run(ctx context.Context, pack, folder string, w io.Writer) (checked, error) {
	binary := filepath.Join(pack, filepath.Base(c.pkg)+".test")
	args := append([]string{onDevice, "-test.v", "-test.count=1", "-test.timeout=" + c.limit.String(), "-test.run=^(" + strings.Join(c.tests, "|") + ")$"}, c.args...)
	done := checked{name: c.name, what: strings.Join(append([]string{filepath.Base(binary)}, c.args...), " ") + ": " + strings.Join(c.tests, ", ")}
	if c.tool != "" {
		path, err := sanitizer()
		if err != nil {
			done.outcome = "skipped: " + err.Error()
			return done, nil
		}
		args = append([]string{"--tool", c.tool, "--error-exitcode", "99", binary}, args...)
		binary = path
		done.what = "compute-sanitizer --tool " + c.tool + " " + done.what
	}
	ctx, stop := context.WithTimeout(ctx, c.limit+30*time.Second) // the test binary's own timeout prints more
	defer stop()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(pack, "src", c.pkg)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	fmt.Fprintf(w, "%s: %s\n", c.name, done.what)
	start := time.Now()
	failed := cmd.Run()
	done.took = time.Since(start)
	log, text := filepath.Join(folder, c.name+".log"), out.Bytes()
	if err := atomicfile.WriteString(log, string(text)); err != nil {
		return done, err
	}
	passed := map[string]bool{}
	for _, m := range testPassed.FindAllSubmatch(text, -1) {
		passed[string(m[1])] = true
	}
	switch missing := slices.DeleteFunc(slices.Clone(c.tests), func(name string) bool { return passed[name] }); {
	case c.tool != "" && bytes.Contains(text, []byte("Device not supported")):
		done.outcome = "skipped: compute-sanitizer does not support the device"
	case failed != nil:
		return done, fmt.Errorf("%s failed (%w); see %s, which ends\n%s", c.name, failed, log, tail(text, 25))
	case len(missing) > 0:
		return done, fmt.Errorf("%s: %s did not run; see %s, which ends\n%s", c.name, strings.Join(missing, ", "), log, tail(text, 25))
	default:
		done.outcome = "passed"
	}
	fmt.Fprintf(w, "%s: %s\n", c.name, done.outcome)
	return done, nil
}

// tail returns the last lines of a text.
func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
