package afl

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/radixsort"
)

// Lovasz is the Lovász extension of the Jaccard loss (Berman et al., "The
// Lovász-Softmax loss: a tractable surrogate for the optimization of the
// intersection-over-union measure in neural networks", 2018). Over the voxels of the batch,
// or of each image, in descending order of the error m_i of a class
//
//	L = Σ_i m_i·(J_i − J_{i−1}),  J_i = 1 − (G − a_i)/(G + b_i),  J_0 = 0,
//
// where G voxels belong to the class, and a_i of the first i do and b_i do not. Among equal
// errors voxels keep their order. The value is the mean over the classes and the images; an
// image without a voxel that counts has the value 0.
//
// The softmax form takes m = 1−p_c in class c and p_c elsewhere. Of one channel it takes
// the sigmoid and the class 1 alone. The hinge form is for one channel: m = 1 − x·(2y−1) of
// the logit x and the class y, and only positive m count.
//
// The target holds class indices or one-hot maps; ignored voxels are left out. There are no
// class weights and no voxel weights, and the only reduction is the mean. A call takes
// memory for an increment of J for each voxel and class, and for sorting the voxels.
type Lovasz struct {
	Options
	constructed
	// Hinge takes the hinge form.
	Hinge bool
	// PerImage takes the loss of each sample by itself, default false for the softmax
	// form and true for the hinge form.
	PerImage bool
	// AllClasses counts classes that are absent from the image or batch too; their loss
	// is the largest p_c. Softmax form only, default false.
	AllClasses bool
	// Channels are the classes that count, absent ones too. None means all that are
	// present, or all for AllClasses. Softmax form only.
	Channels []int
}

// NewLovaszSoftmax returns the Lovász-Softmax loss of the classes that are present in the
// batch.
func NewLovaszSoftmax() Lovasz { return Lovasz{constructed: constructed{true}} }

// NewLovaszHinge returns the Lovász hinge loss of one channel, image by image.
func NewLovaszHinge() Lovasz {
	return Lovasz{constructed: constructed{true}, Hinge: true, PerImage: true}
}

func (Lovasz) constructor() string { return "NewLovaszSoftmax or NewLovaszHinge" }

// classes returns the classes that count, and whether those of them alone that are present.
func (l Lovasz) classes(channels int) (classes []int, present bool, err error) {
	if l.Hinge && (l.AllClasses || len(l.Channels) > 0) {
		return nil, false, refuse("AllClasses and Channels", "set", "neither with Hinge")
	}
	if l.Hinge && channels != 1 {
		return nil, false, refuse("channels of logits", channels, "1 for the hinge form")
	}
	if channels == 1 {
		if len(l.Channels) > 0 && !slices.Equal(l.Channels, []int{1}) {
			return nil, false, refuse("Channels", l.Channels, "none, or class 1 alone, with one channel of logits")
		}
		return []int{1}, !l.Hinge && !l.AllClasses && len(l.Channels) == 0, nil
	}
	if len(l.Channels) > 0 {
		return l.Channels, false, checkChannels(l.Channels, channels)
	}
	for c := range channels {
		classes = append(classes, c)
	}
	return classes, !l.AllClasses, nil
}

// Eval implements [Loss].
func (l Lovasz) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	c, err := newHostCall(l, support{reductions: []Reduction{ReduceMean}, ignore: true}, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	classes, present, err := l.classes(c.batch.C)
	if err != nil {
		return nil, err
	}
	if err := c.checkByteClasses(); err != nil {
		return nil, err
	}
	if err := c.checkPositions(); err != nil {
		return nil, err
	}
	s := lovaszSum{c, l, classes, present}
	if logits.Dtype() == tensor.Float32 {
		return evalLovasz[float32](&s, &lovaszMemory32)
	}
	return evalLovasz[float64](&s, &lovaszMemory64)
}

// lovaszSum is an evaluation.
type lovaszSum struct {
	*hostCall
	loss    Lovasz
	classes []int
	present bool
}

// both reports whether two classes share the errors of the voxels: of two classes by a
// softmax each is wrong by the probability of the other.
func (s *lovaszSum) both() bool { return s.batch.C <= 2 && !s.loss.Hinge }

// sets returns the classes by the errors that they have: together or each its own.
func (s *lovaszSum) sets() [][]int {
	if s.both() {
		return [][]int{s.classes}
	}
	sets := make([][]int, len(s.classes))
	for i := range sets {
		sets[i] = s.classes[i : i+1]
	}
	return sets
}

