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
	border := borderOf(insideOf(m, v, n), n)
	// A dark rim keeps bright colors visible on bright tissue.
	blend(img, stroke(border, n, width+1.6), color.Black, 0.55)
	blend(img, stroke(border, n, width), c, 1)
}

// insideOf returns which of n×n samples of the view's slice are inside of the mask: those
// where its bilinear interpolation is at least one half.
func insideOf(m surface.Mask, v view, n int) []bool {
	// The first index of a voxel falls along a row of samples, from left to right.
	type position struct {
		voxel int     // from the leftmost sample's on
		share float64 // of the next voxel
	}
	at := make([]position, n)
	right, _ := v.voxel(0.5/float64(n), 0, m.Spacing)
	left, _ := v.voxel((float64(n)-0.5)/float64(n), 0, m.Spacing)
	first := int(math.Floor(left))
	for x := range at {
		i, _ := v.voxel((float64(x)+0.5)/float64(n), 0, m.Spacing)
		floor := math.Floor(i)
		at[x] = position{int(floor) - first, i - floor}
	}
	line := make([]float64, int(math.Floor(right))-first+2)
	value := func(i, j int) float64 {
		if m.At(i, j, v.slice) {
			return 1
		}
		return 0
	}
	inside := make([]bool, n*n)
	for y := range n {
		_, j := v.voxel(0, (float64(y)+0.5)/float64(n), m.Spacing)
		floor := math.Floor(j)
		share, low := j-floor, int(floor)
		for i := range line {
			line[i] = (1-share)*value(first+i, low) + share*value(first+i, low+1)
		}
		row := inside[y*n:][:n]
		for x, p := range at {
			row[x] = (1-p.share)*line[p.voxel]+p.share*line[p.voxel+1] >= 0.5
		}
	}
	return inside
}

// borderOf returns the samples, of n to a row, whose right or lower neighbor differs.
func borderOf(inside []bool, n int) (border []image.Point) {
	for y := range n {
		for x := range n {
			at := y*n + x
			if x+1 < n && inside[at] != inside[at+1] || y+1 < n && inside[at] != inside[at+n] {
				border = append(border, image.Pt(x, y))
			}
		}
	}
	return border
}

// stroke returns the samples within half the width of a border.
func stroke(border []image.Point, n int, width float64) []bool {
	radius := width / 2 * lineSamples
	reach := int(math.Ceil(radius))
	var disk []image.Point
	for dy := -reach; dy <= reach; dy++ {
		for dx := -reach; dx <= reach; dx++ {
			if math.Hypot(float64(dx), float64(dy)) <= radius {
				disk = append(disk, image.Pt(dx, dy))
			}
		}
	}
	drawn := make([]bool, n*n)
	for _, at := range border {
		for _, d := range disk {
			if p := at.Add(d); p.X >= 0 && p.Y >= 0 && p.X < n && p.Y < n {
				drawn[p.Y*n+p.X] = true
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
