package losstest

import (
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/x/afl"
)

// sharedOption is a setting of what all losses share, and the arguments for it.
type sharedOption struct {
	name        string
	target      string // "ignored", "soft" or class indices
	voxelWeight bool
	set         func(*afl.Options)
}

// call returns target and voxel weight for logits of a shape.
func (o sharedOption) call(shape []int) Call {
	c := Call{Target: RandomLabels(shape, max(shape[1], 2), 7)}
	switch o.target {
	case "ignored":
		// More of them in the first sample than in the others.
		for i, y := 0, c.Target.Data().([]uint8); i < len(y); i++ {
			if i%4 == 0 || i < len(y)/5 {
				y[i] = 255
			}
		}
	case "soft":
		c.Target = softMaps(shape, 8)
	}
	if o.voxelWeight {
		r := rand.New(rand.NewPCG(9, 9))
		c.VoxelWeight = Floats(tensor.Float32, PerVoxel(shape), func(i int) float64 { return float64(i%3) * r.Float64() })
	}
	return c
}

// classWeights returns a weight for each of c channels.
func classWeights(c int) []float64 {
	w := make([]float64, c)
	for i := range w {
		w[i] = []float64{0.3, 1.9, 0.7, 1.2}[i%4]
	}
	return w
}

// sharedOptions lists the settings for a loss of c channels that reduce it to a
// number. They start with another one for every i.
func sharedOptions(v variant, c, i int) []sharedOption {
	none := func(*afl.Options) {}
	out := []sharedOption{
		{name: "mean", set: none},
		{name: "sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSum }},
		{name: "spatial-mean-sum", set: func(o *afl.Options) { o.Reduction = afl.ReduceSpatialMeanSum }},
		{name: "weight", set: func(o *afl.Options) { o.Weight = classWeights(c) }},
		{name: "no-background", set: func(o *afl.Options) { o.ExcludeBackground = true }},
		{name: "weight-no-background", set: func(o *afl.Options) {
			o.ExcludeBackground = true
			o.Weight = classWeights(c)
			if c > 1 {
				o.Weight = o.Weight[1:]
			}
		}},
		{name: "ignore", target: "ignored", set: func(o *afl.Options) { o.IgnoreIndex = afl.Ignore(255) }},
		{name: "soft", target: "soft", set: none},
		{name: "voxel-weight", voxelWeight: true, set: none},
		{name: "everything", target: "ignored", voxelWeight: true, set: func(o *afl.Options) {
			o.Weight, o.IgnoreIndex, o.ExcludeBackground = []float64{1.3}, afl.Ignore(255), true
		}},
	}
	if v.takesVoxelMean() {
		out = append(out, sharedOption{name: "voxel-mean", set: func(o *afl.Options) { o.Reduction = afl.ReduceVoxelMean }})
	}
	i %= len(out)
	return slices.Concat(out[i:], out[:i])
}
