package edt

import (
	"fmt"
	"math"
	"math/bits"
	"sync"

	"github.com/x/afl/internal/components"
	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/parallel"
)

// Field stores in dst, in raster order, the signed squared distances of all voxels across the
// boundary of a mask: of each voxel outside it the squared distance to the nearest one of the
// mask, and of each voxel of the mask the negative of that to the nearest one outside. They
// are those of [Squared], rounded to the type of dst. Where the mask is empty or everything
// there is no boundary: Field returns false and stores zeros.
//
// Both sides are distance transforms, that from the inside of the mask's box alone. The
// sweeps along the columns and across the slices take the least over the rows and slices
// around each, for vectors of neighboring lines at once, nearest first until no nearer
// site can follow. This takes the longer the farther the sites are, but few voxels are far
// from all rows and slices with sites.
func Field[D float32 | float64](dst []D, m *Mask, spacing [3]float64) bool {
	n := m.Count()
	if voxels := m.Rows() * m.Columns(); len(dst) != voxels {
		panic(fmt.Sprintf("edt: shape %v has %d voxels, dst has %d", m.shape, voxels, len(dst)))
	}
	if n == 0 || n == len(dst) {
		clear(dst)
		return false
	}
	if !cpu.HasVectors() {
		plainField(dst, m, spacing)
		return true
	}
	unit, exact := commonUnit(m.shape, m.turned(spacing))
	if exact {
		runField(dst, newField[float32](m, spacing, unit), &memory32)
	} else {
		runField(dst, newField[float64](m, spacing, 1), &memory64)
	}
	return true
}

// plainField is Field by two plain transforms.
func plainField[D float32 | float64](dst []D, m *Mask, spacing [3]float64) {
	columns := m.Columns()
	outside, inside := make([]float64, len(dst)), make([]float64, len(dst))
	Squared(outside, m, spacing)
	rest := m.empty()
	for r := range m.Rows() {
		complement(rest.row(r), m.row(r), columns)
	}
	Squared(inside, rest, spacing)
	m.eachBatch(func() func(int, int) {
		return func(first, end int) {
			for i := first * columns; i < end*columns; i++ {
				dst[i] = D(outside[i] - inside[i]) // one of them is 0
			}
		}
	})
}

// complement stores the voxels that are not in a row of so many columns.
func complement(dst, row []uint64, columns int) {
	for w, word := range row {
		dst[w] = ^word & (^uint64(0) >> max(0, 64*(w+1)-columns))
	}
}

// commonUnit returns a power of two of which the distances along all axes are multiples
// so small that float32 holds all sums of their squares.
func commonUnit(shape [3]int, spacing [3]float64) (unit float64, exact bool) {
	const most = 500 // the square of the unit is a normal float64
	exponent := math.MaxInt
	for axis, n := range shape {
		if n > 1 {
			fraction, e := math.Frexp(spacing[axis])
			exponent = min(exponent, e-53+bits.TrailingZeros64(uint64(fraction*0x1p53)))
		}
	}
	if exponent < -most || exponent > most {
		return 0, false
	}
	unit = math.Ldexp(1, exponent)
	sum := 0.0
	for axis, n := range shape {
		if n > 1 {
			d := float64(n-1) * spacing[axis] / unit
			sum += d * d
		}
	}
	return unit, sum <= 1<<24
}

// field is the state of Field: numbers of T are squared distances in squared units.
type field[T float32 | float64] struct {
	mask            *Mask
	unit            float64
	squares         [3][]T // by axis and number of steps
	patterns        func() *rowPatterns[T]
	outside, inside side[T]
}

// side is the transform of the voxels of one side of the boundary, to the sites that are
// the voxels of the other.
type side[T float32 | float64] struct {
	lo, hi [2]int // the slices and rows that it takes
	flip   uint64 // the sites are the voxels of the mask, all bits being flipped
	filled []int  // slices with sites
	pitch  int    // from slice to slice of part
	part   []T    // result of the sweeps within the slices
}

// memory32 and memory64 hold the memory of both sides' parts.
var memory32, memory64 = sync.Pool{New: func() any { return new([2][]float32) }}, sync.Pool{New: func() any { return new([2][]float64) }}

