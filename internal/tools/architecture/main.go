// Command architecture draws docs/architecture.svg from the imports of the module's
// packages:
//
//	go -C internal/tools run ./architecture
package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// root is the folder of the repository from internal/tools.
const root = "../.."

func main() {
	flag.Parse() // there are none, but help
	picture, err := draw(root)
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "docs", "architecture.svg"), picture, 0o666)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "architecture:", err)
		os.Exit(1)
	}
}

const (
	padding     = 12.0
	titleSize   = 15.0
	lineSize    = 16.0 // height of a line of package names
	letter      = 6.7  // width of a letter of a package name
	titleLetter = 9.8  // bold and larger
	perLine     = 26   // letters
	betweenRow  = 46.0
	margin      = 16.0
)

// labels returns the names of a box's packages, in lines: their last elements where these
// are enough.
func (b *box) labels() []string {
	var names []string
	for _, p := range b.packages {
		switch {
		case p == ".":
			p = "afl"
		case strings.HasPrefix(p, "bench/internal/"):
			p = "bench/internal"
		case strings.HasPrefix(p, "bench/"), strings.HasPrefix(p, "internal/workload/"):
			p = strings.TrimPrefix(p, "internal/")
		case strings.Contains(p, "/"):
			p = path.Base(p)
		}
		if !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	lines := []string{""}
	for _, name := range names {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = name
		case len(*last)+2+len(name) <= perLine:
			*last += ", " + name
		default:
			*last += ","
			lines = append(lines, name)
		}
	}
	return lines
}

func (b *box) size() (width, height float64) {
	width = titleLetter * float64(len(b.title))
	for _, line := range b.labels() {
		width = max(width, letter*float64(len(line)))
	}
	return 2*padding + width, 2*padding + titleSize + lineSize*float64(len(b.labels())) - 2
}

// style colors the boxes by group, for light and dark pages.
const style = `<style>
text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.names { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 11px; fill: #57606a }
rect { stroke-width: 1.2 }
path { fill: none; stroke: #8c959f; stroke-width: 1.3 }
.head { fill: #8c959f; stroke: none }
.programs { fill: #ddf4ff; stroke: #54aeff }
.training { fill: #dafbe1; stroke: #4ac26b }
.results { fill: #fff8c5; stroke: #d4a72c }
.library { fill: #fff1e5; stroke: #fb8f44 }
.shared { fill: #f6f8fa; stroke: #afb8c1 }
.bench { fill: #fbefff; stroke: #c297ff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.names { fill: #9da7b3 }
.programs { fill: #0c2d6b; stroke: #388bfd }
.training { fill: #033a16; stroke: #2ea043 }
.results { fill: #341a00; stroke: #bb8009 }
.library { fill: #3d1300; stroke: #db6d28 }
.shared { fill: #161b22; stroke: #6e7681 }
.bench { fill: #271052; stroke: #8957e5 }
}
</style>
`

// draw returns the picture of the module in a folder.
func draw(folder string) ([]byte, error) {
	all, imports, err := read(folder)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(all, imports, (*box).size)
	if err != nil {
		return nil, err
	}
	// A row is as high as its highest box.
	tops, heights, y := make([]float64, len(l.rows)), make([]float64, len(l.rows)), margin
	for i, row := range l.rows {
		tops[i] = y
		for _, n := range row {
			heights[i] = max(heights[i], n.height)
		}
		y += heights[i] + betweenRow
	}
	left, right := l.extent()
	width, height := right-left+2*margin, y-betweenRow+margin
	shift := margin - left

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="The packages of afl and their imports">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<!-- Drawn by internal/tools/architecture. -->\n%s", style)
	top := func(n *node) float64 { return tops[n.row] + (heights[n.row]-n.height)/2 }
	for _, e := range l.edges {
		from, to := e[0], e[len(e)-1]
		x, y := port(from, e[1], from.below)+shift, top(from)+from.height
		fmt.Fprintf(&b, `<path d="M%.1f %.1f`, x, y)
		for i, n := range e[1:] {
			nx, ny := n.x+shift, top(n)
			if n == to {
				nx, ny = port(to, e[i], to.above)+shift, ny-6
			} else {
				ny = tops[n.row]
			}
			fmt.Fprintf(&b, ` C%.1f %.1f %.1f %.1f %.1f %.1f`, x, y+0.5*(ny-y), nx, ny-0.5*(ny-y), nx, ny)
			if x, y = nx, ny; n != to {
				y += heights[n.row]
				fmt.Fprintf(&b, ` V%.1f`, y)
			}
		}
		fmt.Fprintf(&b, "\"/>\n<path class=\"head\" d=\"M%.1f %.1fl-4 -7h8z\"/>\n", x, y+6)
	}
	for _, row := range l.rows {
		for _, n := range row {
			if n.box == nil {
				continue
			}
			x, y := n.x-n.width/2+shift, top(n)
			fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="7"/>`+"\n", n.box.group, x, y, n.width, n.height)
			fmt.Fprintf(&b, `<text class="title" x="%.1f" y="%.1f">%s</text>`+"\n", x+padding, y+padding+titleSize-3, html.EscapeString(n.box.title))
			for i, line := range n.box.labels() {
				fmt.Fprintf(&b, `<text class="names" x="%.1f" y="%.1f">%s</text>`+"\n", x+padding, y+padding+titleSize+lineSize*float64(i+1)-4, html.EscapeString(line))
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes(), nil
}

// port returns where an edge leaves or enters a box: the edges on a side are spread over
// its middle, in the order of their other ends.
func port(n, other *node, side []*node) float64 {
	before := 0
	for _, m := range side {
		if m.x < other.x {
			before++
		}
	}
	spread := min(n.width-30, 26*float64(len(side)-1))
	if len(side) < 2 {
		return n.x
	}
	return n.x + spread*(float64(before)/float64(len(side)-1)-0.5)
}
