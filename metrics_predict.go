package afl

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"
)

// PredictionRule says how logits become masks.
type PredictionRule int

const (
	// Argmax gives each voxel the class of its largest logit, the first of
	// equals. It needs at least two channels.
	Argmax PredictionRule = iota
	// SigmoidChannel1 takes a voxel as foreground where sigmoid(channel 1) > 0.5,
	// that is where the logit is above 0, and does not look at channel 0: the
	// inference of the A-FL authors' code. It needs exactly two channels and
	// yields one class, the foreground.
	SigmoidChannel1
	// SigmoidPerChannel decides each channel by itself, sigmoid > 0.5, and
	// compares it with its own one-hot map. With one channel it is the usual
	// binary rule, the target being 0 or 1.
	SigmoidPerChannel
)

// String returns the rule's name.
func (r PredictionRule) String() string {
	switch r {
	case Argmax:
		return "Argmax"
	case SigmoidChannel1:
		return "SigmoidChannel1"
	case SigmoidPerChannel:
		return "SigmoidPerChannel"
	}
	return fmt.Sprintf("PredictionRule(%d)", int(r))
}

// classes returns the number K of masks the rule makes of so many channels.
func (r PredictionRule) classes(channels int) (int, error) {
	switch {
	case r == Argmax && channels < 2:
		return 0, refuse("channels of logits", channels, "at least 2 for Argmax (SigmoidPerChannel takes one)")
	case r == SigmoidChannel1 && channels != 2:
		return 0, refuse("channels of logits", channels, "2 for SigmoidChannel1")
	case r == SigmoidChannel1:
		return 1, nil
	case r == Argmax, r == SigmoidPerChannel:
		return channels, nil
	}
	return 0, refuse("rule", r, "Argmax, SigmoidChannel1 or SigmoidPerChannel")
}

// maxChannels is the number of classes a uint8 label can hold.
const maxChannels = 256

