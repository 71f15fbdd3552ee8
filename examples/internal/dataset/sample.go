package dataset

import (
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/x/afl/examples/internal/segment"
)

// Train returns the case after all steps of the protocol, including the random ones,
// which are drawn from seed: the same case and seed give the same bits.
func (p Protocol) Train(c Case, seed uint64) (*Sample, error) {
	prep, err := p.prepare(c)
	if err != nil {
		return nil, err
	}
	return p.train(c.ID, prep, seed), nil
}

// Valid returns the case without the protocol's random steps: the whole volume,
// padded to MinSize and Multiple.
func (p Protocol) Valid(c Case) (*Sample, error) {
	prep, err := p.prepare(c)
	if err != nil {
		return nil, err
	}
	return p.valid(c.ID, prep), nil
}

// train applies steps 5 to 8 of Protocol to a copy of prep.
func (p Protocol) train(id string, prep *prepared, seed uint64) *Sample {
	rng := rand.New(rand.NewPCG(seed, 0))
	image, label := prep.image, prep.label
	move := func(r rearrangement) {
		image = rearrange(image, r)
		if prep.labeled {
			label = rearrange(label, r)
		}
	}
	part := window([3]int{}, image.dims)
	if p.Crop != [3]int{} {
		part = p.crop(label, image.dims, rng)
	}
	if rng.Float64() < p.TranslateProb {
		part = p.translated(part, rng)
	}
	move(part)
	pad := p.pad(image.dims)
	scan := scanIn(pad, image.dims)
	move(pad)
	flips := p.flips(image.dims, rng)
	scan = scan.flipped(flips)
	move(flips)
	image = unshared(image, prep.image)
	if prep.labeled {
		label = unshared(label, prep.label)
	}

	noisy, sd := rng.Float64() < p.NoiseProb, rng.Float64()*p.Noise
	if noisy && p.NoiseFirst {
		addNoise(image, sd, rng)
	}
	normalize(image)
	if noisy && !p.NoiseFirst {
		addNoise(image, sd, rng)
	}
	if rng.Float64() < p.ScaleProb {
		linear(image, 1+symmetric(rng, p.Scale), 0)
	}
	if rng.Float64() < p.ShiftProb {
		linear(image, 1, symmetric(rng, p.Shift))
	}
	return p.newSample(id, image, label, prep.labeled, scan)
}

// valid pads and normalizes a copy of prep.
func (p Protocol) valid(id string, prep *prepared) *Sample {
	pad := p.pad(prep.image.dims)
	image, label := unshared(rearrange(prep.image, pad), prep.image), prep.label
	if prep.labeled {
		label = unshared(rearrange(label, pad), label)
	}
	normalize(image)
	return p.newSample(id, image, label, prep.labeled, scanIn(pad, prep.image.dims))
}

func (p Protocol) newSample(id string, image array[float32], label array[uint8], labeled bool, scan Box) *Sample {
	x, y, z := image.dims[0], image.dims[1], image.dims[2]
	s := &Sample{
		ID:      id,
		Image:   tensor.New(tensor.WithShape(1, image.channels, x, y, z), tensor.WithBacking(image.data)),
		Scan:    scan,
		Spacing: spacing(image.affine),
		Affine:  image.affine,
	}
	if labeled {
		maps, channels := p.Scheme.Maps(label.data)
		shape := tensor.Shape{1, x, y, z}
		if p.Scheme.Kind == segment.Regions {
			shape = tensor.Shape{1, channels, x, y, z}
		}
		s.Label = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(maps))
	}
	return s
}

// symmetric draws a number uniformly from -limit … limit.
func symmetric(rng *rand.Rand, limit float64) float64 { return (2*rng.Float64() - 1) * limit }

func (p Protocol) pad(dims [3]int) rearrangement {
	var start [3]int
	for i, n := range dims {
		size := max(n, p.MinSize[i])
		if m := p.Multiple[i]; m > 1 {
			size = (size + m - 1) / m * m
		}
		start[i] = -((size - n) / 2)
		dims[i] = size
	}
	return window(start, dims)
}

// scanIn returns the position of a volume of the given size after it is padded.
func scanIn(pad rearrangement, dims [3]int) Box {
	b := Box{Size: dims}
	for i, start := range pad.start {
		b.Start[i] = -start
	}
	return b
}

func (b Box) flipped(flips rearrangement) Box {
	for i, step := range flips.step {
		if step < 0 {
			b.Start[i] = flips.dims[i] - b.Start[i] - b.Size[i]
		}
	}
	return b
}

// translated shifts a part of a volume by a random number of voxels.
func (p Protocol) translated(part rearrangement, rng *rand.Rand) rearrangement {
	for i, limit := range p.Translate {
		part.start[i] += rng.IntN(2*limit+1) - limit
	}
	return part
}

func (p Protocol) flips(dims [3]int, rng *rand.Rand) rearrangement {
	r := window([3]int{}, dims)
	for i, n := range dims {
		if rng.Float64() < p.FlipProb {
			r.step[i], r.start[i] = -1, n-1
		}
	}
	return r
}
