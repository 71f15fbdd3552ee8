// Package edt computes exact Euclidean distances in binary volumes: from the
// voxels of one mask to the nearest of another (see [Grid.Nearest]), and the
// distance transform of a whole volume (see [Squared]).
//
// Masks are bit sets, 64 voxels of a row in a word, so that most operations
// process 64 voxels at once.
//
// The transform is separable: three sweeps, one along each axis, solve
// one-dimensional problems in time linear in the length of the line. The first
// sweep counts steps along the rows; the other two take the lower envelope of
// parabolas.
//
//   - P. F. Felzenszwalb and D. P. Huttenlocher, "Distance Transforms of Sampled
//     Functions", Theory of Computing 8 (2012) 415–428.
//   - A. Meijster, J. B. T. M. Roerdink and W. H. Hesselink, "A General Algorithm
//     for Computing Distance Transforms in Linear Time", ISMM 2000.
package edt

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/x/afl/internal/parallel"
)

// block is the number of neighboring lines that a strided sweep processes
// together: eight float64 fill a cache line, so that each cache line is loaded
// once instead of eight times.
const block = 8

// everyLine has one bit set for each line of a block.
const everyLine = 1<<block - 1

// Squared stores in dst, in raster order, the squared Euclidean distance from the
// center of every voxel to the center of the nearest site, or +Inf if there is no
// site.
//
// spacing is the positive, finite distance between neighboring voxels along each
// axis; the result is in its units, squared.
//
// wanted is nil or a mask of one slice. Then only the lines along the first axis
// through its voxels are complete, and the others hold intermediate results: that
// saves most of the last sweep if few lines are read.
//
// The work is shared among GOMAXPROCS goroutines; the bits of the result do not
// depend on their number. Squared panics if the shapes do not match.
func Squared(dst []float64, sites *Mask, spacing [3]float64, wanted *Mask) {
	slices, rows, columns := sites.shape[0], sites.shape[1], sites.shape[2]
	if voxels := slices * rows * columns; len(dst) != voxels {
		panic(fmt.Sprintf("edt: shape %v has %d voxels, dst has %d", sites.shape, voxels, len(dst)))
	}
	if wanted != nil && wanted.shape != [3]int{1, rows, columns} {
		panic(fmt.Sprintf("edt: wanted has shape %v, sites have %v", wanted.shape, sites.shape))
	}
	if len(dst) == 0 {
		return
	}

	squares := squaresAlong(columns, spacing[2])
	sites.eachRow(func() func(int) {
		return func(r int) { sweepRow(dst[r*columns:][:columns], sites.row(r), squares) }
	})

	blocks := (columns + block - 1) / block
	if rows > 1 {
		parallel.Do(slices*blocks, func() func(int) {
			e := newEnvelope(rows, spacing[1])
			return func(unit int) {
				slice, x := unit/blocks, unit%blocks*block
				e.sweep(dst[slice*rows*columns+x:], columns, min(block, columns-x), everyLine)
			}
		})
	}
	if slices > 1 {
		parallel.Do(rows*blocks, func() func(int) {
			e := newEnvelope(slices, spacing[0])
			return func(unit int) {
				x := unit % blocks * block
				at := unit/blocks*columns + x
				width := min(block, columns-x)
				lines := uint64(everyLine)
				if wanted != nil {
					// 64 is a multiple of block: the bits of a block are in one word.
					lines = wanted.row(unit / blocks)[x/64] >> (x % 64) & everyLine
				}
				if lines != 0 {
					e.sweep(dst[at:], rows*columns, width, lines)
				}
			}
		})
	}
}

// squaresAlong returns the squared distances of 0, 1, … steps along a row.
func squaresAlong(columns int, spacing float64) []float64 {
	squares := make([]float64, columns)
	for i := range squares {
		d := float64(i) * spacing
		squares[i] = d * d
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

// envelope is the scratch memory of one goroutine for the lines along one axis: the
// parabolas height + (spacing·(p−vertex))² that form the lower envelope.
type envelope struct {
	square  float64   // spacing²
	inverse []float64 // inverse[d] = 1/(2·spacing²·d)
	line    []float64 // block lines, one after the other

	vertex []int     // where each parabola of the envelope has its minimum
	height []float64 // its value there
	start  []float64 // from where on it is the lowest one
}

func newEnvelope(length int, spacing float64) *envelope {
	e := &envelope{
		square:  spacing * spacing,
		inverse: make([]float64, length),
		line:    make([]float64, block*length),
		vertex:  make([]int, length),
		height:  make([]float64, length),
		start:   make([]float64, length),
	}
	for d := 1; d < length; d++ {
		e.inverse[d] = 1 / (2 * e.square * float64(d))
	}
	return e
}

// sweep replaces each of the width lines that begin at data[0], data[1], … and whose
// elements are stride apart by its one-dimensional transform. Lines whose bit is not
// set in wanted are left unchanged.
func (e *envelope) sweep(data []float64, stride, width int, wanted uint64) {
	length := len(e.vertex)
	for p := range length {
		for j, v := range data[p*stride : p*stride+width] {
			e.line[j*length+p] = v
		}
	}
	for j := range width {
		if wanted>>j&1 != 0 {
			e.transform(e.line[j*length : (j+1)*length])
		}
	}
	for p := range length {
		row := data[p*stride : p*stride+width]
		for j := range row {
			row[j] = e.line[j*length+p]
		}
	}
}

// transform replaces f[p] by min over q of f[q] + (spacing·(p−q))².
//
// The explicit conversions of products keep the compiler from fusing them with the
// following addition, so that the result has the same bits on every platform.
func (e *envelope) transform(f []float64) {
	// Reslicing to one common length lets the compiler drop bounds checks.
	vertex, height, start := e.vertex[:len(f)], e.height[:len(f)], e.start[:len(f)]
	last := -1
	for q, h := range f {
		if h > math.MaxFloat64 {
			continue
		}
		from := math.Inf(-1)
		for last >= 0 {
			v := vertex[last]
			// Taking the difference of the heights keeps the crossing accurate
			// where both are small compared with the squared coordinates.
			from = float64((h-height[last])*e.inverse[q-v]) + 0.5*float64(q+v)
			if from > start[last] {
				break
			}
			from = math.Inf(-1)
			last--
		}
		last++
		vertex[last], height[last], start[last] = q, h, from
	}
	if last < 0 {
		return
	}
	k := 0
	for p := range f {
		d := float64(p - vertex[k])
		best := height[k] + float64(e.square*float64(d*d))
		// Comparing the parabolas instead of the crossings ensures that a
		// rounded crossing never selects the farther of two sites.
		for k < last {
			d = float64(p - vertex[k+1])
			next := height[k+1] + float64(e.square*float64(d*d))
			if next > best {
				break
			}
			best = next
			k++
		}
		f[p] = best
	}
}