// evalLovasz evaluates the loss in memory of a pool.
func evalLovasz[T float32 | float64](s *lovaszSum, pool *sync.Pool) (*tensor.Dense, error) {
	n, voxels := s.batch.N, s.batch.V
	all := n * voxels
	sets := s.sets()
	m := pool.Get().(*lovaszScratch[T])
	defer pool.Put(m)
	m.label = cpu.Grow(m.label, all)
	if err := s.kernels.ClassBytes(m.label, &s.batch); err != nil {
		return nil, public(err)
	}
	slopes := s.batch.Logits.Data().([]T)
	if !s.loss.Hinge {
		var err error
		if slopes, err = crossEntropySlopes(s, m); err != nil {
			return nil, err
		}
	}
	if s.grad != nil {
		m.increments = cpu.Grow(m.increments, len(sets)*all)
	}

	groups, size := 1, all
	if s.loss.PerImage {
		groups, size = n, voxels
	}
	value := 0.0
	for i := range groups {
		g := lovaszGroup[T]{label: m.label[i*size:][:size], slopes: slopes[i*size*s.batch.C:][:size*s.batch.C],
			channels: s.batch.C, voxels: voxels, hinge: s.loss.Hinge, signed: !s.loss.Hinge && !s.both(), step: len(sets) * voxels}
		g.countClasses()
		counts := func(class int) bool { return g.valid > 0 && (!s.present || g.count[class] > 0) }
		counted := 0
		for _, class := range s.classes {
			if counts(class) {
				counted++
			}
		}
		g.scale = 1 / float64(groups*max(counted, 1))
		for k, set := range sets {
			g.classes = g.classes[:0]
			for _, class := range set {
				if counts(class) {
					g.classes = append(g.classes, class)
				}
			}
			if s.grad != nil {
				g.increments = m.increments[i*size*len(sets)+k*voxels:]
			}
			// Of a single channel of logits, and of two, one row has the errors of either class.
			g.channel = min(set[len(set)-1], s.batch.C-1)
			value += g.walk(g.sort(&m.sorter))
		}
	}
	if s.grad != nil {
		if err := lovaszGradient(s, m.increments, m.label); err != nil {
			return nil, err
		}
	}
	return plan.FromNumber(value), nil
}

// crossEntropySlopes returns the derivative of the sum of the cross-entropy with respect to
// the logits, whose size is the error: p_c elsewhere and 1−p_c in the class c. It is in the
// memory of the gradient, if that is wanted.
func crossEntropySlopes[T float32 | float64](s *lovaszSum, m *lovaszScratch[T]) ([]T, error) {
	c := s.batch.C
	ones := make([]float64, c)
	for i := range ones {
		ones[i] = 1
	}
	ce := plan.Focal{Activation: plan.Softmax, Gamma: make([]float64, c), Pos: ones, Neg: ones, CE: ones, Scale: 1, PerVoxel: true}
	if c == 1 {
		ce.Activation, ce.PerVoxel = plan.Sigmoid, false
	}
	to := s.grad
	if to == nil {
		m.slopes = cpu.Grow(m.slopes, s.batch.N*c*s.batch.V)
		to = tensor.New(tensor.WithShape(s.batch.N, c, s.batch.V), tensor.WithBacking(m.slopes))
	}
	_, err := s.kernels.Gradient(&s.batch, (&plan.Loss{Focal: &ce}).Plan(&s.batch, nil), &plan.Output{Grad: to})
	return to.Data().([]T), public(err)
}

// lovaszGradient stores the gradient, given the increments of J of each set of classes.
func lovaszGradient[T float32 | float64](s *lovaszSum, increments []T, label []uint8) error {
	switch {
	case s.loss.Hinge:
		grad, scale := s.grad.Data().([]T), T(s.cfg.GradScale)
		eachPart(len(grad), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				d := T(scale * increments[i])
				if label[i] == 1 && d != 0 {
					d = -d
				}
				grad[i] = d
			}
		})
		return nil
	case s.both():
		// That of Σ d·m with the increments d as voxel weights: an overlap term whose
		// derivative with respect to the probability of class 1 is −1 inside and 1 outside.
		batch, c := s.batch, s.batch.C
		batch.VoxelWeight = tensor.New(tensor.WithShape(batch.N, batch.V), tensor.WithBacking(increments))
		overlap := plan.Overlap{Activation: plan.Softmax, First: c - 1, Scale: 1}
		if c == 1 {
			overlap.Activation = plan.Sigmoid
		}
		out := plan.Output{Grad: s.grad, CoefT: make([]float64, batch.N*c), CoefP: make([]float64, batch.N*c)}
		for i := c - 1; i < len(out.CoefT); i += c {
			out.CoefT[i], out.CoefP[i] = -2*s.cfg.GradScale, s.cfg.GradScale
		}
		_, err := s.kernels.Gradient(&batch, &plan.Plan{Overlap: &overlap}, &out)
		return public(err)
	}
	// That of Σ d·m, which is −d·p plus a constant in the class and d·p elsewhere.
	_, err := s.kernels.Fields(&cpu.Fields{Batch: &s.batch, Activation: plan.Softmax, Channels: s.classes, Grad: s.grad, A: increments,
		Scale: slices.Repeat([]float64{s.cfg.GradScale}, s.batch.N*len(s.classes))})
	return public(err)
}

