package dataset

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fake is a Source that counts the calls in progress.
type fake struct {
	delay          func(id string) time.Duration
	fail           string
	started        atomic.Int64
	running, worst atomic.Int64
	mu             sync.Mutex
	seeds          map[string]uint64
}

func (f *fake) sample(c Case, seed uint64) (*Sample, error) {
	f.started.Add(1)
	now := f.running.Add(1)
	defer f.running.Add(-1)
	for w := f.worst.Load(); now > w && !f.worst.CompareAndSwap(w, now); w = f.worst.Load() {
	}
	if f.delay != nil {
		time.Sleep(f.delay(c.ID))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seeds == nil {
		f.seeds = map[string]uint64{}
	}
	f.seeds[c.ID] = seed
	if c.ID == f.fail {
		return nil, fmt.Errorf("case %s is broken", c.ID)
	}
	return &Sample{ID: c.ID}, nil
}

func (f *fake) Train(c Case, seed uint64) (*Sample, error) { return f.sample(c, seed) }
func (f *fake) Valid(c Case) (*Sample, error)              { return f.sample(c, 0) }

func ids(n int) []Case {
	cases := make([]Case, n)
	for i := range cases {
		cases[i].ID = fmt.Sprintf("c%02d", i)
	}
	return cases
}

// eventually waits for condition to hold. Unlike assert.Eventually it starts no
// goroutine.
func eventually(condition func() bool) bool {
	for range 60_000 {
		if condition() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// settle returns a function that fails the test if goroutines are left after the loop.
// It waits because a goroutine that has finished still counts until the scheduler has
// removed it.
func settle(t *testing.T) func() {
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		assert.True(t, eventually(func() bool { return runtime.NumGoroutine() <= before }), "goroutines leaked")
	}
}

// uneven often makes later samples ready before earlier ones.
func uneven(id string) time.Duration { return time.Duration(id[len(id)-1]%5) * time.Millisecond / 2 }

func TestLoaderOrderDoesNotDependOnWorkers(t *testing.T) {
	cases := ids(25)
	var want []string
	var wantSeeds map[string]uint64
	for _, workers := range []int{1, 2, 7} {
		done := settle(t)
		f := &fake{delay: uneven}
		var got []string
		for s, err := range (Loader{Source: f, Workers: workers, Ahead: 4}).Train(t.Context(), cases, 3, 1) {
			require.NoError(t, err)
			got = append(got, s.ID)
		}
		done()
		if want == nil {
			want, wantSeeds = got, f.seeds
		}
		assert.Equal(t, want, got)
		assert.Equal(t, wantSeeds, f.seeds)
		assert.LessOrEqual(t, f.worst.Load(), int64(workers))
	}
	assert.Len(t, wantSeeds, 25, "every case once")
	unique := map[uint64]bool{}
	for _, s := range wantSeeds {
		unique[s] = true
	}
	assert.Len(t, unique, 25, "every sample has its own seed")
}

func TestLoaderEpochsDiffer(t *testing.T) {
	order := func(seed uint64, epoch int) (got []string, seeds map[string]uint64) {
		f := &fake{}
		for s, err := range (Loader{Source: f}).Train(t.Context(), ids(20), seed, epoch) {
			require.NoError(t, err)
			got = append(got, s.ID)
		}
		return got, f.seeds
	}
	a, seedsA := order(1, 0)
	b, seedsB := order(1, 1)
	c, seedsC := order(2, 0)
	again, seedsAgain := order(1, 0)
	assert.Equal(t, a, again)
	assert.Equal(t, seedsA, seedsAgain)
	assert.ElementsMatch(t, a, b)
	assert.NotEqual(t, a, b)
	assert.NotEqual(t, a, c)
	for id := range seedsA {
		assert.NotEqual(t, seedsA[id], seedsB[id])
		assert.NotEqual(t, seedsA[id], seedsC[id])
	}
}

// TestLoaderPatches: every case comes as often as asked, each time with another seed, of which
// the first is that of a single sample; and an epoch goes on after those that are skipped.
func TestLoaderPatches(t *testing.T) {
	order := func(l Loader) (got []string, seeds map[string]bool) {
		seeds = map[string]bool{}
		l.Source, l.Workers = sourceFunc(func(c Case, seed uint64) (*Sample, error) {
			return &Sample{ID: fmt.Sprintf("%s %x", c.ID, seed)}, nil
		}), 3
		for s, err := range l.Train(t.Context(), ids(7), 5, 2) {
			require.NoError(t, err)
			got = append(got, s.ID)
			seeds[s.ID] = true
		}
		return got, seeds
	}
	once, _ := order(Loader{})
	thrice, seeds := order(Loader{Patches: 3})
	assert.Len(t, thrice, 21)
	assert.Len(t, seeds, 21)
	times := map[string]int{}
	for _, id := range thrice {
		times[id[:strings.IndexByte(id, ' ')]]++
	}
	assert.Len(t, times, 7)
	for id, n := range times {
		assert.Equal(t, 3, n, id)
	}
	assert.Subset(t, thrice, once)
	for _, skip := range []int{1, 8, 21} {
		rest, _ := order(Loader{Patches: 3, Skip: skip})
		assert.Equal(t, thrice[skip:], append([]string{}, rest...))
	}
}

// sourceFunc is a Source of training samples.
type sourceFunc func(c Case, seed uint64) (*Sample, error)

func (f sourceFunc) Train(c Case, seed uint64) (*Sample, error) { return f(c, seed) }
func (f sourceFunc) Valid(c Case) (*Sample, error)              { return f(c, 0) }

func TestLoaderValidKeepsTheOrder(t *testing.T) {
	done := settle(t)
	i := 0
	for s, err := range (Loader{Source: &fake{delay: uneven}, Workers: 3}).Valid(t.Context(), ids(12)) {
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("c%02d", i), s.ID)
		i++
	}
	assert.Equal(t, 12, i)
	done()
	for range (Loader{Source: &fake{}}).Valid(t.Context(), nil) {
		t.Fatal("got a sample without a case")
	}
	done()
}

func TestLoaderLimitsReadAhead(t *testing.T) {
	f := &fake{}
	taken := int64(0)
	for _, err := range (Loader{Source: f, Workers: 8, Ahead: 3}).Valid(t.Context(), ids(30)) {
		require.NoError(t, err)
		taken++
		if taken%10 == 0 && taken < 30 {
			assert.True(t, eventually(func() bool { return f.started.Load() == taken+3 }), "the loader must run ahead")
			time.Sleep(5 * time.Millisecond)
		}
		assert.LessOrEqual(t, f.started.Load(), taken+3)
	}
}

func TestLoaderStopsWithTheLoop(t *testing.T) {
	done := settle(t)
	f := &fake{delay: uneven}
	n := 0
	for _, err := range (Loader{Source: f, Workers: 4, Ahead: 4}).Valid(t.Context(), ids(50)) {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	done()
	assert.Zero(t, f.running.Load())
	assert.Less(t, f.started.Load(), int64(12))
}

func TestLoaderStopsAtAnError(t *testing.T) {
	done := settle(t)
	f := &fake{delay: uneven, fail: "c05"}
	var got []string
	var failure error
	for s, err := range (Loader{Source: f, Workers: 4, Ahead: 4}).Valid(t.Context(), ids(50)) {
		if err != nil {
			require.NoError(t, failure, "one error only")
			assert.Nil(t, s)
			failure = err
			continue
		}
		got = append(got, s.ID)
	}
	done()
	assert.EqualError(t, failure, "case c05 is broken")
	assert.Equal(t, []string{"c00", "c01", "c02", "c03", "c04"}, got, "samples before the error are yielded")
}

func TestLoaderIsCanceled(t *testing.T) {
	for after := range 6 {
		done := settle(t)
		ctx, cancel := context.WithCancel(t.Context())
		f := &fake{delay: uneven}
		n := 0
		var last error
		if after == 0 {
			cancel()
		}
		for s, err := range (Loader{Source: f, Workers: 3, Ahead: 3}).Train(ctx, ids(40), 1, 1) {
			if last = err; err != nil {
				assert.Nil(t, s)
				continue
			}
			if n++; n == after {
				cancel()
			}
		}
		done()
		cancel()
		assert.ErrorIs(t, last, context.Canceled)
		assert.Equal(t, after, n, "no sample after the cancellation")
		assert.Zero(t, f.running.Load())
	}
}

// TestLoaderIsCanceledWhileItWaits cancels ctx while the loop waits for a sample: the
// loop must end and no new sample may be started.
func TestLoaderIsCanceledWhileItWaits(t *testing.T) {
	done := settle(t)
	ctx, cancel := context.WithCancel(t.Context())
	slow := &fake{}
	slow.delay = func(string) time.Duration {
		if slow.started.Load() == 2 {
			cancel() // both workers are busy
		}
		<-ctx.Done()
		return 5 * time.Millisecond
	}
	var last error
	for s, err := range (Loader{Source: slow, Workers: 2, Ahead: 5}).Valid(ctx, ids(9)) {
		assert.Nil(t, s)
		last = err
	}
	assert.ErrorIs(t, last, context.Canceled)
	assert.Equal(t, int64(2), slow.started.Load())
	assert.Zero(t, slow.running.Load(), "the loop ended before its goroutines")
	done()
}

func TestLoaderOfACache(t *testing.T) {
	cases := fileCases(t, 6)
	cache := NewCache(Protocol{FlipProb: 0.5, Noise: 0.1, NoiseProb: 0.4}, 1<<20)
	var first []string
	for range 2 {
		var got []string
		for s, err := range (Loader{Source: cache, Workers: 3, Ahead: 3}).Train(t.Context(), cases, 9, 4) {
			require.NoError(t, err)
			got = append(got, bytesOf(s))
		}
		if first == nil {
			first = got
		}
		assert.Equal(t, first, got)
	}
	assert.Len(t, first, 6)
}
