package cpu

import (
	"fmt"
	"math"
)

// ParabolaBlock is the unit of the length of [Parabolas.Lowest]: 16 float32 or 8 float64.
func ParabolaBlock[T real]() int { return lanesOf[T]() }

// Parabolas are lines of parabolas, whose heights are those of the rows of Heights, Pitch
// numbers apart, in which the lines lie side by side: line i takes number i of each. They are
// made by [NewParabolas].
type Parabolas[T real] struct {
	Heights []T
	Pitch   int
	// Row is the row that is the nearest at or before a position. The squared distances of
	// the rows from the position are SquaresBefore, from Row backwards, and SquaresAfter,
	// from the row after it on; neither descends.
	Row                         int
	SquaresBefore, SquaresAfter []T

	kernel func(dst []T, p *Parabolas[T])
}

// NewParabolas returns parabolas that lack everything.
func NewParabolas[T real]() *Parabolas[T] {
	p := new(Parabolas[T])
	switch p := any(p).(type) {
	case *Parabolas[float32]:
		p.kernel = available[0].parabolas32
	case *Parabolas[float64]:
		p.kernel = available[0].parabolas64
	}
	return p
}

// Lowest stores in dst, whose length is a multiple of [ParabolaBlock], the lowest parabola
// of each line, from the first on, at the position: the least height + square over the rows.
func (p *Parabolas[T]) Lowest(dst []T) { p.kernel(dst, p) }

// HasVectors reports whether [Parabolas.Lowest] computes several lines at once.
func HasVectors() bool { return available[0].name != plain.name }

// parabolasGo is [Parabolas.Lowest].
func parabolasGo[T real](dst []T, p *Parabolas[T]) {
	p.check(len(dst))
	for i := range dst {
		dst[i] = T(math.Inf(1))
	}
	add := func(row int, square T) {
		for i, h := range p.Heights[row*p.Pitch:][:len(dst)] {
			dst[i] = min(dst[i], h+square)
		}
	}
	for i, square := range p.SquaresBefore {
		add(p.Row-i, square)
	}
	for i, square := range p.SquaresAfter {
		add(p.Row+1+i, square)
	}
}

// check panics if n lines are not in the heights.
func (p *Parabolas[T]) check(n int) {
	first, last := p.Row-len(p.SquaresBefore)+1, p.Row+len(p.SquaresAfter)
	if n%ParabolaBlock[T]() != 0 || p.Pitch < 0 || first < 0 || last*p.Pitch+n > len(p.Heights) {
		panic(fmt.Sprintf("cpu: %d parabolas of rows %d to %d, %d apart, in %d numbers", n, first, last, p.Pitch, len(p.Heights)))
	}
}