// lovaszScratch is the memory of an evaluation, which another uses again.
type lovaszScratch[T float32 | float64] struct {
	slopes     []T
	increments []T // by sample and set of classes
	label      []uint8
	sorter     radixsort.Sorter[T]
}

var lovaszMemory32, lovaszMemory64 = sync.Pool{New: func() any { return new(lovaszScratch[float32]) }}, sync.Pool{New: func() any { return new(lovaszScratch[float64]) }}

// lovaszGroup is what is sorted together: an image or the batch, and a set of classes.
type lovaszGroup[T float32 | float64] struct {
	label            []uint8 // [kernel.NoClass] where ignored
	slopes           []T     // the logits for the hinge form, by sample and channel
	increments       []T     // nil without a gradient; see at
	step             int     // from the increments of a sample to those of the next
	signed           bool    // the increments of voxels of the class are stored as negative
	channels, voxels int     // of a sample
	channel          int     // which of the slopes are the errors
	hinge            bool
	count            []int // of each class
	valid            int   // voxels that are not ignored
	classes          []int
	scale            float64 // of the increments
}

// parts returns into how many parts the voxels are divided, and how many a part has.
func (g *lovaszGroup[T]) parts() (parts, size int) {
	size = max(len(g.label)/(4*runtime.GOMAXPROCS(0)), 1<<13)
	return (len(g.label) + size - 1) / size, size
}

// eachRow calls f for the stretches of voxels [lo,hi) that belong to one sample, with their
// labels and slopes.
func (g *lovaszGroup[T]) eachRow(lo, hi int, f func(at int, label []uint8, slopes []T)) {
	hi = min(hi, len(g.label))
	for lo < hi {
		sample, at := lo/g.voxels, lo%g.voxels
		n := min(hi-lo, g.voxels-at)
		f(lo, g.label[lo:lo+n], g.slopes[(sample*g.channels+g.channel)*g.voxels+at:][:n])
		lo += n
	}
}

// at is the index of the increment of a voxel.
func (g *lovaszGroup[T]) at(voxel int) int {
	if g.step == g.voxels || voxel < g.voxels {
		return voxel
	}
	return voxel/g.voxels*g.step + voxel%g.voxels
}

// clear clears the increments of voxels [lo,hi).
func (g *lovaszGroup[T]) clear(lo, hi int) {
	if g.increments == nil {
		return
	}
	g.eachRow(lo, hi, func(at int, label []uint8, _ []T) { clear(g.increments[g.at(at):][:len(label)]) })
}

func (g *lovaszGroup[T]) countClasses() {
	g.count = make([]int, max(g.channels, 2))
	parallel.Each(len(g.count), func(class int) {
		g.count[class] = bytes.Count(g.label, []byte{uint8(class)})
	})
	for _, n := range g.count {
		g.valid += n
	}
}

// lovaszError returns the error of a voxel of a class, or of another one.
func lovaszError[T float32 | float64](slope T, own, hinge bool) T {
	switch {
	case !hinge:
		return T(math.Abs(float64(slope)))
	case own:
		slope = -slope
	}
	return 1 + slope
}

// least returns the error from which on a voxel has an increment: the smallest one of the
// voxels of a class; for a class without voxels the largest error of all.
func (g *lovaszGroup[T]) least() T {
	class := g.classes[0]
	if len(g.classes) > 1 {
		// Every voxel is of one class or the other, or else of no class at all.
		return 0
	}
	parts, size := g.parts()
	found := make([]T, parts)
	parallel.Each(parts, func(i int) {
		best := T(math.Inf(1))
		if g.count[class] == 0 {
			best = 0
		}
		g.eachRow(i*size, (i+1)*size, func(_ int, label []uint8, slopes []T) {
			for j, y := range label {
				own := int(y) == class
				switch {
				case g.count[class] == 0 && y != kernel.NoClass:
					best = max(best, lovaszError(slopes[j], false, g.hinge))
				case own:
					if e := lovaszError(slopes[j], true, g.hinge); e < best {
						best = e
					}
				}
			}
		})
		found[i] = best
	})
	if g.count[class] == 0 {
		return slices.Max(found)
	}
	return slices.Min(found)
}

