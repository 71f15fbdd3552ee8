package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/x/afl/detection"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/statistics"
)

// detectionStatistics are the scores of detection. A score is undefined where there is
// nothing that it could count, and in resamples where that is so.
var detectionStatistics = []struct {
	name, title string // in files and in tables
	interval    bool   // shown in tables
	of          func(*detection.Set) (float64, error)
}{
	{"average_precision", "AP", true, averagePrecision},
	{"auroc", "AUROC", true, func(s *detection.Set) (float64, error) { return s.AUROC(), nil }},
	{"picai_score", "PI-CAI score", true, picaiScore},
	{"sensitivity_at_0.5_fp", "sens. at 0.5", false, sensitivityAt(0.5)},
	{"sensitivity_at_1_fp", "at 1", false, sensitivityAt(1)},
	{"sensitivity_at_2_fp", "at 2 FP", false, sensitivityAt(2)},
}

// averagePrecision is undefined without a lesion, where picai_eval has 0 or an error.
func averagePrecision(s *detection.Set) (float64, error) {
	if s.Lesions() == 0 {
		return math.NaN(), nil
	}
	return s.AveragePrecision()
}

func picaiScore(s *detection.Set) (float64, error) {
	if s.Lesions() == 0 {
		return math.NaN(), nil
	}
	return s.Score()
}

func sensitivityAt(falsePositives float64) func(*detection.Set) (float64, error) {
	return func(s *detection.Set) (float64, error) { return s.SensitivityAt(falsePositives), nil }
}

const (
	detectionResamples = 2000
	detectionSeed      = 0
)

// detectionScore is a score with its bootstrap interval over the cases.
type detectionScore struct {
	value, lower, upper outcome.Number
	undefined           int // number of resamples without a value
}

// detectionResult holds the detection of a network with a loss.
type detectionResult struct {
	outcome.Pooled
	sets                       []outcome.DetectionSet
	cases, positive            int     // of each set
	lesions, found, candidates float64 // mean over the sets
	scores                     []detectionScore
	// p is the p-value of the permutation test that A-FL has the larger PI-CAI score than
	// this loss; undefined for A-FL itself and without several sets of both.
	p outcome.Number
}

