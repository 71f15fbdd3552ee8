package main

import (
	"math"

	"github.com/x/afl/bench/internal/report"
)

// writeChart draws the ratios for float32 logits and uint8 labels with the gradient: a
// group for each loss, a color for each size and mode. If there are none it reports
// that it has drawn nothing.
func writeChart(path string, rows []*row) (drawn bool, err error) {
	c := report.Bars{
		Title: "Time of PyTorch over time of afl on the GPU, forward and gradient",
		Axis:  "times as fast as PyTorch",
	}
	var shown []*row
	group := map[string]int{}
	for _, r := range rows {
		if !r.gradient || r.types != (types{float32s, uint8s}) || isOther(r.call) {
			continue
		}
		shown = append(shown, r)
		if _, ok := group[r.title]; !ok {
			group[r.title] = len(c.Groups)
			c.Groups = append(c.Groups, r.title)
		}
	}
	series := map[string]int{}
	for _, r := range shown {
		for _, how := range []mode{eager, compiled} {
			ratio := r.ratio(how)
			if math.IsNaN(ratio) {
				continue
			}
			name := r.size.Name + ", " + string(how)
			if _, ok := series[name]; !ok {
				series[name] = len(c.Series)
				c.Series = append(c.Series, report.NewSeries(name, len(c.Groups)))
			}
			c.Series[series[name]].Ratios[group[r.title]] = ratio
		}
	}
	if len(c.Series) == 0 {
		return false, nil
	}
	return true, c.Write(path)
}
