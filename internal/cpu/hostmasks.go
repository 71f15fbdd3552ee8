package cpu

import (
	"github.com/x/afl/internal/cpu/kernel"
	"github.com/x/afl/internal/parallel"
	"github.com/x/afl/internal/plan"
)

// Masks are masks of the channels of a batch, a bit for each voxel: 64 to a word, and those of
// each sample and channel from the start of a word.
type Masks struct {
	words []uint64
	each  int // words of a mask
}

// At returns the words of mask i.
func (m *Masks) At(i int) []uint64 { return m.words[i*m.each:][:m.each] }

// NewMasks returns n empty masks of so many voxels.
func NewMasks(n, voxels int) *Masks {
	each := (voxels + 63) / 64
	return &Masks{make([]uint64, n*each), each}
}

// reset makes n masks of so many voxels, whose bits are any, in the same memory.
func (m *Masks) reset(n, voxels int) {
	m.each = (voxels + 63) / 64
	m.words = Grow(m.words, n*m.each)
}

// TargetMasks returns where the target of each sample is above ½ in each of the channels, or
// of their class, N×K masks.
func (k Backend) TargetMasks(in *plan.Batch, channels []int) (*Masks, error) {
	masks := new(Masks)
	return masks, k.StoreTargetMasks(masks, in, channels)
}

// StoreTargetMasks is [Backend.TargetMasks] in memory of the masks given.
func (k Backend) StoreTargetMasks(masks *Masks, in *plan.Batch, channels []int) error {
	b, kernels := open(in), k.kernels()
	labels := newLabelReader(b, kernels)
	masks.reset(b.N*len(channels), b.V)
	onlyOnes := labels != nil && b.C <= 2 && len(channels) == 1 && b.classOf(channels[0]) == 1
	_, err := sumChunks(b.N, b.V, 0, parallel.Forwards, func(ch chunk, _ []float64, s *scratch) error {
		if src, ok := b.target.([]uint8); ok && onlyOnes && // of labels that are valid
			kernels.foreground(masks.At(ch.n)[ch.lo/64:(ch.hi+63)/64], nil, src[ch.n*b.V+ch.lo:ch.n*b.V+ch.hi], &labels.rules) {
			return nil
		}
		wide := Grow(s.row, stripVoxels)
		s.row = wide
		for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
			hi := min(lo+stripVoxels, ch.hi)
			whole := (hi - lo + 63) / 64
			if labels != nil {
				y := s.strip.y[:64*whole]
				if err := labels.read(ch.n, lo, hi, y, &s.strip.class); err != nil {
					return err
				}
				for i := hi - lo; i < len(y); i++ {
					y[i] = noClass
				}
				for j, c := range channels {
					kernels.pack(masks.At(ch.n*len(channels) + j)[lo/64:][:whole], y, b.classOf(c))
				}
				continue
			}
			for j, c := range channels {
				row := wide[:hi-lo]
				if err := b.membership(ch.n, c, lo, hi, row, &s.strip.class); err != nil {
					return err
				}
				packNumbers(masks.At(ch.n*len(channels) + j)[lo/64:], row, 0.5)
			}
		}
		return nil
	})
	return err
}

// IgnoredMasks returns where voxels of each sample are ignored, of a target of class indices
// that fit a byte.
func (k Backend) IgnoredMasks(in *plan.Batch) (*Masks, error) {
	b, kernels := open(in), k.kernels()
	labels := newLabelReader(b, kernels)
	masks := NewMasks(b.N, b.V)
	_, err := sumChunks(b.N, b.V, 0, parallel.Forwards, func(ch chunk, _ []float64, s *scratch) error {
		for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
			hi := min(lo+stripVoxels, ch.hi)
			whole := (hi - lo + 63) / 64
			y := s.strip.y[:64*whole]
			if err := labels.read(ch.n, lo, hi, y, &s.strip.class); err != nil {
				return err
			}
			clear(y[hi-lo:])
			kernels.pack(masks.At(ch.n)[lo/64:][:whole], y, noClass)
		}
		return nil
	})
	return masks, err
}

// Unpack stores the bits of a mask as bytes of 0 and 1.
func (k Backend) Unpack(dst []uint8, mask []uint64) {
	const part = 1 << 8 // words
	unpack := k.kernels().unpack
	parallel.Each((len(mask)+part-1)/part, func(i int) {
		words := mask[i*part : min((i+1)*part, len(mask))]
		to := dst[64*i*part:]
		whole := min(len(words), len(to)/64)
		unpack(to[:64*whole], words[:whole])
		for j := 64 * whole; j < min(64*len(words), len(to)); j++ {
			to[j] = uint8(words[j/64] >> (j % 64) & 1)
		}
	})
}

// classOf is the class of the positive voxels of a channel.
func (b *batch) classOf(channel int) uint8 {
	if b.C == 1 {
		return 1
	}
	return uint8(channel)
}

