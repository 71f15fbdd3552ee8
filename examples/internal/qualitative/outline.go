package qualitative

import (
	"image"
	"image/color"
	"math"

	"github.com/x/afl/examples/internal/surface"
)

// lineSamples is the number of samples of a pixel along each side in outlines.
const lineSamples = 3

// drawOutline draws the outline of a mask over the picture of the view's slice: the line
// where the bilinear interpolation of the mask is one half. The width is in pixels.
func drawOutline(img *image.RGBA, m surface.Mask, v view, width float64, c color.Color) {
	n := img.Rect.Dx() * lineSamples
	value := func(i, j int) float64 {
		if m.At(i, j, v.slice) {
			return 1
		}
		return 0
	}
	inside := make([]bool, n*n)
	for y := range n {
		for x := range n {
			i, j := v.voxel((float64(x)+0.5)/float64(n), (float64(y)+0.5)/float64(n), m.Spacing)
			inside[y*n+x] = bilinear(value, i, j) >= 0.5
		}
	}
	// A dark rim keeps bright colors visible on bright tissue.
	blend(img, stroke(inside, n, width+1.6), color.Black, 0.55)
	blend(img, stroke(inside, n, width), c, 1)
}

// stroke returns the samples within half the width of a border between inside and outside.
func stroke(inside []bool, n int, width float64) []bool {
	radius := width / 2 * lineSamples
	reach := int(math.Ceil(radius))
	var disk [][2]int
	for dy := -reach; dy <= reach; dy++ {
		for dx := -reach; dx <= reach; dx++ {
			if math.Hypot(float64(dx), float64(dy)) <= radius {
				disk = append(disk, [2]int{dx, dy})
			}
		}
	}
	drawn := make([]bool, n*n)
	for y := range n {
		for x := range n {
			at := y*n + x
			if !(x+1 < n && inside[at] != inside[at+1] || y+1 < n && inside[at] != inside[at+n]) {
				continue
			}
			for _, d := range disk {
				if px, py := x+d[0], y+d[1]; px >= 0 && py >= 0 && px < n && py < n {
					drawn[py*n+px] = true
				}
			}
		}
	}
	return drawn
}

// blend paints the drawn samples over a picture.
func blend(img *image.RGBA, drawn []bool, c color.Color, opacity float64) {
	pixels := img.Rect.Dx()
	n := pixels * lineSamples
	top := color.RGBAModel.Convert(c).(color.RGBA)
	for y := range pixels {
		for x := range pixels {
			covered := 0
			for s := range lineSamples * lineSamples {
				if drawn[(y*lineSamples+s/lineSamples)*n+x*lineSamples+s%lineSamples] {
					covered++
				}
			}
			if covered == 0 {
				continue
			}
			alpha := opacity * float64(covered) / (lineSamples * lineSamples)
			mix := func(under, over uint8) uint8 {
				return uint8(math.Round((1-alpha)*float64(under) + alpha*float64(over)))
			}
			u := img.RGBAAt(x, y)
			img.SetRGBA(x, y, color.RGBA{mix(u.R, top.R), mix(u.G, top.G), mix(u.B, top.B), 0xFF})
		}
	}
}
