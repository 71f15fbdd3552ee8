package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small are flags of a run whose epochs take a tenth of a second.
var small = []string{"-phantom_train", "2", "-phantom_valid", "1", "-phantom_size", "32,32,16"}

func withSmall(args ...string) []string { return append(append([]string(nil), args...), small...) }

// filesOf reads every file of a run except its phantom, its record and its lock.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "phantom":
			return fs.SkipDir
		case d.IsDir() || d.Name() == "run.json":
			return nil
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(raw)
		return err
	}))
	return files
}

func assertSameFiles(t *testing.T, want, got map[string]string, message string) {
	t.Helper()
	for name := range want {
		assert.True(t, want[name] == got[name], "%s: %s differs", message, name)
	}
	for name := range got {
		assert.Contains(t, want, name, message)
	}
}

// follow starts a program, calls started, and at for each line of its output.
func follow(t *testing.T, cmd *exec.Cmd, started func(), at func(line string)) (stderr string, err error) {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	started()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		at(lines.Text())
	}
	err = cmd.Wait()
	return errs.String(), err
}

// TestTwoStartsAtOnce starts two processes in one folder at the same time, with different
// learning rates. One of them runs; the other names it and leaves everything alone.
func TestTwoStartsAtOnce(t *testing.T) {
	repeats := 20
	if testing.Short() {
		repeats = 3
	}
	for range repeats {
		dir := filepath.Join(t.TempDir(), "run")
		var started, ended sync.WaitGroup
		type end struct {
			cmd    *exec.Cmd
			stderr bytes.Buffer
			err    error
		}
		ends := []*end{{}, {}}
		over := make(chan *end, 2)
		for i, e := range ends {
			e.cmd = command(withSmall("-model_dir", dir, "-epochs", "10000", "-loss", "dice", "-lr", []string{"0.1", "0.01"}[i])...)
			e.cmd.Stderr = &e.stderr
			started.Add(1)
			ended.Go(func() {
				err := e.cmd.Start()
				started.Done()
				if err == nil {
					err = e.cmd.Wait()
				}
				e.err = err
				over <- e
			})
		}
		started.Wait()
		// The one that runs would take an hour.
		loser := <-over
		winner := ends[0]
		if loser == winner {
			winner = ends[1]
		}
		var exit *exec.ExitError
		require.ErrorAs(t, loser.err, &exit)
		assert.Equal(t, 1, exit.ExitCode())
		assert.Regexp(t, `^brats: -model_dir: .*run is in use by process \d+ \(brats\) on host .* since `, loser.stderr.String())
		assert.Contains(t, loser.stderr.String(), "-model_dir: "+dir+" is in use by process ")
		assert.Contains(t, loser.stderr.String(), " process "+strconv.Itoa(winner.cmd.Process.Pid)+" (brats)")
		require.NoError(t, winner.cmd.Process.Signal(os.Interrupt))
		select {
		case <-over:
		case <-time.After(2 * time.Minute):
			winner.cmd.Process.Kill()
			require.Fail(t, "the running process does not stop")
		}
		ended.Wait()
		require.ErrorAs(t, winner.err, &exit)
		assert.Equal(t, 130, exit.ExitCode(), winner.stderr.String())
		assert.NoFileExists(t, filepath.Join(dir, "run.lock"))
	}
}

// TestKilledRunsAreBitIdentical kills a run at arbitrary moments, also while it grows, and
// compares its files with those of a run that was left alone.
func TestKilledRunsAreBitIdentical(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	whole := filepath.Join(t.TempDir(), "whole")
	out, err := command(withSmall("-model_dir", whole, "-epochs", "4", "-loss", "afl,dice")...).CombinedOutput()
	require.NoError(t, err, string(out))
	want := filesOf(t, whole)

	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "killed")
	killed, taken := 0, 0
	for _, flags := range [][]string{{"-epochs", "2", "-loss", "afl"}, {"-epochs", "4", "-loss", "afl"}, {"-loss", "afl,dice"}} {
		for attempt := 0; ; attempt++ {
			require.Less(t, attempt, 30)
			args := append([]string{"-model_dir", dir}, flags...)
			if _, err := os.Stat(filepath.Join(dir, "run.json")); err == nil {
				args = append(args, "-resume")
			} else {
				args = append(args, small...)
			}
			cmd := command(args...)
			var timer *time.Timer
			started := func() {
				if attempt < 4 { // the first attempts get no chance to finish, the later ones do
					timer = time.AfterFunc(time.Duration(rng.IntN(1500))*time.Millisecond, func() { cmd.Process.Kill() })
				}
			}
			stderr, err := follow(t, cmd, started, func(line string) {
				if strings.Contains(line, "was left behind by process ") {
					assert.Contains(t, line, "The lock of "+dir+" was left behind by process ")
					taken++
				}
			})
			if timer != nil {
				timer.Stop()
			}
			if err == nil {
				break
			}
			killed++
			require.Empty(t, stderr, "killed, not failed")
		}
	}
	assertSameFiles(t, want, filesOf(t, dir), "killed")
	t.Log("killed", killed, "locks taken over", taken)
}

// TestRepeatedSignals sends signals in a row, as a terminal that closes, a session that ends
// or timeout(1) does, and checks that the state is saved all the same.
func TestRepeatedSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not send these signals")
	}
	for _, signals := range [][]syscall.Signal{{syscall.SIGHUP, syscall.SIGHUP}, {syscall.SIGHUP, syscall.SIGTERM}, {syscall.SIGTERM, syscall.SIGTERM}} {
		dir := filepath.Join(t.TempDir(), "run")
		cmd := command(withSmall("-model_dir", dir, "-epochs", "10000", "-loss", "dice")...)
		sent := false
		stderr, err := follow(t, cmd, func() {}, func(line string) {
			if !sent && strings.Contains(line, "epoch 1/") {
				sent = true
				for _, s := range signals {
					if err := cmd.Process.Signal(s); err != nil {
						assert.ErrorIs(t, err, os.ErrProcessDone) // the second one came late
					}
					time.Sleep(time.Millisecond) // or the system delivers equal signals once
				}
			}
		})
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 130, exit.ExitCode(), "%v: %s", signals, stderr)
		assert.Equal(t, 1, strings.Count(stderr, "Stopping after the current step"))
		assert.FileExists(t, filepath.Join(dir, "unet", "dice", "checkpoint.safetensors"))
		assert.NoFileExists(t, filepath.Join(dir, "run.lock"))
	}
}

// TestBrokenPipe closes the other end of the output, as Ctrl-C does to a tee.
func TestBrokenPipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := command(withSmall("-model_dir", dir, "-epochs", "10000", "-loss", "dice")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(t, err, stderr.String())
		if strings.Contains(line, "epoch 1/") {
			break
		}
	}
	require.NoError(t, stdout.Close())
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode(), stderr.String())
	assert.FileExists(t, filepath.Join(dir, "unet", "dice", "checkpoint.safetensors"))
	assert.NoFileExists(t, filepath.Join(dir, "run.lock"))

	out, err := command("-model_dir", dir, "-resume", "-epochs", "1").CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "a run can only grow")
}
