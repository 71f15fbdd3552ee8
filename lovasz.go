package afl

import (
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
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
		classes, err := Boundary{Channels: l.Channels}.channels(channels)
		return classes, false, err
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
	s := lovaszSum{hostCall: c, loss: l, classes: classes, present: present}
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
	visit   cpu.Visit
}

func evalLovasz[T float32 | float64](s *lovaszSum) (*tensor.Dense, error) {
	n, voxels := s.batch.N, s.batch.V
	// Of two classes by a softmax the errors are the same.
	stored := len(s.classes)
	if s.batch.C == 2 {
		stored = 1
	}
	errors := make([]T, stored*n*voxels)
	label := make([]int32, n*voxels)
	s.visit = cpu.Visit{Activation: plan.Softmax, Pair: s.batch.C == 1}
	if s.loss.Hinge {
		s.visit = cpu.Visit{Activation: plan.None}
	}
	v := s.visit
	v.Do = func(t *cpu.Tile, _ []float64) error {
		at := t.Sample*voxels + t.Lo
		copy(label[at:], t.Class)
		for k, class := range s.classes[:stored] {
			row := errors[k*n*voxels+at:][:t.Hi-t.Lo]
			if s.loss.Hinge {
				for i, y := range t.Class {
					row[i] = T(1 - float64(t.P[0][i]*float64(2*y-1)))
				}
				continue
			}
			p, q := t.P[class], t.Q[class]
			for i, y := range t.Class {
				if int(y) == class {
					row[i] = T(q[i])
				} else {
					row[i] = T(p[i])
				}
			}
		}
		return nil
	}
	if _, err := s.pass(v); err != nil {
		return nil, err
	}

	groups, size := 1, n*voxels
	if s.loss.PerImage {
		groups, size = n, voxels
	}
	var increments []T // of each voxel and class, over the number of classes and groups
	if s.grad != nil {
		increments = make([]T, len(s.classes)*n*voxels)
	}
	value := 0.0
	var sorter radixsort.Sorter[T]
	for g := range groups {
		label := label[g*size:][:size]
		count, valid := s.count(label)
		var counted []int // of the classes
		for k, class := range s.classes {
			if valid > 0 && (!s.present || count[class] > 0) {
				counted = append(counted, k)
			}
		}
		if len(counted) == 0 {
			continue
		}
		scale := 1 / float64(groups*len(counted))
		var order []radixsort.Item[T]
		for _, k := range counted {
			of := min(k, stored-1)
			if order == nil || stored > 1 {
				classes := []int{s.classes[k]}
				if stored == 1 {
					classes = s.classes
				}
				order = sortErrors(&sorter, order, errors[of*n*voxels+g*size:][:size], label, classes, count)
			}
			var out []T
			if increments != nil {
				out = increments[k*n*voxels+g*size:][:size]
			}
			value += float64(scale * lovaszWalk(order, label, s.classes[k], count[s.classes[k]], out, scale))
		}
	}
	if s.grad != nil {
		if err := s.gradient(func(t *cpu.Tile, k int, dst []float64) {
			for i, v := range increments[(k*n+t.Sample)*voxels+t.Lo:][:t.Hi-t.Lo] {
				dst[i] = float64(v)
			}
		}); err != nil {
			return nil, err
		}
	}
	return numberTensor(value), nil
}

// count returns how many voxels each class has, and how many are not ignored.
func (s *lovaszSum) count(label []int32) (count []int, valid int) {
	count = make([]int, max(s.batch.C, 2))
	for _, y := range label {
		if y >= 0 {
			count[y]++
			valid++
		}
	}
	return count, valid
}

// sortErrors returns the voxels that are not ignored in descending order of their errors,
// without those whose increment is 0 for every one of the classes: those behind the last
// voxel of the class, and errors that are not above 0.
func sortErrors[T float32 | float64](s *radixsort.Sorter[T], items []radixsort.Item[T], errors []T, label []int32, classes, count []int) []radixsort.Item[T] {
	least := T(math.Inf(1))
	for _, class := range classes {
		if count[class] == 0 { // only the first counts
			largest := T(0)
			for i, y := range label {
				if y >= 0 {
					largest = max(largest, errors[i])
				}
			}
			least = min(least, largest)
			continue
		}
		for i, y := range label {
			if int(y) == class {
				least = min(least, errors[i])
			}
		}
	}
	items = items[:0]
	for i, y := range label {
		if e := errors[i]; y >= 0 && (e >= least && e > 0 || e != e) {
			items = append(items, radixsort.Item[T]{Value: e, At: uint32(i)})
		}
	}
	return s.Descending(items)
}

// lovaszWalk returns Σ m·(J_i − J_{i−1}) of a class of g voxels, and stores the increments
// of J times scale in out, where it is not nil, by voxel.
func lovaszWalk[T float32 | float64](order []radixsort.Item[T], label []int32, class, g int, out []T, scale float64) float64 {
	sum, total := 0.0, float64(g)
	inside, others := 0.0, 0.0
	for i, it := range order {
		var d float64
		switch {
		case int(label[it.At]) == class:
			inside++
			d = 1 / (total + others)
		case i == 0 && g == 0:
			d = 1
			others++
		default:
			others++
			d = (total - inside) / ((total + others) * (total + others - 1))
		}
		sum += float64(float64(it.Value) * d)
		if out != nil {
			out[it.At] = T(d*scale) + 0*it.Value // a NaN stays one
		}
		if inside == total && (g > 0 || i == 0) {
			break
		}
	}
	return sum
}

// gradient stores the gradient, given the increments of a class by tile.
func (s *lovaszSum) gradient(increments func(t *cpu.Tile, k int, dst []float64)) error {
	v := s.visit
	v.Grad = s.grad
	v.Do = func(t *cpu.Tile, _ []float64) error {
		var buf [cpu.TileVoxels]float64
		d := buf[:t.Hi-t.Lo]
		for k, class := range s.classes {
			increments(t, k, d)
			row := class
			if s.loss.Hinge {
				row = 0
			}
			for i, y := range t.Class {
				u := float64(d[i] * t.Factor[row][i])
				if int(y) == class {
					u = -u
				}
				t.Pull[row][i] += u
			}
		}
		return nil
	}
	_, err := s.pass(v)
	return err
}
