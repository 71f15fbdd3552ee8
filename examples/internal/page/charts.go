package page

import (
	"fmt"
	"slices"

	"github.com/x/afl/examples/internal/report"
)

// charts returns the charts of a run: for each network those over the epochs and, if lesion
// candidates were looked for, those of detection.
func charts(run *report.Run) ([]Chart, error) {
	var all []Chart
	var networks []string
	for _, l := range run.Results {
		if slices.Contains(networks, l.Network) {
			continue
		}
		networks = append(networks, l.Network)
		own := epochCharts(run, l.Network)
		curves, err := run.DetectionCurves(l.Network)
		if err != nil {
			return nil, err
		}
		own = append(own, detectionCharts(curves)...)
		for i := range own {
			own[i].network = l.NetworkTitle
		}
		all = append(all, own...)
	}
	if len(networks) > 1 {
		for i := range all {
			all[i].Title = all[i].network + ": " + all[i].Title
		}
	}
	return all, nil
}

// epochCharts returns the charts of the network over the epochs.
func epochCharts(run *report.Run, network string) []Chart {
	var all []Chart
	for _, e := range run.EpochCharts(network) {
		c := Chart{Title: e.Title, X: Axis{Label: "epoch"}, Y: Axis{Label: e.YLabel}}
		for _, curve := range e.Curves {
			c.Curves = append(c.Curves, Curve{
				Name: curve.Name, Color: ColorOf(curve.Color), Dashed: curve.Dashed,
				X: numbers(curve.X), Y: numbers(curve.Y), Low: numbers(curve.Low), High: numbers(curve.High),
			})
		}
		if len(c.Curves) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// detectionCharts returns a chart for each kind of curve of detection that is defined.
func detectionCharts(curves []report.DetectionCurve) []Chart {
	var all []Chart
	for _, kind := range report.CurveKinds() {
		title, x, y := kind.Titles()
		c := Chart{Title: title, X: Axis{Label: x, Min: limit(0), Max: limit(1)}, Y: Axis{Label: y, Min: limit(0), Max: limit(1)}}
		if kind == report.FROC {
			lo, hi := report.FROCRange(curves)
			c.X.Min, c.X.Max, c.X.Log = limit(lo), limit(hi), true
		}
		for _, curve := range curves {
			line := curve.Line()
			if curve.Kind != kind || len(line) == 0 {
				continue
			}
			next := Curve{Name: curve.Name, Color: ColorOf(report.Color(curve.Color))}
			if slices.ContainsFunc(curves, func(other report.DetectionCurve) bool {
				return other.Kind == kind && other.Name == curve.Name && other.Trainings[0] != curve.Trainings[0]
			}) {
				next.Name += fmt.Sprintf(", seed %d", curve.Trainings[0].Seed)
			}
			for _, p := range line {
				// A logarithmic axis has no 0.
				next.X, next.Y = append(next.X, Number(max(p.X, *c.X.Min))), append(next.Y, Number(p.Y))
			}
			c.Curves = append(c.Curves, next)
		}
		if len(c.Curves) > 0 {
			all = append(all, c)
		}
	}
	return all
}

func limit(v float64) *float64 { return &v }

func numbers(values []float64) []Number {
	var all []Number
	for _, v := range values {
		all = append(all, Number(v))
	}
	return all
}
