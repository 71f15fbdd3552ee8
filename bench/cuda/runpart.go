package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// onDevice is the flag that makes tests run on the machine's GPU.
const onDevice = "-gpu"

// The outcomes of a part.
const (
	passed     = "passed"
	failed     = "failed"
	unfinished = "unfinished" // the time was up: a later run continues
	skipped    = "skipped"    // the machine lacks something
)

// place is where a part runs.
type place struct {
	pack   string // the folder of the programs, absolute
	folder string // of the results, absolute
	python string // the interpreter with PyTorch, or none
	env    []string
}

// words returns the command of a part that may take the given time: program and arguments.
func (p part) words(at place, limit time.Duration) []string {
	program := filepath.Join(at.pack, p.program)
	if p.pkg == "" {
		words := append([]string{program}, p.args...)
		if p.peer {
			words = append(words, "-python", at.python)
		}
		if p.timed { // what is begun at its end takes some time
			words = append(words, "-budget", (limit - min(limit/2, 40*time.Second)).Round(time.Millisecond).String())
		}
		if p.folder {
			words = append(words, "-out", filepath.Join(at.folder, p.name))
		}
		return words
	}
	words := []string{program, onDevice, "-test.v", "-test.count=1", "-test.timeout=" + limit.Round(time.Millisecond).String(),
		"-test.run=^(" + strings.Join(append(slices.Clone(p.required), p.optional...), "|") + ")$"}
	if p.tool != "" {
		words = append([]string{"compute-sanitizer", "--tool", p.tool, "--error-exitcode", "99"}, words...)
		words = append(words, "-test.short")
	}
	return words
}

// sanitizer finds compute-sanitizer on the path or where NVIDIA's toolkit installs it.
func sanitizer() (string, error) {
	if path, err := exec.LookPath("compute-sanitizer"); err == nil {
		return path, nil
	}
	for _, usual := range []string{"/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda-*/bin/compute-sanitizer", "/opt/nvidia/*/compute-sanitizer/compute-sanitizer"} {
		if found, _ := filepath.Glob(usual); len(found) > 0 { // the patterns are well-formed
			return found[len(found)-1], nil
		}
	}
	return "", errors.New("compute-sanitizer was not found (it is part of NVIDIA's toolkit)")
}

// result is the outcome of a part with its reason.
type result struct{ outcome, reason string }

// run runs a part for at most the given time. Its output goes to the folder of the results as it
// comes: what it prints to <name>.md, if it is a measurement, the rest to <name>.log.
func (p part) run(ctx context.Context, at place, limit time.Duration) (result, error) {
	words := p.words(at, limit)
	if p.tool != "" {
		path, err := sanitizer()
		if err != nil {
			return result{skipped, err.Error()}, nil
		}
		words[0] = path
	}
	logPath := filepath.Join(at.folder, p.name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return result{}, err
	}
	defer log.Close()
	fmt.Fprintf(log, "%s\n", strings.Join(words, " "))

	grace := 10 * time.Second // to write the results
	limited, stop := context.WithTimeout(ctx, limit)
	defer stop()
	cmd := exec.CommandContext(limited, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), at.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	cmd.Stdout, cmd.Stderr = log, log
	if p.pkg != "" {
		cmd.Dir = filepath.Join(at.pack, "src", p.pkg)
	} else {
		printed, err := os.Create(filepath.Join(at.folder, p.name+".md"))
		if err != nil {
			return result{}, err
		}
		defer printed.Close()
		cmd.Stdout = printed
	}
	ended := cmd.Run()
	if ctx.Err() != nil {
		return result{unfinished, "interrupted"}, nil
	}
	var status *exec.ExitError
	if ended != nil && !errors.As(ended, &status) && limited.Err() == nil {
		return result{failed, ended.Error()}, nil // it did not start
	}
	text, err := os.ReadFile(logPath)
	if err != nil {
		return result{}, err
	}
	switch {
	case ended == nil && p.pkg != "":
		return p.judge(text), nil
	case ended == nil:
		return result{passed, ""}, nil
	case limited.Err() != nil || p.pkg != "" && bytes.Contains(text, []byte("panic: test timed out")):
		return result{unfinished, fmt.Sprintf("stopped after %v", limit.Round(time.Second))}, nil
	case p.pkg == "" && status.ExitCode() == statusUnfinished:
		return result{unfinished, "the time was up"}, nil
	case p.tool != "" && bytes.Contains(text, []byte("Device not supported")):
		return result{skipped, "compute-sanitizer does not support the device"}, nil
	}
	return result{failed, ended.Error() + "; " + p.name + ".log ends: " + tail(text, 12)}, nil
}

var (
	testPassed  = regexp.MustCompile(`(?m)^--- PASS: (\w+)`)
	testSkipped = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)\n--- SKIP: (\w+)`)
)

// judge returns the outcome of tests that found no error: those required have to have run.
func (p part) judge(log []byte) result {
	ran := map[string]bool{}
	for _, m := range testPassed.FindAllSubmatch(log, -1) {
		ran[string(m[1])] = true
	}
	missing := slices.DeleteFunc(slices.Clone(p.required), func(name string) bool { return ran[name] })
	if len(missing) > 0 {
		return result{failed, strings.Join(missing, ", ") + " did not run; " + p.name + ".log ends: " + tail(log, 12)}
	}
	var notes []string
	for _, m := range testSkipped.FindAllSubmatch(log, -1) {
		notes = append(notes, fmt.Sprintf("%s was skipped: %s", m[2], m[1]))
	}
	return result{passed, strings.Join(notes, "; ")}
}

// tail returns the last lines of a text.
func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
