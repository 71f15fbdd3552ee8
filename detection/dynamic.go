package detection

import (
	"cmp"
	"slices"
)

// leastPeak is the probability below which Dynamic and DynamicV2 look for no candidate.
const leastPeak = 0.01

// peeling takes the components of a volume one by one, as Dynamic and DynamicV2 do. The
// largest probability left, and with it the threshold, never rises. So each voxel joins a
// component at most once between the moments at which its probability is set to 0, and the
// whole search takes little longer than sorting the voxels.
type peeling struct {
	*extractor
	p      []float64 // what is left of the probabilities
	order  []int32   // voxels from high to low, in row-major order where equal
	top    int       // position in order of the largest probability left
	joined int       // the voxels at positions below this one are at or above the threshold
	parent []int32   // forest of the components of the joined voxels, noParent for others
	size   []int32   // of the component of a root
	first  []int32   // voxel of the component of a root, in row-major order
	part   []int32   // voxels of the component taken last
}

const noParent = -1

func (x *extractor) dynamic() {
	q := &peeling{extractor: x, p: slices.Clone(x.p)}
	least := x.round(leastPeak / x.Factor)
	for i, v := range q.p {
		if v > 0 && v >= least {
			q.order = append(q.order, int32(i))
		}
	}
	slices.SortFunc(q.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(q.p[b], q.p[a]), cmp.Compare(a, b))
	})
	q.parent, q.size, q.first = slices.Repeat([]int32{noParent}, len(q.p)), make([]int32, len(q.p)), make([]int32, len(q.p))
	for len(x.confidences) < x.MaxCandidates {
		peak := q.peak()
		if peak < leastPeak {
			return
		}
		threshold := x.round(peak / x.Factor)
		q.join(threshold)
		// From high to low, until the peak is gone and the threshold falls.
		for at := q.top; at < q.joined && q.peak() == peak; {
			var large []int32
			large, at = q.largeFrom(at)
			for _, root := range large {
				if len(x.confidences) >= x.MaxCandidates {
					return
				}
				q.take(root)
			}
		}
		if q.peak() < peak {
			continue
		}
		// The largest probabilities belong to components that are too small.
		if x.Method == Dynamic {
			if len(x.confidences) == 0 || x.KeepAdjacent && len(x.confidences) < x.MaxCandidates {
				x.confidences = append(x.confidences, 0)
			}
			return
		}
		q.drop(threshold)
	}
}

// peak returns the largest probability left, 0 if none is large enough to matter.
func (q *peeling) peak() float64 {
	for ; q.top < len(q.order); q.top++ {
		if v := q.p[q.order[q.top]]; v > 0 {
			return v
		}
	}
	return 0
}

// join adds the voxels at or above the threshold to the components.
func (q *peeling) join(threshold float64) {
	for q.joined = max(q.joined, q.top); q.joined < len(q.order); q.joined++ {
		i := q.order[q.joined]
		if q.p[i] == 0 {
			continue
		}
		if q.p[i] < threshold {
			return
		}
		q.parent[i], q.size[i], q.first[i] = i, 1, i
		q.eachNeighbor(i, func(j int32) {
			if q.parent[j] == noParent {
				return
			}
			a, b := q.root(i), q.root(j)
			if a == b {
				return
			}
			if q.size[a] < q.size[b] {
				a, b = b, a
			}
			q.parent[b] = a
			q.size[a] += q.size[b]
			q.first[a] = min(q.first[a], q.first[b])
		})
	}
}

func (q *peeling) root(i int32) int32 {
	for q.parent[i] != i {
		q.parent[i] = q.parent[q.parent[i]]
		i = q.parent[i]
	}
	return i
}

// eachNeighbor calls f with the voxels that share a corner with voxel i, and i itself.
func (q *peeling) eachNeighbor(i int32, f func(j int32)) {
	rows, columns := q.shape[1], q.shape[2]
	row, c := int(i)/columns, int(i)%columns
	s, r := row/rows, row%rows
	for ns := max(s-1, 0); ns <= min(s+1, q.shape[0]-1); ns++ {
		for nr := max(r-1, 0); nr <= min(r+1, rows-1); nr++ {
			for nc := max(c-1, 0); nc <= min(c+1, columns-1); nc++ {
				f(int32((ns*rows+nr)*columns + nc))
			}
		}
	}
}

// largeFrom returns the roots of the components that are large enough among the voxels
// from a position in order on that have the probability of the first one, in the order of
// the components' first voxels, and the position after these voxels.
func (q *peeling) largeFrom(at int) (roots []int32, next int) {
	value := 0.0
	for next = at; next < q.joined; next++ {
		i := q.order[next]
		if q.p[i] == 0 {
			continue
		}
		if value == 0 {
			value = q.p[i]
		}
		if q.p[i] < value {
			break
		}
		if r := q.root(i); int(q.size[r]) >= q.MinVoxels {
			roots = append(roots, r)
		}
	}
	slices.SortFunc(roots, func(a, b int32) int { return cmp.Compare(q.first[a], q.first[b]) })
	return slices.Compact(roots), next
}

// take makes the component of a root a candidate, unless it touches one kept before, and
// sets its probabilities to 0.
func (q *peeling) take(root int32) {
	confidence, touches := 0.0, false
	remove := func(i int32) {
		confidence = max(confidence, q.p[i])
		q.p[i], q.parent[i] = 0, noParent
		q.part = append(q.part, i)
	}
	q.part = q.part[:0]
	remove(root)
	for k := 0; k < len(q.part); k++ {
		q.eachNeighbor(q.part[k], func(j int32) {
			touches = touches || q.labels[j] != 0
			if q.parent[j] != noParent {
				remove(j)
			}
		})
	}
	if touches && !q.KeepAdjacent {
		return
	}
	q.confidences = append(q.confidences, confidence)
	for _, i := range q.part {
		q.labels[i] = int32(len(q.confidences))
	}
}

// drop sets the joined voxels above the threshold to 0, and no longer counts those at the
// threshold as joined. If the threshold is the peak, which a factor near 1 makes it, it
// drops those at the threshold too.
func (q *peeling) drop(threshold float64) {
	equal := threshold >= q.peak()
	rest := q.joined
	for k := q.joined - 1; k >= q.top; k-- {
		i := q.order[k]
		q.parent[i] = noParent
		if q.p[i] > threshold || equal {
			q.p[i] = 0
		} else if q.p[i] > 0 {
			rest = k
		}
	}
	q.joined = rest
}
