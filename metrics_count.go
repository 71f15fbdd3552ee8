package afl

import (
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/labels"
)

// CountLogits decides the class of every voxel by the rule and counts it
// against the target, in one read of both and without a temporary volume.
//
// logits is N×C×space, float32 or float64, space being 2-D or 3-D, C at
// most 256. target is one of
//
//   - class indices N×space or N×1×space of any integer type, bool, or a
//     float type holding whole numbers, from 0 to C−1 (0 and 1 where C = 1);
//   - 0/1 maps shaped like the logits, of any of these types.
//
// Voxels whose class index is one of ignore are left out of every count.
//
// The result has N samples of K classes: K = C for Argmax and
// SigmoidPerChannel, and one, the foreground, for SigmoidChannel1. A logit that
// is NaN, a target outside the range, and a target between 0 and 1 in a 0/1 map
// are errors.
func CountLogits(rule PredictionRule, logits, target *tensor.Dense, ignore ...IgnoreIndex) (Confusions, error) {
	d, err := newDecider(rule, logits)
	if err != nil {
		return nil, err
	}
	reference, err := newReference(target, d.samples, d.channels, d.spatial, ignore)
	if err != nil {
		return nil, err
	}
	first := 0 // the target's class that result class 0 is compared with
	if rule == SigmoidChannel1 || d.channels == 1 {
		first = 1
	}
	tally := newTally(d.samples, d.classes)
	err = forChunks(d.samples, d.voxels, func() func(sample, from, n int) error {
		decide := d.decide()
		refer := reference.chunk()
		counts := tally.share()
		return func(sample, from, n int) error {
			if err := refer.load(sample, from, n); err != nil {
				return err
			}
			if err := decide.load(sample, from, n); err != nil {
				return err
			}
			for k := range d.classes {
				p := decide.mask(k)
				r, err := refer.mask(first + k)
				if err != nil {
					return err
				}
				counts[sample][k].add(p, r, refer.valid)
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tally.total(), nil
}

// CountLabels counts, class by class, the voxels of two label maps of equal
// shape N×space or N×1×space. Labels are of any integer type, bool, or a
// float type holding whole numbers, from 0 to classes−1. Voxels whose target is
// one of ignore are left out of every count.
func CountLabels(classes int, prediction, target *tensor.Dense, ignore ...IgnoreIndex) (Confusions, error) {
	if classes < 2 || classes > maxChannels {
		return nil, refuse("classes", classes, "2 to %d", maxChannels)
	}
	if err := checkReadable("prediction", prediction, labelTypes...); err != nil {
		return nil, err
	}
	if err := checkReadable("target", target, labelTypes...); err != nil {
		return nil, err
	}
	if err := checkSameShape(prediction, target); err != nil {
		return nil, err
	}
	shape := target.Shape()
	if len(shape) < 3 || len(shape) > 5 || (len(shape) == 5 && shape[1] != 1) {
		return nil, refuse("shape of target", shape, "N×space or N×1×space with 2 or 3 spatial axes")
	}
	samples := shape[0]
	voxels := shape.TotalSize() / samples
	guess, err := newLabels("prediction", prediction, voxels, classes, nil)
	if err != nil {
		return nil, err
	}
	truth, err := newLabels("target", target, voxels, classes, ignore)
	if err != nil {
		return nil, err
	}
	tally := newTally(samples, classes)
	err = forChunks(samples, voxels, func() func(sample, from, n int) error {
		p, r := guess.chunk(), truth.chunk()
		counts := tally.share()
		return func(sample, from, n int) error {
			if err := p.load(sample, from, n); err != nil {
				return err
			}
			if err := r.load(sample, from, n); err != nil {
				return err
			}
			for k := range classes {
				pm, err := p.mask(k)
				if err != nil {
					return err
				}
				rm, err := r.mask(k)
				if err != nil {
					return err
				}
				counts[sample][k].add(pm, rm, r.valid)
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tally.total(), nil
}

// CountMasks counts the voxels of two binary masks of equal shape, whatever the
// shape. A mask is of bool, any integer or a float type; what is not zero is
// foreground. A NaN is an error.
func CountMasks(prediction, target *tensor.Dense) (Confusion, error) {
	readPrediction, err := maskReader("prediction", prediction)
	if err != nil {
		return Confusion{}, err
	}
	readTarget, err := maskReader("target", target)
	if err != nil {
		return Confusion{}, err
	}
	if err := checkSameShape(prediction, target); err != nil {
		return Confusion{}, err
	}
	tally := newTally(1, 1)
	err = forChunks(1, target.Shape().TotalSize(), func() func(sample, from, n int) error {
		p, r := make([]uint8, chunkVoxels), make([]uint8, chunkVoxels)
		counts := tally.share()
		return func(_, from, n int) error {
			if err := readPrediction(p[:n], from); err != nil {
				return err
			}
			if err := readTarget(r[:n], from); err != nil {
				return err
			}
			counts[0][0].add(p[:n], r[:n], nil)
			return nil
		}
	})
	if err != nil {
		return Confusion{}, err
	}
	return tally.total()[0][0], nil
}

// referenceMasks reads the masks of a target: from class indices, or from one 0/1
// map per channel.
type referenceMasks struct {
	name             string
	reader           labels.Reader
	maps             bool
	channels, voxels int
	classes          labels.Classes // of class indices, or of the values of a map
}

func newReference(target *tensor.Dense, samples, channels int, spatial tensor.Shape, ignore []IgnoreIndex) (*referenceMasks, error) {
	if err := checkReadable("target", target, labelTypes...); err != nil {
		return nil, err
	}
	shape := target.Shape()
	lead := len(shape) - len(spatial)
	indices := lead == 1 || (lead == 2 && shape[1] == 1)
	if (!indices && !(lead == 2 && shape[1] == channels)) || shape[0] != samples || !slices.Equal(shape[lead:], spatial) {
		return nil, refuse("shape of target", shape, "class indices %v or %v, or maps %v",
			append(tensor.Shape{samples}, spatial...), append(tensor.Shape{samples, 1}, spatial...), append(tensor.Shape{samples, channels}, spatial...))
	}
	voxels := spatial.TotalSize()
	if indices {
		return newLabels("target", target, voxels, max(channels, 2), ignore)
	}
	if slices.ContainsFunc(ignore, func(i IgnoreIndex) bool { return i.Set }) {
		return nil, refuse("ignore", ignore, "none, as the target holds maps, not class indices")
	}
	reader, err := newReader("target", target)
	if err != nil {
		return nil, err
	}
	return &referenceMasks{
		name: "target", reader: reader, maps: true,
		channels: channels, voxels: voxels, classes: labels.Classes{Limit: 2},
	}, nil
}

func newLabels(name string, t *tensor.Dense, voxels, classes int, ignore []IgnoreIndex) (*referenceMasks, error) {
	reader, err := newReader(name, t)
	if err != nil {
		return nil, err
	}
	r := &referenceMasks{name: name, reader: reader, channels: 1, voxels: voxels, classes: labels.Classes{Limit: int32(classes)}}
	for _, i := range ignore {
		if i.Set {
			r.classes.Ignore = append(r.classes.Ignore, i.Index)
		}
	}
	return r, nil
}

// referenceChunk holds the chunk of a reference loaded last, for one goroutine.
type referenceChunk struct {
	*referenceMasks
	sample, from, n int
	values          []int32
	out             []uint8
	valid           []uint8 // 1 where the voxel counts; nil where every one does
	validBuffer     []uint8
}

func (r *referenceMasks) chunk() *referenceChunk {
	c := &referenceChunk{referenceMasks: r, values: make([]int32, chunkVoxels), out: make([]uint8, chunkVoxels)}
	if len(r.classes.Ignore) > 0 {
		c.validBuffer = make([]uint8, chunkVoxels)
	}
	return c
}

// load takes the n voxels of the sample that start at from.
func (r *referenceChunk) load(sample, from, n int) error {
	r.sample, r.from, r.n = sample, from, n
	if r.maps {
		return nil
	}
	values, first := r.values[:n], sample*r.voxels+from
	if bad := r.reader.Classes(values, first, &r.classes); bad >= 0 {
		return refuse(fmt.Sprintf("%s in sample %d at voxel %d", r.name, sample, from+bad), r.reader.At(first+bad),
			"a class from 0 to %d", r.classes.Limit-1)
	}
	if r.validBuffer == nil {
		return nil
	}
	r.valid = r.validBuffer[:n]
	for i, v := range values {
		var one uint8
		if v != labels.Ignored {
			one = 1
		}
		r.valid[i] = one
	}
	return nil
}

// mask returns 1 where the loaded chunk carries class k, 0 elsewhere. It is
// valid until the next call.
func (r *referenceChunk) mask(k int) ([]uint8, error) {
	out, values := r.out[:r.n], r.values[:r.n]
	if !r.maps {
		markEqual(out, values, int32(k))
		return out, nil
	}
	first := (r.sample*r.channels+k)*r.voxels + r.from
	if bad := r.reader.Classes(values, first, &r.classes); bad >= 0 {
		return nil, refuse(fmt.Sprintf("%s in channel %d of sample %d at voxel %d", r.name, k, r.sample, r.from+bad), r.reader.At(first+bad), "0 or 1")
	}
	for i, v := range values {
		out[i] = uint8(v)
	}
	return out, nil
}

// tally gathers the counts of several goroutines. Whole numbers add up to the
// same total in any order.
type tally struct {
	samples, classes int
	mu               sync.Mutex
	shares           [][][]overlapCounts
}

// overlapCounts holds the four sums a confusion is made of.
type overlapCounts struct{ both, prediction, reference, voxels int64 }

func newTally(samples, classes int) *tally { return &tally{samples: samples, classes: classes} }

// share returns counters of one goroutine's own.
func (t *tally) share() [][]overlapCounts {
	s := make([][]overlapCounts, t.samples)
	for n := range s {
		s[n] = make([]overlapCounts, t.classes)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shares = append(t.shares, s)
	return s
}

// add counts voxels with valid 1, or all where valid is nil.
func (o *overlapCounts) add(prediction, reference, valid []uint8) {
	prediction = prediction[:len(reference)]
	var both, p, r int
	if valid == nil {
		for i, t := range reference {
			both += int(prediction[i] & t)
			p += int(prediction[i])
			r += int(t)
		}
		o.voxels += int64(len(reference))
	} else {
		voxels := 0
		for i, t := range reference {
			v := valid[i]
			both += int(prediction[i] & t & v)
			p += int(prediction[i] & v)
			r += int(t & v)
			voxels += int(v)
		}
		o.voxels += int64(voxels)
	}
	o.both += int64(both)
	o.prediction += int64(p)
	o.reference += int64(r)
}

func (t *tally) total() Confusions {
	out := make(Confusions, t.samples)
	for n := range out {
		out[n] = make([]Confusion, t.classes)
		for k := range out[n] {
			for _, s := range t.shares {
				o := s[n][k]
				out[n][k] = out[n][k].Add(Confusion{
					TP: o.both,
					FP: o.prediction - o.both,
					TN: o.voxels - o.prediction - o.reference + o.both,
					FN: o.reference - o.both,
				})
			}
		}
	}
	return out
}
