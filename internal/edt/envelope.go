package edt

import "math"

// block is the number of neighboring lines that are swept together: eight float64 fill
// a cache line, so that each cache line is loaded once instead of eight times.
const block = 8

// everyLine has one bit set for each line of a block.
const everyLine = 1<<block - 1

// envelope computes one-dimensional transforms along one axis: at every wanted position
// p of a line,
//
//	min over i of height[i] + (spacing·(p−at[i]))²
//
// where at holds the positions that have a height, in ascending order. It keeps the
// parabolas of which the lower envelope consists, and is the scratch memory of one
// goroutine.
//
// The result is the least of the rounded sums, whatever the rounding errors of the
// crossings: parabolas that cross in nearly one point are all kept, and near a crossing
// both sides are compared.
type envelope struct {
	square  float64   // spacing²
	inverse []float64 // inverse[d] = 1/(2·spacing²·d)
	slack   float64   // bounds the difference of the rounding errors of two crossings
	stack   []parabola
}

// parabola is height + (spacing·(p−vertex))².
type parabola struct {
	height float64
	start  float64 // from where on it is lower than the one before it in the envelope
	vertex int
}

// newEnvelope returns an envelope for lines of a length with at most so many heights.
func newEnvelope(length int, spacing float64, heights int) *envelope {
	e := &envelope{square: spacing * spacing}
	if heights < 2 {
		return e
	}
	e.inverse, e.stack = make([]float64, length), make([]parabola, heights)
	for d := 1; d < length; d++ {
		e.inverse[d] = 1 / (2 * e.square * float64(d))
	}
	// A crossing is a sum of two terms of at most twice the length where it matters,
	// one of them with four roundings. The rounding of the squared distances moves the
	// crossing of the values that are compared by up to length²·2⁻⁵³.
	l := float64(length)
	e.slack = (l*l + 8*l) * 0x1p-51
	return e
}

// squared returns the squared distance of some steps along the axis. The explicit
// conversions keep the compiler from fusing a product with an addition that follows, so
// that the result has the same bits on every platform.
func (e *envelope) squared(steps int) float64 {
	d := float64(steps)
	return float64(e.square * float64(d*d))
}

// near is the distance from a crossing within which the parabolas on both sides are
// compared. It exceeds the sum of the slacks of a line of up to 2¹⁵ positions.
const near = 0x1p-6

// line stores in dst the transform of a line at the wanted positions from lo on: those
// with bit j of wanted[i] set, where dst[0], dst[step], … are their values. A position that
// is not wanted takes gap elements of dst. Height i, that of position at[i], is
// heights[i·stride]; there is at least one. It returns the number of elements of dst that
// the line takes.
func (e *envelope) line(dst []float64, step, gap int, lo int, wanted []uint8, j int, at []int, heights []float64, stride int) int {
	envelope := e.build(float64(lo), float64(lo+len(wanted)-1), at, heights, stride)
	return e.evaluate(dst, step, gap, lo, wanted, j, envelope)
}

// build returns the lower envelope of a line between two positions.
func (e *envelope) build(first, last float64, at []int, heights []float64, stride int) []parabola {
	stack := e.stack[:len(at)]
	n := 0 // number of parabolas below the top one
	top := parabola{heights[0], first, at[0]}
	next := stride
lines:
	for _, q := range at[1:] {
		h := heights[next]
		next += stride
		// Taking the difference of the heights keeps the crossing accurate where
		// both are small compared with the squared coordinates.
		from := float64((h-top.height)*e.inverse[q-top.vertex]) + 0.5*float64(q+top.vertex)
		for from <= top.start-e.slack {
			if n == 0 {
				top = parabola{h, first, q}
				continue lines
			}
			n--
			top = stack[n]
			from = float64((h-top.height)*e.inverse[q-top.vertex]) + 0.5*float64(q+top.vertex)
		}
		if from <= last+near {
			stack[n] = top
			n++
			top = parabola{h, from, q}
		}
	}
	stack[n] = top
	return stack[:n+1]
}

// evaluate stores the values of an envelope in dst; see line.
func (e *envelope) evaluate(dst []float64, step, gap int, lo int, wanted []uint8, j int, envelope []parabola) int {
	lowest, rest := envelope[0], envelope[1:]
	start := math.Inf(1) // of the next parabola
	if len(rest) > 0 {
		start = rest[0].start
	}
	at := 0
	for i, w := range wanted {
		if w>>j&1 == 0 {
			at += gap
			continue
		}
		p := float64(lo + i)
		for start <= p-near {
			lowest, rest = rest[0], rest[1:]
			start = math.Inf(1)
			if len(rest) > 0 {
				start = rest[0].start
			}
		}
		best := lowest.height + e.squared(lo+i-lowest.vertex)
		if start <= p+near {
			for _, other := range rest {
				if other.start > p+near {
					break
				}
				best = min(best, other.height+e.squared(lo+i-other.vertex))
			}
		}
		dst[at] = best
		at += step
	}
	return at
}
