package main

import (
	"fmt"

	"github.com/x/afl/bench/internal/report"
)

// writeChart draws the ratios: a group for each loss (with its gradient) and pair of
// masks, a color for each size, number of cores and PyTorch. Kinds of calls are not drawn.
func (r *results) writeChart(path string) error {
	c := report.Bars{
		Title: "Time of PyTorch (SciPy for the surfaces) over time of afl, forward and gradient",
		Axis:  "times as fast as PyTorch",
	}
	group, series := map[string]int{}, map[string]int{}
	var drawn []*row
	for _, row := range r.rows {
		if row.pass != passForward && !row.isCall() {
			drawn = append(drawn, row)
		}
	}
	for _, row := range drawn {
		if _, ok := group[row.title]; !ok {
			group[row.title] = len(c.Groups)
			c.Groups = append(c.Groups, row.title)
		}
	}
	for _, row := range drawn {
		for i, p := range r.peers {
			name := fmt.Sprintf("%s, %s", row.size.Name, report.Plural(row.cores, "core"))
			if len(r.peers) > 1 {
				name += ", " + p.torch()
			}
			if _, ok := series[name]; !ok {
				series[name] = len(c.Series)
				c.Series = append(c.Series, report.NewSeries(name, len(c.Groups)))
			}
			c.Series[series[name]].Ratios[group[row.title]] = row.ratio(i)
		}
	}
	return c.Write(path)
}
