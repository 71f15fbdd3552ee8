package cpu

import (
	"errors"
	"math"
	"math/bits"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// sampleRun is the number of consecutive voxels in a run of a sample: for a single one it would
// wait for memory almost as long.
const sampleRun = 16

// sampledRuns is the number of runs in a sample of the voxels of a batch, a multiple of 32. More
// would take longer than the narrower window saves.
func sampledRuns(b *batch) int {
	if b.N*b.V < 1<<12 || b.V < sampleRun {
		return 0
	}
	return 1 << min(2*bits.Len(uint(b.N*b.V))/3-3, 12)
}

// Sample is a sample of the elements of a batch, of runs of consecutive voxels. Its memory is
// used again.
type Sample[T real] struct {
	kernels          *kernels
	logits, elements []T
	class            []uint8
	weights          []float64
	ignored          []uint64
	above, within    []uint64
	listed           []T
}

// SampleMargins takes a sample of the margins of two channels of logits; see [Margins]. It is
// empty of small batches, and where a label is invalid.
func SampleMargins(k Backend, s *Sample[float32], in *plan.Batch) {
	b := open(in)
	margins := func(lo, hi int) {
		elements, class := s.elements[lo:hi], s.class[lo:hi]
		x0, x1 := s.logits[lo:hi], s.logits[len(s.class)+lo:][:hi-lo]
		for i := range elements {
			elements[i] = math.Float32frombits(math.Float32bits(x1[i]-x0[i]) ^ uint32(class[i])<<31)
		}
	}
	if !s.allocate(k, b) || s.fill(b, margins) != nil {
		s.class = s.class[:0]
	}
}

// SampleElements takes a sample of a pointwise term with one element per voxel. It is empty of
// small batches, and where a label or a weight is invalid.
func SampleElements[T real](k Backend, s *Sample[T], in *plan.Batch, l *plan.Loss) {
	b := open(in)
	if s.allocate(k, b) && s.fill(b, func(lo, hi int) {}) == nil {
		n := len(s.class)
		sample := plan.Batch{N: 1, C: b.C, V: n, Space: [3]int{1, 1, n},
			Logits: tensor.New(tensor.WithShape(1, b.C, n), tensor.WithBacking(s.logits)),
			Target: plan.Target{Tensor: tensor.New(tensor.WithShape(1, n), tensor.WithBacking(s.class)), Argument: b.Target.Argument,
				Ignore: noClass, HasIgnore: b.Target.HasIgnore}}
		if b.VoxelWeight != nil {
			sample.VoxelWeight = tensor.New(tensor.WithShape(1, n), tensor.WithBacking(s.weights))
		}
		high := T(math.Inf(1))
		if _, err := PassAbove(k, &Above[T]{Batch: &sample, Plan: l.Plan(&sample, nil), Low: high, High: high, elements: s.elements}); err == nil {
			return
		}
	}
	s.class = s.class[:0] // the pass over all voxels returns the error
}

// allocate makes memory for a sample. It returns false for an empty one.
func (s *Sample[T]) allocate(k Backend, b *batch) bool {
	n := sampledRuns(b) * sampleRun
	s.kernels, s.class, s.logits, s.elements = k.kernels(), Grow(s.class, n), Grow(s.logits, b.C*n), Grow(s.elements, n)
	s.ignored, s.above, s.within = Grow(s.ignored, n/64), Grow(s.above, n/64), Grow(s.within, n/64)
	if b.VoxelWeight != nil {
		s.weights = Grow(s.weights, n)
	}
	return n > 0
}

// fill copies the logits, classes and weights of the voxels of the sample, and calls then for
// each part [lo,hi) of them.
func (s *Sample[T]) fill(b *batch, then func(lo, hi int)) error {
	const part = 32 // runs
	labels, runs := newLabelReader(b, s.kernels), len(s.class)/sampleRun
	return parallel.Try(runs/part, func() func(int) error {
		return func(i int) error {
			if err := s.gather(b, labels, i*part, (i+1)*part, runs); err != nil {
				return err
			}
			then(i*part*sampleRun, (i+1)*part*sampleRun)
			return nil
		}
	})
}

// gather copies runs [lo,hi) of so many to the sample.
func (s *Sample[T]) gather(b *batch, labels *labelReader, lo, hi, runs int) error {
	var indices []int32
	bytes, isBytes := b.target.([]uint8)
	x, n := b.logits.([]T), len(s.class)
	step := float64(b.N*b.V) / float64(runs)
	for i := lo; i < hi; i++ {
		sample, start := sampledRun(b, i, step)
		to := sampleRun * i
		for c := range b.C {
			*(*[sampleRun]T)(s.logits[c*n+to:]) = [sampleRun]T(x[(sample*b.C+c)*b.V+start:])
		}
		if isBytes {
			*(*[sampleRun]uint8)(s.class[to:]) = [sampleRun]uint8(bytes[sample*b.V+start:])
		} else if err := labels.read(sample, start, start+sampleRun, s.class[to:], &indices); err != nil {
			return err
		}
		if b.weight != nil {
			if err := voxelWeights(b, sample, start, start+sampleRun, s.weights[to:]); err != nil {
				return err
			}
		}
	}
	if class := s.class[lo*sampleRun : hi*sampleRun]; isBytes && !s.kernels.labels(class, class, &labels.rules) {
		return errInvalid
	}
	return nil
}

var errInvalid = errors.New("cpu: a label is invalid")

// sampledRun returns the place of a run of a sample whose runs are about step voxels apart.
func sampledRun(b *batch, i int, step float64) (sample, start int) {
	// Not at equal distances, which may be those of a pattern.
	start = int((float64(i)+float64(uint32(i)*0x9e3779b1)/(1<<32))*step) &^ (sampleRun - 1) // in one cache line
	if b.N > 1 {
		sample = start / b.V
	}
	return sample, min(start-sample*b.V, b.V-sampleRun)
}

// Window returns two numbers between which the least of the given share of the largest elements
// of the batch lies, with a probability of 95 %, and one near it. low is −∞, and high and middle
// are ∞, where the sample is too small.
//
// The elements of a run may resemble each other. One of each run gives limits which hold in any
// case; then those of all give narrower ones, by how much the runs differ from each other.
func (s *Sample[T]) Window(share float64) (low, middle, high T) {
	if len(s.class) == 0 {
		return T(math.Inf(-1)), T(math.Inf(1)), T(math.Inf(1))
	}
	s.kernels.pack(s.ignored, s.class, noClass)
	valid, above, runs := len(s.class)-ones(s.ignored), 0, 0
	s.listed = s.listed[:0]
	for i := 0; i < len(s.class); i += sampleRun {
		if at := i + i/sampleRun%sampleRun; s.class[at] != noClass {
			above += s.list(s.elements[at])
			runs++
		}
	}
	rank := float64(float64(runs) * share)
	low, high = s.between(rank, 3*math.Sqrt(rank*max(0, 1-share))+3, above)
	above = s.mark(low, high)
	s.listed = s.listed[:0]
	for w, word := range s.within {
		for word &^= s.above[w]; word != 0; word &= word - 1 {
			above += s.list(s.elements[64*w+bits.TrailingZeros64(word)])
		}
	}
	rank = float64(valid) * share
	_, middle = s.between(rank, 0, above)
	middle = max(low, min(middle, high))
	// Two standard deviations: what a second pass costs, in one of twenty calls or less, a wider
	// window costs in all.
	l, h := s.between(rank, 2*math.Sqrt(s.variance(middle, share))+2, above)
	return max(low, l), middle, min(high, h)
}

// list lists an element. NaN is not listed: it is larger than any number, and 1 is returned.
func (s *Sample[T]) list(e T) (above int) {
	if e != e {
		return 1
	}
	s.listed = append(s.listed, e)
	return 0
}

// between returns the elements listed of ranks rank+deviation and rank−deviation, in descending
// order from 1 on, where so many are above those listed: −∞ and ∞ where there is none.
func (s *Sample[T]) between(rank, deviation float64, above int) (low, high T) {
	low, high = T(math.Inf(-1)), T(math.Inf(1))
	if i := len(s.listed) + above - int(rank-deviation); i >= 0 && i < len(s.listed) {
		high = selection.Rank(s.listed, i)
	}
	if i := len(s.listed) + above - int(rank+deviation) - 1; i >= 0 && i < len(s.listed) {
		low = selection.Rank(s.listed, i)
	}
	return low, high
}

// mark sets the bits of the elements above a limit, and of those not below another one, and
// returns the number of the former.
func (s *Sample[T]) mark(low, high T) (above int) {
	packAbove(s.kernels, s.above, s.within, s.elements, &[2]T{low, high})
	for w, ignored := range s.ignored {
		s.above[w] &^= ignored
		s.within[w] &^= ignored
	}
	return ones(s.above)
}

// variance returns that of the number of sampled elements that are above a limit, which a share
// of all is, from the number in each run.
func (s *Sample[T]) variance(limit T, share float64) (sum float64) {
	s.mark(limit, limit)
	for w, mask := range s.above {
		for i := 0; i < 64; i += sampleRun {
			size := sampleRun - bits.OnesCount16(uint16(s.ignored[w]>>i))
			excess := float64(bits.OnesCount16(uint16(mask>>i))) - float64(float64(size)*share)
			sum += float64(excess * excess)
		}
	}
	return sum
}
