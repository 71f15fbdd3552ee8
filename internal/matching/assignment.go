package matching

import "math"

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
// Rows and columns that pairs connect are assigned together, the others apart from them:
// n rows and m ≥ n columns that are all connected take time of order n²·m.
//
// R. Jonker and A. Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse
// Linear Assignment Problems", Computing 38 (1987) 325–340.
func Assign(rows, columns int, pairs []Pair) []int {
	// Both ends of a pair belong to one part. Rows come first, then columns.
	parent := make([]int, rows+columns)
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, p := range pairs {
		parent[root(rows+p.Column)] = root(p.Row)
	}
	parts := map[int][]int{} // indices of pairs by the root of their part
	var order []int
	for k, p := range pairs {
		r := root(p.Row)
		if parts[r] == nil {
			order = append(order, r)
		}
		parts[r] = append(parts[r], k)
	}
	out := filled(rows, unmatched)
	for _, r := range order {
		assignPart(out, pairs, parts[r])
	}
	return out
}

// assignPart stores in out the pairs of the rows of one part.
func assignPart(out []int, pairs []Pair, part []int) {
	rowAt, columnAt := map[int]int{}, map[int]int{} // positions in the matrix
	for _, k := range part {
		if _, known := rowAt[pairs[k].Row]; !known {
			rowAt[pairs[k].Row] = len(rowAt)
		}
		if _, known := columnAt[pairs[k].Column]; !known {
			columnAt[pairs[k].Column] = len(columnAt)
		}
	}
	// The assignment needs no more rows than columns.
	turned := len(rowAt) > len(columnAt)
	n, m := min(len(rowAt), len(columnAt)), max(len(rowAt), len(columnAt))
	pairAt := filled(n*m, unmatched)
	for _, k := range part {
		i, j := rowAt[pairs[k].Row], columnAt[pairs[k].Column]
		if turned {
			i, j = j, i
		}
		pairAt[i*m+j] = k
	}
	cost := func(i, j int) float64 {
		if k := pairAt[i*m+j]; k >= 0 {
			return -pairs[k].Weight
		}
		return 0
	}
	for i, j := range assign(n, m, cost) {
		if k := pairAt[i*m+j]; k >= 0 {
			out[pairs[k].Row] = k
		}
	}
}

// assign finds the cheapest assignment of all rows, of which there are at most as many
// as columns. Rows are added one by one along the cheapest augmenting path; the duals u
// and v keep all reduced costs cost(i, j) − u[i] − v[j] at 0 or above.
func assign(rows, columns int, cost func(i, j int) float64) []int {
	u, v := make([]float64, rows), make([]float64, columns)
	row := filled(columns, unmatched) // the row of each column
	column := filled(rows, unmatched)
	distance, done := make([]float64, columns), make([]bool, columns)
	previous := make([]int, columns) // the row from which the path reaches a column
	for start := range rows {
		for j := range columns {
			distance[j], done[j] = math.Inf(1), false
		}
		i, reached, end := start, 0.0, unmatched
		for {
			next := unmatched
			for j := range columns {
				if done[j] {
					continue
				}
				if d := reached + cost(i, j) - u[i] - v[j]; d < distance[j] {
					distance[j], previous[j] = d, i
				}
				if next == unmatched || distance[j] < distance[next] {
					next = j
				}
			}
			reached, done[next] = distance[next], true
			if row[next] == unmatched {
				end = next
				break
			}
			i = row[next]
		}
		u[start] += reached
		for j := range columns {
			if done[j] && j != end {
				u[row[j]] += reached - distance[j]
				v[j] -= reached - distance[j]
			}
		}
		for j := end; ; {
			i := previous[j]
			row[j] = i
			j, column[i] = column[i], j
			if i == start {
				break
			}
		}
	}
	return column
}
