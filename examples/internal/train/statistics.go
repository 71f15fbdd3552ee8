package train

import (
	"fmt"
	"slices"
	"sync"

	"github.com/x/afl"
	"github.com/x/afl/examples/internal/dataset"
)

// volumes holds the label statistics of whole cases, which the workers of the loader compute.
type volumes struct {
	mu    sync.Mutex
	known map[string]func() (afl.LabelStats, error) // by ID, computed by the first call
}

// of returns the statistics of a case, which compute computes unless another caller has or does.
func (v *volumes) of(id string, compute func() (afl.LabelStats, error)) (afl.LabelStats, error) {
	v.mu.Lock()
	once := v.known[id]
	if once == nil {
		once = sync.OnceValues(compute)
		v.known[id] = once
	}
	v.mu.Unlock()
	return once()
}

// statistics returns what gives A-FL the statistics of the label of the whole case of a
// training sample, if the job wants that. They are computed once for each case of a job.
func (t *trainer) statistics(s *dataset.Sample) ([]afl.EvalOption, error) {
	if !t.job.VolumeStatistics {
		return nil, nil
	}
	stats, err := t.volumes.of(s.ID, func() (stats afl.LabelStats, err error) {
		i := slices.IndexFunc(t.split.Train, func(c dataset.Case) bool { return c.ID == s.ID })
		if i < 0 {
			return stats, fmt.Errorf("train: case %s is not a training case", s.ID)
		}
		whole, err := t.network.Source.Valid(t.split.Train[i])
		if err != nil {
			return stats, err
		}
		var scan onScan
		scan.takeLabel(whole)
		if stats, err = t.job.Scheme.Statistics(scan.label); err != nil {
			return stats, fmt.Errorf("train: case %s: %w", s.ID, err)
		}
		return stats, nil
	})
	if err != nil {
		return nil, err
	}
	return []afl.EvalOption{afl.WithStats(stats)}, nil
}