func newField[T float32 | float64](m *Mask, spacing [3]float64, unit float64) *field[T] {
	f := &field[T]{mask: m, unit: unit}
	scale := 1 / (unit * unit)
	for _, v := range squaresAlong(m, spacing) {
		f.squares[2] = append(f.squares[2], T(v*scale))
	}
	for axis, s := range m.turned(spacing) {
		if axis < 2 {
			for i := range m.shape[axis] {
				d := float64(i)
				f.squares[axis] = append(f.squares[axis], T(float64(float64(s*s)*float64(d*d))*scale))
			}
		}
	}
	f.patterns = sync.OnceValue(func() *rowPatterns[T] { return newRowPatterns(f.squares[2]) })
	f.outside = side[T]{hi: [2]int{m.shape[0], m.shape[1]}}
	// The nearest voxel outside is never beyond those around the mask's box.
	lo, hi := Box(m, m)
	f.inside.flip = ^uint64(0)
	for axis := range 2 {
		f.inside.lo[axis], f.inside.hi[axis] = max(lo[axis]-1, 0), min(hi[axis]+1, m.shape[axis])
	}
	return f
}

// lanes is the number of lines across the slices that are swept together: the parts of a
// slice are read in runs of some KiB, and all slices of them are in the cache.
const lanes = 256

// slack returns how many numbers vectors may reach beyond the end of a slice.
func slack[T float32 | float64]() int { return cpu.ParabolaBlock[T]() }

// whole returns the number of lines of the blocks that hold so many.
func whole[T float32 | float64](lines int) int {
	block := cpu.ParabolaBlock[T]()
	return (lines + block - 1) &^ (block - 1) // a power of two
}

// runField computes a field with the memory of a pool.
func runField[T, D float32 | float64](dst []D, f *field[T], pool *sync.Pool) {
	memory := pool.Get().(*[2][]T)
	defer pool.Put(memory)
	for i, s := range []*side[T]{&f.outside, &f.inside} {
		f.within(s, &memory[i])
	}
	across(dst, f)
}

// within makes the sweeps within the slices of one side.
func (f *field[T]) within(s *side[T], memory *[]T) {
	columns := f.mask.Columns()
	for z := s.lo[0]; z < s.hi[0]; z++ {
		for y := s.lo[1]; y < s.hi[1]; y++ {
			if !f.isIn(^s.flip, z, y) {
				s.filled = append(s.filled, z)
				break
			}
		}
	}
	rows := s.hi[1] - s.lo[1]
	every := make([]int, s.hi[1])
	for y := range every {
		every[y] = y
	}
	s.pitch = rows*columns + slack[T]()
	if n := s.pitch * len(s.filled); cap(*memory) < n {
		*memory = make([]T, n)
	}
	s.part = (*memory)[:cap(*memory)][:s.pitch*len(s.filled)]
	parallel.Do(len(s.filled), func() func(int) {
		var l lister[T]
		heights := make([]T, s.pitch)
		r := newRowSweep(f)
		p := cpu.NewParabolas[T]()
		p.Heights, p.Pitch = heights, columns
		at := make([]int, 0, rows) // the rows with sites
		return func(i int) {
			z, dst := s.filled[i], s.part[i*s.pitch:][:s.pitch]
			at = at[:0]
			for y := s.lo[1]; y < s.hi[1]; y++ {
				if !f.isIn(^s.flip, z, y) {
					at = append(at, y)
				}
			}
			// Few rows without sites between the others are taken like those, infinitely far,
			// as their distances are then consecutive squares.
			taken, next := at, 0
			if first, end := at[0], at[len(at)-1]+1; 4*(end-first) <= 5*len(at) {
				taken = every[first:end]
			}
			for i, y := range taken {
				to := heights[i*columns:]
				if y != at[next] {
					copy(to, r.padded[:columns])
					continue
				}
				r.sweep(to, f.mask.row(z*f.mask.shape[1]+y), s.flip)
				next++
			}
			l.list(taken, f.squares[1])
			for y := range rows {
				p.Row, p.SquaresBefore, p.SquaresAfter = l.around(s.lo[1] + y)
				if f.isIn(s.flip, z, s.lo[1]+y) {
					clear(dst[y*columns:][:columns])
					continue
				}
				// Where this reaches into the next row it is overwritten.
				p.Lowest(dst[y*columns:][:whole[T](columns)])
			}
		}
	})
}

// isIn reports whether a whole row is in the mask, all bits of which are flipped.
func (f *field[T]) isIn(flip uint64, z, y int) bool {
	left := f.mask.Columns()
	for _, word := range f.mask.row(z*f.mask.shape[1] + y) {
		if ^(word^flip)<<max(0, 64-left) != 0 {
			return false
		}
		left -= 64
	}
	return true
}

