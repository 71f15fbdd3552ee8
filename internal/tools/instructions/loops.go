package main

import (
	"container/heap"
	"slices"
)

// loop is a loop over tiles: a component of a kernel that contains wide loads, with the
// blocks that these are in.
type loop struct {
	f     *function
	loads []int
}

// loops returns the loops over tiles of a kernel, in the order of its code.
func (f *function) loops() []loop {
	var all []loop
	of := map[int]int{}
	for i, b := range f.blocks {
		if !slices.ContainsFunc(b.instructions, instruction.wideLoad) {
			continue
		}
		at, found := of[b.part]
		if !found {
			at = len(all)
			of[b.part] = at
			all = append(all, loop{f: f})
		}
		all[at].loads = append(all[at].loads, i)
	}
	return all
}

// cost is what a path issues.
type cost struct {
	instructions int
	mufu         int // functions of the special function unit
	special      int // all that run on that unit
	doubles      int // additions of float64
}

func (c cost) plus(b block) cost {
	for _, i := range b.instructions {
		if i.is("NOP") {
			continue
		}
		c.instructions++
		if i.is("MUFU") {
			c.mufu++
		}
		if i.special() {
			c.special++
		}
		if i.is("DADD") {
			c.doubles++
		}
	}
	return c
}

// state is where a path is, and what of the goal it has passed.
type state struct {
	block, mufu int
	loads       uint64
}

type path struct {
	state
	cost
}

type queue []path

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].instructions < q[j].instructions }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(path)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// shortest returns the cost of the shortest cycle that executes every wide load of the loop
// and exactly mufu functions of the special function unit.
func (l loop) shortest(mufu int) (cost, bool) {
	f := l.f
	bit := func(block int) uint64 {
		if at := slices.Index(l.loads, block); at >= 0 {
			return 1 << at
		}
		return 0
	}
	all := uint64(1)<<len(l.loads) - 1
	start := l.loads[0]
	var q queue
	enter := func(from path, to int) {
		c := from.cost.plus(f.blocks[to])
		if c.mufu > mufu {
			return
		}
		heap.Push(&q, path{state{to, c.mufu, from.loads | bit(to)}, c})
	}
	enter(path{}, start)
	seen := map[state]bool{}
	for len(q) > 0 {
		p := heap.Pop(&q).(path)
		if seen[p.state] {
			continue
		}
		seen[p.state] = true
		for _, next := range f.blocks[p.block].next {
			if f.blocks[next].part != f.blocks[start].part {
				continue
			}
			if next == start && p.state.mufu == mufu && p.loads == all {
				return p.cost, true
			}
			enter(p, next)
		}
	}
	return cost{}, false
}
