package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary run as the program, so that signals and exit codes
// are tested on a separate process.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_AS_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "RUN_AS_PROGRAM=1")
	return cmd
}

func TestInterruptSignalAndResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := command("-model_dir", dir, "-epochs", "100", "-loss", "afl", "-phantom_train", "2", "-phantom_valid", "1", "-phantom_size", "32,32,16")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var out strings.Builder
	interrupted := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if !interrupted && strings.Contains(lines.Text(), "epoch 1/100") {
			interrupted = true
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit, out.String())
	assert.Equal(t, 130, exit.ExitCode(), out.String())
	assert.Contains(t, errs.String(), "Stopping after the current step")
	assert.Contains(t, out.String(), "To resume, use the flags: -model_dir "+dir+" -resume")
	assert.FileExists(t, filepath.Join(dir, "unet", "afl", "checkpoint.safetensors"))

	// The resumed run continues from the checkpoint; another signal stops it again.
	cmd = command("-model_dir", dir, "-resume")
	stdout, err = cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out.Reset()
	interrupted = false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if !interrupted && strings.Contains(lines.Text(), "Loss 1 of 1: afl") {
			interrupted = true
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode())
	assert.NotContains(t, out.String(), "Loss 1 of 1: afl, at the start of epoch 1 ")
}

func TestHelpAndWrongFlag(t *testing.T) {
	out, err := command("-h").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "Usage: brats [flags]")

	var exit *exec.ExitError
	_, err = command("-epochs", "0").Output()
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 2, exit.ExitCode())
	assert.Equal(t, "brats: -epochs is 0; it must be at least 1 (brats -h lists the flags)\n", string(exit.Stderr))
}
