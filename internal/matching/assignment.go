package matching

import (
	"cmp"
	"container/heap"
	"math"
)

// Pair is an edge of a bipartite graph. Rows and columns are counted from 0.
type Pair struct {
	Row, Column int
	Weight      float64 // positive and finite
}

// Assign returns the matching of rows and columns with the largest total weight over its
// pairs, of which no two share a row or a column: the index in pairs of each row's pair,
// or −1. pairs holds no row and column twice. Where several matchings have the largest
// total, a single row takes the first of its pairs.
//
// It takes memory in proportion to the rows, columns and pairs. The time is at most of
// order n·E·log E for n rows and E pairs, and close to E where few rows compete for a
// column.
//
// R. Jonker and A. Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse
// Linear Assignment Problems", Computing 38 (1987) 325–340.
func Assign(rows, columns int, pairs []Pair) []int {
	a := &assignment{
		pairs:    pairs,
		columns:  columns,
		byRow:    make([][]int, rows),
		u:        make([]float64, rows),
		v:        make([]float64, columns+rows),
		pairOf:   filled(rows, unmatched),
		columnOf: filled(rows, unmatched),
		rowOf:    filled(columns+rows, unmatched),
		distance: make([]float64, columns+rows),
		previous: make([]int, columns+rows),
		done:     make([]bool, columns+rows),
	}
	for k, p := range pairs {
		a.byRow[p.Row] = append(a.byRow[p.Row], k)
	}
	for j := range a.distance {
		a.distance[j] = math.Inf(1)
	}
	for i := range rows {
		a.add(i)
	}
	return a.pairOf
}

// assignment is an assignment of all rows added so far, the cheapest where a pair costs its
// negative weight. Beyond the columns, each row has one of its own, which costs nothing, for
// when it has no pair. The duals u and v keep the reduced costs cost(i, j) − u[i] − v[j] of
// all these rows at 0 or above.
type assignment struct {
	pairs           []Pair
	columns         int
	byRow           [][]int // indices in pairs
	u, v            []float64
	pairOf          []int // of each row, an index in pairs or unmatched
	columnOf, rowOf []int

	// Of the search for the cheapest augmenting path, by column.
	distance []float64
	previous []int // the pair by which the path reaches it, unmatched for a row's own column
	done     []bool
	reached  []int // columns with a distance
	queue    queue
}

// add assigns one more row, along the cheapest augmenting path.
func (a *assignment) add(start int) {
	i, length, end := start, 0.0, unmatched
	for {
		for _, k := range a.byRow[i] {
			p := a.pairs[k]
			a.reach(p.Column, k, length-p.Weight-a.u[i]-a.v[p.Column])
		}
		a.reach(a.columns+i, unmatched, length-a.u[i]-a.v[a.columns+i])
		j := a.nearest()
		length, a.done[j] = a.distance[j], true
		if i = a.rowOf[j]; i == unmatched {
			end = j
			break
		}
	}
	a.u[start] += length
	for _, j := range a.reached {
		if a.done[j] && j != end {
			a.u[a.rowOf[j]] += length - a.distance[j]
			a.v[j] -= length - a.distance[j]
		}
	}
	for j := end; j != unmatched; { // start had no column
		k := a.previous[j]
		row := j - a.columns
		if k != unmatched {
			row = a.pairs[k].Row
		}
		a.rowOf[j], a.pairOf[row] = row, k
		j, a.columnOf[row] = a.columnOf[row], j
	}
	for _, j := range a.reached {
		a.distance[j], a.done[j] = math.Inf(1), false
	}
	a.reached, a.queue = a.reached[:0], a.queue[:0]
}

// reach notes a path to a column if it is the shortest so far.
func (a *assignment) reach(column, pair int, distance float64) {
	if a.done[column] || distance >= a.distance[column] {
		return
	}
	if math.IsInf(a.distance[column], 1) {
		a.reached = append(a.reached, column)
	}
	a.distance[column], a.previous[column] = distance, pair
	heap.Push(&a.queue, path{distance, pair, column})
}

// nearest returns the column with the shortest path of those that are not done.
func (a *assignment) nearest() int {
	for {
		if p := heap.Pop(&a.queue).(path); !a.done[p.column] {
			return p.column
		}
	}
}

// path leads to a column by a pair.
type path struct {
	length       float64
	pair, column int
}

// queue is a heap of paths, the shortest first and, of equal ones, that by the first pair.
type queue []path

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].length, q[j].length), cmp.Compare(q[i].pair, q[j].pair)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(p any)   { *q = append(*q, p.(path)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
