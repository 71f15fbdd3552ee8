package report

import (
	"image/color"

	"github.com/x/afl/examples/internal/outcome"
)

// EpochChart holds the curves of a network over the epochs, as WriteCurves draws them.
type EpochChart struct {
	Title, YLabel string
	Curves        []EpochCurve
}

// EpochCurve is the curve of a loss, or the mean of those of several seeds and folds.
type EpochCurve struct {
	Name   string
	Color  color.Color
	Dashed bool
	X, Y   []float64
	// Low and High bound the values of the trainings at each X; nil if they are equal.
	Low, High []float64
}

// EpochCharts returns the charts of a network: the training loss and the validation Dice.
func (r *Run) EpochCharts(network string) []EpochChart {
	own := r.of(network)
	return []EpochChart{
		{lossTitle + pooledCurves(own), lossLabel, exported(lossCurves(own))},
		{diceTitle + pooledCurves(own), diceLabel, exported(diceCurves(own))},
	}
}

// of returns the results of a network.
func (r *Run) of(network string) []outcome.Result {
	var own []outcome.Result
	for _, l := range r.Results {
		if l.Network == network {
			own = append(own, l)
		}
	}
	return own
}

// exported leaves out curves without points.
func exported(curves []curve) []EpochCurve {
	var all []EpochCurve
	for _, c := range curves {
		if len(c.points) == 0 {
			continue
		}
		e := EpochCurve{Name: c.name, Color: c.color, Dashed: c.dashed}
		for _, p := range c.points {
			e.X, e.Y = append(e.X, p.X), append(e.Y, p.Y)
		}
		if c.hasBand() {
			e.Low, e.High = c.low, c.high
		}
		all = append(all, e)
	}
	return all
}
