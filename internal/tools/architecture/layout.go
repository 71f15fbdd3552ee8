package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// node is a box in its row, or a bend of an edge that passes the row.
type node struct {
	box           *box // nil for a bend
	row           int
	width, height float64
	x             float64 // of its center
	above, below  []*node
}

// edge is an import: the nodes from the importing box to the imported one.
type edge []*node

// layout is a layered drawing, imports pointing downwards.
type layout struct {
	rows  [][]*node
	edges []edge
}

// newLayout arranges the boxes. Imports that follow from others are left out.
func newLayout(all []*box, imports map[*box]map[*box]bool, size func(*box) (width, height float64)) (*layout, error) {
	heights := map[*box]int{}
	var height func(b *box, path []*box) (int, error)
	height = func(b *box, path []*box) (int, error) {
		if at := slices.Index(path, b); at >= 0 {
			cycle := ""
			for _, on := range append(path[at:], b) {
				cycle += on.title + " → "
			}
			return 0, fmt.Errorf("boxes import each other: %s…", cycle)
		}
		if h, ok := heights[b]; ok {
			return h, nil
		}
		h := 0
		for _, to := range sorted(all, imports[b]) {
			below, err := height(to, append(path, b))
			if err != nil {
				return 0, err
			}
			h = max(h, below+1)
		}
		heights[b] = h
		return h, nil
	}
	top := 0
	for _, b := range all {
		h, err := height(b, nil)
		if err != nil {
			return nil, err
		}
		top = max(top, h)
	}
	var direct [][2]*box
	for _, from := range all {
		for _, to := range sorted(all, imports[from]) {
			if !follows(imports, from, to) {
				direct = append(direct, [2]*box{from, to})
			}
		}
	}
	shorten(all, direct, heights)
	l := &layout{rows: make([][]*node, top+1)}
	nodes := map[*box]*node{}
	for _, b := range all {
		w, h := size(b)
		nodes[b] = l.add(&node{box: b, row: top - heights[b], width: w, height: h})
	}
	for _, d := range direct {
		from, to := nodes[d[0]], nodes[d[1]]
		e := edge{from}
		for row := from.row + 1; row < to.row; row++ {
			e = append(e, l.add(&node{row: row, width: 14}))
		}
		e = append(e, to)
		for i := range e[1:] {
			e[i].below = append(e[i].below, e[i+1])
			e[i+1].above = append(e[i+1].above, e[i])
		}
		l.edges = append(l.edges, e)
	}
	l.order()
	l.place()
	return l, nil
}

// shorten raises boxes that at least as many edges enter as leave, which makes the edges no
// longer in all.
func shorten(all []*box, edges [][2]*box, heights map[*box]int) {
	for moved := true; moved; {
		moved = false
		for _, b := range all {
			room, balance, entered := len(all), 0, false
			for _, e := range edges {
				switch b {
				case e[1]:
					room = min(room, heights[e[0]]-heights[b]-1)
					balance++
					entered = true
				case e[0]:
					balance--
				}
			}
			if entered && balance >= 0 && room > 0 {
				heights[b] += room
				moved = true
			}
		}
	}
}

func (l *layout) add(n *node) *node {
	l.rows[n.row] = append(l.rows[n.row], n)
	return n
}

// sorted returns the boxes of a set in the order of all.
func sorted(all []*box, set map[*box]bool) []*box {
	return slices.SortedFunc(maps.Keys(set), func(a, b *box) int { return slices.Index(all, a) - slices.Index(all, b) })
}

// follows reports whether from also reaches to through another box.
func follows(imports map[*box]map[*box]bool, from, to *box) bool {
	var reaches func(b *box) bool
	reaches = func(b *box) bool {
		if imports[b][to] {
			return true
		}
		for next := range imports[b] {
			if reaches(next) {
				return true
			}
		}
		return false
	}
	for via := range imports[from] {
		if via != to && reaches(via) {
			return true
		}
	}
	return false
}

