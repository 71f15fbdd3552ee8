// Package workload makes the inputs of the benchmarks and counts the least work that
// evaluating a loss on them takes.
package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is the shape of a batch.
type Size struct {
	Name     string
	Samples  int
	Channels int
	Space    [3]int     // of an image H×W×1
	Image    bool       // 2-D: the last axis, of one voxel, is no axis of the tensors
	Spacing  [3]float64 // mm
}

// The sizes of the two programs' inputs, and a batch of eight of the second.
var (
	PICAI  = Size{Name: "picai", Samples: 1, Channels: 2, Space: [3]int{160, 128, 24}, Spacing: [3]float64{0.5, 0.5, 3}}
	BraTS  = Size{Name: "brats", Samples: 1, Channels: 2, Space: [3]int{224, 224, 144}, Spacing: [3]float64{1, 1, 1}}
	BraTS8 = Size{Name: "brats8", Samples: 8, Channels: 2, Space: BraTS.Space, Spacing: BraTS.Spacing}
)

// Quick is for tests and trial runs: odd edges, several strips, the last one partial.
var Quick = NewSize([3]int{41, 33, 11})

// Images is a batch of 2-D images, and QuickImages one for tests and trial runs.
var (
	Images      = NewImages(8, 512, 512)
	QuickImages = NewImages(3, 41, 33)
)

// NewImages returns the size of a batch of 2-D images of two channels, named N×H×W.
func NewImages(n, h, w int) Size {
	return Size{
		Name:    fmt.Sprintf("%dx%dx%d", n, h, w),
		Samples: n, Channels: 2, Space: [3]int{h, w, 1}, Image: true, Spacing: [3]float64{1, 1, 1},
	}
}

// NewSize returns a size of one sample and two channels, named X×Y×Z, with a spacing of 1 mm.
func NewSize(space [3]int) Size {
	return Size{
		Name:    fmt.Sprintf("%dx%dx%d", space[0], space[1], space[2]),
		Samples: 1, Channels: 2, Space: space, Spacing: [3]float64{1, 1, 1},
	}
}

// ParseSizes reads the value of a flag -sizes: a list of picai, brats, brats8 and
// sizes such as 160x128x24, none of them twice.
func ParseSizes(list string) ([]Size, error) {
	var sizes []Size
	for _, word := range strings.Split(list, ",") {
		s, err := parseSize(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		for _, other := range sizes {
			if other == s {
				return nil, fmt.Errorf("-sizes names %s twice", s.Name)
			}
		}
		sizes = append(sizes, s)
	}
	return sizes, nil
}

func parseSize(word string) (Size, error) {
	for _, s := range []Size{PICAI, BraTS, BraTS8} {
		if s.Name == word {
			return s, nil
		}
	}
	var space [3]int
	edges := strings.Split(word, "x")
	if len(edges) != len(space) {
		return Size{}, fmt.Errorf("-sizes has %q, want picai, brats, brats8 or three edges such as 160x128x24", word)
	}
	for i, e := range edges {
		v, err := strconv.Atoi(e)
		// Below 8 a lesion does not fit; the upper bound keeps a mistyped number from
		// using up the memory.
		if err != nil || v < 8 || v > 1024 {
			return Size{}, fmt.Errorf("-sizes has the edge %q in %q, want a number from 8 to 1024", e, word)
		}
		space[i] = v
	}
	return NewSize(space), nil
}

// Shape is that of the logits.
func (s Size) Shape() []int { return append([]int{s.Samples, s.Channels}, s.space()...) }

// LabelShape is that of class indices.
func (s Size) LabelShape() []int { return append([]int{s.Samples}, s.space()...) }

// space is the axes of one image.
func (s Size) space() []int {
	if s.Image {
		return s.Space[:2]
	}
	return s.Space[:]
}

// ImageVoxels is the number of voxels of one sample.
func (s Size) ImageVoxels() int { return s.Space[0] * s.Space[1] * s.Space[2] }

// Voxels is the number of voxels of the batch.
func (s Size) Voxels() int { return s.Samples * s.ImageVoxels() }

// String names the shape of the logits: 1×2×160×128×24.
func (s Size) String() string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Shape()), "[]"), " ", "×")
}
