package train

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/x/afl/examples/internal/dataset"
	"github.com/x/afl/examples/internal/report"
)

func TestWaitedFor(t *testing.T) {
	for _, c := range []struct {
		waited, steps  time.Duration
		who            string
		workers, cores int
		want           string
	}{
		{12 * time.Second, 39 * time.Second, "", 0, 16, "waited 12s (31 %) for data: let more than 2 of 16 cores prepare samples (-workers), or keep more cases prepared in memory (-cache)"},
		{90 * time.Second, 100 * time.Second, "process 3 ", 4, 4, "process 3 waited 1m30s (90 %) for data: keep more cases prepared in memory (-cache)"},
		{5 * time.Second, 100 * time.Second, "", 2, 4, ""},
		{5001 * time.Millisecond, 100 * time.Second, "", 8, 4, "waited 5s (5 %) for data: keep more cases prepared in memory (-cache)"},
		{999 * time.Millisecond, time.Second, "", 2, 4, ""},
		{0, 0, "", 2, 4, ""},
	} {
		assert.Equal(t, c.want, waitedFor(c.waited, c.steps, c.who, c.workers, c.cores))
	}
}

// slowData is a Source that prepares a training sample only while the trainer waits for it, which
// takes the given time by its own stopwatch. On this stopwatch a step takes a second.
type slowData struct {
	dataset.Source
	waits  chan struct{} // one entry for each time the trainer waits
	took   time.Duration
	now    time.Time
	waited int
}

func (s *slowData) Train(c dataset.Case, seed uint64) (*dataset.Sample, error) {
	if s.took > 0 {
		<-s.waits
		s.now = s.now.Add(s.took)
	}
	return s.Source.Train(c, seed)
}

func (s *slowData) watch(what activity) func() time.Duration {
	start := s.now
	if what == waiting {
		s.waited++
		if s.took > 0 {
			s.waits <- struct{}{}
		}
	}
	return func() time.Duration { return s.now.Sub(start) }
}

// TestWaitingIsReported trains with data that take three times as long as a step, and with data
// that take no time.
func TestWaitingIsReported(t *testing.T) {
	sentence := regexp.MustCompile(`(?m)^.*waited.*$`)
	run := func(took time.Duration) []string {
		data := &slowData{waits: make(chan struct{}, 1), took: took}
		job := tinyJob(t, t.TempDir(), func() { data.now = data.now.Add(time.Second) })
		var out bytes.Buffer
		job.Progress, job.Losses, job.Workers, job.watch = report.NewProgress(&out), []string{"dice"}, 1, data.watch
		data.Source = job.Networks[0].Source
		job.Networks[0].Source = data
		_, err := job.Run(context.Background())
		require.NoError(t, err)
		if took > 0 {
			assert.Equal(t, 2*3, data.waited, "for every sample")
		}
		var lines []string
		for _, line := range sentence.FindAllString(out.String(), -1) {
			lines = append(lines, line[strings.Index(line, "epoch"):])
		}
		return lines
	}
	assert.Empty(t, run(0))
	lines := run(3 * time.Second)
	assert.Len(t, lines, 2, "once in each epoch")
	for i, line := range lines {
		// Three samples of three seconds, and three steps of a second.
		assert.Regexp(t, fmt.Sprintf(`^epoch %d/2  waited 9s \(75 %%\) for data: .*\(-cache\)$`, i+1), line)
	}
}

// TestWorkersChangeNothing trains with different numbers of workers, which leads to the same
// bytes in every file, also after a stop.
func TestWorkersChangeNothing(t *testing.T) {
	run := func(ctx context.Context, dir string, workers int, step func()) error {
		job := patchJob(t, dir, step)
		job.Epochs, job.Workers = 1, workers
		_, err := job.Run(ctx)
		return err
	}
	whole, stopped := t.TempDir(), t.TempDir()
	require.NoError(t, run(context.Background(), whole, 1, nil))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := 0
	require.ErrorIs(t, run(ctx, stopped, 5, func() {
		if done++; done == 2 {
			cancel()
		}
	}), ErrInterrupted)
	require.NoError(t, run(context.Background(), stopped, 0, nil))
	assertSameFiles(t, filesOf(t, whole), filesOf(t, stopped), "")
	job := tinyJob(t, t.TempDir(), nil)
	job.Workers = -1
	_, err := job.Run(context.Background())
	assert.EqualError(t, err, "train: Job.Workers is -1, want at least 0")
}
