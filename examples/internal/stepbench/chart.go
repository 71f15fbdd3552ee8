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

// writeChart draws the ratio of each network as a bar, with a line where both are equally
// fast.
func writeChart(path string, results []*result) error {
	p := plot.New()
	p.Title.Text = "Training step: time of PyTorch over time of afl"
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "speed relative to PyTorch"
	p.Y.Min = 0
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)

	heights := make(plotter.Values, len(results))
	names := make([]string, len(results))
	for i, r := range results {
		heights[i], names[i] = r.ratio(), r.name
	}
	bars, err := plotter.NewBarChart(heights, vg.Points(28))
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	bars.Color = color.RGBA{0x00, 0x72, 0xB2, 0xFF}
	bars.LineStyle.Width = 0
	even, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: 1}, {X: float64(len(results)) - 0.5, Y: 1}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	p.Add(bars, even)
	p.NominalX(names...)

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(120+76*len(results))), vg.Points(320)), vgimg.UseDPI(110))
	p.Draw(draw.New(canvas))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}
