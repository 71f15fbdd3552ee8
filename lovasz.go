package afl

import (
	"math"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
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
// The target holds class indices; ignored voxels are left out. There are no class weights
// and no voxel weights, and the only reduction is the mean. A call takes memory for an
// error, and for the sorting, of each voxel and class.
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
	s := lovaszSum{c, l, classes, present}
	if logits.Dtype() == tensor.Float32 {
		return evalLovasz[float32](&s)
	}
	return evalLovasz[float64](&s)
}

// lovaszSum is an evaluation.
type lovaszSum struct {
	*hostCall
	loss    Lovasz
	classes []int
	present bool
}

// A set of classes shares the errors of the voxels: both of two classes by a softmax, of
// which each is wrong by the probability of the other, or a single one.
func (s *lovaszSum) sets() [][]int {
	if s.batch.C <= 2 && !s.loss.Hinge {
		return [][]int{s.classes}
	}
	sets := make([][]int, len(s.classes))
	for i := range sets {
		sets[i] = s.classes[i : i+1]
	}
	return sets
}

func evalLovasz[T float32 | float64](s *lovaszSum) (*tensor.Dense, error) {
	n, voxels := s.batch.N, s.batch.V
	all := n * voxels
	sets := s.sets()
	both := s.batch.C <= 2 && !s.loss.Hinge // the errors are those of either class
	visit := cpu.Visit{Activation: plan.Softmax, Pair: s.batch.C == 1}
	if s.loss.Hinge {
		visit = cpu.Visit{Activation: plan.None}
	}

	m := lovaszMemory[T]()
	defer m.release()
	m.errors, m.label = grown(m.errors, len(sets)*all), grown(m.label, all)
	errors, label := m.errors, m.label // the errors become the increments of J
	v := visit
	v.Do = func(t *cpu.Tile, _ []float64) error {
		at := t.Sample*voxels + t.Lo
		copy(label[at:], t.Class)
		for k, set := range sets {
			row := errors[k*all+at:][:len(t.Class)]
			switch {
			case s.loss.Hinge:
				for i, y := range t.Class {
					row[i] = T(1 - float64(t.P[0][i]*float64(2*y-1)))
				}
			case both:
				for i, y := range t.Class {
					row[i] = T(t.Q[y&1][i])
				}
			default:
				p, q := t.P[set[0]], t.Q[set[0]]
				for i, y := range t.Class {
					if row[i] = T(p[i]); int(y) == set[0] {
						row[i] = T(q[i])
					}
				}
			}
		}
		return nil
	}
	if _, err := s.pass(v); err != nil {
		return nil, err
	}

	groups, size := 1, all
	if s.loss.PerImage {
		groups, size = n, voxels
	}
	value := 0.0
	for g := range groups {
		label := label[g*size:][:size]
		count, valid := s.count(label)
		counts := func(class int) bool { return valid > 0 && (!s.present || count[class] > 0) }
		counted := 0
		for _, class := range s.classes {
			if counts(class) {
				counted++
			}
		}
		for k, set := range sets {
			var classes []int
			for _, class := range set {
				if counts(class) {
					classes = append(classes, class)
				}
			}
			errors := errors[k*all+g*size:][:size]
			order := m.sort(errors, label, classes, count)
			if s.grad != nil {
				clear(errors)
			}
			value += lovaszWalk(order, label, classes, count, errors, 1/float64(groups*max(counted, 1)), s.grad != nil)
		}
	}
	if s.grad == nil {
		return plan.FromNumber(value), nil
	}

	visit.Grad = s.grad
	visit.Do = func(t *cpu.Tile, _ []float64) error {
		for k, set := range sets {
			d := errors[k*all+t.Sample*voxels+t.Lo:][:len(t.Class)]
			for i, y := range t.Class {
				switch {
				case y < 0 || d[i] == 0:
				case s.loss.Hinge:
					t.Pull[0][i] = -float64(2*y-1) * float64(d[i])
				case both: // as if it were of the voxel's own class
					t.Pull[y][i] = -float64(d[i]) * t.P[y][i]
				case int(y) == set[0]:
					t.Pull[y][i] -= float64(float64(d[i]) * t.P[y][i])
				default:
					t.Pull[set[0]][i] += float64(float64(d[i]) * t.P[set[0]][i])
				}
			}
		}
		return nil
	}
	_, err := s.pass(visit)
	return plan.FromNumber(value), err
}

// count returns how many voxels each class has, and how many are not ignored.
func (s *lovaszSum) count(label []int32) (count []int, valid int) {
	classes := max(s.batch.C, 2)
	parts := make([][]int, (len(label)+lovaszPart-1)/lovaszPart)
	parallel.Each(len(parts), func(i int) {
		parts[i] = make([]int, classes)
		for _, y := range label[i*lovaszPart : min((i+1)*lovaszPart, len(label))] {
			if y >= 0 {
				parts[i][y]++
			}
		}
	})
	count = make([]int, classes)
	for _, part := range parts {
		for class, n := range part {
			count[class] += n
			valid += n
		}
	}
	return count, valid
}

