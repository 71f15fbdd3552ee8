package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// ones returns a prepared case whose label is 1 everywhere, so that a sample's
// label shows which voxels come from the volume.
func ones(channels int, dims [3]int, m affine) *prepared {
	label := array[uint8]{channels: 1}.empty(dims, m)
	for i := range label.data {
		label.data[i] = 1
	}
	return &prepared{image: numbered(channels, dims, m), label: label, labeled: true}
}

func TestProtocolDefaults(t *testing.T) {
	require.NoError(t, PICAI().Check())
	require.NoError(t, BraTS().Check())
	require.NoError(t, Protocol{}.Check())
	assert.Equal(t, [3]int{160, 128, 24}, PICAI().Size)
	assert.Equal(t, [3]int{224, 224, 144}, BraTS().Crop)
}

func TestCheckNamesTheField(t *testing.T) {
	for name, p := range map[string]Protocol{
		"Size is [-1":   {Size: [3]int{-1, 2, 3}},
		"Size is [0":    {Size: [3]int{0, 2, 3}},
		"Crop":          {Crop: [3]int{0, -2, 0}},
		"MinSize":       {MinSize: [3]int{0, 0, -1}},
		"Multiple":      {Multiple: [3]int{-16, 0, 0}},
		"Translate is":  {Translate: [3]int{-1, 0, 0}},
		"Spacing":       {Spacing: [3]float64{1, 0, 1}},
		"Spacing is [1": {Spacing: [3]float64{1, 1, math.Inf(1)}},
		"TranslateProb": {TranslateProb: 1.1},
		"FlipProb":      {FlipProb: -0.1},
		"NoiseProb":     {NoiseProb: math.NaN()},
		"ScaleProb":     {ScaleProb: 2},
		"ShiftProb":     {ShiftProb: 2},
		"Noise is":      {Noise: -1},
		"Scale is":      {Scale: math.NaN()},
		"Shift is":      {Shift: math.Inf(1)},
	} {
		assert.ErrorContains(t, p.Check(), name)
		_, err := p.Valid(Case{ID: "x"})
		assert.ErrorContains(t, err, name)
	}
}

func TestFlipByHand(t *testing.T) {
	a := numbered(1, [3]int{1, 2, 3}, identity)
	p := Protocol{FlipProb: 1}
	got := rearrange(a, p.flips(a.dims, rand.New(rand.NewPCG(0, 0))))
	assert.Equal(t, []float32{6, 5, 4, 3, 2, 1}, got.data)
	requireAffine(t, affine{{-1, 0, 0, 0}, {0, -1, 0, 1}, {0, 0, -1, 2}, {0, 0, 0, 1}}, got.affine, 0)
}

func TestPadByHand(t *testing.T) {
	a := numbered(1, [3]int{1, 2, 3}, identity)
	got := rearrange(a, Protocol{MinSize: [3]int{1, 3, 2}, Multiple: [3]int{0, 1, 4}}.pad(a.dims))
	assert.Equal(t, [3]int{1, 3, 4}, got.dims)
	assert.Equal(t, []float32{1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0}, got.data, "the odd voxel goes to the end")
	got = rearrange(a, Protocol{MinSize: [3]int{3, 2, 7}}.pad(a.dims))
	assert.Equal(t, [3]int{3, 2, 7}, got.dims)
	assert.Equal(t, float32(1), got.value(0, [3]int{1, 0, 2}))
	requireAffine(t, affine{{1, 0, 0, -1}, {0, 1, 0, 0}, {0, 0, 1, -2}, {0, 0, 0, 1}}, got.affine, 0)
}

func TestTranslateByHand(t *testing.T) {
	a := numbered(1, [3]int{1, 1, 4}, identity)
	assert.Equal(t, []float32{2, 3, 4, 0}, rearrange(a, window([3]int{0, 0, 1}, a.dims)).data)
	assert.Equal(t, []float32{0, 0, 1, 2}, rearrange(a, window([3]int{0, 0, -2}, a.dims)).data)
	assert.Equal(t, make([]float32, 4), rearrange(a, window([3]int{0, 0, -9}, a.dims)).data)

	p, seen := Protocol{Translate: [3]int{0, 2, 1}}, map[[3]int]int{}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		seen[p.translated(window([3]int{}, a.dims), rng).start]++
	}
	assert.Len(t, seen, 5*3)
	for start, n := range seen {
		assert.InDelta(t, 200, n, 70, "%v", start)
	}
}