// order sorts the nodes of each row so that few edges cross.
func (l *layout) order() {
	best, crossings := l.copyRows(), l.crossings()
	for sweep := range 60 {
		down := sweep%2 == 0
		for i := range l.rows {
			row := l.rows[i]
			if !down {
				row = l.rows[len(l.rows)-1-i]
			}
			at := map[*node]float64{}
			for j, n := range row {
				neighbors := n.above
				if !down {
					neighbors = n.below
				}
				at[n] = float64(j)
				if len(neighbors) > 0 {
					at[n] = 0
					for _, m := range neighbors {
						other := l.rows[m.row]
						at[n] += (float64(slices.Index(other, m)) + 0.5) / float64(len(other)) * float64(len(row)) / float64(len(neighbors))
					}
				}
			}
			slices.SortStableFunc(row, func(a, b *node) int { return cmp.Compare(at[a], at[b]) })
		}
		l.exchange()
		if c := l.crossings(); c < crossings {
			best, crossings = l.copyRows(), c
		}
	}
	l.rows = best
}

// exchange exchanges neighbors while that removes crossings.
func (l *layout) exchange() {
	crossings := l.crossings()
	for improved := true; improved; {
		improved = false
		for _, row := range l.rows {
			for j := 1; j < len(row); j++ {
				row[j-1], row[j] = row[j], row[j-1]
				if c := l.crossings(); c < crossings {
					crossings, improved = c, true
				} else {
					row[j-1], row[j] = row[j], row[j-1]
				}
			}
		}
	}
}

func (l *layout) copyRows() [][]*node {
	rows := slices.Clone(l.rows)
	for i := range rows {
		rows[i] = slices.Clone(rows[i])
	}
	return rows
}

func (l *layout) crossings() int {
	count := 0
	for i := range l.rows[1:] {
		var ends [][2]int
		for a, n := range l.rows[i] {
			for _, m := range n.below {
				ends = append(ends, [2]int{a, slices.Index(l.rows[i+1], m)})
			}
		}
		for j, p := range ends {
			for _, q := range ends[:j] {
				if (p[0]-q[0])*(p[1]-q[1]) < 0 {
					count++
				}
			}
		}
	}
	return count
}

const gap = 22 // between neighbors of a row

// place gives every node its x: near its neighbors above and below, in the order of its row.
func (l *layout) place() {
	for _, row := range l.rows {
		x := 0.0
		for _, n := range row {
			n.x = x + n.width/2
			x += n.width + gap
		}
		for _, n := range row {
			n.x -= x / 2
		}
	}
	for range 400 {
		for _, row := range l.rows {
			want := make([]float64, len(row))
			for j, n := range row {
				sum, weight := 0.0, 0.0
				for _, m := range slices.Concat(n.above, n.below) {
					w := 1.0
					if n.box == nil && m.box == nil { // long edges become straight
						w = 8
					}
					sum, weight = sum+w*m.x, weight+w
				}
				want[j] = n.x
				if weight > 0 {
					want[j] = sum / weight
				}
			}
			spread(row, want)
		}
	}
	left, right := l.extent()
	for _, row := range l.rows {
		for _, n := range row {
			n.x -= (left + right) / 2
		}
	}
}

// spread moves the nodes of a row near what they want, but apart from each other: the mean
// of two solutions, of which one gives way to the right only and the other to the left.
func spread(row []*node, want []float64) {
	right, left := slices.Clone(want), slices.Clone(want)
	for j := 1; j < len(row); j++ {
		right[j] = max(right[j], right[j-1]+(row[j-1].width+row[j].width)/2+gap)
	}
	for j := len(row) - 2; j >= 0; j-- {
		left[j] = min(left[j], left[j+1]-(row[j+1].width+row[j].width)/2-gap)
	}
	for j, n := range row {
		n.x = (right[j] + left[j]) / 2
	}
}

// extent returns the left and right ends of the drawing.
func (l *layout) extent() (left, right float64) {
	left, right = math.Inf(1), math.Inf(-1)
	for _, row := range l.rows {
		for _, n := range row {
			left, right = min(left, n.x-n.width/2), max(right, n.x+n.width/2)
		}
	}
	return left, right
}
