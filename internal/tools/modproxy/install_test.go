package modproxy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root    = "../../.."
	version = "v0.0.0-test"
)

// importer runs go commands for somebody who gets this module from a proxy.
type importer struct {
	t      *testing.T
	folder string
	env    []string
}

// newImporter gives an importer an empty folder and a module cache of its own, in which no
// version of the module is left from an earlier run. What the local cache has of other
// modules is taken from there.
func newImporter(t *testing.T) importer {
	t.Helper()
	proxy, cache := t.TempDir(), t.TempDir()
	require.NoError(t, Write(proxy, root, version))
	i := importer{t: t, folder: t.TempDir()}
	known := goCommand(t, ".", nil, "env", "GOPROXY", "GOMODCACHE", "GOCACHE", "GOPATH")
	lines := strings.Split(strings.TrimSpace(known), "\n")
	require.Len(t, lines, 4)
	downloads := filepath.Join(lines[1], "cache", "download")
	i.env = append(os.Environ(),
		"GOPROXY="+fileURL(t, proxy)+","+fileURL(t, downloads)+","+lines[0],
		"GOMODCACHE="+cache, "GOCACHE="+lines[2], "GOPATH="+lines[3],
		"GOFLAGS=-modcacherw -trimpath", "GOSUMDB=off", "GOWORK=off", "GOBIN="+filepath.Join(i.folder, "bin"))
	return i
}

func fileURL(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

func (i importer) run(args ...string) string {
	i.t.Helper()
	return goCommand(i.t, i.folder, i.env, args...)
}

// goCommand returns the standard output of a go command.
func goCommand(t *testing.T, folder string, env []string, args ...string) string {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir, command.Env = folder, env
	var messages bytes.Buffer
	command.Stderr = &messages
	out, err := command.Output()
	require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), &messages)
	return string(out)
}

func TestImporter(t *testing.T) {
	i := newImporter(t)
	t.Run("programs", i.installPrograms)
	t.Run("library", i.importLibrary)
}

// installPrograms: the programs install and run from a proxy, without the repository.
func (i importer) installPrograms(t *testing.T) {
	i.t = t
	programs := []string{"brats", "picai", "predict"}
	args := []string{"install"}
	for _, p := range programs {
		args = append(args, "github.com/x/afl/examples/"+p+"@"+version)
	}
	i.run(args...)
	for _, p := range programs {
		help := exec.Command(filepath.Join(i.folder, "bin", p), "-h")
		help.Dir = i.folder
		out, err := help.CombinedOutput()
		require.NoError(t, err, "%s -h\n%s", p, out)
		assert.Contains(t, string(out), "-weights", "%s -h", p)
	}
}

const user = `package main

import (
	"fmt"

	"github.com/x/afl"
	"gorgonia.org/tensor"
)

func main() {
	logits := tensor.New(tensor.WithShape(1, 2, 1, 2), tensor.WithBacking([]float32{0, 0, 0, 0}))
	target := tensor.New(tensor.WithShape(1, 1, 2), tensor.WithBacking([]uint8{0, 1}))
	value, err := afl.Value(afl.NewCrossEntropy(), logits, target)
	fmt.Printf("%.4f %v\n", value, err)
}
`

// importLibrary: a module that imports the library builds, and compiles packages of
// gorgonia.org/tensor's modules only. What the programs, the tests and the checks of this
// module need is neither downloaded nor in its go.sum.
func (i importer) importLibrary(t *testing.T) {
	i.t = t
	require.NoError(t, os.WriteFile(filepath.Join(i.folder, "main.go"), []byte(user), 0o666))
	i.run("mod", "init", "example.com/user")
	i.run("get", "github.com/x/afl@"+version)
	i.run("mod", "tidy")
	assert.Equal(t, "0.6931 <nil>\n", i.run("run", "."))

	const modules = "{{with .Module}}{{.Path}}{{end}}"
	want := append(unique(i.run("list", "-deps", "-f", modules, "gorgonia.org/tensor")), "example.com/user", "github.com/x/afl")
	if runtime.GOARCH == "amd64" {
		want = append(want, "golang.org/x/sys") // the instruction sets of the processor
	}
	assert.ElementsMatch(t, want, unique(i.run("list", "-deps", "-f", modules, ".")))

	graph := strings.Fields(i.run("list", "-m", "-f", "{{.Path}}", "all"))
	sums, err := os.ReadFile(filepath.Join(i.folder, "go.sum"))
	require.NoError(t, err)
	t.Logf("%d modules in the graph, %d lines in go.sum", len(graph), bytes.Count(sums, []byte("\n")))
	// The go.mod of an old staticcheck is in the graph of tensor's dependencies.
	assert.False(t, slices.Contains(graph, "golang.org/x/vuln"), "govulncheck is in the module graph")
	assert.NotRegexp(t, `(?m)^(honnef\.co/go/tools|golang\.org/x/exp) v[^/\s]+ h1:`, string(sums), "the source of a check is downloaded")
}

// unique returns the different lines of a text.
func unique(text string) []string {
	lines := strings.Fields(text)
	slices.Sort(lines)
	return slices.Compact(lines)
}
