package cpu

import (
	"strconv"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// OneHotClasses stores the channel of the single one of every voxel of a target of maps, N×V.
// Other values than 0 and 1, and voxels with no one or with several, are refused. There must be
// fewer channels than [kernel.NoClass].
func (k Backend) OneHotClasses(dst []uint8, in *plan.Batch) error {
	b := open(in)
	reader := newMapReader(b, k.kernels())
	_, err := sumChunks(b.N, b.V, 0, parallel.Forwards, func(ch chunk, _ []float64, s *scratch) error {
		y := dst[ch.n*b.V+ch.lo:][:ch.hi-ch.lo]
		if reader != nil && s.strip.maps.read(reader, ch, true) {
			s.strip.maps.classes(y, 0, len(y))
			return nil
		}
		return oneHotClasses(b, ch, y, &s.row)
	})
	return err
}

// oneHotClasses is [Backend.OneHotClasses] for maps of any type in a chunk.
func oneHotClasses(b *batch, ch chunk, y []uint8, row *[]float64) error {
	for i := range y {
		y[i] = noClass
	}
	values := Grow(*row, len(y))
	*row = values
	bad := len(y)
	for c := range b.C {
		b.labels.Float64s(values, (ch.n*b.C+c)*b.V+ch.lo)
		for i, v := range values[:bad] {
			if v == 0 {
				continue
			}
			if v != 1 || y[i] != noClass {
				bad = i
				break
			}
			y[i] = uint8(c)
		}
	}
	for i, c := range y[:bad] {
		if c == noClass {
			bad = i
			break
		}
	}
	if bad == len(y) {
		return nil
	}
	of := make([]any, b.C)
	for c := range of {
		of[c] = b.labels.At((ch.n*b.C+c)*b.V + ch.lo + bad)
	}
	return plan.Refuse(b.Target.Argument+" at sample "+strconv.Itoa(ch.n)+", voxel "+strconv.Itoa(ch.lo+bad), of,
		"1 in one channel and 0 in the others, or class indices")
}
