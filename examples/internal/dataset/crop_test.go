package dataset

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/segment"
)

// labelOf returns a label of the given size with the given codes at some voxels.
func labelOf(dims [3]int, codes map[[3]int]uint8) array[uint8] {
	label := array[uint8]{channels: 1}.empty(dims, identity)
	for v, code := range codes {
		label.data[(v[0]*dims[1]+v[1])*dims[2]+v[2]] = code
	}
	return label
}

// TestForegroundCrop draws many crops of a label with two lesions of very different size and
// checks where they are.
func TestForegroundCrop(t *testing.T) {
	dims := [3]int{20, 12, 3}
	small, corner := [3]int{10, 6, 1}, [3]int{19, 0, 0}
	codes := map[[3]int]uint8{small: 1, corner: 2}
	for y := 1; y < 8; y++ {
		codes[[3]int{19, y, 0}] = 2
	}
	label := labelOf(dims, codes)
	classes := segment.Scheme{Kind: segment.Classes, Segments: []segment.Segment{{Name: "a", Labels: []int{1}}, {Name: "b", Labels: []int{2}}, {Name: "none", Labels: []int{3}}}}
	regions := segment.Scheme{Kind: segment.Regions, Segments: []segment.Segment{{Name: "all", Labels: []int{1, 2}}, {Name: "part", Labels: []int{2}}}}
	const n = 4000
	for name, c := range map[string]struct {
		scheme segment.Scheme
		// centered is the share of the crops that must be around the small lesion.
		centered float64
	}{
		"binary":  {segment.Scheme{}, 1.0 / 9}, // one of nine voxels
		"classes": {classes, 1.0 / 2},          // one of two classes
		"regions": {regions, 1.0 / 18},         // one of nine voxels of one of two regions
	} {
		t.Run(name, func(t *testing.T) {
			label := label
			if name == "regions" {
				label = labelOf(dims, codes)
				for i, code := range label.data {
					label.data[i] = map[uint8]uint8{0: 0, 1: 0b01, 2: 0b11}[code]
				}
			}
			p := Protocol{Crop: [3]int{7, 6, 5}, Foreground: 1, Scheme: c.scheme}
			rng := rand.New(rand.NewPCG(1, 2))
			around := 0
			for range n {
				r := p.crop(label, dims, rng)
				require.Equal(t, [3]int{7, 6, 3}, r.dims, "the third axis is shorter than the crop")
				if r.start == [3]int{10 - 3, 6 - 3, 0} {
					around++
					continue
				}
				// The others are around a voxel at the end of the first axis, moved back into
				// the volume.
				require.Equal(t, 13, r.start[0])
				require.LessOrEqual(t, r.start[1], 7-3)
			}
			assert.InDelta(t, c.centered, float64(around)/n, 0.03)
		})
	}
}

func TestForegroundShare(t *testing.T) {
	dims := [3]int{101, 1, 1}
	label := labelOf(dims, map[[3]int]uint8{{50, 0, 0}: 1})
	p := Protocol{Crop: [3]int{2, 0, 0}, Foreground: 0.33}
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 5000
	hits, starts := 0, map[int]bool{}
	for range n {
		r := p.crop(label, dims, rng)
		starts[r.start[0]] = true
		if r.start[0] == 49 { // voxel ⌊2/2⌋ of the crop is the lesion
			hits++
		}
	}
	assert.InDelta(t, 0.33+0.67/100, float64(hits)/n, 0.03)
	assert.Len(t, starts, 100, "the others are anywhere")

	// A case without foreground and one without a label are cropped anywhere, too.
	for _, label := range []array[uint8]{labelOf(dims, nil), {}} {
		starts := map[int]bool{}
		for range 2000 {
			starts[p.crop(label, dims, rng).start[0]] = true
		}
		assert.Len(t, starts, 100)
	}
}

// TestForegroundIsOptional: without it, the draws are those of a random crop alone.
func TestForegroundIsOptional(t *testing.T) {
	dims := [3]int{30, 20, 10}
	label := labelOf(dims, map[[3]int]uint8{{1, 1, 1}: 1})
	a, b := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 1))
	for range 20 {
		r := Protocol{Crop: [3]int{8, 25, 8}}.crop(label, dims, a)
		assert.Equal(t, [3]int{b.IntN(23), 0, b.IntN(3)}, r.start)
	}
}

func TestCheckOfForeground(t *testing.T) {
	assert.ErrorContains(t, Protocol{Crop: [3]int{8, 8, 8}, Foreground: 1.5}.Check(), "Protocol.Foreground is 1.5")
	assert.ErrorContains(t, Protocol{Foreground: 0.5}.Check(), "no Crop")
	assert.NoError(t, Protocol{Crop: [3]int{8, 8, 8}, Foreground: 1}.Check())
}

// TestTranslatedCrop: a translation moves the crop within the volume, so that voxels of the
// volume enter it, and not zeros.
func TestTranslatedCrop(t *testing.T) {
	prep := ones(1, [3]int{40, 3, 3}, identity)
	p := Protocol{Crop: [3]int{10, 0, 0}, Translate: [3]int{4, 0, 0}, TranslateProb: 1}
	outside := 0
	for seed := range uint64(50) {
		s := p.train("x", prep, seed)
		require.Equal(t, []int{1, 10, 3, 3}, []int(s.Label.Shape()))
		zeros := 0
		for _, v := range s.Label.Data().([]uint8) {
			if v == 0 {
				zeros++
			}
		}
		require.LessOrEqual(t, zeros, 4*9)
		if zeros > 0 {
			outside++
		}
	}
	assert.Less(t, outside, 25, "only crops at the end of the volume reach beyond it")
	assert.Positive(t, outside)
}