// rowPatterns are the squared distances of four voxels of a row by the bits of them and of four
// more on either side, the first of which is the lowest.
type rowPatterns[T float32 | float64] struct {
	squares [1 << (3 * patternVoxels)][patternVoxels]T
	unknown [1 << (3 * patternVoxels)]bool // a site of one of the voxels may be farther than that
}

const patternVoxels = 4

func newRowPatterns[T float32 | float64](squares []T) *rowPatterns[T] {
	p := new(rowPatterns[T])
	for bits := range p.squares {
		for i := range patternVoxels {
			at, d := uint(patternVoxels+i), 0
			for d <= patternVoxels && (bits>>(at-uint(d))|bits>>(at+uint(d)))&1 == 0 {
				d++
			}
			switch {
			case d > patternVoxels:
				p.unknown[bits] = true
			case d < len(squares): // else there are not so many voxels
				p.squares[bits][i] = squares[d]
			}
		}
	}
	return p
}

// sweep stores the squared distances of a row, to whole patterns, and reports whether all are
// known.
func (p *rowPatterns[T]) sweep(dst []T, row []uint64, flip uint64, columns int) bool {
	before := uint64(0) // the word before, whose last voxels are around the first ones
	for w := 0; 64*w < columns; w++ {
		word, after := row[w]^flip, uint64(0)
		left := columns - 64*w
		if left < 64 {
			word &= 1<<left - 1
		} else if left > 64 {
			after = row[w+1] ^ flip
			if left < 128 {
				after &= 1<<(left-64) - 1
			}
		}
		around := word<<patternVoxels | before>>(64-patternVoxels)
		for x := 0; x < min(left, 64); x += patternVoxels {
			bits := around
			if x > 0 {
				bits = word >> (x - patternVoxels)
				if x+2*patternVoxels > 64 {
					bits |= after << (64 + patternVoxels - x)
				}
			}
			bits &= 1<<(3*patternVoxels) - 1
			if p.unknown[bits] {
				return false
			}
			*(*[patternVoxels]T)(dst[64*w+x:]) = p.squares[bits]
		}
		before = word
	}
	return true
}

// rowSweep is the sweep along the rows.
type rowSweep[T float32 | float64] struct {
	squares []T // by number of steps
	pattern func() *rowPatterns[T]
	bits    *[256][8]T // by eight voxels: 0 where there is a site, else +Inf
	padded  []T        // heights of a row between as many of +Inf
	lines   *cpu.Parabolas[T]
}

func newRowSweep[T float32 | float64](f *field[T]) *rowSweep[T] {
	squares := f.squares[2]
	columns := len(squares)
	r := &rowSweep[T]{squares: squares, pattern: f.patterns, bits: new([256][8]T), padded: make([]T, 3*columns+slack[T]()), lines: cpu.NewParabolas[T]()}
	for i := range r.bits {
		for j := range r.bits[i] {
			if i>>j&1 == 0 {
				r.bits[i][j] = T(math.Inf(1))
			}
		}
	}
	for i := range r.padded {
		r.padded[i] = T(math.Inf(1))
	}
	// A step along the row is a row of one number.
	r.lines.Heights, r.lines.Pitch, r.lines.Row = r.padded, 1, columns
	r.lines.SquaresBefore, r.lines.SquaresAfter = squares, squares[1:]
	return r
}

// sweep stores the squared distance from each voxel of a row to the nearest site in it, of
// which there is one. dst has so many columns and the slack.
func (r *rowSweep[T]) sweep(dst []T, row []uint64, flip uint64) {
	columns := len(r.squares)
	changes, last := 0, uint64(0)
	for _, word := range row {
		changes += bits.OnesCount64(word ^ (word<<1 | last>>63))
		last = word
	}
	if changes < columns/16 {
		fillGaps(dst[:columns], row, flip, r.squares)
		return
	}
	if r.pattern().sweep(dst, row, flip, columns) {
		return
	}
	for x := 0; x < columns; x += 8 {
		*(*[8]T)(r.padded[columns+x:]) = r.bits[uint8((row[x/64]^flip)>>(x%64))]
	}
	copy(r.padded[2*columns:], r.bits[0][:])
	r.lines.Lowest(dst[:whole[T](columns)])
}