// lovaszPart is how many voxels a goroutine takes at a time.
const lovaszPart = 1 << 13

// lovaszScratch is the memory of an evaluation, which another uses again.
type lovaszScratch[T float32 | float64] struct {
	errors []T
	label  []int32
	items  []radixsort.Item[T]
	sorter radixsort.Sorter[T]
	pool   *sync.Pool
}

var lovaszPools [2]sync.Pool

func lovaszMemory[T float32 | float64]() *lovaszScratch[T] {
	pool := &lovaszPools[unsafe.Sizeof(T(0))/8]
	if m, ok := pool.Get().(*lovaszScratch[T]); ok {
		return m
	}
	return &lovaszScratch[T]{pool: pool}
}

func (m *lovaszScratch[T]) release() { m.pool.Put(m) }

// grown returns s with n elements, whatever they are.
func grown[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}

// sort returns the voxels that are not ignored in descending order of their errors, without
// those whose increment is 0 for every one of the classes: those behind the last voxel of
// the class, and errors that are not above 0.
func (m *lovaszScratch[T]) sort(errors []T, label []int32, classes, count []int) []radixsort.Item[T] {
	if len(classes) == 0 {
		return nil
	}
	parts := (len(errors) + lovaszPart - 1) / lovaszPart
	bounds := func(i int) (lo, hi int) { return i * lovaszPart, min((i+1)*lovaszPart, len(errors)) }
	least := make([]T, parts)
	parallel.Each(parts, func(i int) {
		lo, hi := bounds(i)
		least[i] = T(math.Inf(1))
		for _, class := range classes {
			if count[class] == 0 { // only the first counts
				largest := T(0)
				for at := lo; at < hi; at++ {
					if label[at] >= 0 {
						largest = max(largest, errors[at])
					}
				}
				least[i] = min(least[i], largest)
				continue
			}
			for at := lo; at < hi; at++ {
				if int(label[at]) == class && errors[at] < least[i] {
					least[i] = errors[at]
				}
			}
		}
	})
	from := slices.Min(least)
	if len(classes) == 1 && count[classes[0]] == 0 {
		from = slices.Max(least)
	}
	wanted := func(at int) bool { return label[at] >= 0 && !(errors[at] < from || errors[at] <= 0) }
	first := make([]int, parts+1)
	parallel.Each(parts, func(i int) {
		lo, hi := bounds(i)
		for at := lo; at < hi; at++ {
			if wanted(at) {
				first[i+1]++
			}
		}
	})
	for i := range parts {
		first[i+1] += first[i]
	}
	m.items = grown(m.items, first[parts])
	parallel.Each(parts, func(i int) {
		lo, hi := bounds(i)
		next := first[i]
		for at := lo; at < hi; at++ {
			if wanted(at) {
				m.items[next] = radixsort.Item[T]{Value: errors[at], At: uint32(at)}
				next++
			}
		}
	})
	m.items = m.sorter.Descending(m.items) // which exchanges memory with the sorter
	return m.items
}

// lovaszWalk returns the mean over classes, each times scale, of Σ m·(J_i − J_{i−1}), and
// adds up the increments of J times scale by voxel, where they are wanted.
func lovaszWalk[T float32 | float64](order []radixsort.Item[T], label []int32, classes, count []int, increments []T, scale float64, wanted bool) float64 {
	parts := (len(order) + lovaszPart - 1) / lovaszPart
	inside := make([]int, parts*len(classes)) // of the voxels before a part, those of each class
	parallel.Each(parts, func(i int) {
		for _, it := range order[i*lovaszPart : min((i+1)*lovaszPart, len(order))] {
			for k, class := range classes {
				if int(label[it.At]) == class {
					inside[i*len(classes)+k]++
				}
			}
		}
	})
	for k := range classes {
		before := 0
		for i := range parts {
			n := inside[i*len(classes)+k]
			inside[i*len(classes)+k] = before
			before += n
		}
	}
	sums := make([]float64, parts)
	parallel.Each(parts, func(i int) {
		for k, class := range classes {
			own, g := float64(inside[i*len(classes)+k]), float64(count[class])
			others := float64(i*lovaszPart) - own
			sum := 0.0
			for j, it := range order[i*lovaszPart : min((i+1)*lovaszPart, len(order))] {
				var d float64
				switch {
				case int(label[it.At]) == class:
					own++
					d = 1 / (g + others)
				case g == 0:
					if others++; i == 0 && j == 0 {
						d = 1
					}
				default:
					others++
					d = (g - own) / ((g + others) * (g + others - 1))
				}
				sum += float64(float64(it.Value) * d)
				if wanted {
					increments[it.At] += T(d*scale) + 0*it.Value // a NaN stays one
				}
			}
			sums[i] += float64(scale * sum)
		}
	})
	value := 0.0
	for _, s := range sums {
		value += s
	}
	return value
}
