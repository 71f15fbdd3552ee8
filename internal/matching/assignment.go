package matching

import "math"

// Assign returns an assignment of rows to columns of the largest total weight, in
// which every row has at most one column and every column at most one row: the
// column of each row, or −1. weights[i][j], which is finite and not negative, is that
// of row i and column j; all rows have the same length. Assigned pairs may have
// weight 0. Where several assignments have the largest total, a single row takes the
// first of its columns.
//
// It takes time of order n²·m for n rows and m ≥ n columns.
//
// R. Jonker and A. Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse
// Linear Assignment Problems", Computing 38 (1987) 325–340.
func Assign(weights [][]float64) []int {
	if len(weights) == 0 {
		return nil
	}
	rows, columns := len(weights), len(weights[0])
	if rows <= columns {
		return assign(rows, columns, func(i, j int) float64 { return -weights[i][j] })
	}
	out := filled(rows, unmatched)
	for j, i := range assign(columns, rows, func(j, i int) float64 { return -weights[i][j] }) {
		out[i] = j
	}
	return out
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
