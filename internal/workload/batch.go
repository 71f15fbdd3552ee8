package workload

import (
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// Batch is the input of a loss and memory for its gradient.
type Batch struct {
	Size         Size
	Elements     Elements
	Logits, Grad *tensor.Dense
	Labels       *tensor.Dense // the target: class indices, or a map for each channel
	VoxelWeight  *tensor.Dense // nil where every voxel weighs 1
}

// NewBatch makes float32 logits and uint8 labels, which depend on the size alone.
// Each sample has a small ragged lesion, at a place of its own, of classes in bands
// where there are more than two; its logits are those of a network that is mostly right
// and never sure, about ±2 with noise. A single channel is that of the lesion.
func NewBatch(s Size) *Batch {
	rng := rand.New(rand.NewPCG(1, uint64(s.Voxels())))
	v := s.ImageVoxels()
	labels := make([]uint8, 0, s.Voxels())
	logits := make([]float32, s.Samples*s.Channels*v)
	for n := range s.Samples {
		image := lesion(s.Space, 2*float64(n))
		if s.Channels > 2 {
			const width = 2
			for i, y := range image {
				band := i / (s.Space[1] * s.Space[2]) / width
				image[i] = y * uint8(1+band%(s.Channels-1))
			}
		}
		labels = append(labels, image...)
		sample := logits[n*s.Channels*v : (n+1)*s.Channels*v]
		for i, y := range image {
			for c := range s.Channels {
				x := -2.0
				if s.isClass(c, y) {
					x = 2
				}
				sample[c*v+i] = float32(x + 1.5*rng.NormFloat64())
			}
		}
	}
	return newBatch(s, Float32Uint8, tensor.StdEng{}, logits, labels, make([]float32, len(logits)))
}

// isClass reports whether channel c is that of class y. A single channel is that of
// class 1.
func (s Size) isClass(c int, y uint8) bool {
	if s.Channels == 1 {
		return y == 1
	}
	return c == int(y)
}

// Float64 returns the batch with float64 logits and gradient.
func (b *Batch) Float64() *Batch {
	from := b.Logits.Data().([]float32)
	logits := make([]float64, len(from))
	for i, x := range from {
		logits[i] = float64(x)
	}
	return newBatch(b.Size, Elements{Logit: 8, Label: b.Elements.Label}, b.Logits.Engine(), logits, b.Labels.Data(), make([]float64, len(logits)))
}

// On returns tensors of an engine for Go memory, in the memory of the batch.
func (b *Batch) On(e tensor.Engine) *Batch {
	return newBatch(b.Size, b.Elements, e, b.Logits.Data(), b.Labels.Data(), b.Grad.Data())
}

func newBatch(s Size, elements Elements, e tensor.Engine, logits, labels, grad any) *Batch {
	of := func(shape []int, data any) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data), tensor.WithEngine(e))
	}
	return &Batch{
		Size: s, Elements: elements,
		Logits: of(s.Shape(), logits), Grad: of(s.Shape(), grad), Labels: of(s.LabelShape(), labels),
	}
}
