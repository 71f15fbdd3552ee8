package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const fromHere = "../../.."

// TestPicture: docs/architecture.svg shows the imports as they are.
func TestPicture(t *testing.T) {
	want, err := draw(fromHere)
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(fromHere, "docs", "architecture.svg"))
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "go -C internal/tools run ./architecture")
}

// TestLayout: imports lead downwards, boxes are apart, and an import is drawn unless it
// follows from others.
func TestLayout(t *testing.T) {
	a, b, c, d, e := &box{title: "a"}, &box{title: "b"}, &box{title: "c"}, &box{title: "d"}, &box{title: "e"}
	all := []*box{a, b, c, d, e}
	imports := map[*box]map[*box]bool{
		a: {b: true, c: true, d: true}, // d follows from b
		b: {d: true},
		c: {d: true},
		e: {a: true},
	}
	l, err := newLayout(all, imports, func(*box) (float64, float64) { return 100, 40 })
	require.NoError(t, err)
	drawn := map[[2]string]bool{}
	for _, e := range l.edges {
		for i := range e[1:] {
			assert.Equal(t, e[i].row+1, e[i+1].row)
		}
		drawn[[2]string{e[0].box.title, e[len(e)-1].box.title}] = true
	}
	assert.Equal(t, map[[2]string]bool{{"a", "b"}: true, {"a", "c"}: true, {"b", "d"}: true, {"c", "d"}: true, {"e", "a"}: true}, drawn)
	for _, row := range l.rows {
		for i := 1; i < len(row); i++ {
			assert.GreaterOrEqual(t, row[i].x-row[i-1].x, (row[i].width+row[i-1].width)/2+gap-1e-9)
		}
	}
	assert.Zero(t, l.crossings())

	imports[d] = map[*box]bool{e: true}
	_, err = newLayout(all, imports, func(*box) (float64, float64) { return 100, 40 })
	assert.ErrorContains(t, err, "import each other: a → b → d → e → a")
}