// fillGaps is the sweep for a row of few gaps.
func fillGaps[T float32 | float64](dst []T, row []uint64, flip uint64, squares []T) {
	clear(dst)
	for x := 0; x < len(dst); {
		from := components.NextBit(row, x, len(dst), ^flip) // of a gap
		to := components.NextBit(row, from, len(dst), flip)
		middle := (from + to) / 2 // from here on the next site is nearer
		switch {
		case from == 0:
			middle = 0
		case to == len(dst):
			middle = to
		}
		for i := range dst[from:middle] {
			dst[from+i] = squares[1+i]
		}
		for i := middle; i < to; i++ {
			dst[i] = squares[to-i]
		}
		x = to
	}
}

// lister lists the squared distances from positions of a line to those of its heights.
type lister[T float32 | float64] struct {
	at            []int // ascending
	squares       []T   // by number of steps
	next          int   // the first of at beyond the position
	before, after []T
}

func (l *lister[T]) list(at []int, squares []T) { *l = lister[T]{at, squares, 0, l.before, l.after} }

// around returns the last of the heights up to a position, or −1, and the squared distances
// of that and those before it, and of those after it, nearest first. The positions of the
// calls ascend.
func (l *lister[T]) around(p int) (row int, before, after []T) {
	for l.next < len(l.at) && l.at[l.next] <= p {
		l.next++
	}
	row = l.next - 1
	if last := len(l.at) - 1; l.at[last]-l.at[0] == last { // all positions between them
		if row >= 0 {
			before = l.squares[p-l.at[row]:][:row+1]
		}
		if row < last {
			after = l.squares[l.at[row+1]-p:][:last-row]
		}
		return row, before, after
	}
	l.before, l.after = l.before[:0], l.after[:0]
	for i := row; i >= 0; i-- {
		l.before = append(l.before, l.squares[p-l.at[i]])
	}
	for _, q := range l.at[l.next:] {
		l.after = append(l.after, l.squares[q-p])
	}
	return row, l.before, l.after
}

// stretch is a range of the lines across the slices, and whether both sides take it.
type stretch struct {
	lo, hi int
	both   bool
}

// across makes the sweeps across the slices of both sides.
func across[T, D float32 | float64](dst []D, f *field[T]) {
	columns, lines := f.mask.Columns(), f.mask.shape[1]*f.mask.Columns()
	inside := [2]int{f.inside.lo[1] * columns, f.inside.hi[1] * columns}
	var units []stretch
	for i, end := range []int{inside[0], inside[1], lines} {
		lo := 0
		if len(units) > 0 {
			lo = units[len(units)-1].hi
		}
		for ; lo < end; lo += lanes {
			units = append(units, stretch{lo, min(lo+lanes, end), i == 1})
		}
	}
	square := f.unit * f.unit
	parallel.Do(len(units), func() func(int) {
		var sides [2]lister[T]
		p := cpu.NewParabolas[T]()
		var found [2][lanes]T
		return func(i int) {
			u := units[i]
			n := u.hi - u.lo
			sides[0].list(f.outside.filled, f.squares[0])
			sides[1].list(f.inside.filled, f.squares[0])
			for z := range f.mask.shape[0] {
				f.outside.lowest(found[0][:whole[T](n)], z, u.lo, &sides[0], p)
				if u.both && z >= f.inside.lo[0] && z < f.inside.hi[0] && f.anyIn(z, u.lo/columns, (u.hi-1)/columns) {
					f.inside.lowest(found[1][:whole[T](n)], z, u.lo-inside[0], &sides[1], p)
					for i, v := range found[1][:n] {
						found[0][i] -= v // one of them is 0
					}
				}
				store(dst[z*lines+u.lo:][:n], found[0][:n], square)
			}
		}
	})
}

// store stores numbers in squared units.
func store[D, T float32 | float64](dst []D, src []T, square float64) {
	if same, ok := any(src).([]D); ok && square == 1 {
		copy(dst, same)
		return
	}
	for i, v := range src {
		dst[i] = D(float64(v) * square)
	}
}

// anyIn reports whether a voxel of the rows from first to last, inclusive, is in the mask.
func (f *field[T]) anyIn(z, first, last int) bool {
	r, width := z*f.mask.shape[1], f.mask.width
	return !isEmpty(f.mask.words[(r+first)*width : (r+last+1)*width])
}

// lowest stores the result of the sweep across the slices at a slice, on lines from x on.
func (s *side[T]) lowest(dst []T, z, x int, l *lister[T], p *cpu.Parabolas[T]) {
	p.Heights, p.Pitch = s.part[x:], s.pitch
	p.Row, p.SquaresBefore, p.SquaresAfter = l.around(z)
	p.Lowest(dst)
}
