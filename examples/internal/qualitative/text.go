package qualitative

import (
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// alignment is the share of a text's width that is to the left of its position.
type alignment float64

const (
	leftAligned alignment = 0
	centered    alignment = 0.5
)

// subscripted is the word that texts contain for γ with the index mSa.
const subscripted, subscript = "γ_mSa", "mSa"

func style(points float64, c color.Color) text.Style {
	face := font.From(plot.DefaultFont, vg.Points(points))
	face.Variant = "Sans"
	return text.Style{Color: c, Font: face, YAlign: text.YCenter, Handler: plot.DefaultTextHandler}
}

// run is a piece of a line in one size.
type run struct {
	text  string
	style text.Style
	drop  vg.Length // below the line
}

// runs divides a line at the subscripts.
func runs(line string, points float64, c color.Color) (all []run, width vg.Length) {
	for i, part := range strings.Split(line, subscripted) {
		if i > 0 {
			all = append(all, run{text: "γ", style: style(points, c)},
				run{text: subscript, style: style(0.72*points, c), drop: vg.Points(0.22 * points)})
		}
		if part != "" {
			all = append(all, run{text: part, style: style(points, c)})
		}
	}
	for _, r := range all {
		width += r.style.Width(r.text)
	}
	return all, width
}

// length converts pixels to a length.
func length(pixels int) vg.Length { return vg.Length(pixels) * vg.Inch / dpi }

// text writes a line whose middle is at a height. Pixels count from the upper left.
func (s *sheet) text(line string, x, y int, points float64, c color.Color, align alignment) {
	all, width := runs(line, points, c)
	at := vg.Point{X: length(x) - vg.Length(align)*width, Y: length(s.pixels.Bounds().Dy() - y)}
	for _, r := range all {
		r.style.Handler.Draw(s.canvas, r.text, r.style, vg.Point{X: at.X, Y: at.Y - r.drop})
		at.X += r.style.Width(r.text)
	}
}

// fitted writes a centered line, smaller where it would be longer than the pixels.
func (s *sheet) fitted(line string, x, y int, points float64, c color.Color, pixels int) {
	s.text(line, x, y, fit(line, points, pixels), c, centered)
}

// fit returns the size, at most the given one, at which a line is no longer than the pixels.
func fit(line string, points float64, pixels int) float64 {
	_, width := runs(line, points, ink)
	return points * math.Min(1, float64(length(pixels)/width))
}

// vertical writes a line from bottom to top, centered at (x,y).
func (s *sheet) vertical(line string, x, y int, points float64, pixels int) {
	sty := style(fit(line, points, pixels), ink)
	sty.Rotation = math.Pi / 2
	sty.XAlign = text.XCenter
	sty.Handler.Draw(s.canvas, line, sty, vg.Point{X: length(x), Y: length(s.pixels.Bounds().Dy() - y)})
}
