package edt

import (
	"math"
	"math/bits"
)

// alongRow counts the voxels of a volume of one row, where the nearest site is the next
// one on either side.
func (s *search) alongRow() Distribution {
	voxels := make([]int, s.grid.shape[2]) // by number of steps
	sites := around{-none, -none}
	for w, word := range s.from.words {
		for ; word != 0; word &= word - 1 {
			x := 64*w + bits.TrailingZeros64(word)
			if sites.from < x {
				sites = around{lastBefore(s.to.words, x), firstFrom(s.to.words, x)}
			}
			voxels[min(x-sites.before, sites.from-x)]++
		}
	}
	distinct := 0
	for _, n := range voxels {
		if n > 0 {
			distinct++
		}
	}
	d := newDistribution(distinct)
	at := 0
	for steps, n := range voxels {
		if n > 0 {
			d.Squared[at], d.Weight[at] = s.grid.squares[steps], float64(n)
			at++
		}
	}
	return d
}

// around are the sites next to a column of a row: the last one before it and the first one
// from it on.
type around struct{ before, from int }

// none is a column too far away to be the nearest, in either direction.
const none = math.MaxInt / 2

// lastBefore returns the last bit that is set before bit x, or -none.
func lastBefore(words []uint64, x int) int {
	if x == 0 {
		return -none
	}
	w := (x - 1) / 64
	for word := words[w] << (63 - (x-1)%64) >> (63 - (x-1)%64); ; word = words[w] {
		if word != 0 {
			return 64*w + bits.Len64(word) - 1
		}
		if w--; w < 0 {
			return -none
		}
	}
}

// firstFrom returns the first bit that is set from bit x on, or none.
func firstFrom(words []uint64, x int) int {
	w := x / 64
	if w >= len(words) {
		return none
	}
	for word := words[w] >> (x % 64) << (x % 64); ; word = words[w] {
		if word != 0 {
			return 64*w + bits.TrailingZeros64(word)
		}
		if w++; w == len(words) {
			return none
		}
	}
}
