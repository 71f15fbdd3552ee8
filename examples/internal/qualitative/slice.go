package qualitative

import (
	"image"
	"image/color"
	"math"
	"slices"

	"github.com/x/afl/examples/internal/surface"
)

// noImage is the color where there is no image: beyond its border, or where it is not
// finite.
var noImage = color.RGBA{0x22, 0x26, 0x33, 0xFF}

// drawSlice draws the view's slice of an image on the grid of a mask.
func drawSlice(scan []float32, grid surface.Mask, v view, pixels int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, pixels, pixels))
	value := func(i, j int) float64 {
		if i < 0 || j < 0 || i >= grid.Dims[0] || j >= grid.Dims[1] {
			return math.NaN()
		}
		return float64(scan[(i*grid.Dims[1]+j)*grid.Dims[2]+v.slice])
	}
	at := func(x, y int) float64 {
		i, j := v.voxel((float64(x)+0.5)/float64(pixels), (float64(y)+0.5)/float64(pixels), grid.Spacing)
		if b := bilinear(value, i, j); finite(b) {
			return b
		}
		return value(int(math.Round(i)), int(math.Round(j)))
	}
	all := make([]float64, 0, pixels*pixels)
	for y := range pixels {
		for x := range pixels {
			all = append(all, at(x, y))
		}
	}
	lo, hi := window(all)
	for n, value := range all {
		c := noImage
		if finite(value) {
			gray := uint8(0x80)
			if hi > lo {
				gray = uint8(math.Round(255 * min(max((value-lo)/(hi-lo), 0), 1)))
			}
			c = color.RGBA{gray, gray, gray, 0xFF}
		}
		img.SetRGBA(n%pixels, n/pixels, c)
	}
	return img
}

// window returns the 1st and the 99th percentile of the finite values.
func window(values []float64) (lo, hi float64) {
	sorted := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return !finite(v) })
	if len(sorted) == 0 {
		return 0, 0
	}
	slices.Sort(sorted)
	last := float64(len(sorted) - 1)
	return sorted[int(0.01*last)], sorted[int(math.Ceil(0.99*last))]
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// bilinear interpolates between the four values around (i,j).
func bilinear(value func(i, j int) float64, i, j float64) float64 {
	i0, j0 := math.Floor(i), math.Floor(j)
	u, w := i-i0, j-j0
	a, b := int(i0), int(j0)
	// A weight of 0 must not multiply a value that is not finite.
	along := func(i int) float64 {
		if w == 0 {
			return value(i, b)
		}
		return (1-w)*value(i, b) + w*value(i, b+1)
	}
	if u == 0 {
		return along(a)
	}
	return (1-u)*along(a) + u*along(a+1)
}
