package portable

import "math/bits"

// pool keeps slices for reuse, so that a training step allocates nothing of a
// volume's size after the first.
type pool[T float] struct {
	free map[int][][]T // by capacity
}

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
		s := list[len(list)-1]
		p.free[c] = list[:len(list)-1]
		return s[:n]
	}
	return make([]T, n, c)
}

// put takes back a slice that get returned.
func (p *pool[T]) put(s []T) {
	if p.free == nil {
		p.free = map[int][][]T{}
	}
	p.free[cap(s)] = append(p.free[cap(s)], s)
}
