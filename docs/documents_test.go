package docs_test

import (
	"go/ast"
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

// root is the folder of the repository.
const root = ".."

// documents returns the Markdown files of the repository's root and of docs, by their
// paths from here.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, folder := range []string{root, filepath.Join(root, "docs")} {
		paths, err := filepath.Glob(filepath.Join(folder, "*.md"))
		require.NoError(t, err)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			texts[path] = string(text)
		}
	}
	require.Contains(t, texts, filepath.Join(root, "README.md"))
	require.Contains(t, texts, filepath.Join(root, "docs", "porting.md"))
	return texts
}

// TestDocumentLinks: every relative link of a document leads to a file and, within a
// document, to a heading.
func TestDocumentLinks(t *testing.T) {
	texts := documents(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for path, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			to := path
			if target != "" {
				to = filepath.Join(filepath.Dir(path), target)
			}
			_, err := os.Stat(to)
			if assert.NoError(t, err, "%s links to %s", path, m[1]) && heading != "" {
				assert.Contains(t, headings(texts[to]), heading, "%s links to %s", path, m[1])
			}
		}
	}
}

// headings returns the anchors of a document's headings.
func headings(text string) []string {
	var anchors []string
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			anchor := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
		}
	}
	return anchors
}

// TestDocumentedNames: every name in the columns "Ours" of the porting tables is declared by
// this package or by package detection.
func TestDocumentedNames(t *testing.T) {
	declared := map[string]bool{"detection": true}
	for _, dir := range []string{".", "detection"} {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		require.NoError(t, err)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				var names []*ast.Ident
				switch d := n.(type) {
				case *ast.FuncDecl:
					names = []*ast.Ident{d.Name}
				case *ast.TypeSpec:
					names = []*ast.Ident{d.Name}
				case *ast.ValueSpec:
					names = d.Names
				case *ast.Field:
					names = d.Names
				}
				for _, name := range names {
					declared[name.Name] = true
				}
				return true
			})
		}
	}
	code, name := regexp.MustCompile("`[^`]+`"), regexp.MustCompile(`[A-Za-z]+`)
	checked := 0
	for line := range strings.Lines(documents(t)[filepath.Join(root, "docs", "porting.md")]) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		for _, span := range code.FindAllString(cells[2], -1) {
			for _, n := range name.FindAllString(span, -1) {
				assert.True(t, declared[n], "%s in %q", n, strings.TrimSpace(line))
				checked++
			}
		}
	}
	assert.Greater(t, checked, 40)
}
