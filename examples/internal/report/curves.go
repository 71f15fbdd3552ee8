package report

import (
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"strconv"

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

type curve struct {
	name   string
	color  color.Color
	dashed bool
	points plotter.XYs
}

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
	var own []outcome.Result
	for _, l := range r.Results {
		if l.Network == network {
			own = append(own, l)
		}
	}
	if err := WriteLossPNG(filepath.Join(dir, lossName), title, own); err != nil {
		return err
	}
	return WriteDicePNG(filepath.Join(dir, diceName), title, own)
}

// WriteLossPNG plots the training loss of one network against the epoch, with one curve
// per loss. Each curve is divided by its own first value, because the magnitudes of the
// losses are not comparable. run is the title of the run.
func WriteLossPNG(path, run string, results []outcome.Result) error {
	var curves []curve
	for i, l := range results {
		c := curve{name: curveName(&l), color: Color(i)}
		for _, e := range l.Epochs {
			c.add(e.Epoch, outcome.Number(e.TrainLoss/math.Abs(l.Epochs[0].TrainLoss)))
		}
		curves = append(curves, c)
	}
	return writeCurves(path, run+"\nTraining loss, relative to the first epoch"+runIDs(results), "mean loss / mean loss of epoch 1", curves)
}

// WriteDicePNG plots the validation Dice of one network against the epoch, with one color
// per loss: solid for the foreground Dice of hard masks, dashed for the soft Dice with
// the background included. With classes or regions both are their means. run is the title
// of the run.
func WriteDicePNG(path, run string, results []outcome.Result) error {
	var curves []curve
	for i, l := range results {
		hard := curve{name: curveName(&l) + map[bool]string{false: " foreground", true: " mean, hard"}[segmented(results)], color: Color(i)}
		soft := curve{name: curveName(&l) + map[bool]string{false: " soft", true: " mean, soft"}[segmented(results)], color: Color(i), dashed: true}
		for _, e := range l.Epochs {
			hard.add(e.Epoch, e.Valid[outcome.Dice].Value)
			soft.add(e.Epoch, e.Valid[outcome.SoftDice].Value)
		}
		curves = append(curves, hard, soft)
	}
	return writeCurves(path, run+"\nValidation Dice"+runIDs(results), "Dice", curves)
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

func (c *curve) add(epoch int, y outcome.Number) {
	if y.Finite() {
		c.points = append(c.points, plotter.XY{X: float64(epoch), Y: float64(y)})
	}
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
