package report

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

// Palette is Okabe and Ito's palette, whose colors color-blind readers can tell apart.
var Palette = []color.Color{
	color.RGBA{0x56, 0xB4, 0xE9, 0xFF},
	color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF},
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF},
	color.RGBA{0x00, 0x9E, 0x73, 0xFF},
	color.RGBA{0xCC, 0x79, 0xA7, 0xFF},
}

// Bars is a chart of ratios: a group of bars for each thing compared with a bar for each
// series, on a logarithmic axis that crosses at 1.
type Bars struct {
	Title, Axis string
	Groups      []string
	Series      []Series
}

// Series is the bars of one color.
type Series struct {
	Name   string
	Ratios []float64 // one for each group, NaN for no bar
}

// NewSeries returns a series without bars for the given number of groups.
func NewSeries(name string, groups int) Series {
	s := Series{name, make([]float64, groups)}
	for i := range s.Ratios {
		s.Ratios[i] = math.NaN()
	}
	return s
}

// Write draws the chart to a PNG file.
func (c Bars) Write(path string) error {
	p := plot.New()
	p.Title.Text = c.Title
	p.Title.Padding = vg.Points(8)
	p.Y.Label.Text = c.Axis
	p.Y.Tick.Marker = ratioTicks{}
	p.Legend.Top = true
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)

	width := vg.Points(48 / float64(len(c.Series)))
	for i, s := range c.Series {
		heights := make(plotter.Values, len(c.Groups))
		for at, ratio := range s.Ratios {
			if !math.IsNaN(ratio) {
				heights[at] = math.Log2(ratio)
			}
		}
		bars, err := plotter.NewBarChart(heights, width)
		if err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
		bars.Color = Palette[i%len(Palette)]
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(c.Series)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.Name, bars)
	}
	even, err := plotter.NewLine(plotter.XYs{{X: -0.5}, {X: float64(len(c.Groups)) - 0.5}})
	if err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	p.Add(even)
	p.NominalX(c.Groups...)
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign = draw.XRight
	p.X.Tick.Label.YAlign = draw.YTop
	// Powers of two that include 1 and 2, and one more for the legend.
	p.Y.Min, p.Y.Max = min(0, math.Floor(p.Y.Min)), max(1, math.Ceil(p.Y.Max))+1

	canvas := vgimg.NewWith(vgimg.UseWH(vg.Points(float64(140+60*len(c.Groups))), vg.Points(420)), vgimg.UseDPI(110))
	p.Draw(draw.New(canvas))
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
		return err
	})
}

// ratioTicks labels an axis of binary logarithms with powers of two.
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
