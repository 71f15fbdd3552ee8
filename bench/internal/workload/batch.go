package workload

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"

	"gorgonia.org/tensor"
)

// Batch is what a loss is timed on.
type Batch struct {
	Size                 Size
	Logits, Labels, Grad *tensor.Dense
}

// NewBatch makes float32 logits, uint8 labels with a small ragged lesion in each
// sample, and room for the gradient, the same for the same size. The logits are
// those of a network that is mostly right and never sure: about ±2 with noise.
func NewBatch(s Size) *Batch {
	rng := rand.New(rand.NewPCG(1, uint64(s.Voxels())))
	v := s.ImageVoxels()
	labels := make([]uint8, 0, s.Voxels())
	logits := make([]float32, s.Samples*Channels*v)
	for n := range s.Samples {
		image := lesion(s.Space, 2*float64(n)) // elsewhere in each sample
		labels = append(labels, image...)
		background, foreground := logits[2*n*v:(2*n+1)*v], logits[(2*n+1)*v:(2*n+2)*v]
		for i, y := range image {
			x := 4*float64(y) - 2
			background[i] = float32(-x + 1.5*rng.NormFloat64())
			foreground[i] = float32(x + 1.5*rng.NormFloat64())
		}
	}
	return &Batch{
		Size:   s,
		Logits: tensor.New(tensor.WithShape(s.Shape()...), tensor.WithBacking(logits)),
		Labels: tensor.New(tensor.WithShape(append([]int{s.Samples}, s.Space[:]...)...), tensor.WithBacking(labels)),
		Grad:   tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(s.Shape()...)),
	}
}

// MaskPair is what surface distances are timed on.
type MaskPair struct {
	Name                  string
	Prediction, Reference *tensor.Dense
}

// NewMaskPairs returns a small lesion and an organ, each with a prediction that
// is off by a voxel or two.
func NewMaskPairs(s Size) []MaskPair {
	mask := func(voxels []uint8) *tensor.Dense {
		return tensor.New(tensor.WithShape(s.Space[:]...), tensor.WithBacking(voxels))
	}
	return []MaskPair{
		{"lesion", mask(lesion(s.Space, 1.5)), mask(lesion(s.Space, 0))},
		{"organ", mask(organ(s.Space, 1.5)), mask(organ(s.Space, 0))},
	}
}

// ellipsoid has its centre and radii in shares of the image's edges.
type ellipsoid struct{ centre, radius [3]float64 }

// lesion is three ragged ellipsoids that fill about 0.4 % of the image.
func lesion(space [3]int, shift float64) []uint8 {
	return ragged(space, shift, []ellipsoid{
		{[3]float64{0.38, 0.55, 0.50}, [3]float64{0.075, 0.085, 0.12}},
		{[3]float64{0.47, 0.59, 0.57}, [3]float64{0.050, 0.045, 0.08}},
		{[3]float64{0.64, 0.36, 0.40}, [3]float64{0.030, 0.040, 0.07}},
	})
}

// organ is one ragged ellipsoid that fills about a quarter of the image.
func organ(space [3]int, shift float64) []uint8 {
	return ragged(space, shift, []ellipsoid{{[3]float64{0.5, 0.5, 0.5}, [3]float64{0.40, 0.38, 0.42}}})
}

// ragged returns the union of ellipsoids whose radius goes up and down by up to
// 15 % along their surface, moved by shift voxels along the first two axes.
func ragged(space [3]int, shift float64, parts []ellipsoid) []uint8 {
	mask := make([]uint8, space[0]*space[1]*space[2])
	i := 0
	for x := range space[0] {
		for y := range space[1] {
			for z := range space[2] {
				at := [3]float64{float64(x) - shift, float64(y) - shift, float64(z)}
				wave := math.Sin(0.9*at[0]) * math.Sin(0.8*at[1]+1) * math.Cos(0.7*at[2])
				limit := 1 + 0.15*wave
				for _, e := range parts {
					r2 := 0.0
					for axis, edge := range space {
						d := (at[axis] - e.centre[axis]*float64(edge)) / (e.radius[axis] * float64(edge))
						r2 += d * d
					}
					if r2 <= limit*limit {
						mask[i] = 1
					}
				}
				i++
			}
		}
	}
	return mask
}

// WriteRaw writes a tensor's numbers to a file, little-endian.
func WriteRaw(path string, t *tensor.Dense) error {
	var b bytes.Buffer
	b.Grow(int(t.MemSize()))
	if err := binary.Write(&b, binary.LittleEndian, t.Data()); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
