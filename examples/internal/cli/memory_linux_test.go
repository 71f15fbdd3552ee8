package cli

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/models"
)

// TestAnnouncedMemory compares the memory that a training announces with the peak of the
// resident memory of its process, which Linux reports in KiB.
func TestAnnouncedMemory(t *testing.T) {
	long(t)
	const child, batch = "AFL_TEST_ANNOUNCED_MEMORY", "AFL_TEST_BATCH"
	p := tinyBraTS()
	p.Network = models.ByName
	if dir := os.Getenv(child); dir != "" {
		args := []string{"-model_dir", dir, "-epochs", "1", "-steps", "1", "-loss", "dice", "-phantom_size", "64,48,48", "-patch", "64,48,48"}
		if n := os.Getenv(batch); n != "1" {
			args = append(args, "-batch", n, "-batch_norm", "sync")
		}
		os.Exit(Main(p, args))
	}
	for _, n := range []string{"1", "3"} {
		run := exec.Command(os.Args[0], "-test.run=^TestAnnouncedMemory$")
		run.Env = append(os.Environ(), child+"="+t.TempDir(), batch+"="+n)
		out, err := run.CombinedOutput()
		require.NoError(t, err, "%s", out)
		found := regexp.MustCompile(`takes [0-9.]+ GFLOP and about (\d+) MiB of memory`).FindSubmatch(out)
		require.NotNil(t, found, "%s", out)
		announced, err := strconv.Atoi(string(found[1]))
		require.NoError(t, err)
		peak := float64(run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / (1 << 10)
		t.Logf("batch %s: announced %d MiB, peak %.0f MiB", n, announced, peak)
		assert.InEpsilon(t, peak, announced, 1.0/3, "batch %s", n)
	}
}
