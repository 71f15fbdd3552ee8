package report

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/statistics"
)

// stratification divides the cases with a lesion into thirds by a property of their labels.
type stratification struct {
	name  string // in files
	title string // of its table
	unit  string
	of    func(outcome.Reference) float64
	// thirds are the names of the strata, with ascending values of the property.
	thirds [3]string
}

var stratifications = []stratification{
	{"volume", "Strata by lesion volume", " ml", func(r outcome.Reference) float64 { return r.Volume }, [3]string{"small", "medium", "large"}},
	{"smoothness", "Strata by γ_mSa of the boundary", "", func(r outcome.Reference) float64 { return r.Smoothness }, [3]string{"low", "medium", "high"}},
}

// stratified are the measures that are given for each stratum.
var stratified = []outcome.Measure{outcome.Dice, outcome.Sensitivity}

// strata holds the cases of each stratum.
type strata struct {
	stratification
	cuts  [2]float64
	third map[string]int // stratum of each case
	cases [3]int         // number of cases in each
}

// divide divides the cases of all results that have a lesion at the tertiles of the
// property. It returns false if there are no lesions or too few that differ.
func (r *Run) divide(s stratification) (strata, bool) {
	values := map[string]float64{}
	for _, l := range r.Results {
		for _, c := range l.Cases {
			if c.Reference != nil && c.Reference.Volume > 0 {
				values[c.ID] = s.of(*c.Reference)
			}
		}
	}
	all := make([]float64, 0, len(values))
	for _, v := range values {
		all = append(all, v)
	}
	cuts, ok := statistics.Tertiles(all)
	if !ok {
		return strata{}, false
	}
	divided := strata{stratification: s, cuts: cuts, third: map[string]int{}}
	for id, v := range values {
		third := statistics.Third(cuts, v)
		divided.third[id] = third
		divided.cases[third]++
	}
	return divided, true
}

// in returns the cases of a stratum.
func (s *strata) in(third int, cases []outcome.Case) []outcome.Case {
	return slices.DeleteFunc(slices.Clone(cases), func(c outcome.Case) bool {
		of, ok := s.third[c.ID]
		return !ok || of != third
	})
}

// strataTables returns a table for each property of the labels, none without lesions.
func (r *Run) strataTables() []NamedTable {
	var tables []NamedTable
	for _, property := range stratifications {
		s, ok := r.divide(property)
		if !ok {
			continue
		}
		var header []string
		for _, m := range stratified {
			for _, third := range s.thirds {
				header = append(header, r.name(m)+", "+third)
			}
		}
		table := r.table(header, func(_ *outcome.Pooled, cases []outcome.Case) []string {
			var row []string
			for _, m := range stratified {
				for third := range s.thirds {
					in := s.in(third, cases)
					row = append(row, outcome.MeanOf(in)[m].Format(len(in), 3))
				}
			}
			return row
		})
		tables = append(tables, NamedTable{s.title, table, s.notes()})
	}
	return tables
}

// notes states the bounds of the strata.
func (s *strata) notes() []string {
	value := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) + s.unit }
	cases := func(third int) string { return countOf(s.cases[third], "1 case", "%d cases") }
	bounds := fmt.Sprintf("Thirds of the cases with a lesion: %s up to %s (%s), %s up to %s (%s), %s above (%s).",
		s.thirds[0], value(s.cuts[0]), cases(0), s.thirds[1], value(s.cuts[1]), cases(1), s.thirds[2], cases(2))
	if s.name == "volume" {
		return []string{
			bounds + " The volume of a case is that of all its lesions.",
			"The figures are means over the cases of a stratum. They describe; no test is made within strata.",
		}
	}
	return []string{bounds + " γ_mSa, the paper's smoothness, is here the mean magnitude of the label's gradient where it is not zero: 0.5 on a face along the axes, more on oblique ones and on edges, less around details of a voxel."}
}

// WriteStrataCSV writes one row per network, loss and stratum to path, with the mean and the
// standard deviation of each measure and the number of cases that have it. Numbers have full
// precision; an undefined number is an empty cell. Without lesions of different volume and
// smoothness there are no rows.
func (r *Run) WriteStrataCSV(path string) error {
	segments := segmented(r.Results)
	header := []string{"run", "network", "loss"}
	if segments {
		header = append(header, "segment")
	}
	header = append(header, "by", "stratum", "above", "up_to", "cases")
	for _, m := range stratified {
		header = append(header, m.String(), m.String()+"_sd", m.String()+"_n")
	}
	rows := [][]string{header}
	for _, property := range stratifications {
		s, ok := r.divide(property)
		if !ok {
			continue
		}
		bounds := []string{"", cell(outcome.Number(s.cuts[0])), cell(outcome.Number(s.cuts[1])), ""}
		for _, p := range r.Results.Pool() {
			if !shown(&p) {
				continue
			}
			for _, part := range rowsOf(&p) {
				for third, name := range s.thirds {
					row := []string{p.Run, p.Network, p.Loss}
					if segments {
						row = append(row, part.name)
					}
					in := s.in(third, part.cases)
					row = append(row, s.name, name, bounds[third], bounds[third+1], strconv.Itoa(len(in)))
					for _, m := range stratified {
						i := summarize(in, m)
						row = append(row, cell(outcome.Number(i.Mean)), cell(outcome.Number(i.SD)), strconv.Itoa(i.N))
					}
					rows = append(rows, row)
				}
			}
		}
	}
	return writeCSV(path, rows)
}
