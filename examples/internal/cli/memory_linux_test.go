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
	const child = "AFL_TEST_ANNOUNCED_MEMORY"
	p := tinyBraTS()
	p.Network = models.ByName
	if dir := os.Getenv(child); dir != "" {
		os.Exit(Main(p, []string{"-model_dir", dir, "-epochs", "1", "-steps", "1", "-loss", "dice", "-phantom_size", "64,48,48", "-patch", "64,48,48"}))
	}
	run := exec.Command(os.Args[0], "-test.run=^TestAnnouncedMemory$")
	run.Env = append(os.Environ(), child+"="+t.TempDir())
	out, err := run.CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := regexp.MustCompile(`takes [0-9.]+ GFLOP and about (\d+) MiB of memory`).FindSubmatch(out)
	require.NotNil(t, found, "%s", out)
	announced, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	peak := float64(run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / (1 << 10)
	t.Logf("announced %d MiB, peak %.0f MiB", announced, peak)
	assert.InEpsilon(t, peak, announced, 1.0/3)
}
