package main

import (
	"fmt"
	"strconv"
	"strings"
)

// size is the shape of a batch of one sample and two classes.
type size struct {
	name    string
	space   [3]int
	spacing [3]float64 // mm
}

const channels = 2

// knownSizes are the inputs of the two programs.
var knownSizes = []size{
	{name: "picai", space: [3]int{160, 128, 24}, spacing: [3]float64{0.5, 0.5, 3}},
	{name: "brats", space: [3]int{224, 224, 144}, spacing: [3]float64{1, 1, 1}},
}

// quickSize has odd edges, several tiles and a ragged last one.
var quickSize = newSize([3]int{41, 33, 11})

// newSize returns a size of its own, named X×Y×Z, with a spacing of 1 mm.
func newSize(space [3]int) size {
	s := size{space: space, spacing: [3]float64{1, 1, 1}}
	s.name = fmt.Sprintf("%dx%dx%d", space[0], space[1], space[2])
	return s
}

// parseSizes reads a list of names of known sizes and of X×Y×Z written as
// 160x128x24.
func parseSizes(list string) ([]size, error) {
	var sizes []size
next:
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		for _, s := range knownSizes {
			if s.name == word {
				sizes = append(sizes, s)
				continue next
			}
		}
		var space [3]int
		edges := strings.Split(word, "x")
		if len(edges) != len(space) {
			return nil, fmt.Errorf("-sizes has %q, want picai, brats or three edges such as 160x128x24", word)
		}
		for i, e := range edges {
			v, err := strconv.Atoi(e)
			// Below 8 there is no room for a lesion; the upper bound keeps a
			// mistyped number from taking all memory.
			if err != nil || v < 8 || v > 1024 {
				return nil, fmt.Errorf("-sizes has the edge %q in %q, want a number from 8 to 1024", e, word)
			}
			space[i] = v
		}
		sizes = append(sizes, newSize(space))
	}
	return sizes, nil
}

// shape is that of the logits.
func (s size) shape() []int { return append([]int{1, channels}, s.space[:]...) }

func (s size) voxels() int { return s.space[0] * s.space[1] * s.space[2] }

// String names the shape of the logits: 1×2×160×128×24.
func (s size) String() string {
	return fmt.Sprintf("1×%d×%d×%d×%d", channels, s.space[0], s.space[1], s.space[2])
}
