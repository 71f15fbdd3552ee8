package edt

import (
	"math/bits"
	"slices"

	"github.com/x/afl/internal/parallel"
)

// transform adds the squared distances of the voxels of m to the samples of s.
//
// It is the distance transform of [Squared] without what these voxels do not need: it
// sweeps only over slices and rows with sites, along lines that lead to the voxels, and
// computes values only there. Both sweeps within a slice are made while it is in the
// cache, and the last sweep leaves no result in the volume.
func (s *search) transform(m *Mask) {
	t := newTransform(s, m)
	t.planes()
	t.across()
}

// transform is the state of search.transform.
type transform struct {
	*search
	lo     [3]int    // where the box of the voxels begins
	size   [3]int    // of the box
	voxels *Mask     // those in the box, each slice as one row
	lines  []uint8   // which lines along the first axis lead to a voxel: by block and row
	filled []plane   // slices with sites
	rows   []int     // rows with sites, of all slices
	part   []float64 // result of the sweeps within the slices
	codes  []uint8   // of the corners in the box, in rows of a stride of whole bytes of bits
	stride int
}

// plane is a slice with sites.
type plane struct {
	slice      int
	first, end int // where its rows with sites are in the list of all
}

func newTransform(s *search, m *Mask) *transform {
	lo, hi := Box(m, m)
	lo[2] &^= block - 1 // so that no block is in two words
	t := &transform{search: s, lo: lo}
	t.filled, t.rows = filledPlanes(s.to)
	for axis := range t.size {
		t.size[axis] = hi[axis] - lo[axis]
	}
	plane := t.size[1] * t.size[2]
	t.voxels = newMask([3]int{t.size[0], 1, plane})
	for z := range t.size[0] {
		m.flatten(t.voxels.row(z), lo[0]+z, lo, hi)
	}
	lines := t.voxels.union()
	t.lines = make([]uint8, 0, blocks(t.size[2])*t.size[1])
	for x := 0; x < t.size[2]; x += block {
		inside := uint64(everyLine) >> max(0, x+block-t.size[2])
		for y := range t.size[1] {
			t.lines = append(t.lines, uint8(lines.window(0, y*t.size[2]+x)&inside))
		}
	}
	t.part = s.grid.scratchMemory(len(t.filled) * plane)
	if s.corners != nil {
		t.findCodes(m)
	}
	return t
}

// findCodes finds the codes of the corners of m.
func (t *transform) findCodes(m *Mask) {
	rows := t.size[1]
	t.stride = (t.size[2] + 7) &^ 7
	t.codes = make([]uint8, t.size[0]*rows*t.stride)
	each(t.size[0]*rows, rowBatch, func() func(int) {
		var codes wordCodes
		return func(i int) {
			z, y := t.lo[0]+i/rows, t.lo[1]+i%rows
			row := m.row(z*m.shape[1] + y)
			if isEmpty(row) {
				return
			}
			around := t.corners.around(z, y)
			dst := t.codes[i*t.stride:][:t.stride]
			for w, corners := range row {
				if corners == 0 {
					continue
				}
				codes.set(&around, w, corners)
				if x := 64*w - t.lo[2]; x < 0 {
					copy(dst, codes[-x:])
				} else {
					copy(dst[x:], codes[:])
				}
			}
		}
	})
}

// union returns a mask of one slice: the voxels of all slices of m, which has one row.
func (m *Mask) union() *Mask {
	if m.shape[0] == 1 {
		return m
	}
	u := newMask([3]int{1, 1, m.shape[2]})
	for z := range m.shape[0] {
		for w, word := range m.row(z) {
			u.words[w] |= word
		}
	}
	return u
}

// blocks returns the number of blocks of so many lines, the last of which may be narrower.
func blocks(lines int) int { return (lines + block - 1) / block }

// filledPlanes lists the slices and rows that have a voxel.
func filledPlanes(m *Mask) (filled []plane, rows []int) {
	filled = make([]plane, 0, m.shape[0])
	rows = make([]int, 0, m.Rows())
	words := m.words
	for z := range m.shape[0] {
		first := len(rows)
		for y := range m.shape[1] {
			if !isEmpty(words[:m.width]) {
				rows = append(rows, y)
			}
			words = words[m.width:]
		}
		if len(rows) > first {
			filled = append(filled, plane{z, first, len(rows)})
		}
	}
	return filled, rows
}

// each calls a body for every i of [0, n), on several goroutines that each have their own
// and take batches of consecutive numbers; see [parallel.Do].
func each(n, batch int, newBody func() func(i int)) {
	if n <= batch {
		body := newBody()
		for i := range n {
			body(i)
		}
		return
	}
	parallel.Do((n+batch-1)/batch, func() func(int) {
		body := newBody()
		return func(unit int) {
			for i := unit * batch; i < min((unit+1)*batch, n); i++ {
				body(i)
			}
		}
	})
}

