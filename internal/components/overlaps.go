package components

import (
	"cmp"
	"slices"
)

// Overlap is the number of voxels that a component of one volume shares with a
// component of another.
type Overlap struct {
	A, B   int // labels, counted from 1
	Voxels int
}

// Overlaps returns the pairs of components that share voxels, ordered by A and
// then B, from the runs of two volumes of one shape, each in raster order.
func Overlaps(a, b []Run) []Overlap {
	var parts []Overlap
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if shared := min(a[i].End, b[j].End) - max(a[i].Start, b[j].Start); shared > 0 {
			parts = append(parts, Overlap{a[i].Label, b[j].Label, shared})
		}
		if a[i].End < b[j].End {
			i++
		} else {
			j++
		}
	}
	slices.SortFunc(parts, func(p, q Overlap) int {
		return cmp.Or(cmp.Compare(p.A, q.A), cmp.Compare(p.B, q.B))
	})
	pairs := parts[:0]
	for _, p := range parts {
		if last := len(pairs) - 1; last >= 0 && pairs[last].A == p.A && pairs[last].B == p.B {
			pairs[last].Voxels += p.Voxels
		} else {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// Sizes returns the number of voxels of each component; sizes[i] is that of label
// i+1.
func Sizes(runs []Run, count int) []int {
	sizes := make([]int, count)
	for _, r := range runs {
		sizes[r.Label-1] += r.End - r.Start
	}
	return sizes
}
