//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/mpi/mpitest"
)

// launched returns the command that runs n processes of the program together.
func launched(t *testing.T, l mpitest.Launcher, n int, args ...string) *exec.Cmd {
	cmd := l.Command(t, n, os.Args[0], append([]string{"-dist", "mpi"}, args...)...)
	cmd.Env = append(cmd.Env, "RUN_AS_PROGRAM=1")
	return cmd
}

// processesIn returns the processes of the program, not the launcher, that train in a folder.
func processesIn(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []int
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(raw), "\x00")
		if args[0] == os.Args[0] && slices.Contains(args, dir) {
			pid, err := strconv.Atoi(strings.Split(name, "/")[2])
			require.NoError(t, err)
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found
}

// TestProcessesTogether compares a run of a single process with runs of two processes by each
// launcher: one of them is killed, one stops answering, or the launcher gets a signal, and the run
// is resumed. With MPICH batch norms are synchronized, and the processes that wait for the one that
// does not answer are at such a norm.
func TestProcessesTogether(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	data := []string{"-phantom_train", "5", "-phantom_valid", "2", "-phantom_size", "32,32,16", "-epochs", "2", "-loss", "dice-ce", "-batch", "4"}
	mpitest.Each(t, func(t *testing.T, l mpitest.Launcher) {
		data := slices.Clone(data)
		if l.Name == "MPICH" {
			data = append(data, "-batch_norm", "sync")
		}
		whole := filepath.Join(t.TempDir(), "whole")
		out, err := command(append(data, "-model_dir", whole)...).CombinedOutput()
		require.NoError(t, err, string(out))
		want := filesOf(t, whole)
		dir := filepath.Join(t.TempDir(), "run")
		interruptions := []struct {
			name string
			do   func(cmd *exec.Cmd, pids []int) error
			says string
			by   string // launcher; empty: each
		}{
			{"kill", func(_ *exec.Cmd, pids []int) error { return syscall.Kill(pids[1], syscall.SIGKILL) }, "", ""},
			{"hang", func(_ *exec.Cmd, pids []int) error { return syscall.Kill(pids[1], syscall.SIGSTOP) }, "did not take part within 2s; aborting the job", "MPICH"},
			{"stop", func(cmd *exec.Cmd, _ []int) error { return cmd.Process.Signal(syscall.SIGUSR1) }, "To resume, use the flags: -model_dir " + dir + " -resume", "OpenMPI"},
		}
		for i, c := range interruptions {
			if c.by != "" && c.by != l.Name {
				continue
			}
			args := append([]string{"-model_dir", dir}, data...)
			if c.name == "hang" {
				args = append(args, "-dist_timeout", "2s")
			}
			if i > 0 {
				args = append(args, "-resume")
			}
			cmd := launched(t, l, 2, args...)
			done := false
			var lines []string
			stderr, err := follow(t, cmd, func() {}, func(line string) {
				lines = append(lines, line)
				if !done && strings.Contains(line, "same weights everywhere") {
					done = true
					pids := processesIn(t, dir)
					if assert.Len(t, pids, 2) {
						assert.NoError(t, c.do(cmd, pids))
					}
				}
			})
			said := strings.Join(lines, "\n") + stderr
			require.Error(t, err, "%s: %s", c.name, said)
			assert.Contains(t, said, c.says, c.name)
			// The launcher may return before it has ended all of its processes.
			for start := time.Now(); len(processesIn(t, dir)) > 0; time.Sleep(50 * time.Millisecond) {
				require.Less(t, time.Since(start), 20*time.Second, c.name)
			}
		}
		n := map[string]int{"OpenMPI": 2, "MPICH": 4}[l.Name]
		out, err = launched(t, l, n, append([]string{"-model_dir", dir, "-resume"}, data...)...).CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, string(out), fmt.Sprintf("Processes: %d, by %s", n, l.Family))
		assert.Contains(t, string(out), fmt.Sprintf("in each of the %d processes.", n))
		assertSameFiles(t, want, filesOf(t, dir), "killed, hung or stopped, and resumed")
	})
}

// TestTogetherIsRefused checks errors that all processes must end with.
func TestTogetherIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-dist", "gloo"}, `brats: -dist is "gloo"; it must be mpi or mpi:LIBRARY`},
		{[]string{"-dist", "mpi", "-dist_timeout", "-1s"}, "brats: -dist_timeout is -1s; it must be at least 0"},
		{[]string{"-dist", "mpi", "-join"}, "brats: -dist has no effect with -join"},
		{[]string{"-dist", "mpi:/nowhere/libmpi.so"}, "brats: -dist: mpi: "},
	} {
		out, err := command(append(c.args, "-model_dir", dir)...).CombinedOutput()
		assert.Error(t, err)
		assert.Contains(t, string(out), c.says)
	}
	mpitest.Each(t, func(t *testing.T, l mpitest.Launcher) {
		dir := filepath.Join(t.TempDir(), "run")
		out, err := launched(t, l, 2, append(slices.Clone(small), "-model_dir", dir)...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, string(out))
		assert.Equal(t, 1, strings.Count(string(out), "-batch 1 and -accumulate 1 make updates of 1 cases, fewer than the 2 processes; give at least -batch 2"), string(out))
		assert.NoFileExists(t, filepath.Join(dir, "run.lock"))
	})
}
