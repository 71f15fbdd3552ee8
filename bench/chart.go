package main

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/internal/atomicfile"
)

// Okabe and Ito's palette, which stays apart for colour-blind eyes.
var palette = []color.Color{
	color.RGBA{0x56, 0xB4, 0xE9, 0xFF},
	color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF},
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF},
	color.RGBA{0x00, 0x9E, 0x73, 0xFF},
	color.RGBA{0xCC, 0x79, 0xA7, 0xFF},
}

// writeChart draws the ratios as bars: a group a loss (with its gradient) or
// pair of masks, a colour a size and number of cores.
func (r *report) writeChart(path string) error {
	p := plot.New()
	p.Title.Text = "Time of PyTorch (SciPy for the surfaces) over time of afl, forward and gradient"
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "times as fast as PyTorch"
	p.Y.Min = 0
	p.Legend.Top = true

	var names []string // of the groups
	position := map[string]int{}
	var series []string
	values := map[string]map[int]float64{}
	for _, row := range r.rows {
		if row.pass == passForward {
			continue
		}
		if _, ok := position[row.title]; !ok {
			position[row.title] = len(names)
			names = append(names, row.title)
		}
		s := fmt.Sprintf("%s, %s", row.size.name, plural(row.cores, "core"))
		if values[s] == nil {
			series = append(series, s)
			values[s] = map[int]float64{}
		}
		values[s][position[row.title]] = row.ratio()
	}

	width := vg.Points(48 / float64(len(series)))
	for i, s := range series {
		heights := make(plotter.Values, len(names))
		for at, v := range values[s] {
			heights[at] = v
		}
		bars, err := plotter.NewBarChart(heights, width)
		if err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		bars.Color = palette[i%len(palette)]
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(series)-1)/2)
		p.Add(bars)
		p.Legend.Add(s, bars)
	}
	even, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: 1}, {X: float64(len(names)) - 0.5, Y: 1}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	even.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(even)
	p.Legend.Add("as fast as PyTorch", even)
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign = draw.XRight
	p.X.Tick.Label.YAlign = draw.YTop
	p.Y.Max *= 1.15 // room for the legend

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(140+60*len(names))), vg.Points(420)), vgimg.UseDPI(110))
	p.Draw(draw.New(canvas))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}
