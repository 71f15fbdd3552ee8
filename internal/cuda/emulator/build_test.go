//go:build cgo && linux

package emulator

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeCompiler sets $CXX to a script that logs each compilation to a file.
func fakeCompiler(t *testing.T, script string) (notes string) {
	t.Helper()
	dir := t.TempDir()
	notes = filepath.Join(dir, "notes")
	path := filepath.Join(dir, "cxx")
	head := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo fake 1.0; exit; fi\necho \"$@\" >>" + notes + "\n"
	require.NoError(t, os.WriteFile(path, []byte(head+script), 0o755))
	t.Setenv("CXX", path)
	return notes
}

// copyOutput is a part of a script that writes the output file, the argument of -o.
const copyOutput = `while [ "$1" != -o ]; do shift; done
echo library >"$2"
`

func TestBuildCompilesOnce(t *testing.T) {
	notes := fakeCompiler(t, copyOutput)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var wg sync.WaitGroup
	paths := make([]string, 4)
	for i := range paths {
		wg.Go(func() {
			var err error
			paths[i], err = Build(dir, LossesSource())
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	for _, path := range paths {
		assert.Equal(t, paths[0], path)
	}
	content, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	assert.Equal(t, "library\n", string(content))
	calls, err := os.ReadFile(notes)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(calls), "\n"), "one compiles, the others wait and find it")
	assert.Contains(t, string(calls), "-O2")
	assert.Contains(t, string(calls), "losses.cpp")

	t.Setenv("CXX", fakePath(t, "fake 2.0"))
	other, err := Build(dir, LossesSource())
	require.NoError(t, err)
	assert.NotEqual(t, paths[0], other, "another compiler makes another library")
}

// fakePath returns the path of a compiler of another version.
func fakePath(t *testing.T, version string) string {
	path := filepath.Join(t.TempDir(), "cxx")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nif [ \"$1\" = --version ]; then echo "+version+"; exit; fi\n"+copyOutput), 0o755))
	return path
}

func TestBuildFails(t *testing.T) {
	fakeCompiler(t, "echo losses.cpp:1: error: nothing works >&2\nexit 1\n")
	dir := t.TempDir()
	_, err := Build(dir, LossesSource())
	require.ErrorContains(t, err, "losses.cpp:1: error: nothing works")
	left, err := filepath.Glob(filepath.Join(dir, "*.so*"))
	require.NoError(t, err)
	assert.Empty(t, left)

	t.Setenv("CXX", filepath.Join(dir, "no-compiler"))
	_, err = Build(dir, LossesSource())
	require.ErrorContains(t, err, "need a C++20 compiler and found none of ["+filepath.Join(dir, "no-compiler")+"]; install one (Debian: g++)")
}

func TestSettings(t *testing.T) {
	l := Load(t)
	l.Set(t, "devices", 3)
	l.Reset()
	assert.Zero(t, l.Count("contexts"))
	assert.Zero(t, l.Count("no such thing"))
}
