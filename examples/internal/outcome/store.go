package outcome

import (
	"cmp"
	"slices"
)

// Store holds the results of all trainings of one or several runs: cases × losses × networks
// × seeds × folds.
type Store []Result

// Pooled holds the results of one network with one loss over all seeds and folds.
type Pooled struct {
	// Result has the names, the rule and the scheme, which all trainings share, and as Cases
	// those of all trainings, with their Seed and Fold, by ID, then by seed, then by fold.
	// What belongs to a single training is zero.
	Result
	// Trainings are the results of each training, by seed, then by fold.
	Trainings []Result
}

// Pool returns one Pooled for each run, network and loss, in the order of their first
// trainings.
func (s Store) Pool() []Pooled {
	type name struct{ run, title, network, loss string }
	index := map[name]int{}
	var pooled []Pooled
	for _, r := range s {
		key := name{r.Run, r.RunTitle, r.Network, r.Loss}
		i, ok := index[key]
		if !ok {
			i = len(pooled)
			index[key] = i
			pooled = append(pooled, Pooled{Result: Result{
				Run: r.Run, RunTitle: r.RunTitle, Network: r.Network, NetworkTitle: r.NetworkTitle,
				Loss: r.Loss, Title: r.Title, Rule: r.Rule, Scheme: r.Scheme,
			}})
		}
		p := &pooled[i]
		p.Trainings = append(p.Trainings, r)
		if p.Rule == "" {
			p.Rule = r.Rule // a training that has not started has none
		}
		for _, c := range r.Cases {
			c.Seed, c.Fold = r.Seed, r.Fold
			p.Cases = append(p.Cases, c)
		}
	}
	for _, p := range pooled {
		slices.SortStableFunc(p.Trainings, func(a, b Result) int {
			return cmp.Or(cmp.Compare(a.Seed, b.Seed), cmp.Compare(a.Fold, b.Fold))
		})
		slices.SortStableFunc(p.Cases, func(a, b Case) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Seed, b.Seed), cmp.Compare(a.Fold, b.Fold))
		})
	}
	return pooled
}

// OverSeeds returns one Case for each ID, in the order in which the IDs first appear. Its
// measures are the means over the seeds of the case for which they are finite, undefined if
// there are none; likewise those of its classes or regions. The results of the same case from
// several seeds are not independent: intervals and tests count the cases that OverSeeds
// returns. A case that has one result is returned as it is.
func OverSeeds(cases []Case) []Case {
	index := map[string]int{}
	var groups [][]Case
	for _, c := range cases {
		i, ok := index[c.ID]
		if !ok {
			i = len(groups)
			index[c.ID] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	means := make([]Case, len(groups))
	for i, group := range groups {
		means[i] = meanCase(group)
	}
	return means
}

// meanCase returns the mean of the results of one case, with the seed and the fold of the
// first.
func meanCase(group []Case) Case {
	mean := group[0]
	if len(group) == 1 {
		return mean
	}
	mean.Values = meanValues(group)
	mean.Segments = slices.Clone(mean.Segments)
	for i := range mean.Segments {
		mean.Segments[i].Values = meanValues(OfSegment(group, i))
	}
	return mean
}

// meanValues returns the mean of every measure over the cases for which it is finite.
func meanValues(cases []Case) Values {
	values := NoValues()
	for m, mean := range MeanOf(cases) {
		values[m] = mean.Value
	}
	return values
}
