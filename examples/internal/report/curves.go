package report

import (
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/x/afl/examples/internal/outcome"
)

// palette is that of Okabe and Ito, which color-blind readers can distinguish.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xB2, 0xFF},
	color.RGBA{0xD5, 0x5E, 0x00, 0xFF},
	color.RGBA{0x00, 0x9E, 0x73, 0xFF},
	color.RGBA{0xCC, 0x79, 0xA7, 0xFF},
	color.RGBA{0xE6, 0x9F, 0x00, 0xFF},
	color.RGBA{0x56, 0xB4, 0xE9, 0xFF},
	color.RGBA{0x80, 0x80, 0x80, 0xFF},
	color.RGBA{0x00, 0x00, 0x00, 0xFF},
}

// Color returns the color in which figures show the loss with index i.
func Color(i int) color.Color { return palette[i%len(palette)] }

// curve is the mean of several trainings, or the only one.
type curve struct {
	name   string
	color  color.Color
	dashed bool
	points plotter.XYs
	// low and high bound the values of the trainings at each point.
	low, high []float64
}

// Titles and labels of the charts.
const (
	lossTitle = "Training loss, relative to the first epoch"
	lossLabel = "mean loss / mean loss of epoch 1"
	diceTitle = "Validation Dice"
	diceLabel = "Dice"
)

// Names of the files with curves.
const (
	lossName = "loss.png"
	diceName = "dice.png"
)

// CurveNames returns the names of the files that WriteCurves writes.
func CurveNames() []string { return []string{lossName, diceName} }

// WriteCurves draws the curves of one network into dir: loss.png and dice.png.
func (r *Run) WriteCurves(dir, network string) error {
	title := r.Title
	if r.several() {
		title = fmt.Sprintf("%s: %s", network, r.Title)
	}
	own := r.of(network)
	if err := WriteLossPNG(filepath.Join(dir, lossName), title, own); err != nil {
		return err
	}
	return WriteDicePNG(filepath.Join(dir, diceName), title, own)
}

// WriteLossPNG plots the training loss of one network against the epoch, with one curve
// per loss. Each training is divided by its own first value, because the magnitudes of the
// losses are not comparable. With several seeds or folds the curve is the mean of the
// trainings, in a band from the smallest to the largest. run is the title of the run.
func WriteLossPNG(path, run string, results []outcome.Result) error {
	return writeCurves(path, run+"\n"+lossTitle+pooledCurves(results)+runIDs(results), lossLabel, lossCurves(results))
}

func lossCurves(results []outcome.Result) []curve {
	var curves []curve
	for i, p := range outcome.Store(results).Pool() {
		curves = append(curves, curveOf(&p, curveName(&p.Result), Color(i), func(l *outcome.Result, e *outcome.Epoch) outcome.Number {
			return outcome.Number(e.TrainLoss / math.Abs(l.Epochs[0].TrainLoss))
		}))
	}
	return curves
}

// pooledCurves states what the curves of several trainings are.
func pooledCurves(results []outcome.Result) string {
	if s := spreadOf(results); s.seeds*s.folds > 1 {
		return ": mean and range of " + s.trainings()
	}
	return ""
}

// curveOf returns the curve of a value of each epoch: its mean over the trainings that have
// completed the epoch, and its range.
func curveOf(p *outcome.Pooled, name string, color color.Color, value func(l *outcome.Result, e *outcome.Epoch) outcome.Number) curve {
	values := map[int][]float64{}
	last := 0
	for i := range p.Trainings {
		l := &p.Trainings[i]
		for k := range l.Epochs {
			e := &l.Epochs[k]
			if y := value(l, e); y.Finite() {
				values[e.Epoch] = append(values[e.Epoch], float64(y))
				last = max(last, e.Epoch)
			}
		}
	}
	c := curve{name: name, color: color}
	for epoch := 1; epoch <= last; epoch++ {
		ys := values[epoch]
		if len(ys) == 0 {
			continue
		}
		c.points = append(c.points, plotter.XY{X: float64(epoch), Y: stat.Mean(ys, nil)})
		c.low, c.high = append(c.low, slices.Min(ys)), append(c.high, slices.Max(ys))
	}
	return c
}

// hasBand reports whether the values of the trainings differ anywhere.
func (c *curve) hasBand() bool { return len(c.points) > 1 && !slices.Equal(c.low, c.high) }

// band returns the area between the smallest and the largest values, or nil if there is none.
func (c *curve) band() (*plotter.Polygon, error) {
	if !c.hasBand() {
		return nil, nil
	}
	var outline plotter.XYs
	for i, p := range c.points {
		outline = append(outline, plotter.XY{X: p.X, Y: c.high[i]})
	}
	for i, p := range slices.Backward(c.points) {
		outline = append(outline, plotter.XY{X: p.X, Y: c.low[i]})
	}
	area, err := plotter.NewPolygon(outline)
	if err != nil {
		return nil, err
	}
	r, g, b, _ := c.color.RGBA()
	const alpha = 0x28
	area.Color = color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), alpha}
	area.LineStyle.Width = 0
	return area, nil
}

