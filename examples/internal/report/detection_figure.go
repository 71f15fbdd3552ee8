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
)

// WriteDetectionPNG draws the curves of detection of one network side by side, with one color
// per loss: precision-recall, ROC, and FROC with a logarithmic number of false positives.
// With several seeds each has a curve.
func (r *Run) WriteDetectionPNG(path, network string) error {
	curves, err := r.DetectionCurves(network)
	if err != nil {
		return err
	}
	plots := [][]*plot.Plot{{}}
	var legend plot.Legend
	for _, kind := range CurveKinds() {
		p := newDetectionPlot(kind, curves)
		entries, err := addDetectionCurves(p, kind, curves)
		if err != nil {
			return err
		}
		plots[0] = append(plots[0], p)
		if kind == PrecisionRecall {
			legend = entries
		}
	}

	const side, legendWidth, titleHeight, gap = 4 * vg.Inch, 1.8 * vg.Inch, 0.35 * vg.Inch, 0.15 * vg.Inch
	width := vg.Length(len(plots[0]))*side + legendWidth
	img := vgimg.New(width, side+titleHeight)
	dc := draw.New(img)
	title := r.Title
	if r.several() {
		title = fmt.Sprintf("%s: %s", network, r.Title)
	}
	style := plots[0][0].Title.TextStyle
	style.YAlign = draw.YTop
	dc.FillText(style, vg.Point{X: (width - legendWidth) / 2, Y: side + titleHeight - vg.Points(4)}, title+runIDs(r.Results))
	tiles := draw.Tiles{Rows: 1, Cols: len(plots[0]), PadX: gap, PadLeft: gap / 2, PadRight: gap / 2, PadBottom: gap / 2}
	for i, c := range plot.Align(plots, tiles, draw.Crop(dc, 0, -legendWidth, 0, -titleHeight))[0] {
		plots[0][i].Draw(c)
	}
	legend.Top, legend.Left = true, true
	legend.Draw(draw.Crop(dc, width-legendWidth+vg.Points(4), 0, 0, -titleHeight-vg.Points(24)))
	return writeFile(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
		return err
	})
}

// newDetectionPlot returns the axes of a kind of curve.
func newDetectionPlot(kind CurveKind, curves []DetectionCurve) *plot.Plot {
	p := plot.New()
	p.Title.Padding = vg.Points(6)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 1, 0, 1
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = kind.Titles()
	if kind == FROC {
		p.X.Min, p.X.Max = FROCRange(curves)
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decadeTicks{}
	}
	p.Add(plotter.NewGrid())
	return p
}

// FROCRange returns the whole decades from one false positive in all cases, but at most 0.1
// per case, to the largest number, but at least 10.
func FROCRange(curves []DetectionCurve) (lo, hi float64) {
	cases, most := 10, 10.0
	for _, c := range curves {
		if c.Kind == FROC && len(c.Points) > 0 {
			cases, most = max(cases, c.Cases), max(most, c.Points[len(c.Points)-1].X)
		}
	}
	return math.Pow10(-int(math.Ceil(math.Log10(float64(cases))))), math.Pow10(int(math.Ceil(math.Log10(most))))
}

// addDetectionCurves draws the curves of one kind and returns their legend.
func addDetectionCurves(p *plot.Plot, kind CurveKind, curves []DetectionCurve) (plot.Legend, error) {
	legend := plot.NewLegend()
	legend.ThumbnailWidth, legend.Padding = vg.Points(24), vg.Points(2)
	if kind == ROC {
		chance, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}})
		if err != nil {
			return legend, fmt.Errorf("report: %s: %w", kind, err)
		}
		chance.Color, chance.Dashes = color.Gray{0xA0}, []vg.Length{vg.Points(3), vg.Points(3)}
		p.Add(chance)
	}
	named := map[string]bool{}
	colors, drawn := 0, false
	for _, c := range curves {
		colors = max(colors, c.Color+1)
	}
	for _, c := range curves {
		if c.Kind != kind {
			continue
		}
		// Later curves are drawn over earlier ones, which stay visible beside them where they
		// are equal.
		style := draw.LineStyle{Color: Color(c.Color), Width: vg.Points(1 + 3*float64(colors-1-c.Color)/float64(colors))}
		if !named[c.Name] {
			named[c.Name] = true
			legend.Add(c.Name, &plotter.Line{LineStyle: style})
		}
		var points plotter.XYs
		for _, q := range c.Line() {
			// A logarithmic axis has no 0.
			points = append(points, plotter.XY{X: max(q.X, p.X.Min), Y: q.Y})
		}
		if len(points) == 0 {
			continue
		}
		drawn = true
		line, err := plotter.NewLine(points)
		if err != nil {
			return legend, fmt.Errorf("report: %s of %s: %w", kind, c.Name, err)
		}
		line.LineStyle = style
		p.Add(line)
	}
	if !drawn {
		p.Title.Text += " (undefined)"
	}
	return legend, nil
}

// decadeTicks labels the powers of ten, and the steps 2 to 9 between them have no label.
type decadeTicks struct{}

func (decadeTicks) Ticks(lo, hi float64) []plot.Tick {
	var ticks []plot.Tick
	for e := int(math.Round(math.Log10(lo))); math.Pow10(e) <= hi; e++ {
		for k := range 9 {
			t := plot.Tick{Value: float64(k+1) * math.Pow10(e)}
			if k == 0 {
				t.Label = strconv.FormatFloat(t.Value, 'f', -1, 64)
			}
			if t.Value <= hi {
				ticks = append(ticks, t)
			}
		}
	}
	return ticks
}
