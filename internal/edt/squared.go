package edt

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// Squared stores in dst, in raster order, the squared Euclidean distance from the
// center of every voxel to the center of the nearest site, or +Inf if there is no
// site.
//
// spacing is the positive, finite distance between neighboring voxels along each
// axis; the result is in its units, squared.
//
// It is the plain distance transform: three sweeps over the whole volume.
//
// The work is shared among GOMAXPROCS goroutines; the bits of the result do not
// depend on their number. Squared panics if the shapes do not match.
func Squared(dst []float64, sites *Mask, spacing [3]float64) {
	planes, rows, columns := sites.shape[0], sites.shape[1], sites.shape[2]
	if voxels := planes * rows * columns; len(dst) != voxels {
		panic(fmt.Sprintf("edt: shape %v has %d voxels, dst has %d", sites.shape, voxels, len(dst)))
	}
	if len(dst) == 0 {
		return
	}

	squares := squaresAlong(sites, spacing)
	spacing = sites.turned(spacing)
	sites.eachBatch(func() func(int, int) {
		return func(first, end int) {
			for r := first; r < end; r++ {
				sweepRow(dst[r*columns:][:columns], sites.row(r), squares)
			}
		}
	})

	if rows > 1 {
		parallel.Do(planes*blocks(columns), func() func(int) {
			l := newLines(rows, spacing[1])
			return func(unit int) {
				slice, x := unit/blocks(columns), unit%blocks(columns)*block
				l.sweep(dst[slice*rows*columns+x:], columns, min(block, columns-x))
			}
		})
	}
	if planes > 1 {
		parallel.Do(rows*blocks(columns), func() func(int) {
			l := newLines(planes, spacing[0])
			return func(unit int) {
				y, x := unit/blocks(columns), unit%blocks(columns)*block
				l.sweep(dst[y*columns+x:], rows*columns, min(block, columns-x))
			}
		})
	}
}

// SortedSquared returns the squared distance from every voxel of one mask to the nearest
// voxel of another like it, in ascending order: by the plain transform, whatever the
// masks. [Grid.Nearest] counts the same numbers; it is tested against this and measured
// by it.
func SortedSquared(from, to *Mask, spacing [3]float64) []float64 {
	columns := from.Columns()
	squared := make([]float64, from.Rows()*columns)
	Squared(squared, to, spacing)
	var sorted []float64
	for r := range from.Rows() {
		for w, voxels := range from.row(r) {
			for ; voxels != 0; voxels &= voxels - 1 {
				sorted = append(sorted, squared[r*columns+64*w+bits.TrailingZeros64(voxels)])
			}
		}
	}
	slices.Sort(sorted)
	return sorted
}

// squaresAlong returns the squared distances of 0, 1, … steps along the rows of a mask,
// rounded as along the axis that was the last one before the turn.
func squaresAlong(m *Mask, spacing [3]float64) []float64 {
	step := m.turned(spacing)[2]
	squares := make([]float64, m.Columns())
	for i := range squares {
		d := float64(i)
		if m.turn > 0 {
			squares[i] = float64(step*step) * float64(d*d)
		} else {
			d *= step
			squares[i] = d * d
		}
	}
	return squares
}

// sweepRow stores the squared distance from each voxel of a row to the nearest site
// in it; squares[d] is the squared distance of d steps.
func sweepRow(dst []float64, sites []uint64, squares []float64) {
	last := -1 // the previous site
	for w, word := range sites {
		for ; word != 0; word &= word - 1 {
			next := 64*w + bits.TrailingZeros64(word)
			middle := -1
			if last >= 0 {
				middle = (last + next) / 2
			}
			for x := last + 1; x <= middle; x++ {
				dst[x] = squares[x-last]
			}
			for x := max(middle, last) + 1; x <= next; x++ {
				dst[x] = squares[next-x]
			}
			last = next
		}
	}
	for x := last + 1; x < len(dst); x++ {
		if last < 0 {
			dst[x] = math.Inf(1)
		} else {
			dst[x] = squares[x-last]
		}
	}
}

// lines is the scratch memory of one goroutine for a sweep over the volume.
type lines struct {
	*envelope
	wanted  []uint8
	at      []int
	heights []float64 // of a block: the lines lie side by side
	result  []float64
}

func newLines(length int, spacing float64) *lines {
	l := &lines{newEnvelope(length, spacing, length), make([]uint8, length), make([]int, length), make([]float64, block*length), make([]float64, block*length)}
	for i := range l.wanted {
		l.wanted[i] = everyLine
	}
	return l
}

// sweep replaces each of the width lines that begin at data[0], data[1], … and whose
// elements are stride apart by its one-dimensional transform.
func (l *lines) sweep(data []float64, stride, width int) {
	n := 0
	for p := range l.wanted {
		// A row without sites is infinite as a whole, and so is a slice.
		if row := data[p*stride : p*stride+width]; row[0] <= math.MaxFloat64 {
			l.at[n] = p
			copy(l.heights[n*block:][:width], row)
			n++
		}
	}
	if n == 0 {
		return
	}
	for j := range width {
		l.line(l.result[j:], block, block, 0, l.wanted, j, l.at[:n], l.heights[j:], block)
	}
	for p := range l.wanted {
		copy(data[p*stride:][:width], l.result[p*block:])
	}
}
