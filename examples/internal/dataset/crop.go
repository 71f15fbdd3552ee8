package dataset

import (
	"math/rand/v2"

	"github.com/x/afl/examples/internal/segment"
)

// crop draws the region of step 5 of Protocol in a volume of the given size. label has no
// voxels if the case has no label.
func (p Protocol) crop(label array[uint8], dims [3]int, rng *rand.Rand) rearrangement {
	size := dims
	for i, c := range p.Crop {
		if c > 0 && c < dims[i] {
			size[i] = c
		}
	}
	if p.Foreground > 0 && rng.Float64() < p.Foreground {
		if center, ok := p.foregroundVoxel(label, rng); ok {
			var start [3]int
			for i, at := range center {
				start[i] = min(max(at-size[i]/2, 0), dims[i]-size[i])
			}
			return window(start, size)
		}
	}
	var start [3]int
	for i := range start {
		if size[i] < dims[i] {
			start[i] = rng.IntN(dims[i] - size[i] + 1)
		}
	}
	return window(start, size)
}

// foregroundVoxel draws one of the classes or regions that the label contains, each with the
// same probability, and one of its voxels. It returns false if the label is empty.
func (p Protocol) foregroundVoxel(label array[uint8], rng *rand.Rand) (voxel [3]int, ok bool) {
	var codes [256]int // number of voxels of each code
	for _, code := range label.data {
		codes[code]++
	}
	// has reports whether a code belongs to a class or region, numbered from 0.
	segments, has := len(p.Scheme.Segments), func(code, segment int) bool { return code == segment+1 }
	switch p.Scheme.Kind {
	case segment.Binary:
		segments, has = 1, func(code, _ int) bool { return code != 0 }
	case segment.Regions:
		has = func(code, region int) bool { return code>>region&1 == 1 }
	}
	var present, voxels []int
	for s := range segments {
		n := 0
		for code, count := range codes {
			if has(code, s) {
				n += count
			}
		}
		if n > 0 {
			present, voxels = append(present, s), append(voxels, n)
		}
	}
	if len(present) == 0 {
		return voxel, false
	}
	drawn := rng.IntN(len(present))
	left := rng.IntN(voxels[drawn])
	for i, code := range label.data {
		if !has(int(code), present[drawn]) {
			continue
		}
		if left == 0 {
			y, z := label.dims[1], label.dims[2]
			return [3]int{i / (y * z), i / z % y, i % z}, true
		}
		left--
	}
	return voxel, false // not reached: the counts are those of the label
}
