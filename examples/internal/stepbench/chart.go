package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/internal/atomicfile"
)

// series is the bars of one color: one for each group, none where it is NaN.
type series struct {
	name   string
	ratios []float64
}

// writeChart draws for each network the time of PyTorch in each mode over ours, with a line
// where both are equally fast.
func writeChart(path string, results []*result) error {
	names := make([]string, len(results))
	for i, r := range results {
		names[i] = r.network
	}
	var all []series
	for _, who := range others(results) {
		if !strings.HasPrefix(who, "PyTorch ") {
			continue
		}
		s := series{who, make([]float64, len(results))}
		for n, r := range results {
			s.ratios[n] = r.seconds(who) / r.seconds(ours(results))
		}
		all = append(all, s)
	}
	return drawRatios(path, "Training step: time of PyTorch over time of afl", names, all)
}

// drawRatios draws groups of bars, with a line at 1.
func drawRatios(path, title string, groups []string, all []series) error {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "speed relative to PyTorch"
	p.Y.Min = 0
	p.Legend.Top = true
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)

	width := vg.Points(54 / float64(len(all)))
	for i, s := range all {
		heights := make(plotter.Values, len(groups))
		for n, ratio := range s.ratios {
			if !math.IsNaN(ratio) {
				heights[n] = ratio
			}
		}
		bars, err := plotter.NewBarChart(heights, width)
		if err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		bars.Color = report.Color(i)
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(all)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.name, bars)
	}
	even, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: 1}, {X: float64(len(groups)) - 0.5, Y: 1}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	p.Add(even)
	p.NominalX(groups...)
	p.Y.Max *= 1 + 0.08*float64(len(all)) // the legend

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(120+76*len(groups))), vg.Points(360)), vgimg.UseDPI(110))
	p.Draw(draw.New(canvas))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}
