package train

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/x/afl/examples/internal/measure"
	"github.com/x/afl/examples/internal/models"
	"github.com/x/afl/examples/internal/outcome"
	"github.com/x/afl/examples/internal/report"
	"github.com/x/afl/examples/internal/settings"
)

// Names of the files that a run writes, besides CheckpointName.
const (
	// BestName is the name of the best weights of a training.
	BestName = "best.safetensors"

	lastName        = "last.safetensors"
	epochsName      = "epochs.csv"
	casesName       = "cases.csv"
	comparisonsName = "comparisons.csv"
	strataName      = "strata.csv"
	resultsName     = "results.md"
	figureName      = "qualitative.png"
	pageName        = "report.html"
)

// WeightsNames returns the names of the files in the folder of each training.
func WeightsNames() []string { return []string{CheckpointName, BestName, lastName} }

// FileNames returns the names of all files that a run writes, without their folders.
func FileNames() []string {
	return slices.Concat(WeightsNames(), []string{epochsName, casesName, comparisonsName, strataName, resultsName, figureName, pageName}, report.CurveNames(), report.DetectionNames())
}

// drawEvery is the least time between two drawings of the curves while a loss trains.
const drawEvery = time.Minute

// results writes the files that present the results of a run's trainings.
type results struct {
	job       *Job
	trainings []*trainer           // in the order of Plan.Keys
	drawn     map[string]time.Time // by network
}

func newResults(j *Job, trainings []*trainer) *results {
	position := map[Key]int{}
	for i, key := range trainings[0].plan.Keys() {
		position[key] = i
	}
	return &results{job: j, trainings: slices.SortedFunc(slices.Values(trainings), func(a, b *trainer) int {
		return position[a.key] - position[b.key]
	})}
}

// run returns the results of all trainings.
func (r *results) run() *report.Run {
	run := &report.Run{Title: r.job.Title, Dataset: r.job.Dataset, Facts: r.job.Facts, Select: r.job.Select, Report: r.job.Report}
	for _, t := range r.trainings {
		result := t.state.result(r.job.ID, t.plan)
		result.NetworkTitle, result.Title, result.Rule = t.network.Title, t.title, measure.InWords(r.job.Scheme, t.rule)
		result.Scheme = r.job.Scheme
		run.Results = append(run.Results, result)
	}
	return run
}

// result returns the results so far, without the titles.
func (s *state) result(id string, p *Plan) outcome.Result {
	r := outcome.Result{
		Run: id, Network: s.Network, Loss: s.Loss, Seed: s.Seed, Fold: s.Fold, Epochs: s.History, Diverged: s.Diverged,
	}
	if e := s.Evaluation; e != nil {
		r.Evaluated, r.BestEpoch, r.Cases = e.Epochs, e.BestEpoch, e.Cases
	}
	r.StoppedEarly = s.StoppedEarly && len(s.History) < p.Epochs
	if !s.finished(p.Epochs) {
		r.Ongoing = s.position(p)
	}
	return r
}

// afterEpoch writes what changes with every epoch.
func (r *results) afterEpoch(n *Network) error {
	run := r.run()
	if err := r.write(epochsName, func(p string) error { return report.WriteEpochsCSV(p, run.Results) }); err != nil {
		return err
	}
	if last, ok := r.drawn[n.Name]; ok && time.Since(last) < drawEvery {
		return nil
	}
	return r.curves(run, n)
}

// afterTraining writes the tables and the curves of the network.
func (r *results) afterTraining(n *Network) error {
	run := r.run()
	if err := r.tables(run); err != nil {
		return err
	}
	return r.curves(run, n)
}

// all writes the tables and the curves of every network.
func (r *results) all() error {
	run := r.run()
	if err := r.tables(run); err != nil {
		return err
	}
	for i := range r.job.Networks {
		if err := r.curves(run, &r.job.Networks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *results) tables(run *report.Run) error {
	for _, t := range r.trainings {
		if t.saved == "" {
			continue
		}
		if err := t.verify(); err != nil {
			return err
		}
	}
	if err := r.write(epochsName, func(p string) error { return report.WriteEpochsCSV(p, run.Results) }); err != nil {
		return err
	}
	if err := r.write(casesName, func(p string) error { return report.WriteCasesCSV(p, run.Results) }); err != nil {
		return err
	}
	if err := run.WriteDetection(r.job.Dir, r.job.Guard); err != nil {
		return err
	}
	if err := r.write(comparisonsName, run.WriteComparisonsCSV); err != nil {
		return err
	}
	if err := r.write(strataName, run.WriteStrataCSV); err != nil {
		return err
	}
	return r.markdown(run)
}

// markdown writes the tables, which link the figures that exist.
func (r *results) markdown(run *report.Run) error {
	return r.write(resultsName, func(p string) error { return run.WriteMarkdown(p, pageName, figureName) })
}

func (r *results) curves(run *report.Run, n *Network) error {
	if r.drawn == nil {
		r.drawn = map[string]time.Time{}
	}
	r.drawn[n.Name] = time.Now()
	if err := r.job.Guard(); err != nil {
		return err
	}
	dir := filepath.Join(r.job.Dir, n.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil { // the trainings of folds are elsewhere
		return fmt.Errorf("train: %w", err)
	}
	return run.WriteCurves(dir, n.Name)
}

func (r *results) write(name string, write func(path string) error) error {
	if err := r.job.Guard(); err != nil {
		return err
	}
	return write(filepath.Join(r.job.Dir, name))
}

// Read returns the results that the run with the given ID in the folder dir has so far: one
// for each of the plan's keys, in their order.
func Read(dir, id string, plan *Plan) (outcome.Store, error) {
	var found outcome.Store
	for _, key := range plan.Keys() {
		path := filepath.Join(plan.dir(dir, key), CheckpointName)
		s, _, err := readState(path, id)
		if err != nil {
			return nil, err
		}
		if s == nil {
			fresh := newState(key, "")
			s = &fresh
		} else if err := s.check(key, plan); err != nil {
			return nil, fmt.Errorf("train: checkpoint %s: %w", path, err)
		}
		r := s.result(id, plan)
		if r.NetworkTitle, err = models.Title(key.Network); err != nil {
			return nil, err
		}
		r.Scheme = plan.Scheme
		if _, r.Title, err = plan.Scheme.Loss(key.Loss); err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		if rule, ok := settings.Rules[s.Rule]; ok {
			r.Rule = measure.InWords(plan.Scheme, rule)
		}
		found = append(found, r)
	}
	return found, nil
}
