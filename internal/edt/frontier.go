package edt

import "math"

// frontier enumerates pairs (i, j) of numbers from 0 on in ascending order of a
// value, which does not decrease with j, nor with i where j is 0. The value is +Inf
// for pairs that do not exist.
type frontier struct {
	value func(i, j int) float64
	heap  []pair // the next pair of each i whose predecessor (i−1, 0) was taken
}

type pair struct {
	i, j  int
	value float64
}

func newFrontier(value func(i, j int) float64) *frontier {
	return &frontier{value, []pair{{0, 0, value(0, 0)}}}
}

// take returns the next pair, after the last one a pair with value +Inf.
func (f *frontier) take() pair {
	first := f.heap[0]
	if math.IsInf(first.value, 1) {
		return first
	}
	f.sink(pair{first.i, first.j + 1, f.value(first.i, first.j+1)})
	if first.j == 0 {
		f.add(pair{first.i + 1, 0, f.value(first.i+1, 0)})
	}
	return first
}

// sink replaces the first pair by p and restores the heap.
func (f *frontier) sink(p pair) {
	at := 0
	for {
		child := 2*at + 1
		if child >= len(f.heap) {
			break
		}
		if child+1 < len(f.heap) && f.heap[child+1].value < f.heap[child].value {
			child++
		}
		if p.value <= f.heap[child].value {
			break
		}
		f.heap[at] = f.heap[child]
		at = child
	}
	f.heap[at] = p
}

func (f *frontier) add(p pair) {
	at := len(f.heap)
	f.heap = append(f.heap, p)
	for at > 0 && p.value < f.heap[(at-1)/2].value {
		f.heap[at] = f.heap[(at-1)/2]
		at = (at - 1) / 2
	}
	f.heap[at] = p
}
