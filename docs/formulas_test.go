package docs_test

import (
	"flag"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "copy the formulas of the doc comments to losses.md")

// formulas returns the indented blocks of the doc comments of the package's types and
// functions, without calls of the package, by name.
func formulas(t *testing.T) map[string]string {
	t.Helper()
	files, fset := []*ast.File{}, token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(root, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, file)
	}
	p, err := doc.NewFromFiles(fset, files, "github.com/x/afl")
	require.NoError(t, err)
	found := map[string]string{}
	add := func(name, text string) {
		var blocks []string
		var parsed comment.Parser
		for _, block := range parsed.Parse(text).Content {
			if code, ok := block.(*comment.Code); ok && !strings.Contains(code.Text, "afl.") {
				blocks = append(blocks, code.Text)
			}
		}
		found[name] = strings.Join(blocks, "\n")
	}
	for _, typ := range p.Types {
		add(typ.Name, typ.Doc)
		for _, f := range typ.Funcs {
			add(f.Name, f.Doc)
		}
	}
	for _, f := range p.Funcs {
		add(f.Name, f.Doc)
	}
	return found
}

// TestFormulas: the formulas of losses.md are those of the doc comments, every loss of the
// README's table has one, and each is linked from the table.
func TestFormulas(t *testing.T) {
	want := formulas(t)
	text, err := os.ReadFile("losses.md")
	require.NoError(t, err)
	section := regexp.MustCompile("(?m)^### (\\w+)\n\n```text\n((?s:.*?))```$")
	if *update {
		text = section.ReplaceAllFunc(text, func(match []byte) []byte {
			name := string(section.FindSubmatch(match)[1])
			return []byte("### " + name + "\n\n```text\n" + want[name] + "```")
		})
		require.NoError(t, os.WriteFile("losses.md", text, 0o666))
	}
	document := string(text)
	documented := map[string]bool{}
	for _, m := range section.FindAllStringSubmatch(document, -1) {
		documented[m[1]] = true
		assert.NotEmpty(t, want[m[1]], "%s has no formula in its doc comment", m[1])
		assert.Equal(t, want[m[1]], m[2], "the formula of %s: go test ./docs -run TestFormulas -update", m[1])
		assert.Contains(t, document, "(#"+strings.ToLower(m[1])+")", "no link to %s", m[1])
	}
	assert.Equal(t, strings.Count(document, "\n### "), len(documented), "a section without a formula")

	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	constructors := regexp.MustCompile("(?m)^\\| `(New\\w+)` \\|")
	losses := append(constructors.FindAllStringSubmatch(string(readme), -1), []string{"", "NewCompound"}, []string{"", "NewSum"}, []string{"", "NewDeepSupervision"})
	require.Greater(t, len(losses), 15)
	for _, loss := range losses {
		row := regexp.MustCompile("(?m)^\\| `" + loss[1] + "` \\| \\[[^]]+\\]\\(#(\\w+)\\) \\|").FindStringSubmatch(document)
		if assert.NotNil(t, row, "losses.md has no row for %s", loss[1]) {
			link := row[1]
			found := false
			for name := range documented {
				found = found || strings.ToLower(name) == link
			}
			assert.True(t, found, "%s links to #%s", loss[1], link)
		}
	}
}