// detection returns the detection of every network and loss whose lesion candidates were
// looked for, in the order of the tables.
func (r *Run) detection() ([]detectionResult, error) {
	var all []detectionResult
	for _, p := range outcome.Store(r.Results).Pool() {
		sets, err := outcome.DetectionSets(p.Cases)
		if err != nil {
			return nil, err
		}
		if len(sets) == 0 {
			continue
		}
		d := detectionResult{Pooled: p, sets: sets, p: outcome.Undefined}
		if err := d.score(); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	for i := range all {
		if err := all[i].compare(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (d *detectionResult) score() error {
	var sets []*detection.Set
	d.cases = len(d.sets[0].Cases)
	for _, s := range d.sets {
		sets = append(sets, s.Set)
		for _, c := range s.Cases {
			if c.Positive() {
				d.positive++
			}
			for _, e := range c.Entries {
				if e.Lesion {
					d.lesions++
				}
				if e.Confidence > 0 {
					d.candidates++
					if e.Lesion {
						d.found++
					}
				}
			}
		}
	}
	n := float64(len(sets))
	d.positive /= len(sets)
	d.lesions, d.found, d.candidates = d.lesions/n, d.found/n, d.candidates/n
	for _, statistic := range detectionStatistics {
		score := detectionScore{lower: outcome.Undefined, upper: outcome.Undefined}
		for _, s := range sets {
			v, err := statistic.of(s)
			if err != nil {
				return err
			}
			score.value += outcome.Number(v / n)
		}
		// Seeds that are not finished have other cases than the first.
		whole := !slices.ContainsFunc(sets, func(s *detection.Set) bool { return s.Cases() != sets[0].Cases() })
		if score.value.Defined() && whole && d.cases > 1 {
			interval, err := detection.BootstrapMean(sets, statistic.of, detectionResamples, statistics.Confidence, detectionSeed)
			if err != nil {
				return err
			}
			score.lower, score.upper, score.undefined = outcome.Number(interval.Lower), outcome.Number(interval.Upper), interval.Undefined
		}
		d.scores = append(d.scores, score)
	}
	return nil
}

// compare sets the p-value against the first A-FL of the same run and network.
func (d *detectionResult) compare(all []detectionResult) error {
	i := slices.IndexFunc(all, func(a detectionResult) bool {
		return isAFL(a.Loss) && a.Run == d.Run && a.RunTitle == d.RunTitle && a.Network == d.Network
	})
	if i < 0 || d == &all[i] {
		return nil
	}
	baseline, err := d.setScores()
	if err != nil {
		return err
	}
	alternative, err := all[i].setScores()
	if err != nil || len(baseline) < 2 || len(alternative) < 2 {
		return err
	}
	p, err := detection.PermutationTest(baseline, alternative, detectionSeed)
	d.p = outcome.Number(p)
	return err
}

// setScores returns the PI-CAI score of each set that has one. The folds of a seed are one set:
// scores of different folds are of different cases and cannot be exchanged.
func (d *detectionResult) setScores() ([]float64, error) {
	var scores []float64
	for _, s := range d.sets {
		v, err := picaiScore(s.Set)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(v) {
			scores = append(scores, v)
		}
	}
	return scores, nil
}

// detectionTables returns the table of detection, none if no lesion candidates were looked
// for.
func (r *Run) detectionTables() []NamedTable {
	const title = "Lesion detection, same weights"
	all, err := r.detection()
	if err != nil {
		return []NamedTable{{Title: title, Notes: []string{fmt.Sprintf("There are no scores: %v.", err)}}}
	}
	if len(all) == 0 {
		return nil
	}
	compared := slices.ContainsFunc(all, func(d detectionResult) bool { return d.p.Defined() })
	labels := func(run, network, loss string) []string {
		row := []string{loss}
		if r.several() {
			row = slices.Insert(row, 0, network)
		}
		if r.severalRuns() {
			row = slices.Insert(row, 0, run)
		}
		return row
	}
	t := Table{Header: labels("Run", "Model", "Loss")}
	t.MoreLabels = len(t.Header) - 1
	for _, s := range detectionStatistics {
		t.Header = append(t.Header, s.title)
	}
	t.Header = append(t.Header, "lesions", "found", "candidates")
	if compared {
		t.Header = append(t.Header, "p (A-FL)")
	}
	for _, d := range all {
		row := append(labels(d.RunTitle, d.NetworkTitle, d.Title), d.cells()...)
		if compared {
			p := dash
			if d.p.Defined() {
				p = formatP(float64(d.p))
			}
			row = append(row, p)
		}
		t.Rows = append(t.Rows, row)
	}
	return []NamedTable{{title, t, detectionNotes(all, compared)}}
}

// cells returns the cells of the scores and counts.
func (d *detectionResult) cells() []string {
	var cells []string
	for i, s := range d.scores {
		text := decimals(s.value, 3)
		if detectionStatistics[i].interval && s.lower.Defined() {
			text += fmt.Sprintf(" (%.3f to %.3f)", s.lower, s.upper)
		}
		cells = append(cells, text)
	}
	for _, n := range []float64{d.lesions, d.found, d.candidates} {
		cells = append(cells, strconv.FormatFloat(math.Round(10*n)/10, 'f', -1, 64))
	}
	return cells
}

// decimals formats a number, or a dash if it is undefined.
func decimals(n outcome.Number, digits int) string {
	if !n.Defined() {
		return dash
	}
	return strconv.FormatFloat(float64(n), 'f', digits, 64)
}

// detectionNotes explains the table of detection.
func detectionNotes(all []detectionResult, compared bool) []string {
	notes := []string{
		"Detection as in the PI-CAI challenge: a lesion candidate (-detection) has the largest probability of its voxels as its confidence and finds a lesion if their intersection over union is at least 0.1; a case has the largest confidence of its candidates.",
		"AP: average precision over lesions; AUROC: over cases with and without lesions; PI-CAI score: mean of both; sens. at 0.5, 1, 2 FP: share of lesions found with at most so many false positives per case.",
		fmt.Sprintf("95%% intervals: percentiles of %d bootstrap resamples of the cases, without those in which the score has no value. With few cases they are too narrow; one of no width says only that every resample has the same score.", detectionResamples),
		"found: lesions with a candidate at any confidence; candidates: those that find a lesion and the false ones. A candidate of a lesion that another one finds counts as neither.",
	}
	var held []string // how many cases hold a lesion
	for _, d := range all {
		text := ""
		switch d.positive {
		default:
			text = fmt.Sprintf("%d of %d cases hold a lesion.", d.positive, d.cases)
		case d.cases:
			text = fmt.Sprintf("AUROC and PI-CAI score have no value (%s), as %d of %d cases hold a lesion.", dash, d.positive, d.cases)
		case 0:
			text = fmt.Sprintf("AP, AUROC, PI-CAI score and sensitivities have no value (%s), as 0 of %d cases hold a lesion.", dash, d.cases)
		}
		if !slices.Contains(held, text) {
			held = append(held, text)
		}
	}
	notes = append(notes, held...)
	if n := slices.MaxFunc(all, func(a, b detectionResult) int { return len(a.sets) - len(b.sets) }); len(n.sets) > 1 {
		notes = append(notes, fmt.Sprintf("Scores and counts are means over up to %d results of each case, from different trainings. A resample draws a case with all of its results.", len(n.sets)))
	}
	if compared {
		notes = append(notes, "p (A-FL): one-sided permutation test over the PI-CAI scores of the single seeds, the folds of a seed pooled, that those of the first A-FL are larger than this loss's. It is not adjusted for the number of losses, and with n seeds of each it is at least 1/C(2n, n), such as 1/6 for 2 and 1/20 for 3.")
	}
	return notes
}
