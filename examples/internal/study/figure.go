package main

import (
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/internal/atomicfile"
)

// colors are those of the tables, in their order.
var colors = []color.Color{color.RGBA{0x00, 0x72, 0xB2, 0xFF}, color.RGBA{0x99, 0x99, 0x99, 0xFF}, color.RGBA{0xD5, 0x5E, 0x00, 0xFF}}

// writeFigure plots the mean Dice of every loss with its interval, the first loss at the top,
// for each table.
func writeFigure(path string, tables []table) error {
	p := plot.New()
	p.Title.Text = "Foreground Dice of the patients with a lesion"
	p.X.Label.Text = "mean, 95 % interval"
	p.Title.Padding, p.Legend.Top = vg.Points(8), true
	losses := tables[0].arms
	names := make([]string, len(losses))
	for i, a := range losses {
		names[len(losses)-1-i] = a.title
	}
	p.NominalY(names...)
	p.Add(plotter.NewGrid())
	for k, t := range tables {
		var points plotter.XYs
		var errors plotter.XErrors
		for i := range t.arms {
			if len(t.arms[i].cases) == 0 {
				continue
			}
			scores, err := t.arms[i].scores()
			if err != nil {
				return err
			}
			dice := scores[0]
			if dice.n == 0 {
				continue
			}
			// The tables lie above each other around the line of the loss.
			y := float64(len(losses)-1-i) + 0.22*(float64(len(tables)-1)/2-float64(k))
			points = append(points, plotter.XY{X: dice.value, Y: y})
			errors = append(errors, struct{ Low, High float64 }{dice.value - dice.lower, dice.upper - dice.value})
		}
		if len(points) == 0 {
			continue
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: colors[k%len(colors)], Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
		bars, err := plotter.NewXErrorBars(struct {
			plotter.XYs
			plotter.XErrors
		}{points, errors})
		if err != nil {
			return err
		}
		bars.Color, bars.CapWidth = colors[k%len(colors)], 0
		p.Add(bars, scatter)
		p.Legend.Add(t.title, scatter)
	}
	// Room for the legend above the first loss, and for the ends of intervals.
	p.Y.Max += 0.5 + 0.7*float64(len(tables))
	p.X.Max += 0.03 * (p.X.Max - p.X.Min)
	canvas := vgimg.NewWith(vgimg.UseWH(20*vg.Centimeter, vg.Length(5+0.7*float64(len(losses)))*vg.Centimeter), vgimg.UseDPI(110))
	margin := vg.Points(10)
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}
