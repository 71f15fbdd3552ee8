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
	known map[string]afl.LabelStats // by ID
}

func (v *volumes) get(id string) (afl.LabelStats, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stats, known := v.known[id]
	return stats, known
}

func (v *volumes) set(id string, stats afl.LabelStats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[id] = stats
}

// statistics returns what gives A-FL the statistics of the label of the whole case of a
// training sample, if the job wants that. They are computed once for each case of a job.
func (t *trainer) statistics(s *dataset.Sample) ([]afl.EvalOption, error) {
	if !t.job.VolumeStatistics {
		return nil, nil
	}
	stats, known := t.volumes.get(s.ID)
	if !known {
		i := slices.IndexFunc(t.split.Train, func(c dataset.Case) bool { return c.ID == s.ID })
		if i < 0 {
			return nil, fmt.Errorf("train: case %s is not a training case", s.ID)
		}
		whole, err := t.network.Source.Valid(t.split.Train[i])
		if err != nil {
			return nil, err
		}
		var scan onScan
		scan.takeLabel(whole)
		if stats, err = t.job.Scheme.Statistics(scan.label); err != nil {
			return nil, fmt.Errorf("train: case %s: %w", s.ID, err)
		}
		t.volumes.set(s.ID, stats)
	}
	return []afl.EvalOption{afl.WithStats(stats)}, nil
}
