package phantom

import "math/rand/v2"

// brain is a synthetic brain MRI after skull stripping: gray and white matter, two
// ventricles, tumors, and zero outside. The channels are FLAIR, T1, contrast-enhanced T1
// and T2, in arbitrary units.
type brain struct {
	shape      ellipsoid
	ventricles [2]ellipsoid
	lesions    []lesion
	spots      []lesion // benign white-matter lesions, common with age
	folds      field    // folds of the cortex
	texture    field
	coil       field
}

// Labels of the regions of a tumor in BraTS.
const (
	necroticCore   = 1
	edema          = 2
	enhancingTumor = 4
)

// Depths of the boundaries between the regions of a tumor.
const (
	coreDepth      = -0.6
	enhancingDepth = -0.35
)

// Intensities of the tissues in FLAIR, T1, contrast-enhanced T1 and T2.
var (
	whiteMatter = [4]float64{360, 720, 740, 340}
	grayMatter  = [4]float64{430, 560, 580, 470}
	fluid       = [4]float64{130, 220, 230, 900}
	swelling    = [4]float64{600, 520, 540, 640}
	enhancing   = [4]float64{600, 520, 1050, 620}
	spot        = [4]float64{640, 690, 710, 660}
	necrosis    = [4]float64{480, 330, 350, 820}
)

// newBrain draws a brain with the given number of tumors that fills the field of view of
// a grid.
func newBrain(rng *rand.Rand, g grid, lesions int) *brain {
	half := g.half()
	s := min(half[0], half[1], half[2]) / 24
	vary := func() float64 { return 0.84 + 0.1*rng.Float64() }
	b := &brain{
		shape:   ellipsoid{radius: point{half[0] * vary(), half[1] * vary(), half[2] * vary()}},
		folds:   field{rng.Uint64(), 5 * s},
		texture: field{rng.Uint64(), 6 * s},
		coil:    field{rng.Uint64(), 45 * s},
	}
	for side := range b.ventricles {
		sign := float64(2*side - 1)
		b.ventricles[side] = ellipsoid{
			center: point{sign * 0.16 * half[0], 0.05 * half[1], 0.1 * half[2]},
			radius: point{0.08 * half[0], 0.28 * half[1], 0.16 * half[2]},
		}
	}
	size := s * logUniform(rng, 5.5, 12)
	for range lesions {
		b.lesions = append(b.lesions, newLesion(rng, g.nearest(b.shape.inside(rng, -0.3)), size))
		size = s * logUniform(rng, 3, 6) // the others are smaller
	}
	for range 3 + rng.IntN(4) {
		b.spots = append(b.spots, newLesion(rng, b.shape.inside(rng, -0.25), s*logUniform(rng, 2, 4.5)))
	}
	return b
}

// inside reports whether a point is in the brain and was not stripped.
func (b *brain) inside(at point) bool { return b.shape.depth(at) < 0 }

// label returns the label of the tumor region at a point, or 0 outside every tumor.
func (b *brain) label(at point) float64 {
	if !b.inside(at) {
		return 0
	}
	depth := 1.0
	for _, l := range b.lesions {
		depth = min(depth, l.depth(at))
	}
	switch {
	case depth < coreDepth:
		return necroticCore
	case depth < enhancingDepth:
		return enhancingTumor
	case depth < 0:
		return edema
	}
	return 0
}

// values returns the four channels at a point, before noise.
func (b *brain) values(at point) []float64 {
	out := make([]float64, 4)
	if !b.inside(at) {
		return out
	}
	// Gray matter is the outer layer of the brain, with a folded inner boundary.
	gray := blend(-0.16+0.12*b.folds.octaves(at)-b.shape.depth(at), 0.06)
	var wet float64
	for _, v := range b.ventricles {
		wet = max(wet, blend(v.depth(at), 0.2))
	}
	texture, coil := b.texture.octaves(at), b.coil.at(at)
	for c := range out {
		x := mixTo(whiteMatter[c], grayMatter[c], gray)
		x = mixTo(x, fluid[c], wet) * (1 + 0.06*texture)
		for _, l := range b.spots {
			x = mixTo(x, spot[c], l.contrast*blend(l.depth(at), 0.1))
		}
		for _, l := range b.lesions {
			d := l.depth(at)
			y := mixTo(swelling[c], enhancing[c], blend(d-enhancingDepth, 0.06))
			y = mixTo(y, necrosis[c], blend(d-coreDepth, 0.06))
			x = mixTo(x, y*(1+0.08*texture), l.contrast*blend(d, 0.1))
		}
		out[c] = x * (1 + 0.12*coil)
	}
	return out
}

// brainNoise is the standard deviation of the noise in each channel.
var brainNoise = []float64{32, 32, 32, 32}
