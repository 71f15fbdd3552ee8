// Package matching finds maximum matchings of bipartite graphs.
//
// J. E. Hopcroft and R. M. Karp, "An n^(5/2) algorithm for maximum matchings in
// bipartite graphs", SIAM Journal on Computing 2 (1973) 225–231.
package matching

// unmatched marks a vertex without a partner.
const unmatched = -1

// Maximum returns the size of a maximum matching: the largest number of edges of
// which no two share a vertex. edges[i] lists the right vertices, from 0 to
// right−1, that left vertex i has an edge to.
//
// It takes time of order E·√V.
func Maximum(edges [][]int, right int) int {
	g := &graph{
		edges: edges,
		left:  filled(len(edges), unmatched),
		right: filled(right, unmatched),
		layer: make([]int, len(edges)),
	}
	size := 0
	for g.layers() {
		for i, partner := range g.left {
			if partner == unmatched && g.augment(i) {
				size++
			}
		}
	}
	return size
}

func filled(n, v int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// graph is a bipartite graph and a matching of it.
type graph struct {
	edges       [][]int
	left, right []int // the partner of each vertex
	// layer holds, for each left vertex, how many matched edges a shortest
	// alternating path from an unmatched left vertex takes to it; unreached where
	// there is none. The shortest augmenting paths end in layer last.
	layer []int
	last  int
	queue []int
}

const unreached = -1

// layers sets layer and last. It reports whether there is an augmenting path, from
// an unmatched left vertex to an unmatched right one.
func (g *graph) layers() bool {
	g.queue = g.queue[:0]
	for i, partner := range g.left {
		g.layer[i] = unreached
		if partner == unmatched {
			g.layer[i] = 0
			g.queue = append(g.queue, i)
		}
	}
	g.last = unreached
	for head := 0; head < len(g.queue); head++ {
		i := g.queue[head]
		if g.last != unreached && g.layer[i] > g.last {
			break
		}
		for _, j := range g.edges[i] {
			switch next := g.right[j]; {
			case next == unmatched:
				g.last = g.layer[i]
			case g.layer[next] == unreached:
				g.layer[next] = g.layer[i] + 1
				g.queue = append(g.queue, next)
			}
		}
	}
	return g.last != unreached
}

// augment looks for a shortest augmenting path from left vertex i, which goes from
// layer to layer, and exchanges matched and unmatched edges along it.
func (g *graph) augment(i int) bool {
	for _, j := range g.edges[i] {
		next := g.right[j]
		if next == unmatched || g.layer[i] < g.last && g.layer[next] == g.layer[i]+1 && g.augment(next) {
			g.left[i], g.right[j] = j, i
			return true
		}
	}
	g.layer[i] = unreached // no path leads on from here
	return false
}
