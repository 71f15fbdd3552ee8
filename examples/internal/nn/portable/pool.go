package portable

import "github.com/x/afl/internal/sizeclass"

// pool reuses slices, so that a training step allocates nothing of a volume's
// size after the first. Slices that several steps in a row did not use are left to
// the garbage collector: those of volumes of other sizes would pile up.
type pool[T float] struct {
	free map[int][]idle[T] // by capacity; the most recently used one is last
	step int
}

// idle is a slice that is not in use, since the given step.
type idle[T float] struct {
	data  []T
	since int
}

// maxIdleSteps is the number of steps that an idle slice stays in the pool.
const maxIdleSteps = 2

// capacity is that of a slice of n elements: their size class.
func capacity(n int) int {
	const granule = 64
	return sizeclass.Round(n, granule)
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

// put returns a slice of get to the pool.
func (p *pool[T]) put(s []T) {
	if p.free == nil {
		p.free = map[int][]idle[T]{}
	}
	p.free[cap(s)] = append(p.free[cap(s)], idle[T]{s, p.step})
}

// endStep counts a step and drops the slices that have been idle for too long.
func (p *pool[T]) endStep() {
	p.step++
	for c, list := range p.free {
		stale := 0
		for stale < len(list) && list[stale].since < p.step-maxIdleSteps {
			stale++
		}
		switch {
		case stale == len(list):
			delete(p.free, c)
		case stale > 0:
			// In place, so that the list's own memory does not grow either.
			n := copy(list, list[stale:])
			clear(list[n:])
			p.free[c] = list[:n]
		}
	}
}
