package portable

import "math/bits"

// pool keeps slices for reuse, so that a training step allocates nothing of a
// volume's size after the first. A slice that no step wanted for a while goes
// back to Go: volumes of other sizes would otherwise pile up.
type pool[T float] struct {
	free map[int][]idle[T] // by capacity; the last is the most recently used
	step int
}

// idle is a slice that nobody uses, since the given step.
type idle[T float] struct {
	data  []T
	since int
}

// patience is for how many steps an idle slice is kept.
const patience = 2

// capacity rounds a length up to one of eight sizes per power of two, so that
// the slices of volumes that differ a little can stand in for each other.
func capacity(n int) int {
	const least = 64
	if n <= least {
		return least
	}
	step := 1 << (bits.Len(uint(n-1)) - 4)
	return (n + step - 1) / step * step
}

// get returns a slice of n elements with arbitrary content.
func (p *pool[T]) get(n int) []T {
	c := capacity(n)
	if list := p.free[c]; len(list) > 0 {
		s := list[len(list)-1].data
		p.free[c] = list[:len(list)-1]
		return s[:n]
	}
	return make([]T, n, c)
}

// put takes back a slice that get returned.
func (p *pool[T]) put(s []T) {
	if p.free == nil {
		p.free = map[int][]idle[T]{}
	}
	p.free[cap(s)] = append(p.free[cap(s)], idle[T]{s, p.step})
}

// endStep counts a step and lets go of what has been idle for too long.
func (p *pool[T]) endStep() {
	p.step++
	for c, list := range p.free {
		stale := 0
		for stale < len(list) && list[stale].since < p.step-patience {
			stale++
		}
		switch {
		case stale == len(list):
			delete(p.free, c)
		case stale > 0:
			// In place, so that the list's own memory does not grow either.
			kept := copy(list, list[stale:])
			clear(list[kept:])
			p.free[c] = list[:kept]
		}
	}
}
