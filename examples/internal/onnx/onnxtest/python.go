package onnxtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// PythonVariable is the environment variable that names an interpreter with onnxruntime.
const PythonVariable = "AFL_ONNX_PYTHON"

// Python returns a Python interpreter that has onnxruntime, and skips the test if there is
// none.
func Python(t *testing.T) string {
	t.Helper()
	candidates := []string{"python3", "/usr/bin/python3"}
	if path := os.Getenv(PythonVariable); path != "" {
		candidates = []string{path}
	}
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import onnxruntime").Run() == nil {
			return path
		}
	}
	t.Skipf("no python3 with onnxruntime (pip install onnxruntime onnx; %s names another interpreter)", PythonVariable)
	return ""
}

// RunPython runs a script with arguments in a folder and returns what it prints.
func RunPython(t *testing.T, python, dir, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(python, append([]string{"-c", script}, args...)...)
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "%s", &stderr)
	return stdout.String()
}
