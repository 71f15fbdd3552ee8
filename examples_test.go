package afl_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExamples: every exported function of this package and of detection, constructors
// among them, has an example of its name that is run, and every exported method but those
// of interfaces is called by an example.
func TestExamples(t *testing.T) {
	for _, dir := range []string{".", "detection"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		fset := token.NewFileSet()
		var files []*ast.File
		for _, path := range paths {
			file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			require.NoError(t, err)
			files = append(files, file)
		}
		p, err := doc.NewFromFiles(fset, files, dir)
		require.NoError(t, err)

		functions, examples, methods := p.Funcs, p.Examples, []*doc.Func(nil)
		for _, of := range p.Types {
			functions, methods = append(functions, of.Funcs...), append(methods, of.Methods...)
			examples = append(examples, of.Examples...)
		}
		for _, f := range slices.Concat(functions, methods) {
			examples = append(examples, f.Examples...)
		}
		called := map[string]bool{}
		for _, e := range examples {
			assert.True(t, e.Output != "" || e.EmptyOutput, "Example%s in %s has no output, and is not run", e.Name, dir)
			ast.Inspect(e.Code, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					called[s.Sel.Name] = true
				}
				return true
			})
		}
		require.NotEmpty(t, functions, dir)
		for _, f := range functions {
			assert.NotEmpty(t, f.Examples, "write an Example%s in a file *_example_test.go of %s", f.Name, dir)
		}
		for _, m := range methods {
			if !slices.Contains([]string{"Error", "String"}, m.Name) {
				assert.True(t, called[m.Name], "no example of %s calls %s.%s", dir, m.Recv, m.Name)
			}
		}
	}
}