// sort returns the voxels that are not ignored in descending order of their errors, without
// those whose increment is 0 for all classes: those behind the last voxel of a class, and
// errors that are not above 0. Its At is twice the voxel, and 1 more in the last class. The
// increments are cleared.
func (g *lovaszGroup[T]) sort(sorter *radixsort.Sorter[T]) []radixsort.Item[T] {
	parts, size := g.parts()
	if len(g.classes) == 0 {
		g.clear(0, len(g.label))
		return nil
	}
	from, class := g.least(), uint8(g.last())
	return sorter.Descending(parts, size, func(i int, dst []radixsort.Item[T]) int {
		n := 0
		g.clear(i*size, (i+1)*size)
		g.eachRow(i*size, (i+1)*size, func(at int, label []uint8, slopes []T) {
			slopes = slopes[:len(label)]
			for j, y := range label {
				own := uint32(0)
				if y == class {
					own = 1
				}
				e := lovaszError(slopes[j], own == 1, g.hinge)
				// Stored in any case, which takes no branch at random.
				dst[n] = radixsort.Item[T]{Value: e, At: uint32(at+j)<<1 | own}
				if y != kernel.NoClass && !(e < from || e <= 0) {
					n++
				}
			}
		})
		return n
	})
}

// last is the last class of the set; the only other one, if there is another, is the one
// before it.
func (g *lovaszGroup[T]) last() int { return g.classes[len(g.classes)-1] }

// walk returns the sum over the classes of Σ m·(J_i − J_{i−1}), times the scale, and stores
// the increments of J, times the scale.
func (g *lovaszGroup[T]) walk(order []radixsort.Item[T]) float64 {
	const part = 1 << 13 // for any number of goroutines the same, as the sum depends on it
	parts := (len(order) + part - 1) / part
	items := func(i int) []radixsort.Item[T] { return order[i*part : min((i+1)*part, len(order))] }
	inside := make([]int, parts+1) // how many items before a part are of the last class
	parallel.Each(parts, func(i int) {
		n := uint32(0)
		for _, it := range items(i) {
			n += it.At & 1
		}
		inside[i+1] = int(n)
	})
	for i := range parts {
		inside[i+1] += inside[i]
	}
	sums := make([]float64, parts)
	parallel.Each(parts, func(i int) {
		last := float64(inside[i])
		other := float64(i*part) - last
		if len(g.classes) == 2 {
			sums[i] = g.walkTwo(items(i), last, other)
		} else {
			sums[i] = g.walkOne(items(i), last, other)
		}
	})
	value := 0.0
	for _, s := range sums {
		value += s
	}
	return value * g.scale
}

// increment stores the increment of J at a voxel, times a scale, and returns its product with
// the error.
func (g *lovaszGroup[T]) increment(it radixsort.Item[T], d, scale float64) float64 {
	if g.increments != nil {
		v := T(d * scale)
		if g.hinge { // whose gradient is the increment alone
			v += 0 * it.Value // a NaN stays one
		}
		g.increments[g.at(int(it.At>>1))] = v
	}
	return float64(float64(it.Value) * d)
}

// walkOne walks over items of one class, own, and of others, of which so many are before.
func (g *lovaszGroup[T]) walkOne(items []radixsort.Item[T], own, others float64) (sum float64) {
	all := float64(g.count[g.last()])
	if all == 0 { // the first voxel alone has an increment
		if others > 0 {
			return 0
		}
		return g.increment(items[0], 1, g.scale)
	}
	ownScale := g.scale
	if g.signed {
		ownScale = -g.scale
	}
	for _, it := range items {
		if it.At&1 == 1 {
			own++
			sum += g.increment(it, 1/(all+others), ownScale)
		} else {
			others++
			sum += g.increment(it, (all-own)/((all+others)*(all+others-1)), g.scale)
		}
	}
	return sum
}

// walkTwo walks over items of two classes, which have an increment in both.
func (g *lovaszGroup[T]) walkTwo(items []radixsort.Item[T], last, other float64) (sum float64) {
	all := [2]float64{float64(g.count[g.classes[0]]), float64(g.count[g.classes[1]])}
	seen := [2]float64{other, last}
	if all[0] == 0 || all[1] == 0 { // every voxel is of the one that is present
		for i, it := range items {
			d := 1 / (all[0] + all[1])
			if i == 0 && last+other == 0 {
				d++
			}
			sum += g.increment(it, d, g.scale)
		}
		return sum
	}
	for _, it := range items {
		own := it.At & 1
		union := all[own] + seen[own^1] // with the voxel's own class
		seen[own]++
		next := all[own^1] + seen[own] // with the other class
		// 1/union of its own class, and what the other one lacks over next·(next−1).
		both := float64(next * (next - 1))
		d := (both + float64((all[own^1]-seen[own^1])*union)) / float64(union*both)
		sum += g.increment(it, d, g.scale)
	}
	return sum
}
