package phantom

import "math/rand/v2"

// prostate is a synthetic prostate MRI: a gland of two zones in pelvic tissue. T2W is in
// arbitrary units, ADC in µm²/s, and the high-b-value DWI (HBV) in arbitrary units, each
// close to the values of real scanners.
type prostate struct {
	gland, transition ellipsoid
	lesions           []lesion
	nodule, cyst      []lesion  // benign
	grades            []float64 // label of each lesion, 2 … 5
	pelvis, zone      field
	coil              field // uneven sensitivity of the receiver coil
}

// newProstate draws a prostate with the given number of lesions that fills the field of
// view of a grid.
func newProstate(rng *rand.Rand, g grid, lesions int) *prostate {
	half := g.half()
	s := min(half[0], half[1], half[2]) / 32
	vary := func() float64 { return 0.9 + 0.2*rng.Float64() }
	p := &prostate{
		gland:  ellipsoid{radius: point{0.62 * half[0] * vary(), 0.62 * half[1] * vary(), 0.66 * half[2] * vary()}},
		pelvis: field{rng.Uint64(), 12 * s},
		zone:   field{rng.Uint64(), 7 * s},
		coil:   field{rng.Uint64(), 60 * s},
	}
	for i := range p.gland.center {
		p.gland.center[i] = 0.08 * half[i] * (2*rng.Float64() - 1)
	}
	p.transition = p.gland
	for i := range p.transition.radius {
		p.transition.radius[i] *= 0.62
	}
	p.transition.center[1] -= 0.22 * p.gland.radius[1] // the transition zone is anterior
	for range lesions {
		center := g.nearest(p.gland.inside(rng, -0.2))
		p.lesions = append(p.lesions, newLesion(rng, center, s*logUniform(rng, 3.5, 9)))
		p.grades = append(p.grades, float64(2+rng.IntN(4)))
	}
	for range 2 + rng.IntN(3) {
		p.nodule = append(p.nodule, newLesion(rng, p.transition.inside(rng, -0.1), s*logUniform(rng, 3, 6)))
	}
	for range 1 + rng.IntN(2) {
		p.cyst = append(p.cyst, newLesion(rng, p.gland.inside(rng, -0.2), s*logUniform(rng, 2.5, 4.5)))
	}
	return p
}

// label returns the grade of the lesion at a point, or 0 outside every lesion.
func (p *prostate) label(at point) float64 {
	for i, l := range p.lesions {
		if l.depth(at) < 0 {
			return p.grades[i]
		}
	}
	return 0
}

// values returns T2W, ADC and HBV at a point, before noise.
func (p *prostate) values(at point) []float64 {
	pelvis := p.pelvis.octaves(at)
	t2w, adc, hbv := 230+110*pelvis, 1050+250*pelvis, 28+9*pelvis

	gland := blend(p.gland.depth(at), 0.05)
	zone := p.zone.octaves(at)
	peripheral := [3]float64{480 + 50*zone, 1700 + 130*zone, 42 - 5*zone}
	transition := [3]float64{340 + 130*zone, 1350 + 200*zone, 46 - 8*zone}
	inner := blend(p.transition.depth(at), 0.08)
	t2w = mixTo(t2w, mixTo(peripheral[0], transition[0], inner), gland)
	adc = mixTo(adc, mixTo(peripheral[1], transition[1], inner), gland)
	hbv = mixTo(hbv, mixTo(peripheral[2], transition[2], inner), gland)

	// A lesion is dark on T2W, dark on ADC and bright on HBV. Benign findings mimic it
	// in part: a stromal nodule is dark on T2W and ADC but not bright on HBV, and a cyst
	// is bright on HBV but also on T2W and ADC.
	tint := func(l lesion, t, a, h float64) {
		w := l.contrast * blend(l.depth(at), 0.12)
		t2w, adc, hbv = mixTo(t2w, t, w), mixTo(adc, a, w), mixTo(hbv, h, w)
	}
	for _, l := range p.nodule {
		tint(l, 200, 800, 48)
	}
	for _, l := range p.cyst {
		tint(l, 620, 2100, 84)
	}
	for _, l := range p.lesions {
		tint(l, 230, 880, 74)
	}
	return []float64{t2w * (1 + 0.15*p.coil.at(at)), adc, hbv * (1 + 0.1*p.coil.at(at))}
}

// prostateNoise is the standard deviation of the noise in T2W, ADC and HBV.
var prostateNoise = []float64{28, 130, 10}
