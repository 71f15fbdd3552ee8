package kernels

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	target    = regexp.MustCompile(`(?m)^\.target sm_(\d+)`)
	assembled = regexp.MustCompile(`(?s)Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads`)
)

// findAssembler returns NVIDIA's assembler, $PTXAS or ptxas.
func findAssembler(t *testing.T) string {
	t.Helper()
	name := os.Getenv("PTXAS")
	if name == "" {
		name = "ptxas"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("ptxas is not installed (pip install nvidia-cuda-nvcc); name it in PTXAS")
	}
	return path
}

// Every module assembles for the GPUs that it is for, and the convolutions by tiles, whose
// registers are counted closely, spill none.
func TestPTXAssembles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	ptxas := findAssembler(t)
	for _, m := range Modules().Modules() {
		found := target.FindSubmatch(m.PTX)
		require.NotNil(t, found, m.Name)
		oldest, err := strconv.Atoi(string(found[1]))
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), m.Name+".ptx")
		require.NoError(t, os.WriteFile(file, m.PTX, 0o644))
		for _, architecture := range []int{75, 80, 86, 90, 120} {
			if architecture < oldest {
				continue
			}
			t.Run(fmt.Sprintf("%s/sm_%d", m.Name, architecture), func(t *testing.T) {
				out, err := exec.Command(ptxas, fmt.Sprintf("-arch=sm_%d", architecture), "-v", "-o", os.DevNull, file).CombinedOutput()
				require.NoError(t, err, "%s", out)
				kernels := assembled.FindAllSubmatch(out, -1)
				assert.Len(t, kernels, len(m.Kernels))
				for _, k := range kernels {
					if m.Name == "conv_float32" || m.Name == "conv_tensor" {
						assert.Equal(t, [3]string{"0", "0", "0"}, [3]string{string(k[2]), string(k[3]), string(k[4])},
							"%s: stack frame, spill stores and loads", k[1])
					}
				}
			})
		}
	}
}
