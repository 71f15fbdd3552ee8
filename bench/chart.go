package main

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

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

// writeChart draws the ratios as bars, upwards where afl is faster and downwards
// where PyTorch is, twice as fast being the same step in both: a group a loss
// (with its gradient) or pair of masks, a colour a size and number of cores.
func (r *report) writeChart(path string) error {
	p := plot.New()
	p.Title.Text = "Time of PyTorch (SciPy for the surfaces) over time of afl, forward and gradient"
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = "times as fast as PyTorch"
	p.Y.Tick.Marker = ratioTicks{}
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)

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
		values[s][position[row.title]] = math.Log2(row.ratio())
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
	even, err := plotter.NewLine(plotter.XYs{{X: -0.5}, {X: float64(len(names)) - 0.5}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	p.Add(even)
	p.NominalX(names...)
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign = draw.XRight
	p.X.Tick.Label.YAlign = draw.YTop
	// Whole steps that hold 1 and 2, and one for the legend.
	p.Y.Min, p.Y.Max = min(0, math.Floor(p.Y.Min)), max(1, math.Ceil(p.Y.Max))+1

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(140+60*len(names))), vg.Points(420)), vgimg.UseDPI(110))
	p.Draw(draw.New(canvas))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}

// ratioTicks marks an axis of binary logarithms with the powers of two.
type ratioTicks struct{}

func (ratioTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for i := math.Ceil(lo); i <= hi; i++ {
		label := strconv.FormatFloat(math.Exp2(i), 'f', -1, 64)
		if i < 0 {
			label = "1/" + strconv.FormatFloat(math.Exp2(-i), 'f', -1, 64)
		}
		ticks = append(ticks, plot.Tick{Value: i, Label: label})
	}
	return ticks
}