// unitVoxels is roughly the number of voxels that a goroutine processes at a time; starting
// another goroutine for fewer takes longer than processing them.
const unitVoxels = 1 << 14

// planes computes the squared distances to the nearest site in the same slice, for the
// filled slices, and stores them in t.part.
func (t *transform) planes() {
	rows, columns := t.size[1], t.size[2]
	// Few slices are cut along the rows, so that there is work for every goroutine.
	cuts := min(blocks(columns), max(1, 64/len(t.filled)), max(1, t.to.shape[1]*columns/unitVoxels))
	perCut := (blocks(columns) + cuts - 1) / cuts
	each(len(t.filled)*cuts, max(1, unitVoxels*cuts/(t.to.shape[1]*columns)), func() func(int) {
		p := newPlaneSweep(t)
		return func(i int) {
			k, first := i/cuts, i%cuts*perCut
			p.sweep(&t.filled[k], t.part[k*rows*columns:][:rows*columns], first, min(first+perCut, blocks(columns)))
		}
	})
}

// planeSweep is the state of one goroutine of the sweeps within slices.
type planeSweep struct {
	*transform
	*envelope
	near    []around
	stride  int       // of the following: the number of columns of a block
	heights []float64 // of a block, by filled row
	result  []float64 // of the block, by row
}

func newPlaneSweep(t *transform) *planeSweep {
	most := 0
	for _, f := range t.filled {
		most = max(most, f.end-f.first)
	}
	p := &planeSweep{transform: t, envelope: newEnvelope(t.to.shape[1], t.grid.spacing[1], most)}
	p.near, p.stride = make([]around, most), min(block, t.size[2])
	p.heights = make([]float64, p.stride*most)
	if t.size[2] > block {
		p.result = make([]float64, p.stride*t.size[1])
	}
	return p
}

// sweep stores in dst, which holds the rows and columns of the box, the squared distances
// to the sites of a slice in some blocks of columns.
func (p *planeSweep) sweep(f *plane, dst []float64, first, end int) {
	rows, columns := p.size[1], p.size[2]
	filled := p.rows[f.first:f.end]
	near := p.near[:len(filled)]
	for i := range near {
		near[i] = around{-none, -none}
	}
	for b := first; b < end; b++ {
		wanted := p.lines[b*rows:][:rows]
		lines := allLines(wanted)
		if lines == 0 {
			continue
		}
		x := b * block
		width := min(block, columns-x)
		for i, y := range filled {
			near[i] = p.blockHeights(p.heights[i*p.stride:][:width], p.to.row(f.slice*p.to.shape[1]+y), p.lo[2]+x, near[i])
		}
		if len(filled) == 1 {
			for y := range rows {
				c := p.envelope.squared(p.lo[1] + y - filled[0])
				for j := range width {
					dst[y*columns+x+j] = p.heights[j] + c
				}
			}
			continue
		}
		result := p.result
		if result == nil { // the block is all there is
			result = dst
		}
		for ; lines != 0; lines &= lines - 1 {
			j := bits.TrailingZeros8(lines)
			p.line(result[j:], p.stride, p.stride, p.lo[1], wanted, j, filled, p.heights[j:], p.stride)
		}
		if p.result == nil {
			continue
		}
		for y := range rows {
			copy(dst[y*columns+x:][:width], result[y*p.stride:])
		}
	}
}

// allLines returns the lines of a block that are wanted anywhere.
func allLines(wanted []uint8) (lines uint8) {
	for _, w := range wanted {
		lines |= w
	}
	return lines
}

// blockHeights stores the squared distances from the columns from x on to the nearest
// site in the row, given the sites around this column or an earlier one. It returns those
// around the column after the last.
func (p *planeSweep) blockHeights(dst []float64, row []uint64, x int, a around) around {
	if a.from < x {
		a = around{lastBefore(row, x), firstFrom(row, x)}
	}
	if a.from >= x+len(dst) {
		before, from := x-a.before, a.from-x
		for j := range dst {
			dst[j] = p.grid.squares[min(before+j, from-j)]
		}
		return a
	}
	sites := int(row[x/64]>>(x%64)) & (1<<len(dst) - 1)
	after := around{x + bits.Len(uint(sites)) - 1, firstFrom(row, x+len(dst))}
	var steps [block]int // to the last site up to here
	d := x - 1 - a.before
	for j := range dst {
		d = (d + 1) & (sites>>j&1 - 1)
		steps[j&(block-1)] = d
	}
	d = after.from - x - len(dst)
	for j := len(dst) - 1; j >= 0; j-- {
		d = (d + 1) & (sites>>j&1 - 1)
		dst[j] = p.grid.squares[min(d, steps[j&(block-1)])]
	}
	return after
}

