package afl

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/x/afl/internal/cpu"
	"github.com/x/afl/internal/plan"
	"github.com/x/afl/internal/selection"
)

// TopKCrossEntropy is the mean of the largest K percent of the elements of [CrossEntropy]
// with the softmax (nnU-Net's TopKLoss; Wu et al., "Bridging Category-level and
// Instance-level Semantic Image Segmentation", 2016). With the elements E of all voxels of
// the batch,
//
//	L = (1/m)·Σ of the m largest E,  m = max(1, ⌊n·K/100⌋),
//
// where n is the number of all voxels, of which the ignored have E = 0, or with ValidOnly
// of those that are not ignored. Among equal elements the earlier voxels are taken. Class
// weights and voxel weights are factors of E; the mean is not divided by them, as in
// nnU-Net.
type TopKCrossEntropy struct {
	Options
	constructed
	// LabelSmoothing ε is in [0,1], default 0.
	LabelSmoothing float64
	// K is the share of voxels in percent, above 0 to 100, default 10.
	K float64
	// ValidOnly takes the share of the voxels that are not ignored, default false.
	ValidOnly bool
}

// NewTopKCrossEntropy returns the mean of the largest 10 % of the softmax cross-entropy.
func NewTopKCrossEntropy() TopKCrossEntropy {
	return TopKCrossEntropy{constructed: constructed{true}, K: 10}
}

func (TopKCrossEntropy) constructor() string { return "NewTopKCrossEntropy" }

// Eval implements [Loss].
func (l TopKCrossEntropy) Eval(logits, target, grad *tensor.Dense, opts ...EvalOption) (*tensor.Dense, error) {
	has := support{reductions: []Reduction{ReduceMean}, weight: true, ignore: true, background: true, weights: true}
	c, err := newHostCall(l, has, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	if !(l.K > 0 && l.K <= 100) {
		return nil, refuse("K", l.K, "a number above 0 up to 100")
	}
	ce := NewCrossEntropy()
	ce.Options, ce.LabelSmoothing = l.Options, l.LabelSmoothing
	ce.Reduction = ReduceNone
	// The gradient of every element, most of which is then cleared.
	e, err := eval(ce, logits, target, grad, opts)
	if err != nil {
		return nil, err
	}
	n := c.batch.N * c.batch.V
	if l.ValidOnly && l.IgnoreIndex.Set {
		if n, err = c.markIgnored(e.Data()); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return plan.FromNumber(0), nil // and the gradient is 0
	}
	m := max(1, int(math.Floor(float64(n)*l.K/100)))
	var sum float64
	var taken []uint64
	switch data := e.Data().(type) {
	case []float32:
		taken, sum = selection.Largest(data, m)
	case []float64:
		taken, sum = selection.Largest(data, m)
	}
	if math.IsInf(sum, 1) && logits.Dtype() == tensor.Float32 {
		return l.evalWide(logits, target, grad, opts)
	}
	if grad != nil {
		switch g := grad.Data().(type) {
		case []float32:
			scaleTaken(g, taken, c.batch.C, c.batch.V, 1/float32(m))
		case []float64:
			scaleTaken(g, taken, c.batch.C, c.batch.V, 1/float64(m))
		}
	}
	return plan.FromNumber(sum / float64(m)), nil
}

// evalWide evaluates the loss of float32 logits in float64, which holds elements that
// float32 does not.
func (l TopKCrossEntropy) evalWide(logits, target, grad *tensor.Dense, opts []EvalOption) (*tensor.Dense, error) {
	x := logits.Data().([]float32)
	wide := make([]float64, len(x))
	cpu.ReadFloats(x, 0, wide)
	shape := tensor.WithShape(logits.Shape()...)
	var wideGrad *tensor.Dense
	if grad != nil {
		wideGrad = tensor.New(tensor.Of(tensor.Float64), shape)
	}
	value, err := l.Eval(tensor.New(shape, tensor.WithBacking(wide)), target, wideGrad, opts...)
	if err == nil && grad != nil {
		cpu.StoreFloats(grad.Data(), 0, wideGrad.Data().([]float64))
	}
	return value, err
}

// markIgnored sets the elements of ignored voxels to −1, less than any other, and returns
// the number of the others.
func (c *hostCall) markIgnored(e any) (valid int, err error) {
	sums, err := c.pass(cpu.Visit{NoLogits: true, Sums: 1, Do: func(t *cpu.Tile, sums []float64) error {
		at := t.Sample*c.batch.V + t.Lo
		for i, y := range t.Class {
			if y >= 0 {
				sums[0]++
			} else {
				cpu.StoreFloats(e, at+i, []float64{-1})
			}
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return int(total(sums, 1)[0]), nil
}

// scaleTaken multiplies the gradient at the voxels that are taken, a bit set over the
// voxels of all samples, and clears it elsewhere.
func scaleTaken[T float32 | float64](grad []T, taken []uint64, channels, voxels int, scale T) {
	for row := range len(grad) / voxels {
		g := grad[row*voxels:][:voxels]
		first := row / channels * voxels // in the bit set
		eachPart(voxels, func(lo, hi int) {
			for i := lo; i < hi; {
				at := first + i
				word := taken[at/64] >> (at % 64)
				n := min(64-at%64, hi-i)
				if word == 0 {
					clear(g[i : i+n])
				} else {
					factor := [2]T{0, scale}
					for j := range g[i : i+n] {
						g[i+j] *= factor[word>>j&1]
					}
				}
				i += n
			}
		})
	}
}
