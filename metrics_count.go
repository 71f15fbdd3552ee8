package afl

import (
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/labels"
	"github.com/x/afl/internal/plan"
)

// CountLogits makes masks of logits by a prediction rule and compares them, class by
// class, with the target. It reads both once and makes no temporary volume.
//
// logits is N×C×space, float32 or float64, with two or three spatial axes and C at
// most 256. target is one of
//
//   - class indices N×space or N×1×space of any integer type, bool, or a float type
//     that holds whole numbers, from 0 to C−1 (0 or 1 where C = 1);
//   - one 0/1 map per channel, N×C×space, of any of these types.
//
// Voxels whose class index is ignore are left out of every count. It is the IgnoreIndex of
// the loss that the network was trained with; the zero value, IgnoreIndex{}, ignores
// nothing, and is the only one for maps.
//
// The result has N samples of K classes: K = C for [Argmax] and
// [SigmoidPerChannel], and one, the foreground, for [SigmoidChannel1]. A logit that
// is NaN, a class index out of range, and a value other than 0 and 1 in a map are
// errors.
func CountLogits(rule PredictionRule, logits, target *tensor.Dense, ignore IgnoreIndex) (Confusions, error) {
	p, err := newPredictor(rule, logits)
	if err != nil {
		return nil, err
	}
	t, err := newTargetMasks(target, p.samples, p.channels, p.spatial, ignore)
	if err != nil {
		return nil, err
	}
	first := 0 // the target's class that class 0 of the result is compared with
	if rule == SigmoidChannel1 || p.channels == 1 {
		first = 1
	}
	tally := newTally(p.samples, p.classes)
	err = forChunks(p.samples, p.voxels, func() func(sample, from, n int) error {
		prediction, target := p.chunk(), t.chunk()
		counts := tally.share()
		return func(sample, from, n int) error {
			if err := target.load(sample, from, n); err != nil {
				return err
			}
			if err := prediction.load(sample, from, n); err != nil {
				return err
			}
			for k := range p.classes {
				mask, err := target.mask(first + k)
				if err != nil {
					return err
				}
				counts[sample][k].add(prediction.mask(k), mask, target.valid)
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tally.total(), nil
}

// CountLabels compares two label maps of equal shape, N×space or N×1×space, class by
// class. Labels are of any integer type, bool, or a float type that holds whole
// numbers, from 0 to classes−1; classes is 2 to 256. Voxels whose target is ignore are
// left out of every count, as in [CountLogits]. A label out of range is an error.
func CountLabels(classes int, prediction, target *tensor.Dense, ignore IgnoreIndex) (Confusions, error) {
	if classes < 2 || classes > maxChannels {
		return nil, refuse("classes", classes, "2 to %d", maxChannels)
	}
	if err := checkReadable("prediction", prediction, plan.LabelTypes...); err != nil {
		return nil, err
	}
	if err := checkReadable("target", target, plan.LabelTypes...); err != nil {
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
	p, err := newLabelMasks("prediction", prediction, voxels, classes, IgnoreIndex{})
	if err != nil {
		return nil, err
	}
	t, err := newLabelMasks("target", target, voxels, classes, ignore)
	if err != nil {
		return nil, err
	}
	tally := newTally(samples, classes)
	err = forChunks(samples, voxels, func() func(sample, from, n int) error {
		prediction, target := p.chunk(), t.chunk()
		counts := tally.share()
		return func(sample, from, n int) error {
			if err := prediction.load(sample, from, n); err != nil {
				return err
			}
			if err := target.load(sample, from, n); err != nil {
				return err
			}
			for k := range classes {
				predicted, err := prediction.mask(k)
				if err != nil {
					return err
				}
				mask, err := target.mask(k)
				if err != nil {
					return err
				}
				counts[sample][k].add(predicted, mask, target.valid)
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tally.total(), nil
}

// CountMasks compares two binary masks of equal shape, whatever the shape. A mask is
// of bool, any integer or a float type; every value other than zero is foreground. A
// NaN is an error.
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
		p, t := make([]uint8, chunkVoxels), make([]uint8, chunkVoxels)
		counts := tally.share()
		return func(_, from, n int) error {
			if err := readPrediction(p[:n], from); err != nil {
				return err
			}
			if err := readTarget(t[:n], from); err != nil {
				return err
			}
			counts[0][0].add(p[:n], t[:n], nil)
			return nil
		}
	})
	if err != nil {
		return Confusion{}, err
	}
	return tally.total()[0][0], nil
}

// labelMasks makes masks of labels: from class indices, or from one 0/1 map per
// channel.
type labelMasks struct {
	name             string
	reader           labels.Reader
	maps             bool
	channels, voxels int
	classes          labels.Classes // the class indices, or the values of a map
}

func newTargetMasks(target *tensor.Dense, samples, channels int, spatial tensor.Shape, ignore IgnoreIndex) (*labelMasks, error) {
	if err := checkReadable("target", target, plan.LabelTypes...); err != nil {
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
		return newLabelMasks("target", target, voxels, max(channels, 2), ignore)
	}
	if ignore != (IgnoreIndex{}) {
		return nil, refuse("ignore", ignore, "none, as the target holds maps, not class indices")
	}
	reader, err := newReader("target", target)
	if err != nil {
		return nil, err
	}
	return &labelMasks{
		name: "target", reader: reader, maps: true,
		channels: channels, voxels: voxels, classes: labels.Classes{Limit: 2},
	}, nil
}

func newLabelMasks(name string, t *tensor.Dense, voxels, classes int, ignore IgnoreIndex) (*labelMasks, error) {
	reader, err := newReader(name, t)
	if err != nil {
		return nil, err
	}
	m := &labelMasks{name: name, reader: reader, channels: 1, voxels: voxels, classes: labels.Classes{Limit: int32(classes)}}
	if err := ignore.check(); err != nil {
		return nil, err
	}
	if ignore.Set {
		m.classes.Ignore = []int64{ignore.Index}
	}
	return m, nil
}

// labelChunk holds the masks of the chunk loaded last, for one goroutine.
type labelChunk struct {
	*labelMasks
	sample, from, n int
	values          []int32
	out             []uint8
	valid           []uint8 // 1 where the voxel counts; nil where every voxel does
	validBuffer     []uint8
}

func (m *labelMasks) chunk() *labelChunk {
	c := &labelChunk{labelMasks: m, values: make([]int32, chunkVoxels), out: make([]uint8, chunkVoxels)}
	if len(m.classes.Ignore) > 0 {
		c.validBuffer = make([]uint8, chunkVoxels)
	}
	return c
}

// load reads n voxels of a sample, from index from on.
func (c *labelChunk) load(sample, from, n int) error {
	c.sample, c.from, c.n = sample, from, n
	if c.maps {
		return nil // read by mask
	}
	values, first := c.values[:n], sample*c.voxels+from
	if bad := c.reader.Classes(values, first, &c.classes); bad >= 0 {
		return refuse(fmt.Sprintf("%s in sample %d at voxel %d", c.name, sample, from+bad), c.reader.At(first+bad),
			"a class from 0 to %d", c.classes.Limit-1)
	}
	if c.validBuffer == nil {
		return nil
	}
	c.valid = c.validBuffer[:n]
	for i, v := range values {
		var one uint8
		if v != labels.Ignored {
			one = 1
		}
		c.valid[i] = one
	}
	return nil
}

// mask returns 1 where the loaded chunk has class k, 0 elsewhere. It is valid until
// the next call.
func (c *labelChunk) mask(k int) ([]uint8, error) {
	out, values := c.out[:c.n], c.values[:c.n]
	if !c.maps {
		markEqual(out, values, int32(k))
		return out, nil
	}
	first := (c.sample*c.channels+k)*c.voxels + c.from
	if bad := c.reader.Classes(values, first, &c.classes); bad >= 0 {
		return nil, refuse(fmt.Sprintf("%s in channel %d of sample %d at voxel %d", c.name, k, c.sample, c.from+bad), c.reader.At(first+bad), "0 or 1")
	}
	for i, v := range values {
		out[i] = uint8(v)
	}
	return out, nil
}

// tally collects the counts of several goroutines. Sums of whole numbers do not
// depend on the order.
type tally struct {
	samples, classes int
	mu               sync.Mutex
	shares           [][][]overlapCounts
}

// overlapCounts holds the four sums from which a [Confusion] follows.
type overlapCounts struct{ both, prediction, target, voxels int64 }

func newTally(samples, classes int) *tally { return &tally{samples: samples, classes: classes} }

// share returns counters for one goroutine.
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

// add counts the voxels where valid is 1, or all where it is nil.
func (o *overlapCounts) add(prediction, target, valid []uint8) {
	prediction = prediction[:len(target)]
	var both, p, t int
	if valid == nil {
		for i, v := range target {
			both += int(prediction[i] & v)
			p += int(prediction[i])
			t += int(v)
		}
		o.voxels += int64(len(target))
	} else {
		voxels := 0
		for i, v := range target {
			counts := valid[i]
			both += int(prediction[i] & v & counts)
			p += int(prediction[i] & counts)
			t += int(v & counts)
			voxels += int(counts)
		}
		o.voxels += int64(voxels)
	}
	o.both += int64(both)
	o.prediction += int64(p)
	o.target += int64(t)
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
					TN: o.voxels - o.prediction - o.target + o.both,
					FN: o.target - o.both,
				})
			}
		}
	}
	return out
}
