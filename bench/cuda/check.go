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

// onDevice makes the tests of package cuda run on the machine's GPU.
const onDevice = "-gpu"

// check runs tests of a package on the device, under a tool of compute-sanitizer
// where one is named.
type check struct {
	name  string // of its log, too
	tool  string
	pkg   string
	tests []string
	args  []string // of the test binary
	most  time.Duration
}

// The tests that run on the device, and those that compute-sanitizer, under which
// kernels are slow, gets: every loss, and every option that has a golden number.
var (
	deviceTests    = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture", "TestConcurrentLosses"}
	sanitizedTests = []string{"TestLosses", "TestGoldenLosses", "TestCPU", "TestGrad", "TestCapture"}
)

// checks are run in this order.
var checks = []check{
	{name: "tests", pkg: "cuda", tests: deviceTests, most: 5 * time.Minute},
	{name: "memcheck", tool: "memcheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, most: 3 * time.Minute},
	{name: "racecheck", tool: "racecheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, most: 3 * time.Minute},
	{name: "initcheck", tool: "initcheck", pkg: "cuda", tests: sanitizedTests, args: []string{"-test.short"}, most: 3 * time.Minute},
}

// checked is the outcome of a check that found nothing wrong.
type checked struct {
	name, what, outcome string
	took                time.Duration
}

var testPassed = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)

// sanitizer is the path of compute-sanitizer: on the path, or where NVIDIA's
// toolkit puts it.
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

// run runs the check with the test binaries of a pack and leaves its log in a
// folder. What cannot be run here is told by the outcome; a test that fails, or
// does not run, is an error.
func (c check) run(ctx context.Context, pack, folder string, w io.Writer) (checked, error) {
	binary := filepath.Join(pack, filepath.Base(c.pkg)+".test")
	args := append([]string{onDevice, "-test.v", "-test.count=1", "-test.timeout=" + c.most.String(), "-test.run=^(" + strings.Join(c.tests, "|") + ")$"}, c.args...)
	done := checked{name: c.name, what: strings.Join(append([]string{filepath.Base(binary)}, c.args...), " ") + ": " + strings.Join(c.tests, ", ")}
	if c.tool != "" {
		path, err := sanitizer()
		if err != nil {
			done.outcome = "left out: " + err.Error()
			return done, nil
		}
		args = append([]string{"--tool", c.tool, "--error-exitcode", "99", binary}, args...)
		binary = path
		done.what = "compute-sanitizer --tool " + c.tool + " " + done.what
	}
	ctx, stop := context.WithTimeout(ctx, c.most+30*time.Second) // the test binary's own limit prints more
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
		done.outcome = "left out: compute-sanitizer does not support the device"
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

// tail is the last lines of a text.
func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