// membership reads a channel of maps, or 1 and 0 for class indices that do not fit a byte.
func (b *batch) membership(n, channel, lo, hi int, dst []float64, class *[]int32) error {
	if b.Target.Dense {
		return maps(b, n, channel, lo, hi, dst)
	}
	*class = Grow(*class, hi-lo)
	if err := classes(b, n, lo, hi, *class); err != nil {
		return err
	}
	for i, y := range *class {
		dst[i] = oneIf(int(y) == channel)
	}
	return nil
}

// PredictionMasks returns where the logits of each sample make a probability above ½ in each
// of the channels, N×K masks: by the sigmoid, by the softmax, or as they are. Voxels of weight 0
// are not in them.
func (k Backend) PredictionMasks(in *plan.Batch, activation plan.Activation, channels []int) (*Masks, error) {
	b := open(in)
	masks := NewMasks(b.N*len(channels), b.V)
	if activation == plan.Softmax && b.C > 2 {
		_, err := hostPass(k, in, nil, 0, softmaxMasks[float32]{masks, channels}, softmaxMasks[float64]{masks, channels})
		return masks, err
	}
	threshold := 0.0
	if activation == plan.None {
		threshold = 0.5
	}
	_, err := sumChunks(b.N, b.V, 0, parallel.Forwards, func(ch chunk, _ []float64, s *scratch) error {
		s.row = Grow(s.row, stripVoxels)
		for j, c := range channels {
			mask := masks.At(ch.n*len(channels) + j)[ch.lo/64 : (ch.hi+63)/64]
			switch x := b.logits.(type) {
			case []float32:
				packLogits(mask, b, x, ch, c, activation == plan.Softmax, float32(threshold))
			case []float64:
				packLogits(mask, b, x, ch, c, activation == plan.Softmax, threshold)
			}
			if b.weight == nil {
				continue
			}
			for lo := ch.lo; lo < ch.hi; lo += stripVoxels {
				weights := s.row[:min(stripVoxels, ch.hi-lo)]
				if err := voxelWeights(b, ch.n, lo, lo+len(weights), weights); err != nil {
					return err
				}
				for i, w := range weights {
					if w == 0 {
						mask[(lo-ch.lo+i)/64] &^= 1 << (i % 64)
					}
				}
			}
		}
		return nil
	})
	return masks, err
}

// packLogits packs where the logits of a channel are above a threshold, or of a pair above
// those of the other one.
func packLogits[T real](dst []uint64, b *batch, x []T, ch chunk, c int, pair bool, threshold T) {
	row := x[(ch.n*b.C+c)*b.V+ch.lo:][:ch.hi-ch.lo]
	if !pair {
		packNumbers(dst, row, threshold)
		return
	}
	other := x[(ch.n*b.C+1-c)*b.V+ch.lo:][:len(row)]
	for w := range dst {
		word := uint64(0)
		for i, v := range row[64*w : min(64*w+64, len(row))] {
			bit := uint64(0)
			if v > other[64*w+i] {
				bit = 1
			}
			word |= bit << i
		}
		dst[w] = word
	}
}

// packNumbers stores where numbers are above a threshold, a bit for each.
func packNumbers[T real](dst []uint64, src []T, threshold T) {
	for w := 0; 64*w < len(src); w++ {
		word := uint64(0)
		for i, v := range src[64*w : min(64*w+64, len(src))] {
			bit := uint64(0)
			if v > threshold {
				bit = 1
			}
			word |= bit << i
		}
		dst[w] = word
	}
}

// softmaxMasks are the masks of [Backend.PredictionMasks] by the softmax of three or more channels.
type softmaxMasks[T real] struct {
	*Masks
	included []int
}

func (m softmaxMasks[T]) constants(_, _ int, _, _ func(at int, v float64)) {}

func (m softmaxMasks[T]) summed() []int { return nil }

// compute sets the bit of a voxel in the mask of the channel with the largest logit, where the
// exponentials of the others less that logit add up to less than 1.
func (m softmaxMasks[T]) compute(t *rowTile[T]) {
	t.exponentials(0)
	words := make([]uint64, t.C)
	others, top := t.buffer(kernel.BufOthers), t.buffer(kernel.BufTop)
	for lo := 0; lo < t.hi-t.lo; lo += 64 {
		clear(words)
		for i := lo; i < min(lo+64, t.hi-t.lo); i++ {
			bit := uint64(0)
			if others[i] < 1 {
				bit = 1
			}
			words[int(top[i])] |= bit << (i % 64)
		}
		for j, c := range m.included {
			m.At(t.sample*len(m.included) + j)[(t.lo+lo)/64] = words[c]
		}
	}
}

func (m softmaxMasks[T]) total([]float64, func(channel, i int) float64) {}