func TestCropDrawsEveryPosition(t *testing.T) {
	p, seen := Protocol{Crop: [3]int{2, 9, 0}}, map[int]bool{}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		r := p.crop(array[uint8]{}, [3]int{5, 4, 3}, rng)
		assert.Equal(t, [3]int{2, 4, 3}, r.dims, "a short axis is kept whole, 0 does not crop")
		assert.Equal(t, 0, r.start[1]+r.start[2])
		seen[r.start[0]] = true
	}
	assert.Equal(t, map[int]bool{0: true, 1: true, 2: true, 3: true}, seen)
}

// TestTrainKeepsVoxelsInTheWorld checks, for many draws, that a voxel of the sample that
// comes from the volume has the volume's value at the same world coordinates.
func TestTrainKeepsVoxelsInTheWorld(t *testing.T) {
	m := oblique(point{1, 2, 3}, point{-5, 4, 3})
	prep := ones(2, [3]int{9, 8, 7}, m)
	p := Protocol{Crop: [3]int{7, 0, 5}, Multiple: [3]int{4, 4, 4}, Translate: [3]int{3, 3, 3}, TranslateProb: 0.5, FlipProb: 0.5}
	back := invert(m)
	for seed := range uint64(60) {
		s := p.train("x", prep, seed)
		require.Equal(t, tensor.Shape{1, 2, 8, 8, 8}, s.Image.Shape())
		require.Equal(t, tensor.Shape{1, 8, 8, 8}, s.Label.Shape())
		assert.InDeltaSlice(t, []float64{1, 2, 3}, s.Spacing[:], 1e-9)
		label := s.Label.Data().([]uint8)
		want := array[float32]{channels: 2}.empty([3]int{8, 8, 8}, s.Affine)
		i := 0
		eachVoxel(want.dims, func(v [3]int) {
			if label[i] == 1 {
				at := apply(back, apply(s.Affine, float(v)))
				var from [3]int
				for ax, x := range at {
					from[ax] = int(math.Round(x))
					require.InDelta(t, float64(from[ax]), x, 1e-9)
				}
				require.True(t, prep.image.within(from))
				for c := range 2 {
					want.data[c*want.voxels()+i] = prep.image.value(c, from)
				}
			}
			i++
		})
		normalize(want)
		require.Equal(t, want.data, s.Image.Data(), "seed %d", seed)
	}
}

func bytesOf(s *Sample) string {
	var label any
	if s.Label != nil {
		label = s.Label.Data()
	}
	return fmt.Sprint(s.ID, s.Image.Shape(), s.Image.Data(), label, s.Spacing, s.Affine)
}

func TestTrainDependsOnTheSeedAlone(t *testing.T) {
	prep := ones(2, [3]int{7, 6, 5}, oblique(point{1, 2, 3}, point{}))
	before := *prep
	before.image, before.label = prep.image.clone(), prep.label.clone()
	p := PICAI()
	p.Translate = [3]int{2, 2, 2}
	seen := map[string]bool{}
	for seed := range uint64(20) {
		a := bytesOf(p.train("x", prep, seed))
		assert.Equal(t, a, bytesOf(p.train("x", prep, seed)), "same seed, same bits")
		seen[a] = true
		p.valid("x", prep)
	}
	assert.Greater(t, len(seen), 15, "different seeds, different samples")
	assert.Equal(t, before, *prep, "the prepared case must not change")
}

// TestTrainFrequencies checks on the samples alone that each random step is taken as
// often as its probability says and stays within its bounds.
func TestTrainFrequencies(t *testing.T) {
	prep := ones(1, [3]int{3, 2, 2}, identity)
	plain := prep.image.clone()
	normalize(plain)
	const n = 4000
	count := func(p Protocol, hit func(x []float32, s *Sample) bool) (times float64) {
		for seed := range uint64(n) {
			s := p.train("x", prep, seed)
			if hit(s.Image.Data().([]float32), s) {
				times++
			}
		}
		return times / n
	}
	sd := func(p float64) float64 { return 4.5 * math.Sqrt(p*(1-p)/n) }
	paper := PICAI()

	for axis := range 3 {
		got := count(Protocol{FlipProb: paper.FlipProb}, func(_ []float32, s *Sample) bool { return s.Affine[axis][axis] < 0 })
		assert.InDelta(t, 0.5, got, sd(0.5), "flip of axis %d", axis)
	}
	got := count(Protocol{Translate: [3]int{10, 10, 10}, TranslateProb: 0.2}, func(_ []float32, s *Sample) bool { return s.Affine != identity })
	assert.InDelta(t, 0.2, got, sd(0.2), "translation")
	got = count(Protocol{Noise: 0.1, NoiseProb: 0.4}, func(x []float32, _ *Sample) bool { return x[0] != plain.data[0] })
	assert.InDelta(t, 0.4, got, sd(0.4), "noise")

	low, high := 1.0, 1.0
	got = count(Protocol{Scale: 0.1, ScaleProb: 0.4}, func(x []float32, _ *Sample) bool {
		f := float64(x[0] / plain.data[0])
		low, high = min(low, f), max(high, f)
		assert.InDelta(t, f, x[11]/plain.data[11], 1e-6)
		return f != 1
	})
	assert.InDelta(t, 0.4, got, sd(0.4), "scale")
	assert.InDelta(t, 0.9, low, 0.001)
	assert.InDelta(t, 1.1, high, 0.001)

	low, high = 0, 0
	got = count(Protocol{Shift: 0.1, ShiftProb: 1}, func(x []float32, _ *Sample) bool {
		o := float64(x[0] - plain.data[0])
		low, high = min(low, o), max(high, o)
		return o != 0
	})
	assert.InDelta(t, 1, got, 0.002, "shift")
	assert.InDelta(t, -0.1, low, 0.001)
	assert.InDelta(t, 0.1, high, 0.001)
}