// WriteDicePNG plots the validation Dice of one network against the epoch, with one color
// per loss: solid for the foreground Dice of hard masks, dashed for the soft Dice with
// the background included. With classes or regions both are their means. With several seeds
// or folds the curves are means of the trainings, and a band shows the range of the first. run
// is the title of the run.
func WriteDicePNG(path, run string, results []outcome.Result) error {
	return writeCurves(path, run+"\n"+diceTitle+pooledCurves(results)+runIDs(results), diceLabel, diceCurves(results))
}

func diceCurves(results []outcome.Result) []curve {
	var curves []curve
	hardName, softName := " foreground", " soft"
	if segmented(results) {
		hardName, softName = " mean, hard", " mean, soft"
	}
	for i, p := range outcome.Store(results).Pool() {
		of := func(m outcome.Measure) func(*outcome.Result, *outcome.Epoch) outcome.Number {
			return func(_ *outcome.Result, e *outcome.Epoch) outcome.Number { return e.Valid[m].Value }
		}
		hard := curveOf(&p, curveName(&p.Result)+hardName, Color(i), of(outcome.Dice))
		soft := curveOf(&p, curveName(&p.Result)+softName, Color(i), of(outcome.SoftDice))
		soft.dashed, soft.low, soft.high = true, nil, nil
		curves = append(curves, hard, soft)
	}
	return curves
}

// curveName returns the name of a result's curve.
func curveName(l *outcome.Result) string {
	if l.RunTitle != "" {
		return l.Title + ", " + l.RunTitle
	}
	return l.Title
}

// runIDs names the run of the results, if it is one and known.
func runIDs(results []outcome.Result) string {
	if len(results) == 0 || results[0].Run == "" {
		return ""
	}
	for _, l := range results {
		if l.Run != results[0].Run {
			return ""
		}
	}
	return " (run " + results[0].Run + ")"
}

func writeCurves(path, title, yLabel string, curves []curve) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "epoch"
	p.Y.Label.Text = yLabel
	p.X.Tick.Marker = epochTicks{}
	p.Add(plotter.NewGrid())
	p.Title.Padding = vg.Points(8)
	p.Legend.ThumbnailWidth = vg.Points(24)
	p.Legend.Padding = vg.Points(2)
	lastEpoch, drawn := 1.0, false
	for _, c := range curves {
		if len(c.points) == 0 {
			continue
		}
		drawn = true
		lastEpoch = max(lastEpoch, c.points[len(c.points)-1].X)
		band, err := c.band()
		if err != nil {
			return fmt.Errorf("report: range of %s: %w", c.name, err)
		}
		if band != nil {
			p.Add(band)
		}
		line, dots, err := plotter.NewLinePoints(c.points)
		if err != nil {
			return fmt.Errorf("report: curve of %s: %w", c.name, err)
		}
		line.Color, line.Width = c.color, vg.Points(1.5)
		dots.Color, dots.Radius, dots.Shape = c.color, vg.Points(1.5), draw.CircleGlyph{}
		if c.dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line, dots)
		p.Legend.Add(c.name, line)
	}
	p.X.Min, p.X.Max = 1, max(lastEpoch, 2)
	// Start at 0 so that heights are comparable, and reach at least 1, the maximum of Dice.
	p.Y.Min, p.Y.Max = 0, max(p.Y.Max, 1)
	if !drawn {
		p.Y.Max = 1
		p.Title.Text += " (no epoch was completed)"
	}

	const width, height, legendWidth = 9 * vg.Inch, 5 * vg.Inch, 2.2 * vg.Inch
	img := vgimg.New(width, height)
	dc := draw.New(img)
	// Draw the legend next to the plot, where it cannot cover a curve.
	legend := p.Legend
	p.Legend = plot.NewLegend()
	p.Draw(draw.Crop(dc, 0, -legendWidth, 0, 0))
	legend.Top, legend.Left = true, true
	legend.Draw(draw.Crop(dc, width-legendWidth+vg.Points(8), 0, 0, -vg.Points(24)))
	return writeFile(path, func(w io.Writer) error {
		encoder := png.Encoder{CompressionLevel: png.BestSpeed} // after every epoch
		return encoder.Encode(w, img.Image())
	})
}

// epochTicks places at most about ten ticks on whole epochs, 1, 2, 5, 10, … apart.
type epochTicks struct{}

func (epochTicks) Ticks(lo, hi float64) []plot.Tick {
	step := 1
	for i := 0; (hi-lo)/float64(step) > 10; i++ {
		step = [3]int{1, 2, 5}[(i+1)%3] * int(math.Pow10((i+1)/3))
	}
	var ticks []plot.Tick
	for e := (int(math.Ceil(lo)) + step - 1) / step * step; float64(e) <= hi; e += step {
		ticks = append(ticks, plot.Tick{Value: float64(e), Label: strconv.Itoa(e)})
	}
	return ticks
}
