package cpu

import (
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Fields is a pass for losses whose voxels are weighted by fields of distances. Of each
// sample and channel it sums
//
//	Σ w·d·p,  or with Square  Σ w·(|a|+|b|)·(p−t)²,
//
// where w are the voxel weights, and multiplies the derivative by a scale. It runs the row
// kernels.
type Fields struct {
	Batch      *plan.Batch
	Activation plan.Activation // [plan.Sigmoid] or [plan.Softmax]
	Channels   []int           // those that take part, K
	Square     bool
	// A and B are fields, N×K×V: []float32 or []float64. Without Square A is d, or with
	// Signed the signed squares of distances: d = √A outside, and Inside − √−A inside.
	A, B   any
	Signed bool
	Inside float64
	// Elements is nil, or without Square receives the elements, w·d·p, N×K×V and like
	// Upstream of the logits' type. Upstream is nil or multiplies the gradient of each.
	Elements, Upstream any
	// Scale multiplies the gradient, N×K.
	Scale []float64
	// Grad is nil or receives the gradient with respect to the logits.
	Grad *tensor.Dense
}

// Fields makes a pass and returns the sums, N×K.
func (k Backend) Fields(f *Fields) ([]float64, error) {
	return hostPass(k, f.Batch, f.Grad, len(f.Channels), fieldPass[float32]{f}, fieldPass[float64]{f})
}

// hostTerms are the terms of a loss that is no plan, computed in T.
type hostTerms[T real] interface {
	// constants sets the constants of a channel of a sample, and those of factors, which are to
	// be in the range of T with room for products, by the other function.
	constants(sample, channel int, set, factor func(at int, v float64))
	// summed are the sums that it adds up.
	summed() []int
	// compute runs the kernels for a tile.
	compute(t *rowTile[T])
	// total adds the sums of a chunk to acc.
	total(acc []float64, sum func(channel, i int) float64)
}

// hostPass makes a pass of a loss that is no plan, in the type of the logits. Chunks of
// float32 logits that exceed its range are computed again in float64. It returns so many sums
// for each sample.
func hostPass(k Backend, in *plan.Batch, grad *tensor.Dense, width int, narrow hostTerms[float32], wide hostTerms[float64]) ([]float64, error) {
	b, kernels := open(in), k.kernels()
	var in32 *rowPass[float32]
	if _, isFloat32 := b.logits.([]float32); isFloat32 {
		in32 = newHostPass(b, kernels, &kernels.rows32, grad, narrow)
	}
	in64 := sync.OnceValue(func() *rowPass[float64] { return newHostPass(b, kernels, &kernels.rows64, grad, wide) })
	return sumChunks(b.N, b.V, width, parallel.Forwards, func(ch chunk, acc []float64, s *scratch) error {
		if in32 != nil {
			if ok, err := hostChunk(in32, narrow, ch, acc, &s.rows32); err != nil || ok {
				return err
			}
			clear(acc)
		}
		_, err := hostChunk(in64(), wide, ch, acc, &s.rows64)
		return err
	})
}

// newHostPass returns nil if a constant is outside the range of T.
func newHostPass[T real](b *batch, k *kernels, kernels *rowKernels[T], grad *tensor.Dense, terms hostTerms[T]) *rowPass[T] {
	f := newRowPass(b, k, kernels, &plan.Plan{}, &plan.Output{Grad: grad}, false)
	f.terms = terms.compute
	f.summed = append(terms.summed(), kernel.RowSumCheck)
	good := true
	for i := range b.N * b.C {
		coef := f.coef[i*kernel.RowCoefs:][:kernel.RowCoefs]
		set := func(at int, v float64) { good = setConstant(coef, at, v) && good }
		factor := func(at int, v float64) { good = setConstant(coef, at, v) && isFactor[T](v) && good }
		set(kernel.CoefChannel, float64(i%b.C))
		terms.constants(i/b.C, i%b.C, set, factor)
	}
	if !good {
		return nil
	}
	return f
}

// hostChunk computes a chunk. It returns ok = false if a result exceeded the range of T.
func hostChunk[T real](f *rowPass[T], terms hostTerms[T], ch chunk, acc []float64, s *rowScratch[T]) (ok bool, err error) {
	if ok, err := f.tiles(ch, s); err != nil || !ok {
		return false, err
	}
	ok = true
	sum := func(c, i int) float64 {
		v, finite := s.sum(c, i)
		ok = ok && finite
		return v
	}
	for c := range f.C {
		sum(c, kernel.RowSumCheck)
	}
	terms.total(acc, sum)
	return ok, nil
}

// logistic prepares the kernels of the sigmoid of channel c, or of its logit less that of the
// other one of a pair.
func (t *rowTile[T]) logistic(c int, pair bool) {
	t.channel(c)
	a := &t.s.args
	a.row[kernel.ArgGrad0] = nil
	if pair {
		a.row[kernel.ArgX0] = t.xRow(1 - c)
		if t.wantGrad {
			a.row[kernel.ArgGrad0] = t.gradRow(1 - c)
		}
		t.run(kernel.RowDifference)
		a.row[kernel.ArgX] = t.buffer(kernel.BufDifference)
		if t.s.written[c] { // by the other channel
			a.add = 1
		}
		t.s.written[1-c] = t.wantGrad
	}
	t.s.written[c] = t.wantGrad
	t.run(kernel.RowExp)
}

// fieldPass is [Fields] in T.
type fieldPass[T real] struct{ *Fields }

func (f fieldPass[T]) summed() []int { return []int{kernel.RowSumPointwise} }

func (f fieldPass[T]) constants(sample, channel int, set, factor func(at int, v float64)) {
	for j, c := range f.Channels {
		if c == channel {
			factor(kernel.CoefScale, f.Scale[sample*len(f.Channels)+j])
			set(kernel.CoefInside, f.Inside)
		}
	}
}

func (f fieldPass[T]) compute(t *rowTile[T]) {
	a, s := &t.s.args, t.s
	several := f.Activation == plan.Softmax && t.C > 2
	if several {
		t.exponentials(0)
		clear(s.derivative)
	}
	for j, c := range f.Channels {
		run := kernel.RowField
		if several {
			run = kernel.RowSoftmaxField
			if t.channel(c); !t.wantGrad {
				a.row[kernel.ArgDerivative] = nil
			}
		} else {
			t.logistic(c, f.Activation == plan.Softmax)
		}
		at := (t.sample*len(f.Channels)+j)*t.V + t.lo
		switch {
		case f.Square:
			if run = kernel.RowFieldSquare; several {
				run = kernel.RowSoftmaxFieldSquare
			}
			a.row[kernel.ArgField], a.row[kernel.ArgField0] = t.fieldRow(f.A, at, s.field[0]), t.fieldRow(f.B, at, s.field[1])
		case f.Signed:
			a.row[kernel.ArgField], a.row[kernel.ArgField0] = s.field[0], t.fieldRow(f.A, at, s.field[1])
			t.run(kernel.RowDistance)
		default:
			a.row[kernel.ArgField], a.row[kernel.ArgField0] = t.fieldRow(f.A, at, s.field[0]), nil
		}
		a.row[kernel.ArgUpstream] = s.ones
		if f.Upstream != nil {
			a.row[kernel.ArgUpstream] = t.fieldRow(f.Upstream, at, rowOf(s.upstream, 0))
		}
		var elements []T
		if f.Elements != nil {
			elements = rowOf(s.elements, 0)
			if same, ok := f.Elements.([]T); ok && !t.padded() {
				elements = same[at:][:t.hi-t.lo]
			}
		}
		a.row[kernel.ArgElements] = elements
		t.run(run)
		if f.Elements != nil {
			t.storeField(f.Elements, at, elements)
		}
	}
	if several && t.wantGrad {
		t.pullback(0)
	}
}

func (f fieldPass[T]) total(acc []float64, sum func(channel, i int) float64) {
	for j, c := range f.Channels {
		acc[j] += sum(c, kernel.RowSumPointwise)
	}
}

// fieldRow returns the numbers of a field from index at on, in a row of scratch memory where
// they are converted or padded.
func (t *rowTile[T]) fieldRow(field any, at int, row []T) []T {
	n := t.hi - t.lo
	src, same := field.([]T)
	if same && !t.padded() {
		return src[at:][:n]
	}
	if same {
		copy(row, src[at:][:n])
	} else {
		convertFloats(row[:n], field, at)
	}
	clear(row[n:t.processed])
	return row
}

// storeField stores the numbers of a row in a field from index at on, unless they are there.
func (t *rowTile[T]) storeField(field any, at int, row []T) {
	n := t.hi - t.lo
	if same, ok := field.([]T); ok {
		if t.padded() {
			copy(same[at:][:n], row)
		}
		return
	}
	wide := t.s.wide[:n]
	for i, v := range row[:n] {
		wide[i] = float64(v)
	}
	StoreFloats(field, at, wide)
}

// convertFloats copies data[at:at+len(dst)] to dst; data is a []float32 or a []float64.
func convertFloats[T real](dst []T, data any, at int) {
	switch s := data.(type) {
	case []float32:
		for i, v := range s[at:][:len(dst)] {
			dst[i] = T(v)
		}
	case []float64:
		for i, v := range s[at:][:len(dst)] {
			dst[i] = T(v)
		}
	}
}
