package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module writes a module to a folder of its own.
func module(t *testing.T, changelog string, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	files["go.mod"], files["CHANGELOG.md"] = "module example.com/m\n\ngo 1.26\n", changelog
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return folder
}

const source = `package m

type Pair[A, B any] struct{ First A; Second B }

func (Pair[A, B]) Swap() {}

type Loss struct{ Gamma float64 }

func (*Loss) Value() float64 { return 0 }

func Sum(x []float64) float64 { return 0 }
`

// TestCompare: every incompatible change of a public package has to be named in the
// changelog's section Unreleased, whatever kind of name it is; internal packages and
// programs do not count.
func TestCompare(t *testing.T) {
	old := module(t, "", map[string]string{
		"m.go":            source,
		"sub/sub.go":      "package sub\n\nconst Limit = 1\n",
		"gone/gone.go":    "package gone\n",
		"internal/i/i.go": "package i\n\nfunc Inner() {}\n",
		"cmd/main.go":     "package main\n\nfunc Outer() {}\n\nfunc main() {}\n",
	})
	changed := map[string]string{
		"m.go": `package m

type Pair[A, B any] struct{ First A }

type Loss struct{ Gamma []float64; Alpha float64 }

func Sum(x []float32) float64 { return 0 }
`,
		"sub/sub.go":      "package sub\n\nconst Limit = 2\n",
		"internal/i/i.go": "package i\n",
		"cmd/main.go":     "package main\n\nfunc main() {}\n",
	}
	report, err := compare("v0.3.1", old, module(t, "## [Unreleased]\n`Gamma`, `Value`, `Sum`\n## [0.3.1]\n`Swap` `Limit` `Second` `gone`\n", changed))
	t.Log(report)
	require.Error(t, err)
	for _, name := range []string{"Second", "Swap", "Limit", "gone"} {
		assert.ErrorContains(t, err, "does not name "+name+",")
	}
	for _, name := range []string{"Gamma", "Value", "Sum", "Inner", "Outer"} {
		assert.NotContains(t, err.Error(), name)
	}
	assert.Contains(t, report, "compatible: Loss.Alpha: added")
	assert.Contains(t, report, "the next version is v0.4.0 or later")

	complete := module(t, "## [Unreleased]\n\n`Loss` (`Gamma`, `Value`), `Sum`, `Second`, `Swap`, `Limit`, `gone`.\n", changed)
	_, err = compare("v0.3.1", old, complete)
	assert.NoError(t, err)
	_, err = compare("v1.3.1", old, complete)
	assert.ErrorContains(t, err, "new major version")

	_, err = compare("v0.3.1", old, old)
	assert.ErrorContains(t, err, "no section [Unreleased]")
	_, err = compare("0.3.1", old, old)
	assert.ErrorContains(t, err, `version is "0.3.1"`)
}

func TestNextVersion(t *testing.T) {
	for _, c := range []struct {
		since             string
		incompatible, any bool
		want              string
	}{
		{"v0.1.0", true, true, "v0.2.0"},
		{"v0.1.4", false, true, "v0.2.0"},
		{"v0.1.4", false, false, "v0.1.5"},
		{"v1.9.2", false, true, "v1.10.0"},
		{"v1.9.2", false, false, "v1.9.3"},
		{"v0.2.0-rc.1", true, true, "v0.2.0"},
	} {
		got, err := nextVersion(c.since, c.incompatible, c.any)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%+v", c)
	}
}
