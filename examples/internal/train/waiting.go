package train

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/nn"
	"github.com/x/afl/examples/internal/report"
)

// activity is what a stopwatch measures.
type activity int

const (
	// stepping is the time from the first to the last step of an epoch, including waiting.
	stepping activity = iota
	// waiting is the time in which nothing is computed because the next sample is not ready.
	waiting
)

// stopwatch begins to measure the time of an activity, which the returned function returns.
type stopwatch func(activity) func() time.Duration

func realTime(activity) func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// next returns the next sample of this process, and adds the time that nothing is computed
// because it is not ready to t.waited.
func (t *trainer) next() (*input, error) {
	if !t.inputs.Ready() {
		// A device that is still computing does not wait for data yet, and there is nothing to
		// enqueue on it before the sample is ready.
		if s, ok := t.job.Backend.(nn.Synchronizer); ok {
			if err := s.Synchronize(); err != nil {
				return nil, err
			}
		}
		stop := t.job.watch(waiting)
		defer func() { t.waited += stop() }()
	}
	in, err, ok := t.inputs.Next()
	if err == nil && !ok {
		err = errors.New("train: the loader has no more samples")
	}
	return in, err
}

// Waiting is worth a line if it takes more than this share of the steps of an epoch, and more
// than this time, which starting the workers may take.
const (
	leastWaitedShare = 0.05
	leastWaited      = time.Second
)

// waitedFor says how long the steps of an epoch have waited for data and what helps, or nothing
// if that is not worth it. who is empty, or the process that has waited.
func waitedFor(waited, steps time.Duration, who string, workers, cores int) string {
	share := float64(waited) / float64(steps)
	if waited < leastWaited || !(share > leastWaitedShare) {
		return ""
	}
	workers = cmp.Or(workers, dataset.DefaultWorkers)
	help := "keep more cases prepared in memory (-cache)"
	if workers < cores {
		help = fmt.Sprintf("let more than %d of %d cores prepare samples (-workers), or ", workers, cores) + help
	}
	return fmt.Sprintf("%swaited %s (%.0f %%) for data: %s", who, report.Duration(waited), 100*share, help)
}

// reportWaiting says that the steps of the epoch have waited for data, if that is worth it.
func (t *trainer) reportWaiting(waited, steps time.Duration, who string) {
	if text := waitedFor(waited, steps, who, t.job.Workers, runtime.GOMAXPROCS(0)); text != "" {
		t.job.Progress.Println(fmt.Sprintf("%s  epoch %d/%d  %s", t.label, t.state.Epoch, t.job.Epochs, text))
	}
}
