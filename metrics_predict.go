package afl

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"
)

// PredictionRule says how masks are made of logits.
type PredictionRule int

const (
	// Argmax gives each voxel the class with the largest logit, the first of equal
	// ones. It needs at least two channels.
	Argmax PredictionRule = iota
	// SigmoidChannel1 makes a voxel foreground where sigmoid(channel 1) > 0.5, that
	// is where the logit is above 0, and does not read channel 0: the inference of
	// the A-FL authors' code. It needs two channels and makes one mask, the
	// foreground.
	SigmoidChannel1
	// SigmoidPerChannel makes one mask per channel, where its sigmoid is above 0.5.
	// With one channel this is the usual binary rule, for a target of 0 and 1.
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

// classes returns the number of masks, K, that the rule makes of the channels.
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

// maxChannels is the number of classes that a uint8 label can hold.
const maxChannels = 256

// Predict makes masks of logits N×C×space, float32 or float64, by a prediction rule.
// They are uint8: the class of each voxel, N×space, for [Argmax]; the foreground as 0
// and 1, N×space, for [SigmoidChannel1]; one such mask per channel, N×C×space, for
// [SigmoidPerChannel]. A logit that is NaN is an error.
func Predict(rule PredictionRule, logits *tensor.Dense) (*tensor.Dense, error) {
	p, err := newPredictor(rule, logits)
	if err != nil {
		return nil, err
	}
	shape := append(tensor.Shape{p.samples}, p.spatial...)
	maps := 1
	if rule == SigmoidPerChannel {
		maps = p.channels
		shape = logits.Shape().Clone()
	}
	out := make([]uint8, p.samples*maps*p.voxels)
	err = forChunks(p.samples, p.voxels, func() func(sample, from, n int) error {
		c := p.chunk()
		return func(sample, from, n int) error {
			if err := c.load(sample, from, n); err != nil {
				return err
			}
			for k := range maps {
				at := (sample*maps+k)*p.voxels + from
				if rule == Argmax {
					copy(out[at:at+n], c.winner[:n])
				} else {
					copy(out[at:at+n], c.mask(k))
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

// ClassMask returns the mask of one class in one sample of labels: uint8, 1 where the
// voxel has the class and 0 elsewhere, with the spatial axes only, as
// [NewSurfaceDistances], [Components] and [CompareLesions] take it.
//
// labels is N×space or N×1×space of any integer type, bool, or a float type that
// holds whole numbers; another value is an error. spatialAxes, 2 or 3, tells
// N×1×rows×columns from N×slices×rows×columns.
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

// predictor applies a prediction rule to logits, a chunk at a time.
type predictor struct {
	rule                               PredictionRule
	samples, channels, voxels, classes int
	spatial                            tensor.Shape
	data                               any // []float32 or []float64
}

func newPredictor(rule PredictionRule, logits *tensor.Dense) (*predictor, error) {
	if err := checkReadable("logits", logits, tensor.Float32, tensor.Float64); err != nil {
		return nil, err
	}
	shape := logits.Shape()
	if len(shape) != 4 && len(shape) != 5 {
		return nil, refuse("shape of logits", shape, "N×C×space with 2 or 3 spatial axes")
	}
	p := &predictor{rule: rule, samples: shape[0], channels: shape[1], spatial: shape[2:].Clone(), data: logits.Data()}
	p.voxels = p.spatial.TotalSize()
	if p.channels > maxChannels {
		return nil, refuse("channels of logits", p.channels, "at most %d", maxChannels)
	}
	var err error
	p.classes, err = rule.classes(p.channels)
	return p, err
}

// predictedChunk holds the masks of the chunk loaded last, for one goroutine.
type predictedChunk struct {
	*predictor
	n      int
	winner []uint8   // Argmax: the class of each voxel
	best32 []float32 // Argmax: its logit
	best64 []float64
	masks  []uint8 // other rules: one mask per class, chunkVoxels apart
	out    []uint8
}

func (p *predictor) chunk() *predictedChunk {
	c := &predictedChunk{predictor: p}
	if p.rule != Argmax {
		c.masks = make([]uint8, p.classes*chunkVoxels)
		return c
	}
	if _, ok := p.data.([]float32); ok {
		c.best32 = make([]float32, chunkVoxels)
	} else {
		c.best64 = make([]float64, chunkVoxels)
	}
	c.winner = make([]uint8, chunkVoxels)
	c.out = make([]uint8, chunkVoxels)
	return c
}

// load applies the rule to n voxels of a sample, from index from on.
func (c *predictedChunk) load(sample, from, n int) error {
	c.n = n
	if x, ok := c.data.([]float32); ok {
		return loadPrediction(c, x, c.best32, sample, from)
	}
	return loadPrediction(c, c.data.([]float64), c.best64, sample, from)
}

func loadPrediction[T float32 | float64](c *predictedChunk, x, best []T, sample, from int) error {
	for channel := range c.channels {
		at := (sample*c.channels+channel)*c.voxels + from
		logits := x[at : at+c.n]
		nan := -1
		switch {
		case c.rule == Argmax && channel == 0:
			nan = copyFirst(best[:c.n], c.winner[:c.n], logits)
		case c.rule == Argmax:
			nan = keepLarger(best[:c.n], c.winner[:c.n], logits, uint8(channel))
		case c.rule == SigmoidPerChannel:
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

// mask returns 1 where the loaded chunk is predicted as class k, 0 elsewhere. It is
// valid until the next call.
func (c *predictedChunk) mask(k int) []uint8 {
	if c.rule != Argmax {
		return c.masks[k*chunkVoxels:][:c.n]
	}
	markEqual(c.out[:c.n], c.winner[:c.n], uint8(k))
	return c.out[:c.n]
}

// copyFirst, keepLarger and markPositive return the index of the first NaN, or −1.

func copyFirst[T float32 | float64](best []T, winner []uint8, x []T) int {
	nan := -1
	for i, v := range x {
		if v != v && nan < 0 {
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
		} else if v != v && nan < 0 {
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
		} else if v != v && nan < 0 {
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
