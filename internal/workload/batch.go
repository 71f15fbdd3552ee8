package workload

import (
	"math/rand/v2"

	"gorgonia.org/tensor"
)

// Batch is the input of a loss and memory for its gradient.
type Batch struct {
	Size                 Size
	Elements             Elements
	Logits, Labels, Grad *tensor.Dense
}

// NewBatch makes float32 logits and uint8 labels, which depend on the size alone.
// Each sample has a small ragged lesion, at a place of its own; its logits are those
// of a network that is mostly right and never sure, about ±2 with noise.
func NewBatch(s Size) *Batch {
	rng := rand.New(rand.NewPCG(1, uint64(s.Voxels())))
	v := s.ImageVoxels()
	labels := make([]uint8, 0, s.Voxels())
	logits := make([]float32, s.Samples*Channels*v)
	for n := range s.Samples {
		image := lesion(s.Space, 2*float64(n))
		labels = append(labels, image...)
		background, foreground := logits[2*n*v:(2*n+1)*v], logits[(2*n+1)*v:(2*n+2)*v]
		for i, y := range image {
			x := 4*float64(y) - 2
			background[i] = float32(-x + 1.5*rng.NormFloat64())
			foreground[i] = float32(x + 1.5*rng.NormFloat64())
		}
	}
	return newBatch(s, Float32Uint8, tensor.StdEng{}, logits, labels, make([]float32, len(logits)))
}

// Float64 returns the batch with float64 logits and gradient.
func (b *Batch) Float64() *Batch {
	from := b.Logits.Data().([]float32)
	logits := make([]float64, len(from))
	for i, x := range from {
		logits[i] = float64(x)
	}
	return newBatch(b.Size, Float64Uint8, b.Logits.Engine(), logits, b.Labels.Data(), make([]float64, len(logits)))
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
		Logits: of(s.Shape(), logits), Grad: of(s.Shape(), grad),
		Labels: of(append([]int{s.Samples}, s.Space[:]...), labels),
	}
}