// Predict returns the masks that the rule makes of logits N×C×space, float32
// or float64, as uint8: the labels N×space for Argmax, the foreground
// N×space for SigmoidChannel1, and one 0/1 map per channel, N×C×space, for
// SigmoidPerChannel. A logit that is NaN is an error.
func Predict(rule PredictionRule, logits *tensor.Dense) (*tensor.Dense, error) {
	d, err := newDecider(rule, logits)
	if err != nil {
		return nil, err
	}
	shape := append(tensor.Shape{d.samples}, d.spatial...)
	maps := 1
	if rule == SigmoidPerChannel {
		maps = d.channels
		shape = logits.Shape().Clone()
	}
	out := make([]uint8, d.samples*maps*d.voxels)
	err = forChunks(d.samples, d.voxels, func() func(sample, from, n int) error {
		decide := d.decide()
		return func(sample, from, n int) error {
			if err := decide.load(sample, from, n); err != nil {
				return err
			}
			for k := range maps {
				at := (sample*maps+k)*d.voxels + from
				if rule == Argmax {
					copy(out[at:at+n], decide.winner[:n])
				} else {
					copy(out[at:at+n], decide.mask(k))
				}
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(out)), nil
}

// ClassMask returns the uint8 mask, spatial axes only, of the voxels of one
// sample that carry the class, from labels N×space or N×1×space of any
// integer type, bool, or a float type holding whole numbers. It is the form
// that NewSurfaceDistances, Components and CompareLesions take. spatialAxes is 2
// or 3; it tells N×1×rows×columns from N×slices×rows×columns.
func ClassMask(labels *tensor.Dense, spatialAxes, sample, class int) (*tensor.Dense, error) {
	reader, err := newReader("labels", labels)
	if err != nil {
		return nil, err
	}
	if spatialAxes != 2 && spatialAxes != 3 {
		return nil, refuse("spatialAxes", spatialAxes, "2 or 3")
	}
	shape := labels.Shape()
	lead := len(shape) - spatialAxes
	if lead < 1 || lead > 2 || (lead == 2 && shape[1] != 1) {
		return nil, refuse("shape of labels", shape, "N×space or N×1×space with %d spatial axes", spatialAxes)
	}
	if sample < 0 || sample >= shape[0] {
		return nil, refuse("sample", sample, "0 to %d", shape[0]-1)
	}
	if class < 0 || class > math.MaxInt32 {
		return nil, refuse("class", class, "0 to %d", math.MaxInt32)
	}
	spatial := shape[lead:].Clone()
	voxels := spatial.TotalSize()
	out := make([]uint8, voxels)
	err = forChunks(1, voxels, func() func(_, from, n int) error {
		return func(_, from, n int) error {
			first := sample*voxels + from
			if bad := reader.Equal(out[from:from+n], first, int32(class)); bad >= 0 {
				return refuse(fmt.Sprintf("element %d of labels", first+bad), reader.At(first+bad), "a whole number")
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(spatial...), tensor.WithBacking(out)), nil
}

// decider makes masks of logits, a chunk at a time.
type decider struct {
	rule                               PredictionRule
	samples, channels, voxels, classes int
	spatial                            tensor.Shape
	data                               any // []float32 or []float64
}

func newDecider(rule PredictionRule, logits *tensor.Dense) (*decider, error) {
	if err := checkReadable("logits", logits, tensor.Float32, tensor.Float64); err != nil {
		return nil, err
	}
	shape := logits.Shape()
	if len(shape) != 4 && len(shape) != 5 {
		return nil, refuse("shape of logits", shape, "N×C×space with 2 or 3 spatial axes")
	}
	d := &decider{rule: rule, samples: shape[0], channels: shape[1], spatial: shape[2:].Clone(), data: logits.Data()}
	d.voxels = d.spatial.TotalSize()
	if d.channels > maxChannels {
		return nil, refuse("channels of logits", d.channels, "at most %d", maxChannels)
	}
	var err error
	d.classes, err = rule.classes(d.channels)
	return d, err
}

// decision holds the masks of the chunk loaded last, for one goroutine.
type decision struct {
	d      *decider
	n      int
	winner []uint8   // Argmax: the class of each voxel
	best32 []float32 // Argmax: its logit
	best64 []float64
	masks  []uint8 // one mask per class, chunkVoxels apart
	out    []uint8
}

func (d *decider) decide() *decision {
	c := &decision{d: d}
	switch {
	case d.rule != Argmax:
		c.masks = make([]uint8, d.classes*chunkVoxels)
		return c
	case holdsFloat32(d.data):
		c.best32 = make([]float32, chunkVoxels)
	default:
		c.best64 = make([]float64, chunkVoxels)
	}
	c.winner = make([]uint8, chunkVoxels)
	c.out = make([]uint8, chunkVoxels)
	return c
}

func holdsFloat32(data any) bool { _, ok := data.([]float32); return ok }

// load decides the n voxels of the sample that start at from.
func (c *decision) load(sample, from, n int) error {
	c.n = n
	if x, ok := c.d.data.([]float32); ok {
		return loadDecision(c, x, c.best32, sample, from)
	}
	return loadDecision(c, c.d.data.([]float64), c.best64, sample, from)
}

func loadDecision[T float32 | float64](c *decision, x, best []T, sample, from int) error {
	d := c.d
	for channel := range d.channels {
		at := (sample*d.channels+channel)*d.voxels + from
		logits := x[at : at+c.n]
		nan := -1
		switch {
		case d.rule == Argmax && channel == 0:
			nan = copyFirst(best[:c.n], c.winner[:c.n], logits)
		case d.rule == Argmax:
			nan = keepLarger(best[:c.n], c.winner[:c.n], logits, uint8(channel))
		case d.rule == SigmoidPerChannel:
			nan = markPositive(c.masks[channel*chunkVoxels:][:c.n], logits)
		case channel == 1:
			nan = markPositive(c.masks[:c.n], logits)
		}
		if nan >= 0 {
			return refuse(fmt.Sprintf("logit in channel %d of sample %d at voxel %d", channel, sample, from+nan), "NaN", "a number")
		}
	}
	return nil
}

// mask returns 1 where the loaded chunk is predicted as class k, 0 elsewhere.
// It is valid until the next call.
func (c *decision) mask(k int) []uint8 {
	if c.d.rule != Argmax {
		return c.masks[k*chunkVoxels:][:c.n]
	}
	markEqual(c.out[:c.n], c.winner[:c.n], uint8(k))
	return c.out[:c.n]
}

// The three kernels below return the index of a NaN, or −1.

func copyFirst[T float32 | float64](best []T, winner []uint8, x []T) int {
	nan := -1
	for i, v := range x {
		if v != v {
			nan = i
		}
		best[i] = v
		winner[i] = 0
	}
	return nan
}

func keepLarger[T float32 | float64](best []T, winner []uint8, x []T, channel uint8) int {
	best, winner = best[:len(x)], winner[:len(x)]
	nan := -1
	for i, v := range x {
		if v > best[i] {
			best[i] = v
			winner[i] = channel
		} else if v != v {
			nan = i
		}
	}
	return nan
}

func markPositive[T float32 | float64](dst []uint8, x []T) int {
	dst = dst[:len(x)]
	nan := -1
	for i, v := range x {
		var one uint8
		if v > 0 {
			one = 1
		} else if v != v {
			nan = i
		}
		dst[i] = one
	}
	return nan
}

func markEqual[T uint8 | int32](dst []uint8, x []T, value T) {
	dst = dst[:len(x)]
	for i, v := range x {
		var one uint8
		if v == value {
			one = 1
		}
		dst[i] = one
	}
}