// across sweeps along the first axis and adds the squared distances of the voxels to the
// samples.
func (t *transform) across() {
	lines := t.voxels.shape[2]
	unit := 64 // lines
	if lines < 16*64 {
		unit = block // so that there is work for every goroutine
	}
	first := make([]int, (lines+unit-1)/unit) // by unit: where its samples go
	n := len(t.found.squared)
	for i := range first {
		first[i] = n
		for z := range t.size[0] {
			n += bits.OnesCount64(t.unit(z, i*unit, unit))
		}
	}
	t.found.squared = slices.Grow(t.found.squared, n-len(t.found.squared))[:n]
	if t.corners != nil {
		t.found.codes = slices.Grow(t.found.codes, n-len(t.found.codes))[:n]
	}
	each(len(first), max(1, unitVoxels/(unit*t.size[0])), func() func(int) {
		a := newAcrossSweep(t)
		return func(i int) {
			a.sweep(i*unit, unit, t.found.squared[first[i]:])
			if t.corners != nil {
				a.codesOf(i*unit, unit, t.found.codes[first[i]:])
			}
		}
	})
}

// unit returns the voxels of a slice on n lines from line x on, a multiple of n.
func (t *transform) unit(z, x, n int) uint64 {
	return t.voxels.words[z*t.voxels.width+x/64] >> (x % 64) & (^uint64(0) >> (64 - n))
}

// acrossSweep is the state of one goroutine of the sweep along the first axis.
type acrossSweep struct {
	*transform
	*envelope
	at      []int // the filled slices
	wanted  []uint8
	heights []float64 // of a block of lines, by filled slice
	next    [64]int   // by line of a unit: where the code of its next corner goes
	column  [64]int   // by line of a unit: where its codes are
}

func newAcrossSweep(t *transform) *acrossSweep {
	n := len(t.filled)
	a := &acrossSweep{transform: t, envelope: newEnvelope(t.to.shape[0], t.grid.spacing[0], n), at: make([]int, n)}
	for k, f := range t.filled {
		a.at[k] = f.slice
	}
	if n > 1 {
		a.wanted = make([]uint8, t.size[0])
	}
	if n > 1 && t.voxels.shape[2] > narrow {
		a.heights = make([]float64, block*n)
	}
	return a
}

// narrow is the number of lines in a slice up to which the lines are read in place.
const narrow = 64

// sweep stores in dst the squared distances of the voxels on n lines from line x on, in no
// order.
func (a *acrossSweep) sweep(x, n int, dst []float64) {
	if len(a.at) == 1 {
		next := 0
		for z := range a.size[0] {
			c := a.envelope.squared(a.lo[0] + z - a.at[0])
			for voxels := a.unit(z, x, n); voxels != 0; voxels &= voxels - 1 {
				dst[next] = a.part[x+bits.TrailingZeros64(voxels)] + c
				next++
			}
		}
		return
	}
	plane := a.voxels.shape[2]
	for end := min(x+n, plane); x < end; x += block {
		for z := range a.wanted {
			a.wanted[z] = a.voxels.byteAt(z, x)
		}
		lines := allLines(a.wanted)
		if lines == 0 {
			continue
		}
		heights, stride := a.part[x:], plane
		if plane > narrow {
			heights, stride = a.heights, block
			width := min(block, plane-x)
			for k := range a.at {
				copy(heights[k*block:][:width], a.part[k*plane+x:])
			}
		}
		for ; lines != 0; lines &= lines - 1 {
			j := bits.TrailingZeros8(lines)
			dst = dst[a.line(dst, 1, 0, a.lo[0], a.wanted, j, a.at, heights[j:], stride):]
		}
	}
}

// codesOf stores in dst the codes of the corners on n lines from line x on, in the order in
// which sweep stores their squared distances.
func (a *acrossSweep) codesOf(x, n int, dst []uint8) {
	for line := range n {
		a.column[line] = (x+line)/a.size[2]*a.stride + (x+line)%a.size[2]
	}
	clear(a.next[:])
	if len(a.at) > 1 { // line by line
		for z := range a.size[0] {
			for corners := a.unit(z, x, n); corners != 0; corners &= corners - 1 {
				a.next[bits.TrailingZeros64(corners)&63]++
			}
		}
		sum := 0
		for line, corners := range a.next {
			a.next[line] = sum
			sum += corners
		}
	}
	next := 0
	for z := range a.size[0] {
		codes := a.codes[z*a.size[1]*a.stride:][:a.size[1]*a.stride]
		for corners := a.unit(z, x, n); corners != 0; corners &= corners - 1 {
			line := bits.TrailingZeros64(corners) & 63
			if len(a.at) > 1 {
				dst[a.next[line]] = codes[a.column[line]]
				a.next[line]++
			} else { // slice by slice
				dst[next] = codes[a.column[line]]
				next++
			}
		}
	}
}