// TestNoiseFirst checks that noise before the normalization applies to raw intensities
// and leaves no zeros.
func TestNoiseFirst(t *testing.T) {
	prep := ones(1, [3]int{6, 6, 6}, identity)
	for i := range 100 {
		prep.image.data[i] = 0
	}
	p := Protocol{Noise: 0.1, NoiseProb: 1, NoiseFirst: true}
	x := p.train("x", prep, 3).Image.Data().([]float32)
	var sum float64
	for _, v := range x {
		assert.NotZero(t, v)
		sum += float64(v)
	}
	assert.InDelta(t, 0, sum/216, 1e-5, "all voxels are normalized together")
	p.NoiseFirst = false
	x = p.train("x", prep, 3).Image.Data().([]float32)
	for _, v := range x[:100] {
		assert.InDelta(t, 0, v, 0.6, "a zero stays near zero")
	}
}

func TestSampleOfFiles(t *testing.T) {
	dir := t.TempDir()
	c := Case{ID: "x", Images: []string{filepath.Join(dir, "a.nii.gz")}, Label: filepath.Join(dir, "l.nii.gz")}
	writeVolume(t, c.Images[0], 4, [3]int{20, 19, 18}, identity, counting)
	writeVolume(t, c.Label, 1, [3]int{20, 19, 18}, identity, sparse)
	p := BraTS()
	p.Crop = [3]int{17, 30, 16}
	s, err := p.Train(c, 7)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 4, 32, 32, 16}, s.Image.Shape())
	again, err := p.Train(c, 7)
	require.NoError(t, err)
	assert.Equal(t, bytesOf(s), bytesOf(again))
	v, err := p.Valid(c)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 4, 32, 32, 32}, v.Image.Shape(), "validation uses the whole volume")
	assert.Equal(t, tensor.Float32, v.Image.Dtype())
	assert.Equal(t, tensor.Uint8, v.Label.Dtype())

	q := PICAI()
	q.Size = [3]int{8, 10, 6}
	v, err = q.Valid(c)
	require.NoError(t, err)
	assert.Equal(t, tensor.Shape{1, 4, 8, 10, 6}, v.Image.Shape())
	assert.InDeltaSlice(t, []float64{2.5, 1.9, 3}, v.Spacing[:], 1e-9)
}

// TestScanExcludesPadding follows a volume of ones through crop, padding and flips: the
// padding is where the value is not 1, and Scan must cover the rest.
func TestScanExcludesPadding(t *testing.T) {
	p := Protocol{Crop: [3]int{7, 0, 5}, MinSize: [3]int{9, 0, 0}, Multiple: [3]int{4, 4, 4}, FlipProb: 0.5}
	dims := [3]int{10, 6, 5}
	ones := array[float32]{channels: 1, dims: dims, affine: identity, data: make([]float32, 300)}
	for i := range ones.data {
		ones.data[i] = 1
	}
	starts := map[[3]int]bool{}
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		image := rearrange(ones, p.crop(array[uint8]{}, dims, rng))
		pad := p.pad(image.dims)
		box := scanIn(pad, image.dims)
		image = rearrange(image, pad)
		flips := p.flips(image.dims, rng)
		box = box.flipped(flips)
		image = rearrange(image, flips)
		require.Equal(t, [3]int{12, 8, 8}, image.dims)
		require.Equal(t, [3]int{7, 6, 5}, box.Size)
		starts[box.Start] = true
		for i, v := range image.data {
			inside := true
			for a, at := range image.voxel(i) {
				inside = inside && at >= box.Start[a] && at < box.Start[a]+box.Size[a]
			}
			require.Equal(t, inside, v == 1, "seed %d, voxel %v of %v", seed, image.voxel(i), box)
		}
	}
	assert.Len(t, starts, 4, "7 in 12 and 5 in 8 are off center, so that flips of two axes move the box")
}
